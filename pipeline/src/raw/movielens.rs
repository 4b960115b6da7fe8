//! MovieLens csv: `ratings.csv` (userId, movieId, rating, timestamp) and `movies.csv` (movieId, title, genres joined by `|`).
//!
//! No field holds a line end, so each line is a record of its own: a stray quote costs one line, not the rest of the file.

use std::borrow::Cow;
use std::path::Path;

use super::Progress;
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
        |text| columns(text, ["userId", "movieId", "rating", "timestamp"]),
        |at, bytes, line| {
            let fields = split(utf8(bytes)?)?;
            let [user, item, rating, seconds] = pick(&fields, at)?;
            let found = Interaction {
                user,
                item,
                rating: Some(rating.trim().parse().map_err(|_| "rating is no number")?),
                seconds: seconds.trim().parse().map_err(|_| "timestamp is no number")?,
            };
            Ok(table.push(&found, RATINGS, line)?)
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
        |text| columns(text, ["movieId", "title", "genres"]),
        |at, bytes, line| {
            let fields = split(utf8(bytes)?)?;
            let [item, title, genres] = pick(&fields, at)?;
            let genres = if genres == NO_GENRES {
                String::new()
            } else {
                genres.replace('|', ", ")
            };
            Ok(table.push(item, Some(title), Some(&genres), line)?)
        },
    )
}

/// Number of fields in a row, and where the wanted ones stand.
struct Columns<const N: usize> {
    width: usize,
    at: [usize; N],
}

fn columns<const N: usize>(header: &str, names: [&str; N]) -> Result<Columns<N>, Refusal> {
    let unusable = |_| Refusal::File("the header holds a quote that is not closed".to_string());
    let fields = split(header).map_err(unusable)?;
    let mut at = [0; N];
    for (slot, name) in at.iter_mut().zip(names) {
        *slot = fields
            .iter()
            .position(|field| field.trim() == name)
            .ok_or_else(|| {
                Refusal::File(format!(
                    "the header lacks the column {name}; it is `{}`",
                    header.trim()
                ))
            })?;
    }
    Ok(Columns {
        width: fields.len(),
        at,
    })
}

fn pick<'f, const N: usize>(
    fields: &'f [Cow<'_, str>],
    columns: &Columns<N>,
) -> Result<[&'f str; N], Refusal> {
    if fields.len() != columns.width {
        return Err("another number of fields than the header".into());
    }
    Ok(columns.at.map(|at| fields[at].as_ref()))
}

/// Fields of one csv line (RFC 4180 without line ends inside quotes).
fn split(line: &str) -> Result<Vec<Cow<'_, str>>, Refusal> {
    let mut fields = Vec::with_capacity(4);
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (Cow::Borrowed(&rest[..end]), &rest[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err("text after a closing quote".into()),
        }
    }
}

/// The field whose opening quote is already taken off, and what follows its closing quote.
fn quoted_field(text: &str) -> Result<(Cow<'_, str>, &str), Refusal> {
    let mut from = 0;
    while let Some(at) = text[from..].find('"').map(|at| at + from) {
        if text[at + 1..].starts_with('"') {
            from = at + 2;
            continue;
        }
        let field = &text[..at];
        let field = if field.contains('"') {
            Cow::Owned(field.replace("\"\"", "\""))
        } else {
            Cow::Borrowed(field)
        };
        return Ok((field, &text[at + 1..]));
    }
    Err("a quote is not closed".into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn fields(line: &str) -> Option<Vec<String>> {
        split(line)
            .ok()
            .map(|fields| fields.into_iter().map(Cow::into_owned).collect())
    }

    #[test]
    fn quotes_protect_commas_and_double_quotes_stand_for_one() {
        assert_eq!(
            fields("11,\"American President, The (1995)\",Comedy").unwrap()[1],
            "American President, The (1995)"
        );
        assert_eq!(fields("1,\"a \"\"b\"\", c\",").unwrap(), ["1", "a \"b\", c", ""]);
        assert_eq!(fields("").unwrap(), [""]);
        assert_eq!(fields("\"\",x").unwrap(), ["", "x"]);
    }

    #[test]
    fn a_quote_left_open_or_followed_by_text_is_refused() {
        assert!(fields("1,\"open,2").is_none());
        assert!(fields("1,\"a\"b,2").is_none());
    }

    #[test]
    fn splitting_reads_back_what_the_csv_crate_writes() {
        use proptest::prelude::*;
        proptest!(|(row in proptest::collection::vec("[^\r\n]{0,12}", 2..6))| {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(&row).unwrap();
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            prop_assert_eq!(fields(text.trim_end_matches('\n')).unwrap(), row);
        });
    }
}
