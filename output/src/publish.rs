//! Files and folders that appear whole or not at all, and are on the disk before they have their name.

use std::fs::TryLockError;
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::durable::{There, create_folder, parent, rename};
use crate::error::{Error, Result};
use crate::lock::is_still;
use crate::scratch::{REPLACED, Scratch, UNFINISHED};

/// Times that a file is made again because a sweep met it before it was locked.
const TRIES: usize = 1000;

/// Writes a file under a temporary name beside `path`, waits until it is on the disk, and renames it into place.
///
/// Where the process is killed meanwhile, the next [`sweep`](crate::scratch::sweep) of the folder removes what is left.
///
/// # Errors
/// [`Error::Io`] where it cannot be written; then what was there stays.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = parent(path);
    create_folder(folder)?;
    let failed = |source| Error::io(path, "write", source);
    let mut file = unfinished(folder)?;
    file.write_all(bytes).map_err(failed)?;
    // A temporary file is private; a result is for whoever may read the folder.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o644);
        file.as_file().set_permissions(mode).map_err(failed)?;
    }
    // Open, and so locked, until it has its name: else a sweep could take it for left behind.
    let (held, fresh) = file.into_parts();
    rename(&fresh, path, There::Replaced)?;
    // It is no temporary file any more.
    drop(fresh.keep());
    drop(held);
    Ok(())
}

/// A hidden file that is locked, so that no sweep takes it for left behind.
fn unfinished(folder: &Path) -> Result<NamedTempFile> {
    for _ in 0..TRIES {
        let file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(folder)
            .map_err(|source| Error::io(folder, "write into", source))?;
        let held = match file.as_file().try_lock() {
            // Where files cannot be locked nothing is swept.
            Ok(()) | Err(TryLockError::Error(_)) => is_still(file.as_file(), file.path()),
            Err(TryLockError::WouldBlock) => false,
        };
        if held {
            return Ok(file);
        }
    }
    Err(Error::refused(
        folder,
        "files go as soon as they are made; is something else at work in this folder?",
    ))
}

/// Gives a finished file the name `to`, once it is on the disk.
///
/// # Errors
/// [`Error::Io`] where it cannot be renamed.
pub fn place_file(from: &Path, to: &Path) -> Result<()> {
    rename(from, to, There::Replaced)?;
    Ok(())
}

/// Fills a folder and puts it at `to`, in the place of whatever is there.
///
/// # Errors
/// Those of `fill`, which leave what was there and nothing else, and [`Error::Io`] where the folder cannot be written.
pub fn write_folder<E: From<Error>>(to: &Path, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let staged = Staged::beside(to)?;
    fill(staged.path())?;
    Ok(staged.publish(to)?)
}

/// A folder in the making, hidden until it is published, and gone where it is not.
#[derive(Debug)]
pub struct Staged {
    content: PathBuf,
    scratch: Scratch,
}

impl Staged {
    /// An empty folder in the same folder as `place`, which is made where it is missing.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be made.
    pub fn beside(place: &Path) -> Result<Self> {
        let folder = parent(place);
        create_folder(folder)?;
        Self::within(folder)
    }

    /// An empty folder in `folder`.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be made.
    pub fn within(folder: &Path) -> Result<Self> {
        let scratch = Scratch::new(folder, "staging")?;
        // The outer one is readable for its owner alone; what is published gets the permissions that any new folder has.
        let content = scratch.path().join("content");
        std::fs::create_dir(&content).map_err(|source| Error::io(&content, "create", source))?;
        Ok(Self { content, scratch })
    }

    /// Where it is to be filled.
    pub fn path(&self) -> &Path {
        &self.content
    }

    /// Puts it at `to`, on the same file system, once everything in it is on the disk; what was there goes.
    ///
    /// The two change places in one step, so that at no moment the name is gone. Where the system cannot do that (a network file system,
    /// or other systems than Linux and macOS), the old one steps aside first, and one that is killed in between is put back by the next
    /// [`sweep`](crate::scratch::sweep).
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written or renamed; then what was there stays.
    pub fn publish(self, to: &Path) -> Result<()> {
        // An empty folder can be replaced in one step by any system, where an exchange may fail (a folder in a lower layer of overlayfs).
        let free = to.symlink_metadata().is_err() || is_empty(to);
        if free && rename(&self.content, to, There::Replaced)? {
            return Ok(());
        }
        if !rename(&self.content, to, There::Exchanged)? {
            step_aside(&self.content, to)?;
        }
        // What was replaced lies in the scratch folder now, and goes with it.
        Ok(())
    }

    /// Puts it at `to` as [`publish`](Self::publish) does, unless something is there: of several that come with one result, the first has
    /// the place. Whoever comes later gets the folder back.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written or renamed.
    pub fn publish_new(self, to: &Path) -> Result<Option<Self>> {
        let first = rename(&self.content, to, There::Replaced)?;
        Ok((!first).then_some(self))
    }

    /// The folder that it lies in, for what is needed only while it is filled.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }
}

/// Whether it is an empty folder that a rename can replace.
fn is_empty(folder: &Path) -> bool {
    cfg!(unix)
        && std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
        && !folder.is_symlink()
}

