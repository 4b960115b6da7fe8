//! Refused lines: a few in memory, more of them on disk. A log may be bad from end to end.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::scan::Reject;
use crate::error::{Error, Result};

/// Rejects of a file that stay in memory.
const HELD: usize = 1_000;

/// The rejects of one file, in the order of its lines.
#[derive(Debug)]
struct OfFile {
    name: String,
    held: Vec<Reject>,
    /// Those before them.
    written: Option<BufWriter<File>>,
}

/// The rejects of any number of files, in order.
#[derive(Debug)]
pub struct Rejects {
    files: Vec<OfFile>,
    /// By file and reason.
    counts: BTreeMap<(String, String), u64>,
    /// Where files without a name are made; none: where the system has them.
    scratch: Option<PathBuf>,
}

impl Rejects {
    /// None yet; what is too much for memory goes to `scratch`.
    pub(crate) fn new(scratch: Option<&Path>) -> Self {
        Self {
            files: Vec::new(),
            counts: BTreeMap::new(),
            scratch: scratch.map(Path::to_owned),
        }
    }

    /// Adds one; those of a file come one after another.
    pub(crate) fn push(&mut self, reject: Reject) -> Result<()> {
        // Reasons are few: the pair is looked for before it is made.
        let key = (reject.file.clone(), reject.reason.clone());
        *self.counts.entry(key).or_insert(0) += 1;
        if self.files.last().is_none_or(|last| last.name != reject.file) {
            self.files.push(OfFile {
                name: reject.file.clone(),
                held: Vec::new(),
                written: None,
            });
        }
        let scratch = self.scratch.as_deref();
        let Some(last) = self.files.last_mut() else {
            return Ok(());
        };
        last.held.push(reject);
        if last.held.len() == HELD {
            let place = scratch.map_or_else(std::env::temp_dir, Path::to_owned);
            last.write(&place)
                .map_err(|source| Error::io(place, "write into", source))?;
        }
        Ok(())
    }

    /// Adds those of other files.
    pub(crate) fn append(&mut self, other: Self) {
        self.files.extend(other.files);
        for (key, count) in other.counts {
            *self.counts.entry(key).or_insert(0) += count;
        }
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// How many of each kind, by `file: reason`.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let named =
            |((file, reason), count): (&(String, String), &u64)| (format!("{file}: {reason}"), *count);
        self.counts.iter().map(named).collect()
    }

    /// The first of all.
    pub fn first(&mut self) -> Result<Option<Reject>> {
        let mut first = None;
        if let Some(file) = self.files.first_mut() {
            file.each(&mut |reject| {
                first.get_or_insert_with(|| reject.clone());
                Ok(())
            })?;
        }
        Ok(first)
    }

    /// Hands them over one by one, in order.
    pub fn each(&mut self, mut visit: impl FnMut(&Reject) -> Result<()>) -> Result<()> {
        self.files.iter_mut().try_for_each(|file| file.each(&mut visit))
    }
}

impl OfFile {
    fn each(&mut self, visit: &mut impl FnMut(&Reject) -> Result<()>) -> Result<()> {
        if let Some(written) = &mut self.written {
            let failed = |source| Error::io(&self.name, "read back the rejects of", source);
            written.flush().map_err(failed)?;
            written.get_mut().seek(SeekFrom::Start(0)).map_err(failed)?;
            let mut rejects = BufReader::new(written.get_ref());
            while let Some(reject) = take(&mut rejects, &self.name).map_err(failed)? {
                visit(&reject)?;
            }
        }
        self.held.iter().try_for_each(visit)
    }

    fn write(&mut self, place: &Path) -> io::Result<()> {
        if self.written.is_none() {
            self.written = Some(BufWriter::new(tempfile::tempfile_in(place)?));
        }
        let Some(out) = &mut self.written else {
            return Ok(());
        };
        for reject in self.held.drain(..) {
            for number in [reject.line, reject.offset] {
                out.write_all(&number.to_le_bytes())?;
            }
            for text in [&reject.reason, &reject.text] {
                out.write_all(&(text.len() as u64).to_le_bytes())?;
                out.write_all(text.as_bytes())?;
            }
        }
        Ok(())
    }
}

/// The next reject; none at the end.
fn take(input: &mut impl Read, file: &str) -> io::Result<Option<Reject>> {
    let mut first = [0; 8];
    match input.read_exact(&mut first) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut number = || {
        let mut bytes = [0; 8];
        input.read_exact(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    };
    let offset = number()?;
    let mut text = || {
        let mut length = [0; 8];
        input.read_exact(&mut length)?;
        let mut bytes = vec![0; u64::from_le_bytes(length) as usize];
        input.read_exact(&mut bytes)?;
        String::from_utf8(bytes).map_err(io::Error::other)
    };
    Ok(Some(Reject {
        file: file.to_owned(),
        line: u64::from_le_bytes(first),
        offset,
        reason: text()?,
        text: text()?,
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn reject(file: &str, line: u64) -> Reject {
        Reject {
            file: file.to_owned(),
            line,
            offset: line * 7,
            reason: format!("reason {}", line % 3),
            text: format!("text of line {line}"),
        }
    }

    #[test]
    fn all_come_back_in_order_though_few_are_held() {
        let folder = tempfile::tempdir().unwrap();
        let mut all = Rejects::new(Some(folder.path()));
        let mut expected = Vec::new();
        for (file, count) in [("a", 2_500), ("b", 3), ("c", 1_000)] {
            let mut own = Rejects::new(Some(folder.path()));
            for line in 1..=count {
                own.push(reject(file, line)).unwrap();
                expected.push(reject(file, line));
            }
            all.append(own);
        }
        let held: usize = all.files.iter().map(|file| file.held.len()).sum();
        assert!(held < 2 * HELD, "{held} of {} are in memory", expected.len());
        for _ in 0..2 {
            let mut found = Vec::new();
            all.each(|reject| {
                found.push(reject.clone());
                Ok(())
            })
            .unwrap();
            assert_eq!(found, expected);
        }
        assert_eq!(all.len(), 3_503);
        assert_eq!(all.counts()["b: reason 2"], 1);
    }
}
