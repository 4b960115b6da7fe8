//! Our own functions as DataFusion has them. The stages call them, and SQL users can.
//!
//! Here are those that need no data but their arguments; a [`StageFunction`] knows a catalogue as well.

mod stage;

use std::sync::Arc;

use datafusion::arrow::array::{Array, StringArray, UInt64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::cast::{as_int64_array, as_string_array};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

use crate::stage::instance;
use crate::title;
pub use stage::StageFunction;

/// All that need no data but their arguments.
pub fn all() -> Vec<ScalarUDF> {
    vec![clean_title(), row_key()]
}

/// `clean_title(raw, max_chars) -> title or NULL`: [`title::clean`].
pub fn clean_title() -> ScalarUDF {
    create_udf(
        "clean_title",
        vec![DataType::Utf8, DataType::Int64],
        DataType::Utf8,
        Volatility::Immutable,
        Arc::new(|arguments| {
            let arrays = ColumnarValue::values_to_arrays(arguments)?;
            let (raw, longest) = (as_string_array(&arrays[0])?, as_int64_array(&arrays[1])?);
            let cleaned: StringArray = raw
                .iter()
                .zip(longest)
                .map(|(raw, longest)| title::clean(raw?, usize::try_from(longest?).unwrap_or(0)))
                .collect();
            Ok(ColumnarValue::Array(Arc::new(cleaned) as Arc<dyn Array>))
        }),
    )
}

/// `row_key(domain, user_id, position, split) -> key`: [`instance::row_key`], the key column of the prompts.
pub fn row_key() -> ScalarUDF {
    create_udf(
        "row_key",
        vec![DataType::Utf8, DataType::Utf8, DataType::Int64, DataType::Utf8],
        DataType::UInt64,
        Volatility::Immutable,
        Arc::new(|arguments| {
            let arrays = ColumnarValue::values_to_arrays(arguments)?;
            let (domains, users) = (as_string_array(&arrays[0])?, as_string_array(&arrays[1])?);
            let (positions, splits) = (as_int64_array(&arrays[2])?, as_string_array(&arrays[3])?);
            let rows = domains.iter().zip(users).zip(positions.iter().zip(splits));
            let keys: UInt64Array = rows
                .map(|((domain, user), (position, split))| {
                    Some(instance::row_key(
                        domain?,
                        user?,
                        u64::try_from(position?).ok()?,
                        split?,
                    ))
                })
                .collect();
            Ok(ColumnarValue::Array(Arc::new(keys) as Arc<dyn Array>))
        }),
    )
}
