//! Data-set descriptions: a TOML file says which published format a data set has, what its files are called and where it comes
//! from, so that a new data set needs no code.

mod builtin;
mod columns;
mod effect;
mod family;
mod files;
mod format;
mod missing;
mod source;
mod time;
mod verify;

pub use builtin::{Listed, builtin, listed};
pub use columns::{Columns, ItemColumns};
pub(crate) use effect::position;
pub use format::RawFormat;
pub(crate) use format::{Names, TableKind};
pub(crate) use missing::{Missing, of_titles as missing_titles};
pub use source::{PythonPackage, RemoteFile, Source};
pub use time::{TimeFormat, TimeUnit};
pub(crate) use time::{TimeReader, is_date_in_digits, ways, zone};
pub use verify::{Counted, Verification, verify};

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Which part of an item splits a data set into domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DomainColumn {
    /// The first of the item's categories (for films: the first genre).
    FirstCategory,
}

/// Counts known beforehand; `prepare` says so when it finds others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Rows of the raw interactions.
    pub interactions: u64,
    /// Distinct users in them.
    pub users: u64,
    /// Distinct items in them.
    pub items: u64,
}

/// All that is known about one data set before reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetDescription {
    /// Short name: lower-case letters, digits and hyphens; folders are named after it.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Where the behaviour was observed, such as `amazon` or `movielens`; two platforms make a scenario cross-platform.
    pub platform: String,
    /// How the files are written.
    pub format: RawFormat,
    /// How times are written, where the files differ from what their format has: `"s"`, `"ms"`, `"us"`, `"ns"` since 1970, `"iso"`,
    /// or a pattern such as `"%d/%m/%Y %H:%M"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeFormat>,
    /// What stands for no value in texts, titles included, besides nothing at all; by default, in the formats `recbole` and `generic`,
    /// `\\N`, `NULL`, `null`, `None`, `nan`, `NaN`, `NaT` and `<NA>`, in the others nothing, and in the titles of all these words and
    /// `NAN`, `(null)`, `nil`, `undefined`, `NA`, `N/A`, `n/a` and `#N/A`. `missing = []`: every text is a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Vec<String>>,
    /// Names of the interaction files, without a compression ending; one that ends in `/` is a folder, whose files are read in the
    /// order of their names, hidden ones and those that begin with `_` left out. A name may go on inside a zip archive
    /// (`"ml-25m.zip/ml-25m/ratings.csv"`); archives right in the raw folder are looked through where no such file lies beside them.
    pub interactions: Vec<String>,
    /// Names of the item files or folders, in the same way; empty when the set has none.
    #[serde(default)]
    pub items: Vec<String>,
    /// Whether the set may be read without its item files.
    #[serde(default)]
    pub items_optional: bool,
    /// Whether the titles of the item files have their articles at the end (`French Connection, The (1971)`) and get them in front;
    /// by default where the format is one of MovieLens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leading_articles: Option<bool>,
    /// What may be done with the data.
    pub licence: String,
    /// The publication to cite.
    #[serde(default)]
    pub citation: String,
    /// What a reader of results should know.
    #[serde(default)]
    pub notes: String,
    /// Fields whose values are made up (because the published ones could not be had); reports say so.
    #[serde(default)]
    pub synthetic_fields: Vec<String>,
    /// What splits the set into domains, if anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_column: Option<DomainColumn>,
    /// Domains offered by default.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Where the files come from.
    #[serde(default)]
    pub source: Source,
    /// Column names of formats that leave them open.
    #[serde(default, skip_serializing_if = "Columns::are_default")]
    pub columns: Columns,
    /// Counts known beforehand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
}

impl DatasetDescription {
    /// The built-in description of a name, or of a family and its member (`amazon-2023:Toys_and_Games`), or the one in a TOML file
    /// (`shop.toml`, or `shops.toml:Berlin` where that file describes a family).
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that is neither, [`Error::Description`] (file, line and key) for a file that does not fit.
    pub fn load(name_or_path: &str) -> Result<Self> {
        builtin::load(name_or_path)
    }

    /// A description from TOML text; `file` is only named in errors.
    ///
    /// # Errors
    /// [`Error::Description`] naming the file with the line and key that do not fit.
    pub fn parse(text: &str, file: &str) -> Result<Self> {
        Self::checked(toml::from_str(text).map_err(|error| misplaced(&error)), file)
    }

    fn checked(found: Result<Self, String>, file: &str) -> Result<Self> {
        let fits = found.and_then(|found| found.check().map(|()| found));
        fits.map_err(|message| Error::Description {
            file: file.to_string(),
            message,
        })
    }

