//! Who holds a lease, for people who look at work that others do.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::lease::{host, text};

/// What one look at a lease tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// What is worked on.
    pub name: String,
    /// The machine.
    pub machine: String,
    /// The number of the process there.
    pub process: String,
    /// When the lease was taken, where the file system knows when files are made. A lease that was taken over from one who was killed
    /// may be younger than it looks.
    pub since: Option<SystemTime>,
    /// The last sign of life.
    pub seen: Option<SystemTime>,
    /// Whether its holder is alive.
    pub life: Life,
}

/// Whether a holder is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It holds the lock.
    Locked,
    /// No lock speaks for it, as across machines; its last sign of life is young.
    Signs,
    /// It was killed, or its machine is gone: the next one takes its work up.
    Stale,
}

impl Holder {
    /// Reads a lease; none where there is none any more, or nobody has signed it.
    pub(crate) fn of(path: &Path, patience: Duration) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        // Shared, and for a moment: whoever asks meanwhile asks again.
        let locked = match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(true),
            Ok(()) => Some(false),
            Err(TryLockError::Error(_)) => None,
        };
        let said = text(&mut file);
        let mut lines = said.lines();
        let (machine, process) = (lines.next()?.to_owned(), lines.next()?.to_owned());
        let times = file.metadata().ok();
        let seen = times.as_ref().and_then(|times| times.modified().ok());
        let here = machine == host();
        let life = match locked {
            Some(true) => Life::Locked,
            // A lock that could be had says that no holder of this machine is left.
            Some(false) if here => Life::Stale,
            _ => {
                // Clocks of two machines differ: a sign from the future is young.
                let age = seen.and_then(|seen| seen.elapsed().ok()).unwrap_or_default();
                if age < patience { Life::Signs } else { Life::Stale }
            }
        };
        Some(Holder {
            name: path.file_name()?.to_str()?.to_owned(),
            since: times.and_then(|times| times.created().ok()),
            machine,
            process,
            seen,
            life,
        })
    }

    /// Whether somebody is at work, as far as one look can tell.
    pub fn is_alive(&self) -> bool {
        self.life != Life::Stale
    }

    /// The machine's name alone, without what tells it from others of that name.
    pub fn host(&self) -> &str {
        self.machine.split(' ').next().unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Answer, Leases};

    #[test]
    fn a_holder_is_known_by_its_lock_and_one_elsewhere_by_its_signs_of_life() {
        let root = tempfile::tempdir().unwrap();
        let leases = Leases::of(root.path());
        let Answer::Ours(lease) = leases.ask("held").unwrap() else {
            panic!("it is free")
        };
        let write = |name: &str, machine: &str| {
            let text = format!("{machine}\n7\n000000000003\n");
            std::fs::write(root.path().join(name), text).unwrap();
        };
        write("killed", &host());
        write("elsewhere", "other 1-2-3");
        std::fs::write(root.path().join("unsigned"), "").unwrap();
        let found = leases.holders();
        let lives: Vec<(&str, Life)> = found
            .iter()
            .map(|holder| (holder.name.as_str(), holder.life))
            .collect();
        assert_eq!(
            lives,
            [
                ("elsewhere", Life::Signs),
                ("held", Life::Locked),
                ("killed", Life::Stale)
            ]
        );
        assert_eq!((found[0].host(), found[0].process.as_str()), ("other", "7"));
        assert_eq!(found[1].process, std::process::id().to_string());
        // Looking takes nothing away from anybody.
        assert!(leases.is_held("held"));
        drop(lease);
        assert_eq!(leases.holders().len(), 2);
    }

    #[test]
    fn a_holder_elsewhere_that_gives_no_sign_any_more_is_stale() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("silent");
        std::fs::write(&path, "other 1-2-3\n7\n000000000003\n").unwrap();
        let past = SystemTime::now() - Duration::from_secs(120);
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_modified(past).unwrap();
        drop(file);
        let holder = Holder::of(&path, Duration::from_secs(60)).unwrap();
        assert!(!holder.is_alive());
        assert!(Holder::of(&path, Duration::from_secs(600)).unwrap().is_alive());
    }
}
