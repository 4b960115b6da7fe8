//! Keys of a description that would have no effect. Whoever wrote one meant something by it, and should hear that it does not happen.

use std::path::PathBuf;

use super::columns::Columns;
use super::format::{RawFormat, TableKind};
use super::{DatasetDescription, ItemColumns};

/// Which kinds of file there are among those of one part of a data set.
#[derive(Clone, Copy, Debug)]
struct Kinds {
    /// Files with lines of fields, or that may be such.
    delimited: bool,
    /// Any files.
    any: bool,
}

impl Kinds {
    /// By the names of the files; what is in a folder is not known before it is read.
    fn of(names: &[String]) -> Self {
        let delimited = |name: &String| {
            name.ends_with('/') || matches!(TableKind::of(name), Some(TableKind::Csv | TableKind::Tsv) | None)
        };
        Kinds {
            delimited: names.iter().any(delimited),
            any: !names.is_empty(),
        }
    }
}

/// The same once it is known which files lie in the folders that a description names.
pub(super) fn check_found(
    description: &DatasetDescription,
    interactions: &[PathBuf],
    items: &[PathBuf],
) -> Result<(), String> {
    if description.format != RawFormat::Generic {
        return Ok(());
    }
    let kinds = |paths: &[PathBuf]| {
        let names: Vec<String> = paths
            .iter()
            .map(|path| path.to_string_lossy().into_owned())
            .collect();
        Kinds::of(&names)
    };
    of_text(&description.columns, kinds(interactions), kinds(items))
}

/// The first key without an effect, and why it has none.
pub(super) fn check(description: &DatasetDescription) -> Result<(), String> {
    let has_items = !description.items.is_empty();
    if description.items_optional && !has_items {
        return Err(without(
            "items_optional",
            "no item files are named; name them in `items`, or leave it out",
        ));
    }
    if description.domain_column.is_some() && !has_items {
        return Err(without(
            "domain_column",
            "the categories that part domains stand in item files, and none are named; name them in `items`, or leave it out",
        ));
    }
    if description.time.is_some() && description.format == RawFormat::SteamLibrary {
        return Err(without(
            "time",
            "the format steam-library has no times; leave it out",
        ));
    }
    for names in [&description.interactions, &description.items] {
        if let Some(name) = (1..names.len()).find(|at| names[..*at].contains(&names[*at])) {
            return Err(format!(
                "file name `{}` stands twice, and its rows would be read twice; name each file once",
                names[name]
            ));
        }
    }
    if !description.format.has_open_columns() {
        if description.columns.are_default() {
            return Ok(());
        }
        return Err(format!(
            "the format {} fixes its columns; leave [columns] out, or use format = \"generic\"",
            description.format
        ));
    }
    let columns = &description.columns;
    columns.check()?;
    if description.format == RawFormat::Recbole {
        for (key, said) in text_keys(columns) {
            if said {
                return Err(without(
                    key,
                    "the format recbole fixes it; leave it out, or use format = \"generic\"",
                ));
            }
        }
    }
    of_items(columns, has_items)?;
    if description.format == RawFormat::Generic {
        let interactions = Kinds::of(&description.interactions);
        let items = Kinds::of(&description.items);
        of_text(columns, interactions, items)?;
        numbers(columns, interactions, items)?;
    }
    Ok(())
}

fn without(key: &str, why: &str) -> String {
    format!("key `{key}` has no effect: {why}")
}

