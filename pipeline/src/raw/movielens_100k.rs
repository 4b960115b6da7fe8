//! MovieLens 100K: `u.data` (user, item, rating and time, tab-separated, no header) and `u.item` (separated by `|`, latin-1: item,
//! title, two dates, an address and a flag for each of 19 genres).

use std::path::Path;

use super::Progress;
use super::movielens_csv::push_rating;
use super::scan::{Refusal, Scan, utf8, utf8_or_latin1};
use super::table::{InteractionTable, ItemTable};
use crate::error::Result;

/// The genres in the order of their flags, after the first flag, which stands for "unknown".
const GENRES: [&str; 18] = [
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
];

/// `u.data`.
pub(crate) fn ratings(
    path: &Path,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    scan.each_record(path, progress, |bytes, line| {
        let fields: Vec<&str> = utf8(bytes)?.split('\t').collect();
        let fields = <[&str; 4]>::try_from(fields).map_err(|_| "not four fields parted by tabs")?;
        push_rating(fields, table, line)
    })
}

/// `u.item`.
pub(crate) fn movies(
    path: &Path,
    scan: &mut Scan,
    table: &mut ItemTable,
    progress: &dyn Progress,
) -> Result<()> {
    scan.each_record(path, progress, |bytes, line| {
        let text = utf8_or_latin1(bytes);
        let fields: Vec<&str> = text.split('|').collect();
        let [item, title, _, _, _, _, flags @ ..] = fields.as_slice() else {
            return Err("fewer than six fields parted by bars".into());
        };
        let genres = genres(flags)?;
        table.push(item, Some(title), Some(&genres), line)
    })
}

/// The genres whose flag is set.
fn genres(flags: &[&str]) -> Result<String, Refusal> {
    if flags.len() != GENRES.len() {
        return Err("not a flag for each of 19 genres".into());
    }
    let set = GENRES.iter().zip(flags).filter(|(_, flag)| flag.trim() == "1");
    Ok(set.map(|(genre, _)| *genre).collect::<Vec<_>>().join(", "))
}
