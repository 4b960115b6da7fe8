//! The items that occur in interactions, with a clean title where the raw data has a usable one.

use std::sync::Arc;

use datafusion::arrow::array::{Array, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::JoinType;
use datafusion::common::cast::as_string_array;
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::NullTreatment;
use datafusion::logical_expr::{ColumnarValue, Expr, ExprFunctionExt, ScalarUDF, Volatility, create_udf};
use datafusion::prelude::{DataFrame, col};

use crate::error::Result;
use crate::title;

/// One row an item of `interactions`: `item_id`, `title`, `categories`.
///
/// Metadata may repeat an item: its first usable title counts, and its first categories. Items without metadata, or without a
/// usable title, have `NULL`.
pub fn catalogue(interactions: DataFrame, items: DataFrame, max_title_chars: usize) -> Result<DataFrame> {
    let seen = interactions.select(vec![col("item_id")])?.distinct()?;
    let described = items.select(vec![
        col("item_id").alias("described"),
        clean_title(max_title_chars)
            .call(vec![col("title")])
            .alias("title"),
        col("categories"),
        col("line"),
    ])?;
    Ok(seen
        .join(described, JoinType::Left, &["item_id"], &["described"], None)?
        .aggregate(
            vec![col("item_id")],
            vec![first_by_line("title")?, first_by_line("categories")?],
        )?)
}

fn first_by_line(column: &str) -> Result<Expr> {
    Ok(first_value_udaf()
        .call(vec![col(column)])
        .order_by(vec![col("line").sort(true, true)])
        .null_treatment(NullTreatment::IgnoreNulls)
        .build()?
        .alias(column))
}

/// `clean_title(raw) -> title or NULL`, the SQL face of [`title::clean`].
fn clean_title(max_chars: usize) -> ScalarUDF {
    create_udf(
        "clean_title",
        vec![DataType::Utf8],
        DataType::Utf8,
        Volatility::Immutable,
        Arc::new(move |arguments| {
            let arrays = ColumnarValue::values_to_arrays(arguments)?;
            let raw = as_string_array(&arrays[0])?;
            let cleaned: StringArray = raw
                .iter()
                .map(|value| value.and_then(|text| title::clean(text, max_chars)))
                .collect();
            Ok(ColumnarValue::Array(Arc::new(cleaned) as Arc<dyn Array>))
        }),
    )
}
