//! Who is at work on what, so that two that share a folder do not do the same work.
//!
//! A lease is advice. It is a file with the name of its holder, locked for as long as the holder lives and written anew every few seconds.
//! Others leave the work alone while somebody holds the lock; and where a lock says nothing, because the holder is on another machine or
//! the file system has no locks, for as long as they see the file change. Two that do the same work all the same lose time and nothing
//! else: results must be [published](crate::Staged::publish_new) so that the first one wins.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::durable::create_folder;
use crate::error::{Error, Result};
use crate::holder::Holder;
use crate::lock::is_still;

/// Time between two signs of life.
const BEAT: Duration = Duration::from_secs(5);

/// How long a holder on another machine may give none: machines stall, and network file systems remember.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tries to lock a file that has a name; another one may remove it in between.
const TRIES: usize = 100;

/// The leases of a folder, and what was seen of other holders.
#[derive(Debug)]
pub struct Leases {
    folder: PathBuf,
    beat: Duration,
    patience: Duration,
    /// What a lease of another machine looked like, and since when.
    seen: Mutex<HashMap<String, (String, Instant)>>,
}

/// What came of asking for a lease.
#[derive(Debug)]
pub enum Answer {
    /// It is ours.
    Ours(Lease),
    /// Somebody is at work; in words for people.
    Held(String),
}

impl Leases {
    /// Those in `folder`, which is made when it is needed.
    pub fn of(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            beat: BEAT,
            patience: PATIENCE,
            seen: Mutex::default(),
        }
    }

    /// Asks for the lease of some work by its name.
    ///
    /// # Errors
    /// [`Error::Io`] where nothing can be written.
    pub fn ask(&self, name: &str) -> Result<Answer> {
        let path = self.folder.join(name);
        for _ in 0..TRIES {
            create_folder(&self.folder)?;
            let mut options = OpenOptions::new();
            let opened = options
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path);
            let mut file = opened.map_err(|source| Error::io(&path, "write", source))?;
            let locks = match file.try_lock() {
                Err(TryLockError::WouldBlock) => return Ok(Answer::Held(words(&text(&mut file)))),
                Ok(()) => true,
                Err(TryLockError::Error(_)) => false,
            };
            if !is_still(&file, &path) {
                continue;
            }
            let found = text(&mut file);
            // A lock that could be had says that no holder of this machine is left.
            let gone = found.is_empty() || locks && found.lines().next() == Some(&host());
            if !gone && self.lives(name, &found) {
                return Ok(Answer::Held(words(&found)));
            }
            return Ok(Answer::Ours(Lease::hold(path, file, self.beat)?));
        }
        Err(Error::refused(
            path,
            "goes as soon as it is made; is something else at work in this folder?",
        ))
    }

    /// Whether somebody holds it at this moment, as far as one look can tell: of another machine's holder the last sign of life may be old.
    pub fn is_held(&self, name: &str) -> bool {
        let Ok(mut file) = File::open(self.folder.join(name)) else {
            return false;
        };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => true,
            locked => {
                let found = text(&mut file);
                let gone = found.is_empty() || locked.is_ok() && found.lines().next() == Some(&host());
                !gone && self.lives(name, &found)
            }
        }
    }

    /// Who holds what, as far as one look can tell, by the names of the work. Nothing is changed by looking.
    pub fn holders(&self) -> Vec<Holder> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut found: Vec<Holder> = entries
            .filter_map(|entry| Holder::of(&entry.path(), self.patience))
            .collect();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        found
    }

    /// Removes what killed holders of this machine left.
    pub fn sweep(&self) {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for entry in entries {
            let path = entry.path();
            let Ok(mut file) = OpenOptions::new().read(true).write(true).open(&path) else {
                continue;
            };
            if file.try_lock().is_ok() && is_still(&file, &path) {
                let found = text(&mut file);
                if found.is_empty() || found.lines().next() == Some(&host()) {
                    // While it is locked: whoever opened it before finds that it has no name any more, and looks again.
                    let _ = std::fs::remove_file(&path);
                }
            }
        }
    }

    /// Whether a lease that no lock speaks for has changed within our patience. On our own clock: those of two machines differ.
    fn lives(&self, name: &str, found: &str) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get(name) {
            Some((before, since)) if before == found => since.elapsed() < self.patience,
            _ => {
                seen.insert(name.to_owned(), (found.to_owned(), Instant::now()));
                true
            }
        }
    }
}

/// Work that others leave alone as long as this value lives, or the process does.
#[derive(Debug)]
pub struct Lease {
    path: PathBuf,
    // Held until the file is removed.
    _file: File,
    stop: Option<Sender<()>>,
    heart: Option<JoinHandle<()>>,
}

