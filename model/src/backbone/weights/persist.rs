//! Files and folders that appear whole or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Writes a file under a temporary name beside `path` and renames it into place.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = parent(path);
    std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
    let mut file = tempfile::NamedTempFile::new_in(&folder).map_err(|e| Error::io(&folder, e))?;
    file.write_all(bytes).map_err(|e| Error::io(path, e))?;
    share(file.path())?;
    file.persist(path).map_err(|e| Error::io(path, e.error))?;
    Ok(())
}

/// Fills a temporary folder beside `path` and renames it into place; a folder that was there is replaced.
pub(crate) fn write_folder(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
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
        write_folder(&target, |dir| write_file(&dir.join("a"), b"old")).unwrap();
        let failed = write_folder(&target, |dir| {
            write_file(&dir.join("a"), b"new")?;
            Err(Error::Usage("stopped".into()))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(target.join("a")).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
        write_folder(&target, |dir| write_file(&dir.join("b"), b"new")).unwrap();
        assert!(target.join("b").exists() && !target.join("a").exists());
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
