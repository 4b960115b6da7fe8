//! The right to write a result at a place.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::kind::{Again, Kind};
use crate::lock::Lock;
use crate::path::{self, Lies};
use crate::publish::Staged;
use crate::scratch;

/// Something that a command reads, and that nothing may be written over.
#[derive(Clone, Debug)]
pub struct Input {
    path: PathBuf,
    what: &'static str,
    /// Whether everything in it is read, so that nothing may be written in it either.
    whole: bool,
}

impl Input {
    /// The file or folder at `path`; `what` is what messages call it, as in "the base".
    ///
    /// What is not there is nothing that could be written over: whoever reads it will say so.
    pub fn new(path: impl Into<PathBuf>, what: &'static str) -> Self {
        Self {
            path: path.into(),
            what,
            whole: true,
        }
    }

    /// A folder of which only parts are read, beside which a result may lie in it.
    pub fn partly(path: impl Into<PathBuf>, what: &'static str) -> Self {
        Self {
            whole: false,
            ..Self::new(path, what)
        }
    }

    /// `replaced`: whether what is at the place would go as a whole.
    fn check(&self, place: &Path, replaced: bool) -> Result<()> {
        let Ok(read) = path::resolve(&self.path) else {
            return Ok(());
        };
        let (what, shown) = (self.what, self.path.display());
        let message = match path::lies(place, &read) {
            Lies::Same => {
                format!("is {what} itself, and nothing is written over an input; name another place")
            }
            Lies::Inside if self.whole && read.exists() => {
                format!("lies inside {what} ({shown}), which is read; name a place outside of it")
            }
            Lies::Around if replaced && read.exists() => {
                format!("holds {what} ({shown}), which is read; name another place")
            }
            _ => return Ok(()),
        };
        Err(Error::refused(place, message))
    }
}

const URL: &str = "is a URL, and this is written into a folder of this machine: name one";

const BUSY: &str = "another run writes there at this moment; wait until it has ended, or name another place";

/// The right to write a result at a place, for as long as this value lives.
#[derive(Debug)]
pub struct Claim {
    place: PathBuf,
    kind: Kind,
    // Goes before the folders do.
    lock: Option<Lock>,
    /// Folders above the place that were made for it, the deepest first.
    made: Vec<PathBuf>,
}

impl Claim {
    /// Claims `place` for a result of this kind, made from these inputs. Folders above it are made, and removed again if they stay empty.
    ///
    /// # Errors
    /// [`Error::Refused`] where an input lies there, or something that is no earlier result of the same command, or where another run
    /// has claimed it; [`Error::Io`] where nothing can be written.
    pub fn take(place: &Path, kind: Kind, inputs: &[Input]) -> Result<Self> {
        Self::locked(place, kind, inputs, |place| match Lock::try_take(place)? {
            Some(lock) => Ok(lock),
            None => Err(Error::refused(place, BUSY)),
        })
    }

    /// The right to work at `place` beside other runs that have it in this way, and keep each other's results apart by other means.
    ///
    /// # Errors
    /// Those of [`take`](Self::take), where another run has the place alone.
    pub fn share(place: &Path, kind: Kind, inputs: &[Input]) -> Result<Self> {
        Self::locked(place, kind, inputs, |place| match Lock::try_share(place)? {
            Some(lock) => Ok(lock),
            None => Err(Error::refused(place, BUSY)),
        })
    }

    /// The same as [`take`](Self::take), but waits for another run that has claimed the place; `waiting` is called before.
    ///
    /// # Errors
    /// Those of [`take`](Self::take), but for another run.
    pub fn wait(place: &Path, kind: Kind, inputs: &[Input], waiting: impl FnOnce()) -> Result<Self> {
        Self::locked(place, kind, inputs, |place| Lock::wait(place, waiting))
    }

