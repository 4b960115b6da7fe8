//! Amazon reviews and metadata as published in 2023: everything is keyed by `parent_asin`, times are in milliseconds.
//!
//! Interactions come as reviews (JSON lines, whose `title` is the review's, not the item's) or, in the publisher's 5-core files, as
//! csv with the columns `user_id,parent_asin,rating,timestamp` and perhaps `history`.

use std::borrow::Cow;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value as Json;

use super::Progress;
use super::amazon::RATINGS;
use super::clock::Time;
use super::csv::Columns;
use super::nested::{json_words, object};
use super::scan::{Scan, utf8};
use super::table::{Interaction, InteractionTable, ItemTable};
use crate::dataset::TableKind;
use crate::error::Result;

#[derive(Deserialize)]
struct Review<'a> {
    #[serde(rename = "user_id", borrow)]
    user: Option<Cow<'a, str>>,
    #[serde(rename = "parent_asin", borrow)]
    item: Option<Cow<'a, str>>,
    rating: Option<f64>,
    timestamp: Option<f64>,
}

#[derive(Deserialize)]
struct Metadata {
    parent_asin: Option<String>,
    title: Option<Json>,
    main_category: Option<Json>,
    categories: Option<Json>,
}

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
        |text| Columns::find(text, ',', &["user_id", "parent_asin", "rating", "timestamp"], &[]),
        |columns, bytes, line| {
            let [user, item, rating, time] = columns.pick(utf8(bytes)?)?;
            let found = Interaction {
                user: &user,
                item: &item,
                rating: Some(rating.trim().parse().map_err(|_| "rating is no number")?),
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
    scan.each_record(path, progress, |bytes, line| {
        let review: Review<'_> = object(bytes)?;
        let found = Interaction {
            user: review.user.as_deref().ok_or("lacks user_id")?,
            item: review.item.as_deref().ok_or("lacks parent_asin")?,
            rating: review.rating,
            time: Time::Number(review.timestamp.ok_or("lacks timestamp")?),
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
    scan.each_record(path, progress, |bytes, line| {
        let found: Metadata = object(bytes)?;
        let item = found.parent_asin.ok_or("lacks parent_asin")?;
        let title = found.title.as_ref().and_then(Json::as_str);
        let mut categories = Vec::new();
        json_words(found.categories.as_ref(), &mut categories);
        if categories.is_empty() {
            json_words(found.main_category.as_ref(), &mut categories);
        }
        Ok(table.push(&item, title, Some(&categories.join(", ")), line)?)
    })
}
