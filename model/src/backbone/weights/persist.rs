//! Files and folders that appear whole or not at all, with this crate's errors.

use std::path::Path;

pub(crate) use weaverec_output::UNFINISHED;

use crate::{Error, Result};

/// Writes a file under a temporary name beside `path` and renames it into place.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    Ok(weaverec_output::write_file(path, bytes)?)
}

/// Fills a temporary folder beside `path` and puts it into place. What was there is replaced if it is an empty folder or one that
/// holds the file `mark`, as all that are written here do; anything else is somebody's, and stays.
pub(crate) fn write_folder(path: &Path, mark: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    check_replaceable(path, mark)?;
    weaverec_output::write_folder(path, fill)
}

/// Whether [`write_folder`] would write there.
pub(crate) fn check_replaceable(path: &Path, mark: &str) -> Result<()> {
    let other = match std::fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some() && !path.join(mark).exists(),
        Err(e) => e.kind() != std::io::ErrorKind::NotFound,
    };
    match other {
        true => Err(Error::Usage(format!(
            "{} is there and holds no {mark}, so it is not replaced: name another place or remove it",
            path.display()
        ))),
        false => Ok(()),
    }
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

    #[test]
    fn a_folder_that_fails_half_way_leaves_the_old_one_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("adapter");
        write_folder(&target, "a", |dir| write_file(&dir.join("a"), b"old")).unwrap();
        let failed = write_folder(&target, "a", |dir| {
            write_file(&dir.join("a"), b"new")?;
            Err(Error::Usage("stopped".into()))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(target.join("a")).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
        write_folder(&target, "a", |dir| write_file(&dir.join("b"), b"new")).unwrap();
        assert!(target.join("b").exists() && !target.join("a").exists());
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_was_not_written_here_is_not_replaced() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &Path| write_folder(path, "a", |dir| write_file(&dir.join("a"), b"new"));
        let theirs = root.path().join("theirs");
        std::fs::create_dir_all(theirs.join("a-year-of-work")).unwrap();
        let error = write(&theirs).unwrap_err().to_string();
        assert!(
            error.contains("theirs") && error.contains("not replaced"),
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
