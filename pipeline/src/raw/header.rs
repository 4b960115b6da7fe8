//! Which columns the first line of a file has, and what to say of one that lacks some.

use super::scan::Refusal;
use crate::quote::shown;

/// Signs that part fields, the most usual first.
const SEPARATORS: [char; 4] = [',', ';', '\t', '|'];

/// What is said of a row with fewer fields than the header, or more.
pub(crate) const WIDTH: &str = "another number of fields than the header";

/// A column that is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Its name in the header, or its number where there is none.
    pub name: &'a str,
    /// The key of the description that names it, as `columns.user`; none where the format fixes its name.
    pub key: Option<&'static str>,
    /// Whether the file is of no use without it.
    pub needed: bool,
}

impl<'a> Wanted<'a> {
    /// A column whose name the format fixes.
    pub fn fixed(name: &'a str) -> Self {
        Wanted {
            name,
            key: None,
            needed: true,
        }
    }

    /// A column that the description names by `key`.
    pub fn named(key: &'static str, name: &'a str, needed: bool) -> Self {
        Wanted {
            name,
            key: Some(key),
            needed,
        }
    }

    /// The table and the key in it that name the column.
    fn place(&self) -> Option<(&'static str, &'static str)> {
        self.key?.rsplit_once('.')
    }
}

/// A header: the line, and the names in it.
pub(crate) struct Header<'a> {
    /// The line.
    pub line: &'a str,
    /// Its names, without what stands around them.
    pub names: Vec<&'a str>,
    /// What parts them.
    pub separator: char,
    /// The table of the description whose keys could help, as `columns`; none where the format leaves nothing open.
    pub table: Option<&'static str>,
}

impl Header<'_> {
    /// Where each wanted column stands; none for one that is not needed and not there.
    pub fn places<const N: usize>(&self, wanted: &[Wanted<'_>; N]) -> Result<[Option<usize>; N], Refusal> {
        let mut at = [None; N];
        for (slot, column) in at.iter_mut().zip(wanted) {
            *slot = self.position(column.name)?;
            if slot.is_none() && column.needed {
                return Err(self.lacks(column, wanted));
            }
        }
        Ok(at)
    }

    /// Where a column stands. One that stands twice is refused: nobody knows which is meant.
    fn position(&self, name: &str) -> Result<Option<usize>, Refusal> {
        let mut places = (0..).zip(&self.names).filter(|(_, found)| **found == name);
        let first = places.next().map(|(at, _)| at);
        match places.next() {
            None => Ok(first),
            Some(_) => Err(Refusal::File(format!(
                "the header has the column {name} twice; rename one of them, it is `{}`",
                shown(self.line)
            ))),
        }
    }

    /// What to say of a header that lacks a column: what it has in its place, if that can be seen.
    fn lacks(&self, lacking: &Wanted<'_>, wanted: &[Wanted<'_>]) -> Refusal {
        let name = lacking.name;
        let mut message = format!("the header lacks the column {name}; it is `{}`", shown(self.line));
        if let Some(other) = self.other_separator(wanted) {
            message += &match self.table {
                Some(table) => format!(
                    "; its fields are parted otherwise: write `delimiter = {:?}` into [{table}] of the description",
                    other.to_string()
                ),
                None => format!(
                    "; its fields are parted by {other:?} where {:?} is expected",
                    self.separator
                ),
            };
        } else if let Some(near) = self.near(name) {
            message += &match lacking.place() {
                Some((table, key)) => format!("; write `{key} = {near:?}` into [{table}] of the description"),
                None => format!("; rename {near} to {name}"),
            };
        } else if self.names.iter().any(|name| is_value(name)) {
            message += "; that looks like a row: ";
            message += &match self.table {
                Some(table) => format!(
                    "if the file has no header, write `header = false` into [{table}] of the description and number the columns, as \
                     in `user = 1`"
                ),
                None => "put the header above it".to_owned(),
            };
        } else if let Some((table, key)) = lacking.place() {
            message += &format!("; name the column that is meant by `{key}` in [{table}] of the description");
        }
        Refusal::File(message)
    }

    /// What parts the fields, if all needed columns are there with another sign than the one at hand.
    fn other_separator(&self, wanted: &[Wanted<'_>]) -> Option<char> {
        SEPARATORS.into_iter().find(|separator| {
            let names: Vec<&str> = self.line.split(*separator).map(bare).collect();
            let mut needed = wanted.iter().filter(|column| column.needed);
            *separator != self.separator && needed.all(|column| names.contains(&column.name))
        })
    }

    /// The one name that differs from the wanted one in capitals, blanks or signs alone.
    fn near(&self, name: &str) -> Option<&str> {
        let plain = |name: &str| -> String {
            let kept = name.chars().filter(|c| c.is_alphanumeric());
            kept.flat_map(char::to_lowercase).collect()
        };
        let wanted = plain(name);
        let mut near = self.names.iter().filter(|found| plain(found) == wanted);
        let first = near.next()?;
        (near.next().is_none() && !wanted.is_empty()).then_some(first)
    }
}

