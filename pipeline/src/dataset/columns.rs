//! Names of the columns that a format leaves open.

use serde::{Deserialize, Serialize};

/// Where the values stand in files of the formats RecBole and generic. A column named here and absent from a file is an error for
/// `user`, `item`, `timestamp` and `title`; without `rating` or `categories` there are none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Columns {
    /// Column of the interaction files that names the user.
    pub user: String,
    /// Column of both kinds of file that names the item.
    pub item: String,
    /// Column of the interaction files that holds a rating.
    pub rating: String,
    /// Column of the interaction files that holds the time.
    pub timestamp: String,
    /// Column of the item files that holds the title.
    pub title: String,
    /// Column of the item files that holds categories: a list, or a text (RecBole: space-separated tokens).
    pub categories: String,
    /// What parts the categories in a text (generic), as `"|"`; none: the text is one category, or already parted by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category_separator: Option<String>,
    /// What parts the fields of a line (generic), where it is neither the comma of .csv nor the tab of .tsv.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
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
            delimiter: None,
        }
    }
}

impl Columns {
    /// Whether nothing was said about them.
    pub fn are_default(&self) -> bool {
        *self == Columns::default()
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if self.category_separator.as_deref() == Some("") {
            return Err(
                "key `columns.category_separator` is empty; leave it out, or say what parts categories"
                    .to_string(),
            );
        }
        match self.delimiter {
            Some(sign @ ('"' | '\n' | '\r')) => Err(format!(
                "key `columns.delimiter` is {sign:?}, which quotes or ends a line; give the sign between two fields"
            )),
            _ => Ok(()),
        }
    }
}
