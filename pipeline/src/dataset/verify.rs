//! Whether the raw files at hand are those that a description speaks of.

use std::collections::HashSet;
use std::path::Path;

use arrow::array::AsArray;

use super::{DatasetDescription, Expected};
use crate::error::Result;
use crate::raw::{self, InputFile, Progress, ReadOptions};

/// What was counted in the raw files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Rows, users and items of the interactions.
    pub found: Expected,
    /// Rows of the item files; `None` without one.
    pub described: Option<u64>,
    /// Lines that were no rows.
    pub rejected: u64,
}

/// What [`verify`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// The files read, with size and hash.
    pub files: Vec<InputFile>,
    /// What is in them.
    pub counted: Counted,
    /// What differs from the description, one sentence each; empty: all is as described.
    pub differences: Vec<String>,
}

/// Reads the raw files of a data set under `root` to the end and compares sizes and counts with what is known.
///
/// # Errors
/// [`Error::Io`] for a missing file, [`Error::Format`] for one that cannot be read to its end.
pub fn verify(
    description: &DatasetDescription,
    root: &Path,
    progress: &dyn Progress,
) -> Result<Verification> {
    let tables = raw::read(description, root, &ReadOptions::default(), progress)?;
    let distinct = |column: usize| {
        let columns = tables
            .interactions
            .iter()
            .map(|batch| batch.column(column).as_string::<i32>());
        columns
            .flat_map(|texts| texts.iter().flatten())
            .collect::<HashSet<&str>>()
            .len() as u64
    };
    let rows =
        |batches: &[arrow::array::RecordBatch]| batches.iter().map(|batch| batch.num_rows() as u64).sum();
    let found = Expected {
        interactions: rows(&tables.interactions),
        users: distinct(0),
        items: distinct(1),
    };
    let mut differences = different_sizes(description, &tables.inputs);
    differences.extend(different_counts(description.expected.as_ref(), &found));
    Ok(Verification {
        counted: Counted {
            found,
            described: tables.items.as_deref().map(rows),
            rejected: tables.rejects.len() as u64,
        },
        files: tables.inputs,
        differences,
    })
}

/// Files that the description gives a size for, and that have another; a file stored with another compression has its own size.
fn different_sizes(description: &DatasetDescription, files: &[InputFile]) -> Vec<String> {
    let known = description
        .source
        .files
        .iter()
        .filter_map(|remote| Some((remote.name(), remote.bytes?)));
    let mut differences = Vec::new();
    for (name, bytes) in known {
        let same = |file: &&InputFile| file.path.file_name().is_some_and(|found| found == name);
        if let Some(file) = files.iter().find(same).filter(|file| file.bytes != bytes) {
            differences.push(format!("{name} has {} bytes, {bytes} are known", file.bytes));
        }
    }
    differences
}

fn different_counts(known: Option<&Expected>, found: &Expected) -> Vec<String> {
    let Some(known) = known else { return Vec::new() };
    [
        ("interactions", found.interactions, known.interactions),
        ("users", found.users, known.users),
        ("items", found.items, known.items),
    ]
    .into_iter()
    .filter(|(_, found, known)| found != known)
    .map(|(what, found, known)| format!("{found} {what}, {known} are known"))
    .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::error::Error;
    use crate::raw::NoProgress;

    const TEXT: &str = "name = \"mine\"\ntitle = \"Mine\"\nplatform = \"shop\"\nformat = \"movielens-csv\"\nlicence = \"own\"\n\
                        interactions = [\"ratings.csv\"]\n[expected]\ninteractions = 2\nusers = 2\nitems = 1\n\
                        [[source.files]]\nurl = \"https://example.org/ratings.csv\"\nbytes = 66\n";

    #[test]
    fn files_as_described_show_no_difference_and_others_every_one() {
        let folder = tempfile::tempdir().unwrap();
        let description = DatasetDescription::parse(TEXT, "t.toml").unwrap();
        let missing = verify(&description, folder.path(), &NoProgress).unwrap_err();
        assert!(matches!(missing, Error::Io { .. }), "{missing}");

        let path = folder.path().join("ratings.csv");
        let good = "userId,movieId,rating,timestamp\n1,7,2.5,1260759144\n2,7,3,1260759145\n";
        std::fs::write(&path, good).unwrap();
        let description =
            DatasetDescription::parse(&TEXT.replace("66", &good.len().to_string()), "t.toml").unwrap();
        let found = verify(&description, folder.path(), &NoProgress).unwrap();
        assert_eq!(found.differences, Vec::<String>::new());
        assert_eq!((found.counted.described, found.counted.rejected), (None, 0));

        std::fs::write(&path, format!("{good}2,8,3\n1,8,4,1260759146\n")).unwrap();
        let found = verify(&description, folder.path(), &NoProgress).unwrap();
        assert_eq!(found.counted.rejected, 1);
        assert_eq!(found.differences.len(), 3, "{:?}", found.differences);
        assert!(found.differences[0].starts_with("ratings.csv has"));
        assert_eq!(found.differences[1], "3 interactions, 2 are known");
        assert_eq!(found.differences[2], "2 items, 1 are known");
    }
}