/// A name without the blanks and quotes around it.
pub(crate) fn bare(name: &str) -> &str {
    let name = name.trim();
    let inner = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    inner.map_or(name, str::trim)
}

/// Whether a field is a number or a time, which columns are not called.
fn is_value(field: &str) -> bool {
    let first = field.bytes().next();
    first.is_some_and(|byte| byte.is_ascii_digit() || byte == b'-')
        && field
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b".,:-+/TZ ".contains(&byte))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn message(line: &str, separator: char, table: Option<&'static str>) -> String {
        let header = Header {
            line,
            names: line.split(separator).map(bare).collect(),
            separator,
            table,
        };
        let wanted = |key, name| Wanted {
            name,
            key: table.map(|_| key),
            needed: true,
        };
        let wanted = [
            wanted("columns.user", "user_id"),
            wanted("columns.items.item", "item_id"),
        ];
        match header.places(&wanted) {
            Err(Refusal::File(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_header_that_lacks_a_column_says_what_it_has_in_its_place() {
        for (line, words) in [
            ("user_id;item_id;timestamp", "`delimiter = \";\"` into [columns]"),
            ("\"user_id\"\t\"item_id\"", "`delimiter = \"\\t\"` into [columns]"),
            ("User_ID,item_id", "`user = \"User_ID\"` into [columns]"),
            ("userId,item_id", "`user = \"userId\"`"),
            ("user id,item_id", "`user = \"user id\"`"),
            (
                "A1YJEY40,0205616461,5.0,1369699200",
                "`header = false` into [columns]",
            ),
            ("a,b,2020-09-13 12:26", "`header = false`"),
            ("customer,item_id", "by `user` in [columns]"),
        ] {
            let found = message(line, ',', Some("columns"));
            assert!(
                found.starts_with("the header lacks the column user_id; it is `"),
                "{found}"
            );
            assert!(found.contains(words), "{line}: {found}");
        }
        let found = message("user_id,item,ITEM_ID,Item_Id", ',', Some("columns"));
        assert!(
            found.contains("by `item` in [columns.items]"),
            "two are near: {found}"
        );
        for (line, words) in [
            ("user_id;item_id", "parted by ';' where ',' is expected"),
            ("USER_ID,item_id", "rename USER_ID to user_id"),
            ("7,8,9", "put the header above it"),
        ] {
            let found = message(line, ',', None);
            assert!(found.contains(words) && !found.contains("[columns]"), "{found}");
        }
    }

    #[test]
    fn a_long_header_is_cut_and_its_signs_are_escaped() {
        let found = message(&format!("a\rb\u{7}{}", "x".repeat(5_000)), ',', Some("columns"));
        assert!(found.len() < 400, "{}", found.len());
        assert!(found.contains("a\\rb\\u{7}x") && found.contains('…'), "{found}");
    }
}
