//! RecBole's atomic files: tab-separated, with a header of `name:type` and no quoting of fields.
//!
//! The members of a sequence are parted by blanks. Where they hold blanks themselves they are quoted, as Python writes a list
//! (`'Home & Garden', 'Small Chairs'`).

use std::path::Path;

use super::Progress;
use super::clock::Time;
use super::header::{Header, WIDTH, Wanted};
use super::nested::{add, literal_words};
use super::python_literal;
use super::scan::{Refusal, Scan, utf8};
use super::table::{Interaction, InteractionTable, ItemTable};
use crate::dataset::Columns;
use crate::error::Result;

/// Any number: the format fixes no scale.
const RATINGS: std::ops::RangeInclusive<f64> = f64::MIN..=f64::MAX;

/// `<name>.inter`: user, item, timestamp and, where there is one, rating, under the names that the description gives them.
pub(crate) fn interactions(
    path: &Path,
    columns: &Columns,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    scan.each_line(
        path,
        progress,
        |text| {
            let header = header(text);
            let wanted = [
                Wanted::named("columns.user", &columns.user, true),
                Wanted::named("columns.item", &columns.item, true),
                Wanted::named("columns.timestamp", &columns.timestamp, true),
                Wanted::named("columns.rating", &columns.rating, columns.names_rating()),
            ];
            Ok((header.places(&wanted)?, header.names.len()))
        },
        |(places, width), bytes, line| {
            let fields = split(bytes, *width)?;
            let [user, item, time, rating] = places.map(|at| at.map(|at| fields[at]));
            let rating = rating.map(|text| table.rating(text)).transpose()?.flatten();
            let found = Interaction {
                user: user.unwrap_or_default(),
                item: item.unwrap_or_default(),
                rating,
                time: Time::Text(time.unwrap_or_default()),
            };
            table.push(&found, RATINGS, line)
        },
    )
}

/// `<name>.item`: the item, title and category columns that the description names.
pub(crate) fn items(
    path: &Path,
    columns: &Columns,
    scan: &mut Scan,
    table: &mut ItemTable,
    progress: &dyn Progress,
) -> Result<()> {
    scan.each_line(
        path,
        progress,
        |text| {
            let header = header(text);
            let wanted = [
                Wanted::named("columns.items.item", &columns.item, true),
                Wanted::named("columns.title", &columns.title, true),
                Wanted::named(
                    "columns.categories",
                    &columns.categories,
                    columns.names_categories(),
                ),
            ];
            Ok((header.places(&wanted)?, header.names.len()))
        },
        |(places, width), bytes, line| {
            let fields = split(bytes, *width)?;
            let [item, title, categories] = places.map(|at| at.map(|at| fields[at]));
            let categories = categories.map(members);
            table.push(item.unwrap_or_default(), title, categories.as_deref(), line)
        },
    )
}

/// Column names, without their types.
fn header(line: &str) -> Header<'_> {
    let name = |field| str::split(field, ':').next().unwrap_or_default().trim();
    Header {
        line,
        names: line.split('\t').map(name).collect(),
        separator: '\t',
        table: None,
    }
}

/// The members of a sequence, joined as categories are, each once. Those that are quoted are told apart by their quotes, others by
/// blanks, where a comma after a member is none of it.
fn members(sequence: &str) -> String {
    let text = sequence.trim();
    let list = match text.bytes().next() {
        Some(b'[' | b'(') => python_literal::parse(text.as_bytes()).ok(),
        Some(b'\'' | b'"') => python_literal::parse(format!("[{text}]").as_bytes()).ok(),
        _ => None,
    };
    let mut words = Vec::new();
    match &list {
        Some(list) => literal_words(Some(list), &mut words),
        None => text
            .split_whitespace()
            .for_each(|word| add(word.trim_end_matches(','), &mut words)),
    }
    words.join(", ")
}

fn split(bytes: &[u8], width: usize) -> Result<Vec<&str>, Refusal> {
    let fields: Vec<&str> = utf8(bytes)?.split('\t').collect();
    if fields.len() != width {
        return Err(WIDTH.into());
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::members;

    #[test]
    fn members_of_a_sequence_are_told_apart_by_blanks_or_by_their_quotes() {
        for (sequence, expected) in [
            ("Animation Children's Comedy", "Animation, Children's, Comedy"),
            ("'Home & Garden', 'Small Chairs'", "Home & Garden, Small Chairs"),
            ("'Home & Garden' ,'Small Chairs',", "Home & Garden, Small Chairs"),
            ("'Toys', \"Children's\", 'It\\'s'", "Toys, Children's, It's"),
            ("\"Home & Garden\"", "Home & Garden"),
            ("['Home & Garden', 'Small Chairs']", "Home & Garden, Small Chairs"),
            ("[['Home', 'Garden'], ['Home']]", "Home, Garden"),
            ("Home, Garden", "Home, Garden"),
            ("'90s Music", "'90s, Music"),
            ("\"half open", "\"half, open"),
            ("(1) x", "(1), x"),
            ("1917 7", "1917, 7"),
            ("", ""),
        ] {
            assert_eq!(members(sequence), expected, "{sequence}");
        }
    }
}
