//! One JSON object a line.

use std::borrow::Cow;
use std::path::Path;

use serde_json::Value as Json;

use super::super::json;
use super::super::nested::json_words;
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
    let keys = [&columns.user, &columns.item, &columns.rating, &columns.timestamp].map(String::as_str);
    let mut fields = json::Fields::last(keys);
    scan.each_record(path, progress, |bytes, line| {
        let [user, item, rating, time] = fields.of(bytes)?;
        let (user, item) = (json::value(user)?, json::value(item)?);
        let (rating, time) = (json::value(rating)?, json::value(time)?);
        let number = time.as_ref().and_then(Json::as_f64);
        let (user, item) = (scalar(user.as_ref(), keys[0])?, scalar(item.as_ref(), keys[1])?);
        let (rating, time) = (scalar(rating.as_ref(), keys[2])?, scalar(time.as_ref(), keys[3])?);
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
    let mut fields =
        json::Fields::last([&columns.item, &columns.title, &columns.categories].map(String::as_str));
    scan.each_record(path, progress, |bytes, line| {
        let [item, title, listed] = fields.of(bytes)?;
        let (item, title, listed) = (json::value(item)?, json::value(title)?, json::value(listed)?);
        let item = scalar(item.as_ref(), &columns.item)?.ok_or_else(|| lacks(&columns.item))?;
        // A title may be a number (the film 1917); anything else is none, and no reason to lose the item.
        let title = scalar(title.as_ref(), &columns.title).ok().flatten();
        let words = match &listed {
            Some(Json::String(text)) => categories(text, columns),
            list => {
                let mut words = Vec::new();
                json_words(list.as_ref(), &mut words);
                words.join(", ")
            }
        };
        table.push(&item, title.as_deref(), Some(&words), line)
    })
}

/// A text or a number as text; nothing for null.
fn scalar<'a>(value: Option<&'a Json>, key: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
    match value {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(Cow::Borrowed(text))),
        Some(Json::Number(number)) => Ok(Some(Cow::Owned(number.to_string()))),
        Some(_) => Err(format!("{key} is neither a text nor a number").into()),
    }
}
