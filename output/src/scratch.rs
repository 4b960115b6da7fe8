//! Hidden folders for work in progress, and the removal of those that killed runs left behind.
//!
//! A run that fails removes its own. One that is killed cannot, so the next run in the same place does it. A scratch folder belongs
//! to somebody as long as a process holds a lock on it (`flock` on the folder itself), which the operating system lets go of when
//! that process ends, however it ends. Two runs may work in one place: a folder is made and locked, and others are looked for, only
//! under a lock on the place, so that nobody meets a folder that is not locked *yet*.
//!
//! Where folders cannot be locked (some network file systems, systems other than Unix) nothing is taken for left behind.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::durable::{There, rename};
use crate::error::{Error, Result};

/// What the names of all scratch folders, and of locks, begin with.
pub(crate) const PREFIX: &str = ".weaverec-";

/// What the names of [locks](crate::Lock) begin with.
pub(crate) const LOCK: &str = ".weaverec-lock-";

/// What the names of files begin with that are being written.
pub(crate) const UNFINISHED: &str = ".weaverec-unfinished-";

/// Purpose of a folder that keeps what is being replaced; what lies in one that was left behind is put back.
pub(crate) const REPLACED: &str = "replaced";

/// What scratch folders are made for; nothing else that is called alike is ours.
const PURPOSES: [&str; 4] = ["staging", "spill", "fetch", REPLACED];

/// How long another run may take to make a folder or a lock, in tries of [`PAUSE`]; then it is somebody else's lock on the place.
const PATIENCE: u32 = 300;
const PAUSE: Duration = Duration::from_millis(10);

/// Whether a file or folder has a name that only this program gives: of a lock, of a file that is being written, or of a scratch folder.
pub(crate) fn is_ours(name: &str) -> bool {
    name.starts_with(LOCK) || is_unfinished(name) || name.strip_prefix(PREFIX).is_some_and(is_scratch)
}

fn is_unfinished(name: &str) -> bool {
    name.strip_prefix(UNFINISHED).is_some_and(is_drawn)
}

fn is_scratch(purpose: &str) -> bool {
    let drawn = purpose.rsplit_once('-').filter(|(_, end)| is_drawn(end));
    drawn.is_some_and(|(start, _)| PURPOSES.contains(&start))
}