    /// What serde cannot see: values that are well-formed and still useless.
    fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || !self.name.chars().all(plain) {
            return Err(format!(
                "key `name` is `{}`; use lower-case letters, digits and hyphens, since folders are named after it",
                self.name
            ));
        }
        if self.interactions.is_empty() {
            return Err("key `interactions` is empty; name at least one file".to_string());
        }
        for name in self.interactions.iter().chain(&self.items) {
            files::check(name).map_err(|message| format!("file name `{name}`: {message}"))?;
        }
        if !self.domains.is_empty() && self.domain_column.is_none() {
            return Err(
                "key `domains` needs `domain_column`; add domain_column = \"first-category\"".to_string(),
            );
        }
        if self.leading_articles.is_some() && self.items.is_empty() {
            return Err(
                "key `leading_articles` is about titles, and there are none without `items`; leave it out, or name the item files"
                    .to_string(),
            );
        }
        self.format
            .check_files(self.interactions.iter().chain(&self.items))?;
        effect::check(self)?;
        self.source.check()
    }

    /// The same of what can only be seen in the files that were found: keys that speak of none of them.
    pub(crate) fn check_found(&self, interactions: &[PathBuf], items: &[PathBuf]) -> Result<()> {
        effect::check_found(self, interactions, items).map_err(|message| Error::Description {
            file: self.name.clone(),
            message,
        })
    }

    /// How times are written: as described, or as the format has them.
    pub fn time_format(&self) -> TimeFormat {
        self.time.clone().unwrap_or_else(|| self.format.time_format())
    }

    /// Knows which texts of the files are no values.
    pub(crate) fn missing(&self) -> Missing {
        match &self.missing {
            Some(spellings) => Missing::new(spellings),
            None if self.format.has_open_columns() => Missing::new(missing::of_values()),
            None => Missing::new([""; 0]),
        }
    }

    /// What the files call what every row must have.
    pub(crate) fn names(&self) -> Names<'_> {
        self.format.names().unwrap_or(Names {
            user: &self.columns.user,
            item: &self.columns.item,
            rating: &self.columns.rating,
            time: &self.columns.timestamp,
            described: self.columns.items.item.as_deref().unwrap_or(&self.columns.item),
        })
    }

    /// Whether articles at the end of titles go to the front: as described, or as the format's titles need it.
    pub fn leading_articles(&self) -> bool {
        self.leading_articles
            .unwrap_or_else(|| self.format.has_trailing_articles())
    }

    /// Where the interaction files lie under `root`, in the order of the description.
    ///
    /// # Errors
    /// [`Error::Io`] for the first file that is there neither plain nor compressed nor in an archive, that is there in two ways, or is a
    /// link to nothing, and for a folder without files.
    pub fn interaction_files(&self, root: &Path) -> Result<Vec<PathBuf>> {
        files::find_all(root, &self.interactions)
    }

    /// Where the item files lie under `root`; `None` when the description names none, or when they are optional and absent.
    ///
    /// # Errors
    /// [`Error::Io`] for the first file that is needed and missing.
    pub fn item_files(&self, root: &Path) -> Result<Option<Vec<PathBuf>>> {
        if self.items.is_empty() {
            return Ok(None);
        }
        match files::find_all(root, &self.items) {
            Err(Error::Io { source, .. })
                if self.items_optional && source.kind() == std::io::ErrorKind::NotFound =>
            {
                Ok(None)
            }
            other => other.map(Some),
        }
    }
}

/// Keys of the table [columns] that no other has.
const OF_COLUMNS: [&str; 10] = [
    "user",
    "item",
    "rating",
    "timestamp",
    "categories",
    "category_separator",
    "header",
    "delimiter",
    "escape",
    "decimal",
];

/// Keys of the description itself.
const OF_ALL: [&str; 16] = [
    "name",
    "title",
    "platform",
    "format",
    "time",
    "missing",
    "interactions",
    "items",
    "items_optional",
    "leading_articles",
    "licence",
    "citation",
    "notes",
    "synthetic_fields",
    "domain_column",
    "domains",
];

/// What TOML says of a text, and where a key belongs that stands in the wrong table: after a line `[columns]` all keys are that table's.
fn misplaced(error: &toml::de::Error) -> String {
    let mut message = error.to_string().trim_end().to_string();
    let unknown = error.message().strip_prefix("unknown field `");
    if let Some((key, _)) = unknown.and_then(|rest| rest.split_once('`')) {
        let place = if OF_COLUMNS.contains(&key) {
            Some("it belongs into the table [columns]")
        } else if OF_ALL.contains(&key) {
            Some("it belongs above the first table, before the line in brackets")
        } else {
            None
        };
        if let Some(place) = place {
            message = format!("{message}\n{place}");
        }
    }
    message
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const SMALL: &str = "name = \"mine\"\ntitle = \"Mine\"\nplatform = \"shop\"\nformat = \"movielens-csv\"\n\
                         interactions = [\"ratings.csv\"]\nlicence = \"own\"\n";

    #[test]
    fn an_unknown_key_is_named_with_its_file_and_line() {
        let text = format!("{SMALL}colour = 3\n");
        let error = DatasetDescription::parse(&text, "mine.toml")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("mine.toml") && error.contains("colour") && error.contains("line 7"),
            "{error}"
        );
    }

    #[test]
    fn a_key_in_the_wrong_table_is_told_where_it_belongs() {
        for (more, place) in [
            ("delimiter = \";\"\n", "into the table [columns]"),
            (
                "[columns]\nuser = \"u\"\ntime = \"iso\"\n",
                "above the first table",
            ),
            ("[source]\nlicence = \"x\"\n", "above the first table"),
        ] {
            let text = format!("{SMALL}{more}");
            let error = DatasetDescription::parse(&text, "x.toml")
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("unknown field") && error.contains(place),
                "{error}"
            );
        }
    }

    #[test]
    fn a_missing_key_and_an_unknown_format_are_named() {
        let error = DatasetDescription::parse("name = \"x\"\n", "x.toml")
            .unwrap_err()
            .to_string();
        assert!(error.contains("x.toml") && error.contains("title"), "{error}");
        let text = SMALL.replace("movielens-csv", "parquet");
        let error = DatasetDescription::parse(&text, "x.toml")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("parquet") && error.contains("amazon-2014"),
            "{error}"
        );
    }

    #[test]
    fn useless_values_are_refused() {
        for (from, to, word) in [
            ("\"mine\"", "\"My Set\"", "name"),
            ("[\"ratings.csv\"]", "[]", "interactions"),
            ("[\"ratings.csv\"]", "[\"ratings.csv.gz\"]", "ending"),
            ("licence", "leading_articles = false\nlicence", "leading_articles"),
        ] {
            let error = DatasetDescription::parse(&SMALL.replace(from, to), "x.toml")
                .unwrap_err()
                .to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
