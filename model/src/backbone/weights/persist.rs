//! Files and folders that appear whole or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// How the names of files begin that are being written, or were when somebody was killed.
pub(crate) const UNFINISHED: &str = ".unfinished-";

/// Writes a file under a temporary name beside `path` and renames it into place.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = parent(path);
    std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
    let mut file = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempfile_in(&folder)
        .map_err(|e| Error::io(&folder, e))?;
    file.write_all(bytes).map_err(|e| Error::io(path, e))?;
    share(file.path())?;
    file.persist(path).map_err(|e| Error::io(path, e.error))?;
    Ok(())
}

/// Fills a temporary folder beside `path` and renames it into place. What was there is replaced if it is an empty folder or one that
/// holds the file `mark`, as all that are written here do; anything else is somebody's, and stays.
pub(crate) fn write_folder(path: &Path, mark: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    check_replaceable(path, mark)?;
    let beside = parent(path);
    std::fs::create_dir_all(&beside).map_err(|e| Error::io(&beside, e))?;
    let temporary = |purpose: &str| {
        tempfile::Builder::new()
            .prefix(&format!(".{purpose}-"))
            .tempdir_in(&beside)
            .map_err(|e| Error::io(&beside, e))
    };
    let fresh = temporary("new")?;
    let content = fresh.path().join("content");
    std::fs::create_dir(&content).map_err(|e| Error::io(&content, e))?;
    fill(&content)?;
    // The old folder steps aside first: a rename cannot replace a folder that holds files.
    let old = temporary("old")?;
    let aside = old.path().join("content");
    if path.exists() {
        std::fs::rename(path, &aside).map_err(|e| Error::io(path, e))?;
    }
    if let Err(error) = std::fs::rename(&content, path) {
        if aside.exists() {
            std::fs::rename(&aside, path).map_err(|e| Error::io(path, e))?;
        }
        return Err(Error::io(path, error));
    }
    Ok(())
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

/// Temporary files are private to their owner; results should be as readable as any other file.
fn share(path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
            .map_err(|e| Error::io(path, e))?;
    }
    Ok(())
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
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
