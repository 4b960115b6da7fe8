//! Files and folders that appear whole or not at all, with this crate's errors.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use weaverec_output::{Again, Kind, Staged, place_file};

use crate::{Error, Result};

/// Writes a file under a temporary name beside `path` and renames it into place.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    Ok(weaverec_output::write_file(path, bytes)?)
}

/// As [`write_file`], for a file that is too large to be held in memory: `fill` writes it piece by piece.
pub(crate) fn stream_file(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let staged = Staged::beside(path)?;
    let unfinished = staged.path().join("file");
    let failed = |source| Error::io(path, source);
    let mut file = BufWriter::new(File::create_new(&unfinished).map_err(failed)?);
    fill(&mut file)?;
    file.flush().map_err(failed)?;
    drop(file);
    Ok(place_file(&unfinished, path)?)
}

/// Fills a temporary folder beside `path` and puts it into place. What was there is replaced if it is an empty folder or one that
/// holds the files `marks`, as all that are written here do, and that messages call `name`; anything else is somebody's, and stays.
pub(crate) fn write_folder(
    path: &Path,
    (name, marks): (&'static str, &'static [&'static str]),
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let kind = Kind {
        name,
        marks,
        holds: |_| true,
        again: Again::OnDemand,
    };
    kind.check(path)?;
    weaverec_output::write_folder(path, fill)
}

impl From<weaverec_output::Error> for Error {
    fn from(error: weaverec_output::Error) -> Self {
        match error {
            weaverec_output::Error::Io { path, source, .. } => Error::Io { path, source },
            refused => Error::Usage(refused.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const MINE: (&str, &[&str]) = ("a test's folder", &["a"]);

    #[test]
    fn a_folder_that_fails_half_way_leaves_the_old_one_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("adapter");
        write_folder(&target, MINE, |dir| write_file(&dir.join("a"), b"old")).unwrap();
        let failed = write_folder(&target, MINE, |dir| {
            write_file(&dir.join("a"), b"new")?;
            Err(Error::Usage("stopped".into()))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(target.join("a")).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
        write_folder(&target, MINE, |dir| write_file(&dir.join("b"), b"new")).unwrap();
        assert!(target.join("b").exists() && !target.join("a").exists());
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_streamed_file_replaces_the_old_one_once_it_is_whole() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("new folder").join("file");
        let write = |pieces: &[&str], fails: bool| {
            stream_file(&path, |file| {
                for piece in pieces {
                    file.write_all(piece.as_bytes()).unwrap();
                }
                match fails {
                    true => Err(Error::Usage("stopped".into())),
                    false => Ok(()),
                }
            })
        };
        write(&["o", "ld"], false).unwrap();
        assert!(write(&["ne"], true).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        write(&["ne", "w"], false).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_was_not_written_here_is_not_replaced() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &Path| write_folder(path, MINE, |dir| write_file(&dir.join("a"), b"new"));
        let theirs = root.path().join("theirs");
        std::fs::create_dir_all(theirs.join("a-year-of-work")).unwrap();
        let error = write(&theirs).unwrap_err().to_string();
        assert!(
            error.contains("theirs") && error.contains("not a test's folder (a missing)"),
            "{error}"
        );
        assert!(theirs.join("a-year-of-work").is_dir());
        let file = root.path().join("file");
        std::fs::write(&file, "text").unwrap();
        assert!(write(&file).is_err() && file.is_file());
        let empty = root.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        write(&empty).unwrap();
        assert!(empty.join("a").exists());
    }
}