    fn locked(
        place: &Path,
        kind: Kind,
        inputs: &[Input],
        lock: impl FnOnce(&Path) -> Result<Lock>,
    ) -> Result<Self> {
        if path::is_url(place) {
            return Err(Error::refused(place, URL));
        }
        let place = path::resolve(place)?;
        check(&place, kind, inputs)?;
        let above = place.ancestors().skip(1);
        let made = above
            .take_while(|folder| !folder.exists())
            .map(Path::to_owned)
            .collect();
        let mut claim = Self {
            place,
            kind,
            lock: None,
            made,
        };
        claim.lock = Some(lock(&claim.place)?);
        // Something that stepped aside for a run that was killed comes back first; whoever had the place before may have filled it.
        if let Some(folder) = claim.place.parent() {
            scratch::sweep(folder);
        }
        scratch::sweep(&claim.place);
        claim.kind.check(&claim.place)?;
        Ok(claim)
    }

    /// The place, with links followed.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// A place beside it, called as it is with `ending` behind, which the claim holds as well.
    ///
    /// # Errors
    /// [`Error::Refused`] as of [`take`](Self::take).
    pub fn beside(&self, ending: &str, kind: Kind, inputs: &[Input]) -> Result<PathBuf> {
        let mut beside = self.place.clone().into_os_string();
        beside.push(ending);
        let beside = path::resolve(Path::new(&beside))?;
        check(&beside, kind, inputs)?;
        Ok(beside)
    }

    /// Whether an earlier result may be replaced as a whole, nothing of somebody else's being in it.
    ///
    /// # Errors
    /// [`Error::Refused`] with what is in it.
    pub fn check_replaceable(&self) -> Result<()> {
        self.kind.check(&self.place)?;
        self.kind.check_contents(&self.place)
    }

    /// Puts a finished folder in the place, where it takes that of an earlier result.
    ///
    /// # Errors
    /// [`Error::Refused`] where somebody has put something else there since, [`Error::Io`] where it cannot be written.
    pub fn publish(&self, staged: Staged) -> Result<()> {
        self.check_replaceable()?;
        staged.publish(&self.place)
    }

    /// Fills a folder and [publishes](Self::publish) it.
    ///
    /// # Errors
    /// Those of `fill`, which leave nothing behind, and those of [`publish`](Self::publish).
    pub fn write<E: From<Error>>(&self, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
        let staged = Staged::beside(&self.place)?;
        fill(staged.path())?;
        Ok(self.publish(staged)?)
    }
}

