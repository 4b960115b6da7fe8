//! Amazon reviews and metadata as published in 2023: everything is keyed by `parent_asin`, times are in milliseconds.
//!
//! Interactions come as reviews (JSON lines, whose `title` is the review's, not the item's) or, in the publisher's 5-core files, as
//! csv with the columns `user_id,parent_asin,rating,timestamp` and perhaps `history`.

use std::path::Path;

use serde_json::Value as Json;

use super::Progress;
use super::amazon::RATINGS;
use super::clock::Time;
use super::csv::Columns;
use super::json;
use super::nested::json_words;
use super::scan::{Scan, utf8};
use super::table::{Interaction, InteractionTable, ItemTable};
use crate::dataset::TableKind;
use crate::error::Result;

/// `<Category>.csv` or `<Category>.jsonl`, as the ending says.
pub(crate) fn interactions(
    path: &Path,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    match TableKind::of(&path.to_string_lossy()) {
        Some(TableKind::Csv) => ratings(path, scan, table, progress),
        _ => reviews(path, scan, table, progress),
    }
}

fn ratings(
    path: &Path,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    scan.each_line(
        path,
        progress,
        |text| Columns::find(text, ',', ["user_id", "parent_asin", "rating", "timestamp"]),
        |columns, bytes, line| {
            let [user, item, rating, time] = columns.pick(utf8(bytes)?)?;
            let found = Interaction {
                user: &user,
                item: &item,
                rating: table.rating(&rating)?,
                time: Time::Text(&time),
            };
            table.push(&found, RATINGS, line)
        },
    )
}

fn reviews(
    path: &Path,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    let mut fields = json::Fields::new(["user_id", "parent_asin", "rating", "timestamp"]);
    scan.each_record(path, progress, |bytes, line| {
        let [user, item, rating, time] = fields.of(bytes)?;
        let (user, item) = (json::id(user)?, json::id(item)?);
        let (rating, time) = (json::number(rating)?, json::number(time)?);
        let found = Interaction {
            user: user.as_deref().unwrap_or_default(),
            item: item.as_deref().unwrap_or_default(),
            rating,
            time: Time::Number(time.unwrap_or(f64::NAN)),
        };
        table.push(&found, RATINGS, line)
    })
}

/// `meta_<Category>.jsonl`; an item without categories has its main category.
pub(crate) fn metadata(
    path: &Path,
    scan: &mut Scan,
    table: &mut ItemTable,
    progress: &dyn Progress,
) -> Result<()> {
    let mut fields = json::Fields::new(["parent_asin", "title", "main_category", "categories"]);
    scan.each_record(path, progress, |bytes, line| {
        let [item, title, main, listed] = fields.of(bytes)?;
        let item = json::id(item)?.unwrap_or_default();
        let (title, main, listed) = (json::value(title)?, json::value(main)?, json::value(listed)?);
        let title = title.as_ref().and_then(Json::as_str);
        let mut categories = Vec::new();
        json_words(listed.as_ref(), &mut categories);
        if categories.is_empty() {
            json_words(main.as_ref(), &mut categories);
        }
        table.push(&item, title, Some(&categories.join(", ")), line)
    })
}
