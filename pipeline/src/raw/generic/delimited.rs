//! csv, tsv and the like, with a header.

use std::path::Path;

use super::super::csv::Columns as Header;
use super::super::scan::utf8;
use super::{Columns, InteractionTable, ItemTable, Progress, Result, Row, Scan, Time, categories};

pub(super) fn interactions(
    path: &Path,
    columns: &Columns,
    separator: char,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    let needed = [columns.user.as_str(), &columns.item, &columns.timestamp];
    scan.each_line(
        path,
        progress,
        |text| {
            Header::find(
                text,
                columns.delimiter.unwrap_or(separator),
                &needed,
                &[&columns.rating],
            )
        },
        |header: &Header<4>, bytes, line| {
            let [user, item, time, rating] = header.pick(utf8(bytes)?)?;
            let row = Row {
                user: Some(&user),
                item: Some(&item),
                rating: Some(&rating),
                time: Some(Time::Text(&time)),
            };
            row.push(table, line)
        },
    )
}

pub(super) fn items(
    path: &Path,
    columns: &Columns,
    separator: char,
    scan: &mut Scan,
    table: &mut ItemTable,
    progress: &dyn Progress,
) -> Result<()> {
    let needed = [columns.item.as_str(), &columns.title];
    scan.each_line(
        path,
        progress,
        |text| {
            Header::find(
                text,
                columns.delimiter.unwrap_or(separator),
                &needed,
                &[&columns.categories],
            )
        },
        |header: &Header<3>, bytes, line| {
            let [item, title, words] = header.pick(utf8(bytes)?)?;
            table.push(&item, Some(&title), Some(&categories(&words, columns)), line)
        },
    )
}