/// The keys that say how lines of fields are written, and whether they are given.
fn text_keys(columns: &Columns) -> [(&'static str, bool); 8] {
    [
        ("columns.category_separator", columns.category_separator.is_some()),
        ("columns.header", !columns.header),
        ("columns.delimiter", columns.delimiter.is_some()),
        ("columns.escape", columns.escape.is_some()),
        ("columns.decimal", columns.decimal.is_some()),
        ("columns.items.header", columns.items.header.is_some()),
        ("columns.items.delimiter", columns.items.delimiter.is_some()),
        ("columns.items.escape", columns.items.escape.is_some()),
    ]
}

/// Keys about item files where there are none.
fn of_items(columns: &Columns, has_items: bool) -> Result<(), String> {
    let usual = Columns::default();
    let said = [
        ("columns.title", columns.title != usual.title),
        ("columns.categories", columns.categories != usual.categories),
        ("columns.category_separator", columns.category_separator.is_some()),
        ("columns.items", !columns.items.are_the_same()),
    ];
    match said.iter().find(|(_, said)| *said && !has_items) {
        Some((key, _)) => Err(without(
            key,
            "no item files are named; name them in `items`, or leave it out",
        )),
        None => Ok(()),
    }
}

/// Keys about lines of fields where there are none.
fn of_text(columns: &Columns, interactions: Kinds, items: Kinds) -> Result<(), String> {
    let ItemColumns {
        header,
        delimiter,
        escape,
        ..
    } = &columns.items;
    // A key of [columns] speaks of the item files too, unless these have their own.
    let both = |own: bool| interactions.delimited || (items.delimited && !own);
    let effects = [
        true,
        both(header.is_some()),
        both(delimiter.is_some()),
        both(escape.is_some()),
        interactions.delimited,
        items.delimited,
        items.delimited,
        items.delimited,
    ];
    for ((key, said), effect) in text_keys(columns).into_iter().zip(effects) {
        if said && !effect {
            return Err(without(
                key,
                "none of the files that it speaks of is csv or tsv; leave it out",
            ));
        }
    }
    Ok(())
}

/// Numbers of columns where there is no header, and only there.
fn numbers(columns: &Columns, interactions: Kinds, items: Kinds) -> Result<(), String> {
    let usual = Columns::default();
    if interactions.delimited && !columns.header {
        for (key, name, usual) in [
            ("user", &columns.user, None),
            ("item", &columns.item, None),
            ("timestamp", &columns.timestamp, None),
            ("rating", &columns.rating, Some(&usual.rating)),
        ] {
            number(&format!("columns.{key}"), name, usual)?;
        }
    }
    let here = columns.of_items();
    if items.delimited && !here.header {
        let key = match columns.items.item {
            Some(_) => "columns.items.item",
            None => "columns.item",
        };
        number(key, &here.item, None)?;
        number("columns.title", &here.title, None)?;
        number("columns.categories", &here.categories, Some(&usual.categories))?;
    } else if items.any && interactions.delimited && !columns.header && columns.items.item.is_none() {
        return Err(format!(
            "key `columns.item` is {}, the number of a column of the interaction files; name that of the item files by `item` in \
             [columns.items]",
            columns.item
        ));
    }
    Ok(())
}

/// Whether a column is numbered, or left out where that may be.
fn number(key: &str, name: &str, usual: Option<&String>) -> Result<(), String> {
    if usual.is_some_and(|usual| usual == name) || position(name).is_some() {
        return Ok(());
    }
    Err(format!(
        "key `{key}` is `{name}`, and without a header columns have no names; give its number, from 1"
    ))
}

/// The number of a column, from 1.
pub(crate) fn position(name: &str) -> Option<usize> {
    name.parse().ok().filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::DatasetDescription;

    fn parsed(files: [&str; 2], format: &str, more: &str) -> Result<DatasetDescription, String> {
        let list = |name: &str| {
            if name.is_empty() {
                String::new()
            } else {
                format!("{name:?}")
            }
        };
        let text = format!(
            "name = \"t\"\ntitle = \"T\"\nplatform = \"p\"\nlicence = \"own\"\nformat = {format:?}\ninteractions = [{}]\n\
             items = [{}]\n{more}\n",
            list(files[0]),
            list(files[1])
        );
        DatasetDescription::parse(&text, "t.toml").map_err(|error| error.to_string())
    }

    #[test]
    fn a_key_without_an_effect_is_an_error_that_names_it() {
        const TEXT: [&str; 2] = ["e.csv", "i.csv"];
        const JSON: [&str; 2] = ["e.jsonl", "i.parquet"];
        const ALONE: [&str; 2] = ["e.csv", ""];
        for (files, format, more, key) in [
            (ALONE, "movielens-csv", "items_optional = true", "items_optional"),
            (
                ALONE,
                "generic",
                "domain_column = \"first-category\"",
                "domain_column",
            ),
            (TEXT, "movielens-csv", "domains = [\"Drama\"]", "domains"),
            (TEXT, "steam-library", "time = \"s\"", "time"),
            (TEXT, "movielens-csv", "[columns]\nuser = \"u\"", "[columns]"),
            (
                TEXT,
                "recbole",
                "[columns]\ndelimiter = \",\"",
                "columns.delimiter",
            ),
            (
                TEXT,
                "recbole",
                "[columns]\ncategory_separator = \"|\"",
                "columns.category_separator",
            ),
            (TEXT, "recbole", "[columns]\nheader = false", "columns.header"),
            (
                TEXT,
                "recbole",
                "[columns.items]\nescape = \"\\\\\"",
                "columns.items.escape",
            ),
            (ALONE, "recbole", "[columns]\ntitle = \"name\"", "columns.title"),
            (
                ALONE,
                "generic",
                "[columns]\ncategories = \"kinds\"",
                "columns.categories",
            ),
            (
                ALONE,
                "generic",
                "[columns]\ncategory_separator = \"|\"",
                "columns.category_separator",
            ),
            (
                ALONE,
                "generic",
                "[columns.items]\nitem = \"sku\"",
                "columns.items",
            ),
            (
                JSON,
                "generic",
                "[columns]\ndelimiter = \";\"",
                "columns.delimiter",
            ),
            (JSON, "generic", "[columns]\nheader = false", "columns.header"),
            (JSON, "generic", "[columns]\ndecimal = \",\"", "columns.decimal"),
            (JSON, "generic", "[columns]\nescape = \"\\\\\"", "columns.escape"),
            (
                ["e.jsonl", "i.csv"],
                "generic",
                "[columns]\ndecimal = \",\"",
                "columns.decimal",
            ),
            (
                ["e.csv", "i.jsonl"],
                "generic",
                "[columns.items]\ndelimiter = \";\"",
                "columns.items.delimiter",
            ),
            (
                ["e.jsonl", "i.csv"],
                "generic",
                "[columns]\ndelimiter = \";\"\n[columns.items]\ndelimiter = \"|\"",
                "columns.delimiter",
            ),
        ] {
            let error = parsed(files, format, more).unwrap_err();
            assert!(error.contains("t.toml") && error.contains(key), "{more}: {error}");
            let useless =
                error.contains("has no effect") || error.contains("needs") || error.contains("fixes");
            assert!(useless, "{more}: {error}");
        }
        for (files, more) in [
            (
                ["e.csv", "i.jsonl"],
                "[columns]\ndelimiter = \";\"\ndecimal = \",\"",
            ),
            (["e.jsonl", "i.csv"], "[columns]\ndelimiter = \";\""),
            (["e/", "i.jsonl"], "[columns]\ndelimiter = \";\""),
            (["e.csv", "i.jsonl"], "[columns]\ncategory_separator = \"|\""),
        ] {
            assert_eq!(parsed(files, "generic", more).err(), None, "{more}");
        }
    }

    #[test]
    fn a_file_or_a_column_that_stands_twice_is_refused() {
        let error = parsed(["e.csv", "i.csv"], "generic", "[columns]\nuser = \"item_id\"").unwrap_err();
        assert!(
            error.contains("columns.user") && error.contains("columns.item"),
            "{error}"
        );
        let text = "name = \"t\"\ntitle = \"T\"\nplatform = \"p\"\nlicence = \"own\"\nformat = \"amazon-2018\"\n\
                    interactions = [\"a.json\", \"b.json\", \"a.json\"]\n";
        let error = DatasetDescription::parse(text, "t.toml")
            .err()
            .map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("`a.json` stands twice")));
    }

    #[test]
    fn columns_are_numbered_where_there_is_no_header_and_only_there() {
        const ALL: &str = "[columns]\nheader = false\nuser = 1\nitem = 2\ntimestamp = 4\n";
        assert_eq!(parsed(["e.csv", ""], "generic", ALL).err(), None);
        let described = parsed(
            ["e.csv", "i.csv"],
            "generic",
            &format!("{ALL}rating = 3\ntitle = 2\ncategories = 3"),
        );
        assert_eq!(described.map(|found| found.columns.rating), Ok("3".to_owned()));
        for (files, more, key) in [
            (["e.csv", ""], ALL.replace("user = 1\n", ""), "columns.user"),
            (["e.csv", ""], ALL.replace("user = 1", "user = 0"), "columns.user"),
            (
                ["e.csv", ""],
                ALL.replace("timestamp = 4", "timestamp = \"day\""),
                "columns.timestamp",
            ),
            (["e.csv", "i.csv"], ALL.to_owned(), "columns.title"),
            (["e.csv", "i.jsonl"], ALL.to_owned(), "[columns.items]"),
            (
                ["e.csv", "i.csv"],
                format!("{ALL}[columns.items]\nheader = true"),
                "[columns.items]",
            ),
            (
                ["e.csv", "i.csv"],
                format!("{ALL}title = 2\n[columns.items]\nitem = \"sku\""),
                "columns.items.item",
            ),
        ] {
            let error = parsed(files, "generic", &more).unwrap_err();
            assert!(error.contains(key), "{more}: {error}");
        }
        let more = format!("{ALL}[columns.items]\nheader = true\nitem = \"sku\"");
        let found = parsed(["e.csv", "i.csv"], "generic", &more);
        assert!(
            found
                .is_ok_and(|found| found.columns.of_items().item == "sku" && found.columns.of_items().header)
        );
    }
}