impl Lease {
    fn hold(path: PathBuf, file: File, beat: Duration) -> Result<Self> {
        let failed = |source| Error::io(&path, "write", source);
        sign(&file, 0).map_err(failed)?;
        let writer = file.try_clone().map_err(failed)?;
        let (stop, stopped) = channel();
        let heart = std::thread::Builder::new().name("lease".into()).spawn(move || {
            let mut beats = 0_u64;
            while stopped.recv_timeout(beat) == Err(RecvTimeoutError::Timeout) {
                beats += 1;
                // A disk that is full for a while is no reason to stop.
                let _ = sign(&writer, beats);
            }
        });
        Ok(Self {
            // Without a heart a lease still lives by its lock.
            heart: heart.ok(),
            path,
            _file: file,
            stop: Some(stop),
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(heart) = self.heart.take() {
            let _ = heart.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Writes who holds it; the same number of bytes each time, so that nobody reads a mixture of two lengths.
fn sign(mut file: &File, beats: u64) -> std::io::Result<()> {
    let text = format!("{}\n{}\n{beats:012}\n", host(), std::process::id());
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

/// What a lease says.
pub(crate) fn text(file: &mut File) -> String {
    let mut text = String::new();
    // What cannot be read says nothing.
    let _ = file
        .seek(SeekFrom::Start(0))
        .and_then(|_| file.read_to_string(&mut text));
    text
}

fn words(found: &str) -> String {
    let mut lines = found.lines();
    match (lines.next(), lines.next()) {
        (Some(host), Some(process)) => format!("process {process} on {host}"),
        _ => "another process".into(),
    }
}

/// What tells machines apart: their name, and when they were started, since containers may share a name.
pub(crate) fn host() -> String {
    let read = |path: &str| {
        std::fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let name = read("/proc/sys/kernel/hostname");
    format!("{name} {}", read("/proc/sys/kernel/random/boot_id"))
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;

    fn quick(folder: &Path) -> Leases {
        Leases {
            beat: Duration::from_millis(20),
            patience: Duration::from_millis(200),
            ..Leases::of(folder)
        }
    }

    fn ours(answer: Answer) -> Lease {
        match answer {
            Answer::Ours(lease) => lease,
            Answer::Held(who) => panic!("held by {who}"),
        }
    }

    #[test]
    fn work_has_one_holder_until_it_is_done() {
        let root = tempfile::tempdir().unwrap();
        let (mine, others) = (
            quick(&root.path().join("leases")),
            quick(&root.path().join("leases")),
        );
        let lease = ours(mine.ask("a").unwrap());
        match others.ask("a").unwrap() {
            Answer::Held(who) => assert!(who.contains(&std::process::id().to_string()), "{who}"),
            Answer::Ours(_) => panic!("two hold it"),
        }
        assert!(others.is_held("a") && !others.is_held("b"));
        drop(ours(others.ask("b").unwrap()));
        others.sweep();
        assert!(others.is_held("a"), "a lease that is held is not swept");
        drop(lease);
        assert!(!others.is_held("a"));
        drop(ours(others.ask("a").unwrap()));
        assert_eq!(std::fs::read_dir(root.path().join("leases")).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_holder_of_this_machine_left_is_free_at_once() {
        let root = tempfile::tempdir().unwrap();
        let leases = Leases::of(root.path());
        for name in ["taken", "swept"] {
            std::fs::write(root.path().join(name), format!("{}\n1\n000000000007\n", host())).unwrap();
        }
        drop(ours(leases.ask("taken").unwrap()));
        leases.sweep();
        assert!(!root.path().join("swept").exists());
    }

    #[test]
    fn a_holder_on_another_machine_lives_as_long_as_its_lease_changes() {
        let root = tempfile::tempdir().unwrap();
        let leases = quick(root.path());
        let elsewhere = |beats: u64| {
            std::fs::write(
                root.path().join("a"),
                format!("elsewhere 1-2-3\n9\n{beats:012}\n"),
            )
            .unwrap();
        };
        let begin = Instant::now();
        let mut beats = 0;
        let mut last = begin;
        while begin.elapsed() < Duration::from_millis(500) {
            beats += 1;
            elsewhere(beats);
            last = Instant::now();
            match leases.ask("a").unwrap() {
                Answer::Held(who) => assert!(who.contains("elsewhere"), "{who}"),
                Answer::Ours(_) => panic!("taken from who lives"),
            }
            leases.sweep();
            std::thread::sleep(Duration::from_millis(30));
        }
        // Now it has died.
        let lease = loop {
            match leases.ask("a").unwrap() {
                Answer::Ours(lease) => break lease,
                Answer::Held(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        assert!(last.elapsed() >= leases.patience);
        // Our own lease changes as well, for those over there.
        let text = || std::fs::read_to_string(root.path().join("a")).unwrap();
        let before = text();
        std::thread::sleep(Duration::from_millis(200));
        assert_ne!(text(), before);
        drop(lease);
    }

    #[test]
    fn many_that_ask_and_sweep_are_never_two_at_once() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let root = tempfile::tempdir().unwrap();
        let inside = AtomicUsize::new(0);
        let turns = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let leases = quick(root.path());
                    for _ in 0..100 {
                        leases.sweep();
                        if let Answer::Ours(lease) = leases.ask("a").unwrap() {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            turns.fetch_add(1, Ordering::SeqCst);
                            inside.fetch_sub(1, Ordering::SeqCst);
                            drop(lease);
                        }
                    }
                });
            }
        });
        assert!(turns.into_inner() > 0);
    }
}
