//! Columns that stand in the names of folders: below `events/year=2024/month=01/` every row has the year 2024 and the month 01, as
//! Hive and those who followed it part large tables.

use std::path::Path;

/// What such a folder is called where there is no value.
const NONE: &str = "__HIVE_DEFAULT_PARTITION__";

/// The column and the value that a folder's name tells.
pub(crate) fn parts(name: &str) -> Option<(&str, &str)> {
    name.split_once('=').filter(|(column, _)| !column.is_empty())
}

/// The value of a column in the folders that a file lies in: nothing where none of them tells it, nothing within where it tells that
/// there is no value.
pub(super) fn value(path: &Path, column: &str) -> Option<Option<String>> {
    let folders = path.parent()?.iter().rev();
    let mut told = folders.filter_map(|folder| parts(folder.to_str()?));
    let (_, value) = told.find(|(name, _)| decoded(name) == column)?;
    Some((value != NONE).then(|| decoded(value)))
}

/// The columns that the folders of a file tell.
pub(super) fn columns(path: &Path) -> Vec<String> {
    let folders = path.parent().into_iter().flat_map(Path::iter);
    let told = folders.filter_map(|folder| parts(folder.to_str()?));
    told.map(|(name, _)| decoded(name)).collect()
}

/// A name without escapes: `%2F` is the slash that no folder's name can hold.
fn decoded(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits
            .filter(|_| byte == b'%')
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_of_a_file_tell_columns() {
        let path = Path::new(
            "raw/events/year=2024/shop=K%C3%B6ln%2FS%C3%BCd/user=__HIVE_DEFAULT_PARTITION__/year=x.parquet",
        );
        assert_eq!(value(path, "year"), Some(Some("2024".to_owned())));
        assert_eq!(value(path, "shop"), Some(Some("K\u{f6}ln/S\u{fc}d".to_owned())));
        assert_eq!(value(path, "user"), Some(None));
        assert_eq!(value(path, "month"), None);
        assert_eq!(columns(path), ["year", "shop", "user"]);
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(parts("=x"), None);
    }
}
