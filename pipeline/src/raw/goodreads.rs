//! Goodreads: a line for each book that a reader put on a shelf, and one for each book, as JSON.
//!
//! The time is when the book was shelved (`date_added`; the others are often empty). A rating of 0 means that there is none. Books
//! carry the shelves' names but no genre: the genre is the file's.

use std::path::Path;

use serde_json::Value as Json;

use super::Progress;
use super::clock::Time;
use super::json;
use super::scan::Scan;
use super::table::{Interaction, InteractionTable, ItemTable};
use crate::error::Result;

/// Stars.
const RATINGS: std::ops::RangeInclusive<f64> = 1.0..=5.0;

/// `goodreads_interactions_<genre>.json`.
pub(crate) fn shelvings(
    path: &Path,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    let mut fields = json::Fields::new(["user_id", "book_id", "rating", "date_added"]);
    scan.each_record(path, progress, |bytes, line| {
        let [user, item, rating, date] = fields.of(bytes)?;
        let (user, item, date) = (json::id(user)?, json::id(item)?, json::text(date)?);
        let found = Interaction {
            user: user.as_deref().unwrap_or_default(),
            item: item.as_deref().unwrap_or_default(),
            rating: json::number(rating)?.filter(|rating| *rating != 0.0),
            time: Time::Text(date.as_deref().unwrap_or_default()),
        };
        table.push(&found, RATINGS, line)
    })
}

/// `goodreads_books_<genre>.json`.
pub(crate) fn books(
    path: &Path,
    scan: &mut Scan,
    table: &mut ItemTable,
    progress: &dyn Progress,
) -> Result<()> {
    let mut fields = json::Fields::new(["book_id", "title"]);
    scan.each_record(path, progress, |bytes, line| {
        let [item, title] = fields.of(bytes)?;
        let (item, title) = (json::id(item)?, json::value(title)?);
        let item = item.as_deref().unwrap_or_default();
        table.push(item, title.as_ref().and_then(Json::as_str), None, line)
    })
}
