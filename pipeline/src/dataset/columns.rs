//! Where the values stand in files of the formats that leave it open.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};

/// Where the values stand in files of the formats RecBole and generic. A column named here and absent from a file is an error;
/// where `rating` or `categories` keeps its usual name and is absent, there are none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Columns {
    /// Column of the interaction files that names the user; its number, from 1, where there is no header.
    #[serde(deserialize_with = "name_or_number")]
    pub user: String,
    /// Column of both kinds of file that names the item.
    #[serde(deserialize_with = "name_or_number")]
    pub item: String,
    /// Column of the interaction files that holds a rating.
    #[serde(deserialize_with = "name_or_number")]
    pub rating: String,
    /// Column of the interaction files that holds the time.
    #[serde(deserialize_with = "name_or_number")]
    pub timestamp: String,
    /// Column of the item files that holds the title.
    #[serde(deserialize_with = "name_or_number")]
    pub title: String,
    /// Column of the item files that holds categories: a list, or a text (RecBole: space-separated tokens).
    #[serde(deserialize_with = "name_or_number")]
    pub categories: String,
    /// What parts the categories in a text (generic), as `"|"`; none: the text is one category, or already parted by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category_separator: Option<String>,
    /// Whether csv and tsv (generic) have a header; if not, columns are numbered from 1.
    #[serde(skip_serializing_if = "is_true")]
    pub header: bool,
    /// What parts the fields of a line (generic), where it is neither the comma of .csv nor the tab of .tsv.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// What stands before a sign that means itself (generic), as `"\\"`, where quotes within quotes are not doubled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escape: Option<char>,
    /// What parts whole numbers from fractions in ratings and times that count (generic csv and tsv), where it is no point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimal: Option<char>,
    /// Where item files differ from the interaction files.
    #[serde(skip_serializing_if = "ItemColumns::are_the_same")]
    pub items: ItemColumns,
}

/// What is otherwise in item files; none: as in the interaction files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ItemColumns {
    /// Column that names the item.
    #[serde(
        deserialize_with = "some_name_or_number",
        skip_serializing_if = "Option::is_none"
    )]
    pub item: Option<String>,
    /// Whether there is a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// What parts fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// What stands before a sign that means itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escape: Option<char>,
}

impl ItemColumns {
    /// Whether item files are as the others.
    pub fn are_the_same(&self) -> bool {
        *self == ItemColumns::default()
    }
}

impl Default for Columns {
    fn default() -> Self {
        Columns {
            user: "user_id".to_string(),
            item: "item_id".to_string(),
            rating: "rating".to_string(),
            timestamp: "timestamp".to_string(),
            title: "title".to_string(),
            categories: "categories".to_string(),
            category_separator: None,
            header: true,
            delimiter: None,
            escape: None,
            decimal: None,
            items: ItemColumns::default(),
        }
    }
}

impl Columns {
    /// Whether the description says where ratings are, so that they must be there.
    pub(crate) fn names_rating(&self) -> bool {
        self.rating != Columns::default().rating
    }

    /// The same of categories.
    pub(crate) fn names_categories(&self) -> bool {
        self.categories != Columns::default().categories
    }

    /// Whether nothing was said about them.
    pub fn are_default(&self) -> bool {
        *self == Columns::default()
    }

    /// The columns as they are in item files.
    pub fn of_items(&self) -> Cow<'_, Columns> {
        if self.items.are_the_same() {
            return Cow::Borrowed(self);
        }
        let here = self.items.clone();
        Cow::Owned(Columns {
            item: here.item.unwrap_or_else(|| self.item.clone()),
            header: here.header.unwrap_or(self.header),
            delimiter: here.delimiter.or(self.delimiter),
            escape: here.escape.or(self.escape),
            items: ItemColumns::default(),
            ..self.clone()
        })
    }

    /// Values that are of no use wherever they stand.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.category_separator.as_deref() == Some("") {
            return Err(
                "key `columns.category_separator` is empty; leave it out, or say what parts categories"
                    .to_string(),
            );
        }
        for (table, delimiter, escape) in [
            ("columns", self.delimiter, self.escape),
            ("columns.items", self.items.delimiter, self.items.escape),
        ] {
            if let Some(sign @ ('"' | '\n' | '\r')) = delimiter {
                return Err(format!(
                    "key `{table}.delimiter` is {sign:?}, which quotes or ends a line; give the sign between two fields"
                ));
            }
            if let Some(sign) = escape
                && (!sign.is_ascii_punctuation() || sign == '"' || Some(sign) == delimiter)
            {
                return Err(format!(
                    "key `{table}.escape` is {sign:?}; give the sign that stands before a quote within quotes, as \"\\\\\" (quotes that \
                     are doubled need none)"
                ));
            }
        }
        if let Some(sign) = self.decimal
            && sign != ','
        {
            return Err(format!(
                "key `columns.decimal` is {sign:?}; give \",\", or leave it out where numbers have a point"
            ));
        }
        let columns = [
            ("user", &self.user),
            ("item", &self.item),
            ("rating", &self.rating),
            ("timestamp", &self.timestamp),
        ];
        for (at, (key, name)) in columns.iter().enumerate() {
            if let Some((other, _)) = columns[..at].iter().find(|(_, other)| other == name) {
                return Err(format!(
                    "keys `columns.{other}` and `columns.{key}` are both `{name}`; give each its own column"
                ));
            }
        }
        Ok(())
    }
}

fn is_true(value: &bool) -> bool {
    *value
}

/// A name, or the number of a column, which stays a number in text.
struct NameOrNumber;

impl Visitor<'_> for NameOrNumber {
    type Value = String;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the name of a column, or its number from 1")
    }

    fn visit_str<E>(self, name: &str) -> Result<String, E> {
        Ok(name.to_owned())
    }

    fn visit_i64<E>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_u64<E>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

fn name_or_number<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    from.deserialize_any(NameOrNumber)
}

fn some_name_or_number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    name_or_number(from).map(Some)
}