fn check(place: &Path, kind: Kind, inputs: &[Input]) -> Result<()> {
    let replaced = kind.again != Again::Updated;
    inputs.iter().try_for_each(|input| input.check(place, replaced))?;
    if replaced && path::is_mount_point(place) {
        let message = format!(
            "is a mount point, whose place nothing else can take, so that no result could appear there as a whole; name a folder in it, such \
             as {}",
            place.join("result").display()
        );
        return Err(Error::refused(place, message));
    }
    kind.check(place)
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.lock = None;
        for folder in &self.made {
            // Not where something is in it.
            if std::fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ADAPTER: Kind = Kind {
        name: "an adapter that `weaverec train` wrote",
        marks: &["adapter_config.json", "training.jsonl"],
        holds: |name| name != "notes.txt",
        again: Again::Replaced,
    };

    fn write(claim: &Claim, text: &str) {
        let filled = claim.write(|folder| {
            for name in ADAPTER.marks {
                std::fs::write(folder.join(name), text).unwrap();
            }
            Ok::<_, Error>(())
        });
        filled.unwrap();
    }

    #[test]
    fn a_url_is_refused_and_makes_no_folder_of_its_name() {
        let error = Claim::take(Path::new("s3://bucket/run"), ADAPTER, &[]).unwrap_err();
        assert!(error.to_string().contains("is a URL"), "{error}");
        assert!(!Path::new("s3:").exists());
    }

    #[test]
    fn a_result_is_replaced_by_the_next_of_its_command() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("made/for/out");
        for text in ["one", "two"] {
            write(&Claim::take(&out, ADAPTER, &[]).unwrap(), text);
            assert_eq!(std::fs::read_to_string(out.join("training.jsonl")).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(out.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_claim_that_comes_to_nothing_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("made/for/out");
        let claim = Claim::take(&out, ADAPTER, &[]).unwrap();
        let failed = claim.write(|_| Err(Error::refused("x", "stopped")));
        assert!(failed.is_err());
        drop(claim);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_second_run_is_told_that_there_is_a_first() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("out");
        let first = Claim::take(&out, ADAPTER, &[]).unwrap();
        let error = Claim::take(&out, ADAPTER, &[]).unwrap_err().to_string();
        assert!(error.contains("another run writes there"), "{error}");
        drop(first);
        Claim::take(&out, ADAPTER, &[]).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_mount_point_is_refused_before_the_work_is_done() {
        let place = Path::new("/proc");
        if !path::is_mount_point(place) {
            eprintln!("skipped: nothing is mounted at /proc");
            return;
        }
        let error = Claim::take(place, ADAPTER, &[]).unwrap_err().to_string();
        assert!(
            error.contains("is a mount point") && error.contains("/proc/result"),
            "{error}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn what_was_being_written_in_the_place_itself_goes_with_the_next_claim() {
        let root = tempfile::tempdir().unwrap();
        let updated = Kind {
            again: Again::Updated,
            ..ADAPTER
        };
        for name in ADAPTER.marks.iter().chain(&[".weaverec-unfinished-Ab12cd"]) {
            std::fs::write(root.path().join(name), "").unwrap();
        }
        drop(Claim::take(root.path(), updated, &[]).unwrap());
        assert_eq!(
            std::fs::read_dir(root.path()).unwrap().count(),
            ADAPTER.marks.len()
        );
    }

    #[cfg(unix)]
    #[test]
    fn no_way_of_writing_an_input_s_name_makes_it_an_output() {
        let root = tempfile::tempdir().unwrap();
        let base = root.path().join("base");
        std::fs::create_dir_all(base.join("inner")).unwrap();
        for name in ADAPTER.marks {
            std::fs::write(base.join(name), "").unwrap();
        }
        std::os::unix::fs::symlink(&base, root.path().join("link")).unwrap();
        let inputs = [
            Input::new(root.path().join("inner/../base"), "the base"),
            Input::new(&base, "the base"),
        ];
        for (out, words) in [
            ("base", "is the base itself"),
            ("base/", "is the base itself"),
            ("link", "is the base itself"),
            ("base/inner/..", "is the base itself"),
            ("link/new/out", "lies inside the base"),
        ] {
            let error = Claim::take(&root.path().join(out), ADAPTER, &inputs)
                .unwrap_err()
                .to_string();
            assert!(error.contains(words), "{out}: {error}");
        }
        let held = [Input::new(base.join("inner"), "the base")];
        let error = Claim::take(&base, ADAPTER, &held).unwrap_err().to_string();
        assert!(error.contains("holds the base"), "{error}");
        let partly = [Input::partly(&base, "the base")];
        let inside = Claim::take(&base.join("new"), ADAPTER, &partly).unwrap();
        drop(inside);
        let new = root.path().join("new");
        let error = Claim::take(&new, ADAPTER, &[Input::partly(&new, "the records")]).unwrap_err();
        assert!(error.to_string().contains("is the records itself"), "{error}");
        let apart = [Input::new(root.path().join("nowhere"), "the base")];
        Claim::take(&base, ADAPTER, &apart).unwrap();
    }

    #[test]
    fn what_came_meanwhile_is_not_replaced() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("out");
        let claim = Claim::take(&out, ADAPTER, &[]).unwrap();
        std::fs::create_dir(&out).unwrap();
        std::fs::write(out.join("notes.txt"), "mine").unwrap();
        let error = claim.write(|_| Ok::<_, Error>(())).unwrap_err().to_string();
        assert!(error.contains("notes.txt"), "{error}");
        assert_eq!(std::fs::read_to_string(out.join("notes.txt")).unwrap(), "mine");
    }
}
