//! The items that occur in interactions, with a clean title where the raw data has a usable one, and their dense ids.

use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::common::JoinType;
use datafusion::common::cast::as_string_array;
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::NullTreatment;
use datafusion::logical_expr::{Expr, ExprFunctionExt};
use datafusion::prelude::{DataFrame, col, lit};
use futures::StreamExt;

use crate::error::Result;
use crate::function;
use crate::schema::Item;

/// The items of a domain.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// By dense id, the first being item 1; `train_count` is for a later stage to fill in.
    pub items: Vec<Item>,
    /// Whether an item's title is a stand-in, in the same order.
    pub stand_ins: Vec<bool>,
}

impl Catalogue {
    /// Runs [`catalogue`] and numbers its items 1, 2, … in the order of their raw ids, compared by bytes; 0 is for padding.
    ///
    /// The catalogue stays in memory: titles are needed at every prompt.
    pub async fn collect(catalogue: DataFrame) -> Result<Self> {
        let sorted = catalogue
            .select(["item_id", "title", "categories"].map(col).to_vec())?
            .sort(vec![col("item_id").sort(true, true)])?;
        let mut rows = sorted.execute_stream().await?;
        let mut found = Self::default();
        while let Some(batch) = rows.next().await {
            found.absorb(&batch?)?;
        }
        Ok(found)
    }

    fn absorb(&mut self, batch: &RecordBatch) -> Result<()> {
        let ids = as_string_array(batch.column(0))?;
        let titles = as_string_array(batch.column(1))?;
        let categories = as_string_array(batch.column(2))?;
        for row in 0..batch.num_rows() {
            let title = titles.is_valid(row).then(|| titles.value(row).to_owned());
            let category = categories.is_valid(row).then(|| categories.value(row).to_owned());
            self.push(ids.value(row), title, category);
        }
        Ok(())
    }

    /// Adds the item that follows the last one in the order of raw ids.
    pub fn push(&mut self, item_id: &str, title: Option<String>, categories: Option<String>) {
        self.stand_ins.push(title.is_none());
        self.items.push(Item {
            item: self.items.len() as u32 + 1,
            // The raw id is all that is known; being distinct, it at least lets items be told apart.
            title: title.unwrap_or_else(|| format!("Item {item_id}")),
            item_id: item_id.to_owned(),
            categories: categories.unwrap_or_default(),
            train_count: 0,
        });
    }
}

/// One row an item of `interactions`: `item_id`, `title`, `categories`.
///
/// Metadata may repeat an item: its first usable title counts, and its first categories. Items without metadata, or without a
/// usable title, have `NULL`.
pub fn catalogue(interactions: DataFrame, items: DataFrame, max_title_chars: usize) -> Result<DataFrame> {
    let seen = interactions.select(vec![col("item_id")])?.distinct()?;
    let described = items.select(vec![
        col("item_id").alias("described"),
        function::clean_title()
            .call(vec![col("title"), lit(max_title_chars as i64)])
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
