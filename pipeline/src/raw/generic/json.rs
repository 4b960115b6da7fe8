//! One JSON object a line.

use std::borrow::Cow;
use std::path::Path;

use serde_json::Value as Json;

use super::super::json::{self, Fields, Malformed};
use super::super::nested::json_words;
use super::super::{id, partition};
use super::{Columns, InteractionTable, ItemTable, Progress, Refusal, Result, Row, Scan, Time, categories};
use crate::error::Error;

pub(super) fn interactions(
    path: &Path,
    columns: &Columns,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    let keys = [&columns.user, &columns.item, &columns.rating, &columns.timestamp].map(String::as_str);
    let folders = keys.map(|key| partition::value(scan.within_root(path), key).flatten());
    let mut members = Members::new(keys);
    let mut rated = !columns.names_rating() || folders[2].is_some();
    scan.each_record(path, progress, |bytes, line| {
        let [user, item, rating, time] = members.of(bytes)?;
        rated |= rating.is_some();
        let number = json::number(time).ok().flatten();
        let (user, item) = (id(user, keys[0])?, id(item, keys[1])?);
        let (rating, time) = (scalar(rating, keys[2])?, scalar(time, keys[3])?);
        let row = Row {
            user: user.as_deref().or(folders[0].as_deref()),
            item: item.as_deref().or(folders[1].as_deref()),
            rating: rating.as_deref().or(folders[2].as_deref()),
            time: number
                .map(Time::Number)
                .or_else(|| time.as_deref().or(folders[3].as_deref()).map(Time::Text)),
        };
        row.push(table, line)
    })?;
    never(rated, path, keys[2], scan)
}

/// Refuses a file without a key that the description names and no line has.
fn never(seen: bool, path: &Path, key: &str, scan: &Scan) -> Result<()> {
    if seen || scan.lines == 0 {
        return Ok(());
    }
    Err(Error::Format {
        path: path.to_path_buf(),
        offset: 0,
        message: format!(
            "no line has the key {key}, which the description names; mend the name, or leave it out"
        ),
    })
}

pub(super) fn items(
    path: &Path,
    columns: &Columns,
    scan: &mut Scan,
    table: &mut ItemTable,
    progress: &dyn Progress,
) -> Result<()> {
    let keys = [&columns.item, &columns.title, &columns.categories].map(String::as_str);
    let folders = keys.map(|key| partition::value(scan.within_root(path), key).flatten());
    let mut members = Members::new(keys);
    let mut listed_once = !columns.names_categories() || folders[2].is_some();
    scan.each_record(path, progress, |bytes, line| {
        let [item, title, listed] = members.of(bytes)?;
        listed_once |= listed.is_some();
        let item = id(item, keys[0])?;
        // A title may be a number (the film 1917); anything else is none, and no reason to lose the item.
        let title = scalar(title, keys[1]).ok().flatten();
        // What cannot be read costs the categories, not the item.
        let listed = json::value(listed).ok().flatten();
        let words = match &listed {
            Some(Json::String(text)) => categories(text, columns),
            None => folders[2]
                .as_deref()
                .map_or_else(String::new, |text| categories(text, columns)),
            list => {
                let mut words = Vec::new();
                json_words(list.as_ref(), &mut words);
                words.join(", ")
            }
        };
        let item = item.as_deref().or(folders[0].as_deref()).unwrap_or_default();
        table.push(
            item,
            title.as_deref().or(folders[1].as_deref()),
            Some(&words),
            line,
        )
    })?;
    never(listed_once, path, keys[2], scan)
}

/// Takes members by their names or, where there is none of a name, by paths: `user.id` is the member `id` of the object `user`.
struct Members<'k, const N: usize> {
    named: Fields<'k, N>,
    /// None where no name has a dot.
    nested: Option<Nested<'k, N>>,
}

/// The objects that paths begin in, and what is wanted of each.
struct Nested<'k, const N: usize> {
    roots: Fields<'k, N>,
    inner: [Option<Box<Members<'k, 1>>>; N],
}

impl<'k, const N: usize> Members<'k, N> {
    fn new(names: [&'k str; N]) -> Self {
        let paths = names.map(|name| name.split_once('.'));
        let nested = paths.iter().any(Option::is_some).then(|| Nested {
            // What has no path is looked for under its own name, and nothing is wanted of it.
            roots: Fields::last(std::array::from_fn(|at| {
                paths[at].map_or(names[at], |(root, _)| root)
            })),
            inner: paths.map(|path| path.map(|(_, rest)| Box::new(Members::new([rest])))),
        });
        Self {
            named: Fields::last(names),
            nested,
        }
    }

    /// The values as they are written.
    fn of<'b>(&mut self, bytes: &'b [u8]) -> Result<[Option<&'b [u8]>; N], Malformed> {
        let mut found = self.named.of(bytes)?;
        if let Some(nested) = &mut self.nested {
            let roots = nested.roots.of(bytes)?;
            for ((slot, root), inner) in found.iter_mut().zip(roots).zip(&mut nested.inner) {
                if let (None, Some(object @ [b'{', ..]), Some(inner)) = (*slot, root, inner) {
                    [*slot] = inner.of(object)?;
                }
            }
        }
        Ok(found)
    }
}

/// A text, or a number as the id that it is; nothing for null.
fn id<'v>(value: Option<&'v [u8]>, key: &str) -> Result<Option<Cow<'v, str>>, Refusal> {
    match scalar(value, key)? {
        Some(Cow::Owned(_)) if value.is_some_and(|value| value[0] == b'"') => Ok(json::id(value)?),
        Some(Cow::Borrowed(number)) if value.is_some_and(|value| value[0] != b'"') => {
            id::of_digits(number, key).map(Some).map_err(Refusal::File)
        }
        text => Ok(text),
    }
}

/// A text, or a number as it is written; nothing for null.
fn scalar<'v>(value: Option<&'v [u8]>, key: &str) -> Result<Option<Cow<'v, str>>, Refusal> {
    match json::present(value) {
        None => Ok(None),
        Some([b'"', ..]) => Ok(json::text(value)?),
        Some(number @ [b'-' | b'0'..=b'9' | b'I', ..]) => Ok(Some(String::from_utf8_lossy(number))),
        Some(_) => Err(format!("{key} is neither a text nor a number").into()),
    }
}
