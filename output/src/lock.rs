//! One run at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::durable::create_folder;
use crate::error::{Error, Result};
use crate::scratch::{self, LOCK};

/// Bytes of a place's name that are in the name of its lock: with what stands before them they must fit into a name.
const NAME_BYTES: usize = 200;

/// Times that a lock is looked for again because its last owner has just removed it.
const TRIES: usize = 1000;

/// The right to write a place, alone or with others of its kind, until this value or the process goes, however it ends.
///
/// It is the lock on a hidden file beside the place, which its owner removes. Where files cannot be locked (some network file systems)
/// every run has the right.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    // Removed before it is let go of.
    file: File,
    shared: bool,
}

impl Lock {
    /// The lock of `place`, whose folder is made where it is missing; `None` where another run has it.
    ///
    /// # Errors
    /// [`Error::Io`] where nothing can be written beside the place.
    pub fn try_take(place: &Path) -> Result<Option<Self>> {
        acquire(place, false, |_| false)
    }

    /// The right to work in `place` beside others who have it in this way; `None` where a run has the lock alone.
    ///
    /// # Errors
    /// [`Error::Io`] where nothing can be written beside the place.
    pub fn try_share(place: &Path) -> Result<Option<Self>> {
        acquire(place, true, |_| false)
    }

    /// The lock of `place`, as soon as nobody else has it; `waiting` is called before the wait, if there is one.
    ///
    /// # Errors
    /// [`Error::Io`] where nothing can be written beside the place.
    pub fn wait(place: &Path, waiting: impl FnOnce()) -> Result<Self> {
        let mut waiting = Some(waiting);
        let taken = acquire(place, false, |file| {
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            file.lock().is_ok()
        })?;
        taken.ok_or_else(|| Error::refused(place, "another run writes there, and it cannot be waited for"))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is held alone: whoever opened it before finds that it has no name any more, and looks again. Where others share it the
        // last one removes it; two that are the last at the same moment leave it to the next sweep.
        if !self.shared || self.file.try_lock().is_ok() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Takes the lock; `held` is asked what to do where another run has it, and answers whether the lock is its own now.
fn acquire(place: &Path, shared: bool, mut held: impl FnMut(&File) -> bool) -> Result<Option<Lock>> {
    let folder = place.parent().unwrap_or(Path::new("."));
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let cut = name.floor_char_boundary(NAME_BYTES);
    let path = folder.join(format!("{LOCK}{}", &name[..cut]));
    for _ in 0..TRIES {
        create_folder(folder)?;
        // So that a sweep does not take it for one that nobody holds, before it is held.
        let alone = scratch::lock(folder);
        let opened = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let file = match opened {
            // The folder was another run's, which has just removed it.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            other => other.map_err(|source| Error::io(folder, "write into", source))?,
        };
        let tried = match shared {
            true => file.try_lock_shared(),
            false => file.try_lock(),
        };
        drop(alone);
        match tried {
            Err(TryLockError::WouldBlock) if !held(&file) => return Ok(None),
            // Where files cannot be locked nobody is kept out.
            Ok(()) | Err(TryLockError::Error(_) | TryLockError::WouldBlock) => {}
        }
        if is_still(&file, &path) {
            return Ok(Some(Lock { path, file, shared }));
        }
    }
    Err(Error::refused(
        place,
        "its lock goes as soon as it is made; is something else at work in this folder?",
    ))
}

/// Whether the file has this name, and was not removed by its last owner before it was locked.
#[cfg(unix)]
pub(crate) fn is_still(file: &File, path: &Path) -> bool {
    let identity = |found: rustix::fs::Stat| (found.st_dev, found.st_ino);
    match (rustix::fs::fstat(file), rustix::fs::stat(path)) {
        (Ok(open), Ok(named)) => identity(open) == identity(named),
        _ => false,
    }
}

#[cfg(not(unix))]
pub(crate) fn is_still(_file: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_place_has_one_owner_at_a_time_and_nothing_is_left_of_the_lock() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("new/out");
        let mine = Lock::try_take(&place).unwrap().unwrap();
        assert!(Lock::try_take(&place).unwrap().is_none());
        let beside = Lock::try_take(&root.path().join("new/other")).unwrap();
        assert!(beside.is_some(), "another place is another matter");
        drop((mine, beside));
        assert!(Lock::try_take(&place).unwrap().is_some());
        assert_eq!(std::fs::read_dir(root.path().join("new")).unwrap().count(), 0);
    }

    #[test]
    fn those_that_share_keep_out_who_wants_it_alone_until_the_last_has_gone() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("out");
        let alone = Lock::try_take(&place).unwrap();
        assert!(alone.is_some() && Lock::try_share(&place).unwrap().is_none());
        drop(alone);
        let [one, two] = [0, 1].map(|_| Lock::try_share(&place).unwrap().unwrap());
        drop(one);
        assert!(Lock::try_take(&place).unwrap().is_none());
        let three = Lock::try_share(&place).unwrap().unwrap();
        drop(two);
        assert!(Lock::try_take(&place).unwrap().is_none());
        drop(three);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
        assert!(Lock::try_take(&place).unwrap().is_some());
    }

    #[test]
    fn many_that_wait_come_one_after_another() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("out");
        let inside = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let lock = Lock::wait(&place, || {}).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
    }

    #[test]
    fn sweeping_takes_no_lock_from_who_is_about_to_hold_it() {
        let root = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let place = root.path().join(worker.to_string());
                scope.spawn(move || {
                    for _ in 0..100 {
                        let mine = Lock::try_take(&place).unwrap();
                        assert!(mine.is_some(), "nobody else wants this place");
                        scratch::sweep(place.parent().unwrap());
                    }
                });
            }
        });
    }

    #[test]
    fn a_name_as_long_as_names_may_be_can_be_locked() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("é".repeat(127));
        assert!(Lock::try_take(&place).unwrap().is_some());
    }
}
