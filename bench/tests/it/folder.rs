//! Folders as what is in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Files and their bytes, by their path in the folder.
pub type Contents = BTreeMap<PathBuf, Vec<u8>>;

/// The files below a folder.
pub fn contents(folder: &Path) -> Contents {
    let mut found = Contents::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Fails with the names of the files that are not in both, or not the same.
pub fn assert_same(one: &Contents, other: &Contents) {
    let names = one.keys().chain(other.keys());
    let differ: Vec<_> = names.filter(|name| one.get(*name) != other.get(*name)).collect();
    assert!(differ.is_empty(), "not the same: {differ:?}");
    assert!(
        one.len() >= 8,
        "too few files to be a prepared folder: {:?}",
        one.keys()
    );
}
