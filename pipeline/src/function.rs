//! Our own functions as DataFusion has them. The stages call them, and SQL users can.
//!
//! Here are those that need no data but their arguments; a [`StageFunction`] knows a catalogue as well.

mod stage;

use std::sync::Arc;

use datafusion::arrow::array::{Array, StringArray, UInt64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::cast::{as_int64_array, as_string_array};
use datafusion::common::exec_datafusion_err;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

use crate::stage::instance;
use crate::title;
pub use stage::StageFunction;

/// Those that SQL users can call: they need no data but their arguments.
pub fn all() -> Vec<ScalarUDF> {
    vec![clean_title(), row_key()]
}

/// Those that plans send by their names alone.
#[cfg(feature = "cluster")]
pub(crate) fn named() -> Vec<ScalarUDF> {
    vec![clean_title(), marked_title(), row_key()]
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
            let mut rules = title::Rules::new(0);
            let mut clean = |(raw, longest): (Option<&str>, Option<i64>)| {
                rules.max_chars = usize::try_from(longest?).unwrap_or(0);
                rules.clean(raw?).text
            };
            let cleaned: StringArray = raw.iter().zip(longest).map(&mut clean).collect();
            Ok(ColumnarValue::Array(Arc::new(cleaned) as Arc<dyn Array>))
        }),
    )
}

/// `marked_title(raw, rules) -> marks and title, marks alone, or NULL`: [`Rules::clean`](title::Rules::clean) by [`encoded`] rules. The
/// marks are the first letter ([`parted`] takes them off); alone they say that the data has another word for a title that is none.
pub(crate) fn marked_title() -> ScalarUDF {
    create_udf(
        "marked_title",
        vec![DataType::Utf8, DataType::Utf8],
        DataType::Utf8,
        Volatility::Immutable,
        Arc::new(|arguments| {
            let ColumnarValue::Scalar(rules) = &arguments[1] else {
                return Err(exec_datafusion_err!(
                    "marked_title wants the same rules for all titles"
                ));
            };
            let rules = rules.try_as_str().flatten().unwrap_or_default();
            let rules: title::Rules = serde_json::from_str(rules).map_err(|error| {
                exec_datafusion_err!(
                    "rules of another version ({error}); driver, scheduler and workers must be one version of weaverec"
                )
            })?;
            let raw = arguments[0].clone().into_array(1)?;
            let marked = |raw: Option<&str>| {
                let cleaned = rules.clean(raw?);
                let marks = cleaned.marks.letter();
                match cleaned.text {
                    Some(title) => Some(format!("{marks}{title}")),
                    None => cleaned.marks.spelled_missing.then(|| marks.to_string()),
                }
            };
            let titles: StringArray = as_string_array(&raw)?.iter().map(marked).collect();
            Ok(ColumnarValue::Array(Arc::new(titles) as Arc<dyn Array>))
        }),
    )
}

/// Rules as [`marked_title`] takes them.
pub(crate) fn encoded(rules: &title::Rules) -> crate::Result<String> {
    serde_json::to_string(rules)
        .map_err(|error| crate::Error::Usage(format!("the rules for titles cannot be sent: {error}")))
}

/// The marks and the title that [`marked_title`] gave.
pub(crate) fn parted(marked: &str) -> (title::Marks, Option<&str>) {
    let mut letters = marked.chars();
    let marks = letters.next().map(title::Marks::of_letter).unwrap_or_default();
    (marks, Some(letters.as_str()).filter(|title| !title.is_empty()))
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
