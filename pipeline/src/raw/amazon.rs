//! Amazon reviews and metadata as published in 2014 (metadata as Python literals) and 2018 (metadata as JSON lines).
//!
//! Only the keys that are used are decoded; review texts are skipped over.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value as Json;

use super::Progress;
use super::clock::Time;
use super::nested::{json_words, literal_words, object};
use super::python_literal::{self, Value as Literal};
use super::scan::Scan;
use super::table::{Interaction, InteractionTable, ItemTable};
use crate::error::Result;

/// Stars; 0 in a file is a fault of the crawler.
pub(super) const RATINGS: std::ops::RangeInclusive<f64> = 1.0..=5.0;

#[derive(Deserialize)]
struct Review<'a> {
    #[serde(rename = "reviewerID", borrow)]
    user: Option<std::borrow::Cow<'a, str>>,
    #[serde(rename = "asin", borrow)]
    item: Option<std::borrow::Cow<'a, str>>,
    #[serde(rename = "overall")]
    rating: Option<f64>,
    #[serde(rename = "unixReviewTime")]
    seconds: Option<f64>,
}

#[derive(Deserialize)]
struct Metadata {
    asin: Option<String>,
    title: Option<Json>,
    category: Option<Json>,
}

/// `reviews_<Category>_5.json` (2014) and `<Category>_5.json` (2018): one JSON object a line.
pub(crate) fn reviews(
    path: &Path,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    scan.each_record(path, progress, |bytes, line| {
        let review: Review<'_> = object(bytes)?;
        let found = Interaction {
            user: review.user.as_deref().ok_or("lacks reviewerID")?,
            item: review.item.as_deref().ok_or("lacks asin")?,
            rating: review.rating,
            time: Time::Number(review.seconds.ok_or("lacks unixReviewTime")?),
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
    scan.each_record(path, progress, |bytes, line| {
        let found: Metadata = object(bytes)?;
        let item = found.asin.ok_or("lacks asin")?;
        let title = found.title.as_ref().and_then(Json::as_str);
        let mut categories = Vec::new();
        json_words(found.category.as_ref(), &mut categories);
        Ok(table.push(&item, title, Some(&categories.join(", ")), line)?)
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
        let asin = asin.ok_or("lacks asin")?;
        let item = asin.as_text().ok_or("asin is no text")?;
        let mut words = Vec::new();
        literal_words(categories.as_ref(), &mut words);
        Ok(table.push(
            item,
            title.as_ref().and_then(Literal::as_text),
            Some(&words.join(", ")),
            line,
        )?)
    })
}
