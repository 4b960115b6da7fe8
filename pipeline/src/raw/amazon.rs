//! Amazon reviews and metadata as published in 2014 (metadata as Python literals) and 2018 (metadata as JSON lines).
//!
//! Both years also have ratings alone, as csv without a header.
//!
//! Only the keys that are used are decoded; review texts are skipped over.

use std::path::Path;

use serde_json::Value as Json;

use super::Progress;
use super::clock::Time;
use super::csv::Columns;
use super::json;
use super::nested::{json_words, literal_words};
use super::python_literal::{self, Value as Literal};
use super::scan::{First, Scan, utf8};
use super::table::{Interaction, InteractionTable, ItemTable};
use crate::dataset::TableKind;
use crate::error::Result;

/// Stars; 0 in a file is a fault of the crawler.
pub(super) const RATINGS: std::ops::RangeInclusive<f64> = 1.0..=5.0;

/// `reviews_<Category>_5.json`, or `ratings_<Category>.csv` (user, item, rating, time), as the ending says.
pub(crate) fn interactions_2014(
    path: &Path,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    match TableKind::of(&path.to_string_lossy()) {
        Some(TableKind::Csv) => ratings(path, [1, 2, 3, 4], scan, table, progress),
        _ => reviews(path, scan, table, progress),
    }
}

/// `<Category>_5.json`, or `<Category>.csv` (item, user, rating, time), as the ending says.
pub(crate) fn interactions_2018(
    path: &Path,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    match TableKind::of(&path.to_string_lossy()) {
        Some(TableKind::Csv) => ratings(path, [2, 1, 3, 4], scan, table, progress),
        _ => reviews(path, scan, table, progress),
    }
}

/// Ratings alone; `order` numbers user, item, rating and time. Copies on other servers have a header, which is passed over.
fn ratings(
    path: &Path,
    order: [usize; 4],
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    let first = |text: &str| {
        let columns = Columns::numbered(text, ','.into(), order.map(Some))?;
        let [_, _, rating, time] = columns.pick(text)?;
        let named = |field: &str| field.starts_with(|c: char| c.is_ascii_alphabetic());
        Ok(if named(&rating) && named(&time) {
            First::Header(columns)
        } else {
            First::Row(columns)
        })
    };
    scan.each_line_after(path, progress, first, false, |columns, bytes, line| {
        let [user, item, rating, time] = columns.pick(utf8(bytes)?)?;
        let found = Interaction {
            user: &user,
            item: &item,
            rating: table.rating(&rating)?,
            time: Time::Text(&time),
        };
        table.push(&found, RATINGS, line)
    })
}

/// One JSON object a line.
fn reviews(
    path: &Path,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    let mut fields = json::Fields::new(["reviewerID", "asin", "overall", "unixReviewTime"]);
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

/// `meta_<Category>.json` of 2018: one JSON object a line.
pub(crate) fn metadata_2018(
    path: &Path,
    scan: &mut Scan,
    table: &mut ItemTable,
    progress: &dyn Progress,
) -> Result<()> {
    let mut fields = json::Fields::new(["asin", "title", "category"]);
    scan.each_record(path, progress, |bytes, line| {
        let [asin, title, category] = fields.of(bytes)?;
        let item = json::id(asin)?.unwrap_or_default();
        let (title, category) = (json::value(title)?, json::value(category)?);
        let title = title.as_ref().and_then(Json::as_str);
        let mut categories = Vec::new();
        json_words(category.as_ref(), &mut categories);
        table.push(&item, title, Some(&categories.join(", ")), line)
    })
}

/// `meta_<Category>.json` of 2014: one Python dict a line.
pub(crate) fn metadata_2014(
    path: &Path,
    scan: &mut Scan,
    table: &mut ItemTable,
    progress: &dyn Progress,
) -> Result<()> {
    scan.each_record(path, progress, |bytes, line| {
        let [asin, title, categories] = python_literal::parse_keys(bytes, ["asin", "title", "categories"])
            .map_err(|error| format!("not a Python dict: {}", error.what))?;
        let item = match &asin {
            None | Some(Literal::None) => "",
            Some(Literal::Cut(_)) => return Err(json::Malformed::HalfCharacter.into()),
            Some(asin) => asin.as_text().ok_or("asin is no text")?,
        };
        let mut words = Vec::new();
        literal_words(categories.as_ref(), &mut words);
        table.push(
            item,
            title.as_ref().and_then(Literal::as_text),
            Some(&words.join(", ")),
            line,
        )
    })
}
