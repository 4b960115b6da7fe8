//! One JSON object a line.

use std::borrow::Cow;
use std::path::Path;

use serde_json::{Map, Value as Json};

use super::super::nested::{json_words, object};
use super::{
    Columns, InteractionTable, ItemTable, Progress, Refusal, Result, Row, Scan, Time, categories, lacks,
};

pub(super) fn interactions(
    path: &Path,
    columns: &Columns,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    scan.each_record(path, progress, |bytes, line| {
        let found: Map<String, Json> = object(bytes)?;
        let text = |key: &str| found.get(key).map_or(Ok(None), |value| scalar(value, key));
        let (user, item) = (text(&columns.user)?, text(&columns.item)?);
        let (rating, time) = (text(&columns.rating)?, text(&columns.timestamp)?);
        let number = found.get(&columns.timestamp).and_then(Json::as_f64);
        let row = Row {
            user: user.as_deref(),
            item: item.as_deref(),
            rating: rating.as_deref(),
            time: number
                .map(Time::Number)
                .or_else(|| time.as_deref().map(Time::Text)),
        };
        row.push(columns, table, line)
    })
}

pub(super) fn items(
    path: &Path,
    columns: &Columns,
    scan: &mut Scan,
    table: &mut ItemTable,
    progress: &dyn Progress,
) -> Result<()> {
    scan.each_record(path, progress, |bytes, line| {
        let found: Map<String, Json> = object(bytes)?;
        let item = found
            .get(&columns.item)
            .map_or(Ok(None), |value| scalar(value, &columns.item))?;
        let item = item.ok_or_else(|| lacks(&columns.item))?;
        // A title may be a number (the film 1917); anything else is none, and no reason to lose the item.
        let title = found
            .get(&columns.title)
            .and_then(|value| scalar(value, &columns.title).ok()?);
        let words = match found.get(&columns.categories) {
            Some(Json::String(text)) => categories(text, columns),
            list => {
                let mut words = Vec::new();
                json_words(list, &mut words);
                words.join(", ")
            }
        };
        table.push(&item, title.as_deref(), Some(&words), line)
    })
}

/// A text or a number as text; nothing for null.
fn scalar<'a>(value: &'a Json, key: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
    match value {
        Json::Null => Ok(None),
        Json::String(text) => Ok(Some(Cow::Borrowed(text))),
        Json::Number(number) => Ok(Some(Cow::Owned(number.to_string()))),
        _ => Err(format!("{key} is neither a text nor a number").into()),
    }
}
