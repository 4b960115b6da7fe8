//! The raw formats by name, and what each fixes.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::time::{TimeFormat, TimeUnit};
use crate::compress::Compression;
use crate::magic;

/// A published raw format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RawFormat {
    /// Reviews as JSON lines, metadata as Python literals (Amazon 2014).
    #[serde(rename = "amazon-2014")]
    Amazon2014,
    /// Reviews and metadata as JSON lines (Amazon 2018).
    #[serde(rename = "amazon-2018")]
    Amazon2018,
    /// Reviews as JSON lines or as csv, metadata as JSON lines, keyed by `parent_asin`, times in milliseconds (Amazon 2023).
    #[serde(rename = "amazon-2023")]
    Amazon2023,
    /// `ratings.csv` and `movies.csv` with a header (MovieLens latest, 20M, 25M, 32M).
    MovielensCsv,
    /// `u.data`, tab-separated, and `u.item`, separated by bars (MovieLens 100K).
    #[serde(rename = "movielens-100k")]
    Movielens100k,
    /// `ratings.dat` and `movies.dat`, separated by `::` (MovieLens 1M and 10M).
    MovielensDat,
    /// Tab-separated atomic files with `name:type` headers (RecBole).
    Recbole,
    /// Reviews and games as Python literals (Steam).
    Steam,
    /// The games a user has, all in one line and without times, and games, as Python literals (Steam).
    SteamLibrary,
    /// Shelvings and books as JSON lines (Goodreads).
    Goodreads,
    /// csv, tsv, JSON lines or Parquet, told apart by the file's ending, with the columns that the description names.
    Generic,
}

/// What files call the values of a row, for those who look for one that is not there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'d> {
    pub user: &'d str,
    pub item: &'d str,
    pub rating: &'d str,
    pub time: &'d str,
    /// The item in the item files.
    pub described: &'d str,
}

impl RawFormat {
    /// What the format calls them; none where the description says it.
    pub(super) fn names(self) -> Option<Names<'static>> {
        let [user, item, rating, time, described] = match self {
            RawFormat::Amazon2014 | RawFormat::Amazon2018 => {
                ["reviewerID", "asin", "overall", "unixReviewTime", "asin"]
            }
            RawFormat::Amazon2023 => ["user_id", "parent_asin", "rating", "timestamp", "parent_asin"],
            RawFormat::MovielensCsv => ["userId", "movieId", "rating", "timestamp", "movieId"],
            // Without a header nothing has a name.
            RawFormat::Movielens100k | RawFormat::MovielensDat => {
                ["a user", "an item", "rating", "a time", "an item"]
            }
            RawFormat::Steam => ["username", "product_id", "rating", "date", "id"],
            RawFormat::SteamLibrary => ["user_id", "item_id", "playtime_forever", "a time", "id"],
            RawFormat::Goodreads => ["user_id", "book_id", "rating", "date_added", "book_id"],
            RawFormat::Recbole | RawFormat::Generic => return None,
        };
        Some(Names {
            user,
            item,
            rating,
            time,
            described,
        })
    }

    /// How the format writes times.
    pub fn time_format(self) -> TimeFormat {
        match self {
            RawFormat::Amazon2023 => TimeFormat::Unit(TimeUnit::Milliseconds),
            RawFormat::Steam => TimeFormat::Pattern("%Y-%m-%d".to_string()),
            RawFormat::Goodreads => TimeFormat::Pattern("%a %b %d %H:%M:%S %z %Y".to_string()),
            _ => TimeFormat::Unit(TimeUnit::Seconds),
        }
    }

    /// Whether titles have their articles at the end.
    pub(super) fn has_trailing_articles(self) -> bool {
        matches!(
            self,
            RawFormat::MovielensCsv | RawFormat::Movielens100k | RawFormat::MovielensDat
        )
    }

    /// Whether a description may name columns.
    pub(super) fn has_open_columns(self) -> bool {
        matches!(self, RawFormat::Recbole | RawFormat::Generic)
    }

    /// Whether the files' endings say how they are to be read, where that depends on them.
    pub(super) fn check_files<'a>(self, mut names: impl Iterator<Item = &'a String>) -> Result<(), String> {
        if self != RawFormat::Generic {
            return Ok(());
        }
        // What is in a folder is seen when it is read.
        match names.find(|name| !name.ends_with('/') && TableKind::of(name).is_none()) {
            // What is no text has a better answer than what text is called.
            Some(name) => Err(magic::of_name(name).map(|what| format!("file name `{name}`: {what}")).unwrap_or_else(|| format!(
                "file name `{name}`: the format generic needs one of the endings .csv, .tsv, .jsonl, .ndjson, .json (one object \
                 a line) or .parquet"
            ))),
            None => Ok(()),
        }
    }
}

impl fmt::Display for RawFormat {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name as it stands in a description.
        self.serialize(out)
    }
}

/// How a file of columns is written, as its ending says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableKind {
    Csv,
    Tsv,
    JsonLines,
    Parquet,
}

impl TableKind {
    /// By file name, with or without a compression ending; capitals do not matter.
    pub fn of(name: &str) -> Option<Self> {
        let plain = Compression::of_name(name).map_or(name, |(_, plain)| plain);
        match plain.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "csv" => Some(TableKind::Csv),
            "tsv" => Some(TableKind::Tsv),
            "jsonl" | "ndjson" | "json" => Some(TableKind::JsonLines),
            "parquet" => Some(TableKind::Parquet),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_tells_the_kind_whatever_the_compression() {
        for (name, kind) in [
            ("a.csv", Some(TableKind::Csv)),
            ("a.b.tsv.gz", Some(TableKind::Tsv)),
            ("events.jsonl.zst", Some(TableKind::JsonLines)),
            ("events.ndjson.bz2", Some(TableKind::JsonLines)),
            ("events.csv.xz", Some(TableKind::Csv)),
            ("E.CSV", Some(TableKind::Csv)),
            ("E.Csv.Gz", Some(TableKind::Csv)),
            ("E.PARQUET", Some(TableKind::Parquet)),
            ("events.parquet", Some(TableKind::Parquet)),
            ("events.xlsx", None),
            ("csv", None),
        ] {
            assert_eq!(TableKind::of(name), kind, "{name}");
        }
    }

    #[test]
    fn a_format_is_called_as_in_a_description() {
        assert_eq!(RawFormat::Amazon2023.to_string(), "amazon-2023");
        assert_eq!(RawFormat::SteamLibrary.to_string(), "steam-library");
        assert_eq!(RawFormat::MovielensDat.to_string(), "movielens-dat");
    }
}
