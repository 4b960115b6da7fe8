//! MovieLens 1M and 10M: `ratings.dat` (user, item, rating, time) and `movies.dat` (item, title, genres joined by `|`), parted by
//! `::`, without a header. Titles of 1M are latin-1, those of 10M UTF-8.

use std::path::Path;

use super::Progress;
use super::movielens_csv::{push_movie, push_rating};
use super::scan::{Scan, utf8, utf8_or_latin1};
use super::table::{InteractionTable, ItemTable};
use crate::error::Result;

const SEPARATOR: &str = "::";

/// `ratings.dat`.
pub(crate) fn ratings(
    path: &Path,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    scan.each_record(path, progress, |bytes, line| {
        let fields: Vec<&str> = utf8(bytes)?.split(SEPARATOR).collect();
        let fields = <[&str; 4]>::try_from(fields).map_err(|_| "not four fields parted by ::")?;
        push_rating(fields, table, line)
    })
}

/// `movies.dat`.
pub(crate) fn movies(
    path: &Path,
    scan: &mut Scan,
    table: &mut ItemTable,
    progress: &dyn Progress,
) -> Result<()> {
    scan.each_record(path, progress, |bytes, line| {
        let text = utf8_or_latin1(bytes);
        // From both ends: a title may hold the separator.
        let fields = text
            .split_once(SEPARATOR)
            .and_then(|(item, rest)| Some((item, rest.rsplit_once(SEPARATOR)?)));
        // With a line end in it there would be the fields of several.
        let fields = fields.filter(|_| !text.contains('\r'));
        let (item, (title, genres)) = fields.ok_or("not three fields parted by ::")?;
        push_movie([item, title, genres], table, line)
    })
}
