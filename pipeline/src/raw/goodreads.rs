//! Goodreads: a line for each book that a reader put on a shelf, and one for each book, as JSON.
//!
//! The time is when the book was shelved (`date_added`; the others are often empty). A rating of 0 means that there is none. Books
//! carry the shelves' names but no genre: the genre is the file's.

use std::borrow::Cow;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value as Json;

use super::Progress;
use super::clock::Time;
use super::nested::object;
use super::scan::Scan;
use super::table::{Interaction, InteractionTable, ItemTable};
use crate::error::Result;

/// Stars.
const RATINGS: std::ops::RangeInclusive<f64> = 1.0..=5.0;

#[derive(Deserialize)]
struct Shelving<'a> {
    #[serde(rename = "user_id", borrow)]
    user: Option<Cow<'a, str>>,
    #[serde(rename = "book_id", borrow)]
    item: Option<Cow<'a, str>>,
    rating: Option<f64>,
    #[serde(borrow)]
    date_added: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Book {
    book_id: Option<String>,
    title: Option<Json>,
}

/// `goodreads_interactions_<genre>.json`.
pub(crate) fn shelvings(
    path: &Path,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    scan.each_record(path, progress, |bytes, line| {
        let found: Shelving<'_> = object(bytes)?;
        let date = found
            .date_added
            .filter(|date| !date.is_empty())
            .ok_or("lacks date_added")?;
        let found = Interaction {
            user: found.user.as_deref().ok_or("lacks user_id")?,
            item: found.item.as_deref().ok_or("lacks book_id")?,
            rating: found.rating.filter(|rating| *rating != 0.0),
            time: Time::Text(&date),
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
    scan.each_record(path, progress, |bytes, line| {
        let book: Book = object(bytes)?;
        let item = book.book_id.ok_or("lacks book_id")?;
        table.push(&item, book.title.as_ref().and_then(Json::as_str), None, line)
    })
}
