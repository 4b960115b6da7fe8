//! How the results of a command are told from anything else.

use std::path::Path;

use crate::error::{Error, Result};
use crate::scratch;

/// What becomes of an earlier result of the same command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It is replaced as a whole.
    Replaced,
    /// It is kept, or, where that is asked for, replaced as a whole.
    OnDemand,
    /// Its files are replaced one by one; others stay.
    Updated,
    /// It stays, and nothing is written.
    Kept,
}

/// What a command writes into a folder of its own.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// What messages call it, as in "an adapter that `weaverec train` wrote".
    pub name: &'static str,
    /// Names of which all are there in every one, and together in nothing else.
    pub marks: &'static [&'static str],
    /// Whether a name may stand at the top of one. What has another one was put there by somebody else.
    pub holds: fn(&str) -> bool,
    /// What becomes of an earlier one.
    pub again: Again,
}

/// What systems and file managers leave in folders.
const LITTER: [&str; 3] = [".DS_Store", "Thumbs.db", "desktop.ini"];

/// Folders of this program by the names in them, for messages that say what is there.
const KNOWN: [(&str, &[&str]); 8] = [
    ("a prepared folder", &["manifest.json", "dataset_info.json"]),
    ("a result of `weaverec merge`", &["merge.json"]),
    (
        "an adapter that was trained",
        &["adapter_config.json", "training.jsonl"],
    ),
    ("an adapter", &["adapter_config.json"]),
    ("a language model", &["config.json"]),
    ("a report", &["results.json", "report.md"]),
    ("a folder of generated logs", &["synth.json"]),
    ("a folder of run records", &["cells"]),
];

impl Kind {
    /// Whether the command may write at `place`: nothing is there, an empty folder, or an earlier result of its own.
    ///
    /// # Errors
    /// [`Error::Refused`] with what is there.
    pub fn check(&self, place: &Path) -> Result<()> {
        let Some(names) = names(place)? else { return Ok(()) };
        if names.is_empty() {
            return Ok(());
        }
        if self.again == Again::Kept {
            let message = "is there already and is left alone; remove it, or name another place";
            return Err(Error::refused(place, message));
        }
        if !has_all(place, self.marks) {
            let message = format!(
                "{} is there and is left alone, since it is not {} ({} missing); name another place, or move it away",
                describe(place),
                self.name,
                missing(place, self.marks)
            );
            return Err(Error::refused(place, message));
        }
        match self.again {
            Again::Replaced => self.check_contents(place),
            _ => Ok(()),
        }
    }

    /// Whether an earlier result holds nothing that somebody else put there, and that would be lost with it.
    ///
    /// # Errors
    /// [`Error::Refused`] with the first name.
    pub fn check_contents(&self, place: &Path) -> Result<()> {
        let names = names(place)?.unwrap_or_default();
        match names.into_iter().find(|name| !(self.holds)(name)) {
            None => Ok(()),
            Some(name) => Err(Error::refused(
                place,
                format!(
                    "holds `{name}`, which is no part of {} and would be lost; move it away, or name another place",
                    self.name
                ),
            )),
        }
    }
}

fn has_all(place: &Path, marks: &[&str]) -> bool {
    marks.iter().all(|mark| place.join(mark).exists())
}

fn missing(place: &Path, marks: &[&str]) -> String {
    let missing = marks.iter().filter(|mark| !place.join(mark).exists());
    missing.copied().collect::<Vec<_>>().join(" and ")
}

/// The names in a folder, without litter and work in progress, in order; `None` where there is nothing.
fn names(place: &Path) -> Result<Option<Vec<String>>> {
    let failed = |source| Error::io(place, "read", source);
    let entries = match std::fs::read_dir(place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            if !place.exists() {
                // A file in the way above: whoever makes the folders tells.
                return Ok(None);
            }
            let message = "is a file, and a folder is to be written; remove it, or name another place";
            return Err(Error::refused(place, message));
        }
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if !LITTER.contains(&name.as_str()) && !scratch::is_ours(&name) {
            names.push(name);
        }
    }
    names.sort();
    Ok(Some(names))
}

/// What a folder is, in a few words: one of ours, or a folder with what is in it.
pub fn describe(place: &Path) -> String {
    if let Some((known, _)) = KNOWN.iter().find(|(_, marks)| has_all(place, marks)) {
        return (*known).to_owned();
    }
    let names = names(place).ok().flatten().unwrap_or_default();
    match names.as_slice() {
        [] => "an empty folder".to_owned(),
        [only] => format!("a folder with `{only}`"),
        [first, others @ ..] => format!("a folder with `{first}` and {} more", others.len()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn kind(again: Again) -> Kind {
        Kind {
            name: "a cake that `oven bake` made",
            marks: &["cake.json", "crust"],
            holds: |name| ["cake.json", "crust", "icing"].contains(&name),
            again,
        }
    }

    #[test]
    fn nothing_an_empty_folder_and_an_earlier_result_may_be_written_to() {
        let root = tempfile::tempdir().unwrap();
        let cake = kind(Again::Replaced);
        cake.check(&root.path().join("missing")).unwrap();
        cake.check(root.path()).unwrap();
        for name in ["cake.json", "crust", ".DS_Store"] {
            std::fs::write(root.path().join(name), "").unwrap();
        }
        cake.check(root.path()).unwrap();
        let error = kind(Again::Kept).check(root.path()).unwrap_err().to_string();
        assert!(error.contains("is there already"), "{error}");
    }

    #[test]
    fn what_is_something_else_is_said_with_what_it_lacks() {
        let root = tempfile::tempdir().unwrap();
        let refused = |name: &str| {
            let path = root.path().join(name);
            let error = kind(Again::Updated).check(&path).unwrap_err().to_string();
            assert!(error.contains("name another place"), "{error}");
            error
        };
        std::fs::write(root.path().join("file"), "").unwrap();
        assert!(refused("file").contains("is a file"));
        for (folder, files, words) in [
            (
                "data",
                &["manifest.json", "dataset_info.json"][..],
                "a prepared folder is there",
            ),
            ("base", &["config.json"], "a language model is there"),
            ("half", &["cake.json"], "(crust missing)"),
            ("other", &["a", "b", "c"], "a folder with `a` and 2 more is there"),
        ] {
            std::fs::create_dir(root.path().join(folder)).unwrap();
            for file in files {
                std::fs::write(root.path().join(folder).join(file), "").unwrap();
            }
            let error = refused(folder);
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn what_would_be_lost_with_an_earlier_result_is_named() {
        let root = tempfile::tempdir().unwrap();
        for name in ["cake.json", "crust", "recipe-of-grandmother.txt"] {
            std::fs::write(root.path().join(name), "").unwrap();
        }
        let error = kind(Again::Replaced).check(root.path()).unwrap_err().to_string();
        assert!(error.contains("`recipe-of-grandmother.txt`"), "{error}");
        kind(Again::Updated).check(root.path()).unwrap();
        kind(Again::OnDemand).check(root.path()).unwrap();
    }
}
