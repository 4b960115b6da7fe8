//! Where the files of a description lie.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::raw::partition_of;
use crate::storage;

/// Compressions a raw file may have, as file-name endings; plain first.
pub(super) const ENDINGS: [&str; 3] = ["", ".gz", ".zst"];

/// The files of those names under `root`, folders taken apart.
pub(super) fn find_all(root: &Path, names: &[String]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for name in names {
        if name.ends_with('/') {
            files.extend(files_of(&root.join(name))?);
        } else {
            files.push(find(root, name)?);
        }
    }
    Ok(files)
}

/// The file `name` under `root`, plain or compressed.
fn find(root: &Path, name: &str) -> Result<PathBuf> {
    for ending in ENDINGS {
        let path = root.join(format!("{name}{ending}"));
        if storage::exists(&path).map_err(|source| Error::io(&path, "look for", source))? {
            return Ok(path);
        }
    }
    Err(missing(
        &root.join(name),
        "no such file, nor with .gz or .zst added",
    ))
}

/// The files in a folder by name. What engines leave beside their output (`_SUCCESS`, `.part-0.crc`) is none of them.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = storage::list(folder).map_err(|source| Error::io(folder, "list", source))?;
    partitioned(folder, &mut files)?;
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !name.starts_with(['.', '_'])
    });
    if files.is_empty() {
        return Err(missing(folder, "no file in this folder"));
    }
    files.sort();
    Ok(files)
}

/// Adds the files of the folders in this one whose names tell a column (`year=2024`), and of such folders in them.
fn partitioned(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let folders = storage::folders(folder).map_err(|source| Error::io(folder, "list", source))?;
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        if partition_of(&name).is_some() && !name.starts_with(['.', '_']) {
            files.extend(storage::list(&folder).map_err(|source| Error::io(&folder, "list", source))?);
            partitioned(&folder, files)?;
        }
    }
    Ok(())
}

fn missing(path: &Path, what: &str) -> Error {
    Error::io(path, "find", io::Error::new(io::ErrorKind::NotFound, what))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::DatasetDescription;
    use super::*;

    const SMALL: &str = "name = \"mine\"\ntitle = \"Mine\"\nplatform = \"shop\"\nformat = \"movielens-csv\"\n\
                         interactions = [\"ratings.csv\"]\nlicence = \"own\"\n";

    #[test]
    fn files_are_found_plain_or_compressed_and_a_missing_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut description = DatasetDescription::parse(SMALL, "x.toml").unwrap();
        let error = description.interaction_files(folder.path()).unwrap_err();
        assert!(error.to_string().contains("ratings.csv"), "{error}");
        std::fs::write(folder.path().join("ratings.csv.zst"), "").unwrap();
        let found = description.interaction_files(folder.path()).unwrap();
        assert_eq!(found, [folder.path().join("ratings.csv.zst")]);

        assert!(description.item_files(folder.path()).unwrap().is_none());
        description.items = vec!["movies.csv".to_string()];
        assert!(description.item_files(folder.path()).is_err());
        description.items_optional = true;
        assert!(description.item_files(folder.path()).unwrap().is_none());
    }

    #[test]
    fn a_folder_gives_its_files_by_name_without_what_engines_leave_there() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("events");
        std::fs::create_dir_all(folder.join("inner")).unwrap();
        let names = ["events/".to_string()];
        let error = find_all(root.path(), &names).unwrap_err().to_string();
        assert!(
            error.contains("events") && error.contains("no file in this folder"),
            "{error}"
        );
        for name in ["part-2.csv.gz", "part-1.csv", "_SUCCESS", ".part-1.csv.crc"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        let found = find_all(root.path(), &names).unwrap();
        assert_eq!(found, [folder.join("part-1.csv"), folder.join("part-2.csv.gz")]);
    }

    #[test]
    fn a_partitioned_folder_gives_the_files_of_all_its_parts_in_order() {
        let root = tempfile::tempdir().unwrap();
        let files = [
            "events/year=2023/month=12/part-1.parquet",
            "events/year=2024/month=01/part-0.parquet",
            "events/year=2024/month=02/part-0.parquet",
        ];
        let others = [
            "events/year=2024/_SUCCESS",
            "events/year=2024/month=02/.part-0.parquet.crc",
            "events/_temporary/x=1/part-0.parquet",
            "events/notes/part-0.parquet",
        ];
        for name in files.iter().chain(&others).rev() {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = find_all(root.path(), &["events/".to_string()]).unwrap();
        assert_eq!(found, files.map(|name| root.path().join(name)));
    }
}
