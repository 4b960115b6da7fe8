//! MovieLens csv: `ratings.csv` (userId, movieId, rating, timestamp) and `movies.csv` (movieId, title, genres joined by `|`).

use std::path::Path;

use super::Progress;
use super::clock::Time;
use super::csv::Columns;
use super::scan::{Refusal, Scan, utf8};
use super::table::{Interaction, InteractionTable, ItemTable};
use crate::error::Result;

/// Stars, in halves.
const RATINGS: std::ops::RangeInclusive<f64> = 0.5..=5.0;

/// What stands for an empty list of genres.
const NO_GENRES: &str = "(no genres listed)";

/// `ratings.csv`.
pub(crate) fn ratings(
    path: &Path,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    scan.each_line(
        path,
        progress,
        |text| Columns::find(text, ',', ["userId", "movieId", "rating", "timestamp"]),
        |columns, bytes, line| {
            let [user, item, rating, time] = columns.pick(utf8(bytes)?)?;
            push_rating([&user, &item, &rating, &time], table, line)
        },
    )
}

/// `movies.csv`.
pub(crate) fn movies(
    path: &Path,
    scan: &mut Scan,
    table: &mut ItemTable,
    progress: &dyn Progress,
) -> Result<()> {
    scan.each_line(
        path,
        progress,
        |text| Columns::find(text, ',', ["movieId", "title", "genres"]),
        |columns, bytes, line| {
            let [item, title, genres] = columns.pick(utf8(bytes)?)?;
            push_movie([&item, &title, &genres], table, line)
        },
    )
}

/// A row of user, item, rating and time, as all MovieLens files have it.
pub(super) fn push_rating(
    [user, item, rating, time]: [&str; 4],
    table: &mut InteractionTable,
    line: i64,
) -> Result<(), Refusal> {
    let found = Interaction {
        user,
        item,
        rating: table.rating(rating)?,
        time: Time::Text(time),
    };
    table.push(&found, RATINGS, line)
}

/// A row of item, title and genres joined by `|`.
pub(super) fn push_movie(
    [item, title, genres]: [&str; 3],
    table: &mut ItemTable,
    line: i64,
) -> Result<(), Refusal> {
    let genres = if genres == NO_GENRES {
        String::new()
    } else {
        genres.replace('|', ", ")
    };
    table.push(item, Some(title), Some(&genres), line)
}
