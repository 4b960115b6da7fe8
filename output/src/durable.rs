//! Waiting until what was written lies on the disk, so that a loss of power takes nothing of it; and the one place where anything gets
//! another name.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Error, Result};

/// Waits until the content of a file is on the disk.
///
/// # Errors
/// [`Error::Io`] that names it, a full disk found out late among them.
pub fn sync_file(path: &Path) -> Result<()> {
    // Windows wants the right to write for it.
    let file = OpenOptions::new().read(true).write(cfg!(windows)).open(path);
    file.and_then(|file| file.sync_all())
        .map_err(|source| Error::io(path, "write", source))
}

/// Waits until the names in a folder are on the disk.
///
/// Systems other than Unix do that by themselves; some network file systems cannot be asked to, and are believed to.
///
/// # Errors
/// [`Error::Io`] that names the folder.
pub fn sync_folder(folder: &Path) -> Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    use std::io::ErrorKind::{InvalidInput, Unsupported};
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(source) if !matches!(source.kind(), InvalidInput | Unsupported) => {
            Err(Error::io(folder, "write", source))
        }
        _ => Ok(()),
    }
}

/// Waits until a folder is on the disk with everything below it.
///
/// # Errors
/// [`Error::Io`] that names the file.
pub fn sync_tree(folder: &Path) -> Result<()> {
    let failed = |source| Error::io(folder, "read", source);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            sync_file(&entry.path())?;
        }
    }
    sync_folder(folder)
}

/// What becomes of something that has the name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum There {
    /// A file is replaced; of a folder only an empty one.
    Replaced,
    /// It gets the other's name, both in one step.
    Exchanged,
}

/// Gives a file or a folder the name `to`, on the same file system: everything in it is on the disk before, and the name is afterwards.
/// Whatever this program puts in its place, it puts there by this function.
///
/// False, and nothing is done, where a folder that is not empty has the name and is not to be exchanged: an operating system never
/// replaces that, so that of two that come at once the first one wins. And where two names cannot be exchanged: by some network file
/// systems, and systems other than Linux and macOS.
///
/// # Errors
/// [`Error::Io`] where something cannot be written or renamed; then what was there stays.
pub(crate) fn rename(from: &Path, to: &Path, there: There) -> Result<bool> {
    match from.symlink_metadata() {
        Ok(found) if found.is_dir() => sync_tree(from)?,
        // Of a link, what it leads to is nothing of ours.
        Ok(found) if found.is_symlink() => {}
        _ => sync_file(from)?,
    }
    let renamed = match there {
        There::Replaced => match std::fs::rename(from, to) {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists
                ) =>
            {
                Ok(false)
            }
            other => other.map(|()| true),
        },
        There::Exchanged => exchange(from, to),
    };
    let renamed = renamed.map_err(|source| Error::io(to, "rename", source))?;
    if renamed {
        sync_folder(parent(to))?;
    }
    Ok(renamed)
}

/// Makes a folder, and those above it that are missing; their names are on the disk afterwards.
///
/// # Errors
/// [`Error::Io`] where one cannot be made.
pub fn create_folder(folder: &Path) -> Result<()> {
    let named = folder
        .ancestors()
        .take_while(|above| !above.as_os_str().is_empty());
    let missing: Vec<&Path> = named.take_while(|above| !above.exists()).collect();
    std::fs::create_dir_all(folder).map_err(|source| Error::io(folder, "create", source))?;
    let synced = missing.into_iter().try_for_each(|made| sync_folder(parent(made)));
    match synced {
        // Another run that had no use for it has removed it meanwhile; whoever writes into it will be told.
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The folder that something lies in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Lets two paths change their names; false where the system or the file system cannot do that.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn exchange(one: &Path, other: &Path) -> std::io::Result<bool> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    // A sandbox answers with "not permitted" to calls that it does not know.
    let unknown = [
        Errno::INVAL,
        Errno::NOSYS,
        Errno::NOTSUP,
        Errno::OPNOTSUPP,
        Errno::PERM,
    ];
    match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        Err(error) if unknown.contains(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn exchange(_one: &Path, _other: &Path) -> std::io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_tree_is_gone_through_to_its_files() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("a/b")).unwrap();
        std::fs::write(root.path().join("a/b/file"), "x").unwrap();
        sync_tree(root.path()).unwrap();
        let missing = root.path().join("missing");
        let error = sync_file(&missing).unwrap_err().to_string();
        assert!(error.contains("missing"), "{error}");
        assert!(sync_tree(&missing).is_err());
    }

    #[test]
    fn of_two_folders_that_come_for_a_name_the_first_has_it() {
        let root = tempfile::tempdir().unwrap();
        let [one, two, to] = ["one", "two", "to"].map(|name| root.path().join(name));
        for folder in [&one, &two] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("who"), folder.file_name().unwrap().as_encoded_bytes()).unwrap();
        }
        // An empty folder is nobody's.
        std::fs::create_dir(&to).unwrap();
        assert!(rename(&one, &to, There::Replaced).unwrap());
        assert!(!rename(&two, &to, There::Replaced).unwrap());
        assert_eq!(std::fs::read_to_string(to.join("who")).unwrap(), "one");
        assert!(two.join("who").exists());
    }

    #[test]
    fn folders_are_made_from_whatever_is_there_on() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b/c");
        create_folder(&deep).unwrap();
        create_folder(&deep).unwrap();
        assert!(deep.is_dir());
        std::fs::write(root.path().join("file"), "").unwrap();
        assert!(create_folder(&root.path().join("file/below")).is_err());
    }

    /// The sources of all crates: nothing gets its name in another way than by [`rename`]. Tests may do as they like.
    #[test]
    fn nothing_is_renamed_but_here() {
        const WAYS: [&str; 4] = ["fs::rename", "renameat", ".persist(", "persist_noclobber"];
        // Where the sources are now, which need not be where these tests were built.
        let here =
            std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&here).join("..");
        let mut open: Vec<std::path::PathBuf> = ["output", "pipeline", "model", "bench"]
            .map(|krate| root.join(krate).join("src"))
            .to_vec();
        let mut seen = 0;
        while let Some(next) = open.pop() {
            let name = next.file_name().unwrap_or_default();
            if next.is_dir() {
                let entries = std::fs::read_dir(&next).unwrap();
                open.extend(entries.map(|entry| entry.unwrap().path()));
            } else if next.extension().is_some_and(|ending| ending == "rs")
                && name != "tests.rs"
                && !next.ends_with("output/src/durable.rs")
            {
                let text = std::fs::read_to_string(&next).unwrap();
                let program = text.split("mod tests {").next().unwrap();
                let found: Vec<&str> = WAYS.into_iter().filter(|way| program.contains(way)).collect();
                assert!(found.is_empty(), "{}: {found:?}", next.display());
                seen += 1;
            }
        }
        assert!(seen > 100, "{seen} files of sources");
    }
}