/// Replaces what is at `to` in two steps, between which the name is gone.
fn step_aside(content: &Path, to: &Path) -> Result<()> {
    let aside = Scratch::new(parent(to), REPLACED)?;
    let old = aside.path().join(to.file_name().unwrap_or_default());
    rename(to, &old, There::Replaced)?;
    let placed = rename(content, to, There::Replaced);
    if !matches!(placed, Ok(true)) {
        rename(&old, to, There::Replaced)?;
    }
    match placed? {
        true => Ok(()),
        false => Err(Error::refused(to, "another run wrote there at the same moment")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn fill(name: &'static str, text: &'static str) -> impl FnOnce(&Path) -> Result<()> {
        move |folder| write_file(&folder.join(name), text.as_bytes())
    }

    #[test]
    fn a_folder_that_fails_half_way_leaves_the_old_one_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("result");
        write_folder(&target, fill("a", "old")).unwrap();
        let failed = write_folder(&target, |folder| {
            fill("a", "new")(folder)?;
            Err(Error::refused(folder, "stopped"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read_to_string(target.join("a")).unwrap(), "old");
        write_folder(&target, fill("b", "new")).unwrap();
        assert!(target.join("b").exists() && !target.join("a").exists());
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn at_no_moment_is_the_name_of_what_is_replaced_gone() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("result");
        let probe = [root.path().join("one"), root.path().join("other")];
        probe
            .iter()
            .for_each(|folder| std::fs::create_dir(folder).unwrap());
        if !rename(&probe[0], &probe[1], There::Exchanged).unwrap() {
            eprintln!("skipped: this file system cannot exchange two folders");
            return;
        }
        write_folder(&target, fill("a", "0")).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut looks = 0;
                while !done.load(Ordering::Relaxed) {
                    assert!(target.join("a").exists(), "the folder was gone");
                    looks += 1;
                }
                looks
            });
            for _ in 0..100 {
                write_folder(&target, fill("a", "1")).unwrap();
            }
            done.store(true, Ordering::Relaxed);
            assert!(watch.join().unwrap() > 0);
        });
    }

    #[test]
    fn without_an_exchange_the_old_one_steps_aside() {
        let root = tempfile::tempdir().unwrap();
        let (fresh, target) = (root.path().join("fresh"), root.path().join("result"));
        for folder in [&fresh, &target] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(
                folder.join("name"),
                folder.file_name().unwrap().as_encoded_bytes(),
            )
            .unwrap();
        }
        step_aside(&fresh, &target).unwrap();
        assert_eq!(std::fs::read_to_string(target.join("name")).unwrap(), "fresh");
        assert!(
            step_aside(&fresh, &target).is_err(),
            "there is no fresh one any more"
        );
        assert_eq!(std::fs::read_to_string(target.join("name")).unwrap(), "fresh");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_empty_folder_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("result");
        std::fs::create_dir(&target).unwrap();
        write_folder(&target, fill("a", "x")).unwrap();
        assert!(target.join("a").exists());
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
        assert!(!is_empty(&target) && !is_empty(&root.path().join("missing")));
    }

    #[cfg(unix)]
    #[test]
    fn what_a_killed_run_was_writing_is_swept_and_what_is_written_is_not() {
        let root = tempfile::tempdir().unwrap();
        let (_, left) = unfinished(root.path()).unwrap().keep().unwrap();
        let mine = unfinished(root.path()).unwrap();
        let others = [
            ".unfinished-poetry",
            ".weaverec-unfinished-novel",
            ".weaverec-unfinished-",
        ];
        for name in others {
            std::fs::write(root.path().join(name), "theirs").unwrap();
        }
        let folder = root.path().join(".weaverec-unfinished-abc123");
        std::fs::create_dir(&folder).unwrap();
        crate::scratch::sweep(root.path());
        assert!(!left.exists() && mine.path().exists() && folder.exists());
        assert!(others.iter().all(|name| root.path().join(name).exists()));
        mine.persist(root.path().join("whole")).unwrap();
        crate::scratch::sweep(root.path());
        assert!(root.path().join("whole").exists());
    }

    #[test]
    fn sweeping_takes_no_file_from_who_is_writing_it() {
        let root = tempfile::tempdir().unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        crate::scratch::sweep(root.path());
                    }
                });
            }
            let writers: Vec<_> = (0..2)
                .map(|writer| {
                    let path = root.path().join(writer.to_string());
                    scope.spawn(move || (0..100).try_for_each(|_| write_file(&path, b"text")))
                })
                .collect();
            let written: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
            done.store(true, Ordering::Relaxed);
            written.into_iter().for_each(|written| written.unwrap().unwrap());
        });
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn results_may_be_read_by_whoever_may_read_the_folder() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let (usual, target) = (root.path().join("usual"), root.path().join("result"));
        std::fs::create_dir(&usual).unwrap();
        write_folder(&target, fill("a", "x")).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&target), mode(&usual));
        assert_eq!(mode(&target.join("a")), 0o644);
    }
}