/// Whether it is what `tempfile` puts behind a name.
fn is_drawn(end: &str) -> bool {
    end.len() == 6 && end.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A hidden folder that goes when this value does.
#[derive(Debug)]
pub struct Scratch {
    // Removed before the lock is let go of: fields are dropped in this order.
    folder: TempDir,
    _owner: Option<File>,
}

impl Scratch {
    /// A new folder in `place`, called after its purpose.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be made.
    pub fn new(place: &Path, purpose: &str) -> Result<Self> {
        let alone = lock(place);
        let folder = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{purpose}-"))
            .tempdir_in(place)
            .map_err(|source| Error::io(place, "write into", source))?;
        let owner = lock(folder.path());
        drop(alone);
        Ok(Self {
            folder,
            _owner: owner,
        })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Waits until no other run holds the folder and holds it until the value returned goes; `None` where folders cannot be locked, and where
/// somebody holds it for longer than any run does (a script that runs under `flock`).
pub(crate) fn lock(folder: &Path) -> Option<File> {
    let file = File::open(folder).ok()?;
    for _ in 0..PATIENCE {
        match file.try_lock() {
            Ok(()) => return Some(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            Err(TryLockError::Error(_)) => return None,
        }
    }
    None
}

/// Removes the scratch folders, the unfinished files and the locks in `place` that belong to no living process.
///
/// What cannot be removed (another user's, perhaps) stays and is in nobody's way.
pub fn sweep(place: &Path) {
    let Some(_alone) = lock(place) else { return };
    let Ok(entries) = std::fs::read_dir(place) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // Links and whatever else may bear such a name are nobody's work in progress.
        let Some(kind) = entry.file_type().ok().filter(|_| is_ours(&name)) else {
            continue;
        };
        let path = entry.path();
        if !kind.is_dir() && !kind.is_file() {
            continue;
        }
        // As long as it is held here nobody else takes it for theirs; whoever has opened a file meanwhile finds, once it is locked, that it
        // is gone, and makes another.
        let Ok(owner) = File::open(&path) else { continue };
        if owner.try_lock().is_err() {
            continue;
        }
        if kind.is_file() {
            // Our locks are empty.
            let is_lock = name.starts_with(LOCK) && owner.metadata().is_ok_and(|found| found.len() == 0);
            if is_lock || is_unfinished(&name) {
                let _ = std::fs::remove_file(&path);
            }
        } else if !is_unfinished(&name) && !name.starts_with(LOCK) {
            let replaced = name
                .strip_prefix(PREFIX)
                .is_some_and(|purpose| purpose.starts_with(REPLACED));
            if !replaced || put_back(&path, place) {
                let _ = std::fs::remove_dir_all(&path);
            }
        }
    }
}

/// Moves what lies in `folder` to `place` unless something has taken its place; false if anything is left that would be lost.
fn put_back(folder: &Path, place: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return false;
    };
    entries.flatten().all(|entry| {
        let home = place.join(entry.file_name());
        home.exists() || matches!(rename(&entry.path(), &home, There::Replaced), Ok(true))
    })
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(place: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(place)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// What a killed process leaves: the folder, and no lock on it.
    fn left_behind(place: &Path, purpose: &str) -> std::path::PathBuf {
        let Scratch { folder, _owner } = Scratch::new(place, purpose).unwrap();
        drop(_owner);
        folder.keep()
    }

    #[test]
    fn what_nobody_owns_is_removed_and_what_somebody_works_in_is_not() {
        let place = tempfile::tempdir().unwrap();
        let left = left_behind(place.path(), "spill");
        std::fs::create_dir(left.join("inner")).unwrap();
        std::fs::write(left.join("inner/part"), "half").unwrap();
        let mine = Scratch::new(place.path(), "staging").unwrap();
        std::fs::create_dir(place.path().join(".git")).unwrap();
        std::fs::write(place.path().join(".weaverec-notes"), "someone's file").unwrap();
        sweep(place.path());
        let own = mine.path().file_name().unwrap().to_str().unwrap();
        assert_eq!(names(place.path()), [".git", ".weaverec-notes", own]);
        drop(mine);
        assert_eq!(names(place.path()), [".git", ".weaverec-notes"]);
    }

    #[test]
    fn what_was_moved_aside_comes_back_unless_it_was_replaced() {
        let place = tempfile::tempdir().unwrap();
        for name in ["lost", "replaced"] {
            let aside = left_behind(place.path(), REPLACED);
            std::fs::create_dir(aside.join(name)).unwrap();
            std::fs::write(aside.join(name).join("text"), "old").unwrap();
        }
        std::fs::create_dir(place.path().join("replaced")).unwrap();
        std::fs::write(place.path().join("replaced/text"), "new").unwrap();
        sweep(place.path());
        assert_eq!(names(place.path()), ["lost", "replaced"]);
        let text = |name: &str| std::fs::read_to_string(place.path().join(name).join("text")).unwrap();
        assert_eq!((text("lost").as_str(), text("replaced").as_str()), ("old", "new"));
    }

    #[test]
    fn many_that_work_and_look_at_the_same_time_leave_each_other_alone() {
        let place = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..40 {
                        let mine = Scratch::new(place.path(), "staging").unwrap();
                        std::fs::write(mine.path().join("part"), "mine").unwrap();
                        sweep(place.path());
                        assert_eq!(std::fs::read_to_string(mine.path().join("part")).unwrap(), "mine");
                    }
                });
            }
        });
        assert!(names(place.path()).is_empty());
    }

    #[test]
    fn what_is_only_called_alike_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let names_of_others = [
            ".weaverec-models",
            ".weaverec-staging-of-mine",
            ".weaverec-spill-abc",
        ];
        for name in names_of_others {
            std::fs::create_dir(place.path().join(name)).unwrap();
        }
        std::fs::write(place.path().join(".weaverec-lock-recipe"), "a pound of flour").unwrap();
        sweep(place.path());
        let mut expected: Vec<&str> = names_of_others
            .into_iter()
            .chain([".weaverec-lock-recipe"])
            .collect();
        expected.sort_unstable();
        assert_eq!(names(place.path()), expected);
    }

    #[test]
    fn a_place_that_somebody_holds_for_long_is_no_reason_to_wait_for_ever() {
        let place = tempfile::tempdir().unwrap();
        let held = File::open(place.path()).unwrap();
        held.lock().unwrap();
        let mine = Scratch::new(place.path(), "staging").unwrap();
        assert!(mine.path().is_dir());
    }

    #[test]
    fn a_lock_that_nobody_holds_is_removed() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join(".weaverec-lock-left"), "").unwrap();
        let mine = crate::Lock::try_take(&place.path().join("mine")).unwrap();
        sweep(place.path());
        assert_eq!(names(place.path()), [".weaverec-lock-mine"]);
        drop(mine);
        assert!(names(place.path()).is_empty());
    }
}
