//! What the fuzz targets share. Bytes go through the readers as a file would, and each line must come out as a row or as a reject:
//! no panic, nothing lost, and (libFuzzer's time limit) nothing that takes longer than its length explains.
//!
//! The readers are included from their source, because the crate that holds them brings DataFusion.
#![allow(dead_code, unused_imports)]

#[path = "../../src/dataset/mod.rs"]
pub mod dataset;
#[path = "../../src/error.rs"]
pub mod error;
// Once more by itself: within the readers it is not seen from here.
#[path = "../../src/raw/gzip/mod.rs"]
mod gzip;
#[path = "../../src/raw/mod.rs"]
pub mod raw;
#[path = "../../src/storage.rs"]
pub mod storage;
#[path = "../../src/texts.rs"]
mod texts;

use std::path::Path;

use dataset::{DatasetDescription, RawFormat};
use error::{Error, Result};
use raw::{NoProgress, RawTables, ReadOptions};

/// A folder for the files of one run after another, in memory where the system has such a place.
struct Place {
    folder: tempfile::TempDir,
}

thread_local! {
    static PLACE: Place = {
        let shm = Path::new("/dev/shm");
        let folder = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() };
        Place { folder: folder.expect("a folder for the files") }
    };
}

/// A data set of one of the formats: its description, and which of its two files the fuzzed bytes are.
pub struct Set {
    description: DatasetDescription,
    /// Name and content of both files; the fuzzed bytes follow the content of the fuzzed one.
    files: [(&'static str, &'static [u8]); 2],
    fuzzed: usize,
}

/// The file of a [`Set`] that holds the fuzzed bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Interactions,
    Items,
}

impl Set {
    /// A set of `format`; `more` is put at the end of its description. Files are given by name and first lines.
    pub fn new(format: &str, files: [(&'static str, &'static [u8]); 2], part: Part, more: &str) -> Self {
        let [interactions, items] =
            files.map(|(name, _)| name.trim_end_matches(".gz").trim_end_matches(".zst"));
        // A file that is always empty is not worth its reading.
        let items = if part == Part::Items {
            format!("\"{items}\"")
        } else {
            String::new()
        };
        let text = format!(
            "name = \"t\"\ntitle = \"T\"\nplatform = \"p\"\nlicence = \"own\"\nformat = \"{format}\"\n\
             interactions = [\"{interactions}\"]\nitems = [{items}]\n{more}",
        );
        Set {
            description: DatasetDescription::parse(&text, "t.toml").expect("a description"),
            files,
            fuzzed: usize::from(part == Part::Items),
        }
    }

    /// Whether a line may hold any number of rows: a library of Steam is one line.
    fn many_rows_a_line(&self) -> bool {
        self.description.format == RawFormat::SteamLibrary && self.fuzzed == 0
    }

    /// Reads the set with `bytes` in the fuzzed file. What cannot be read as a whole is an error that names that file; of anything
    /// else every line is accounted for.
    pub fn read(&self, bytes: &[u8], salvage: bool) {
        let found = PLACE.with(|place| {
            for (at, (name, first)) in self.files.iter().enumerate() {
                let rest = if at == self.fuzzed { bytes } else { b"" };
                std::fs::write(place.folder.path().join(name), [first, rest].concat()).expect("a file");
            }
            let options = ReadOptions { salvage, threads: 1 };
            let found = raw::read(&self.description, place.folder.path(), &options, &NoProgress);
            for (name, _) in self.files {
                let _ = std::fs::remove_file(place.folder.path().join(name));
            }
            found
        });
        match found {
            Ok(tables) => account(&tables, self.many_rows_a_line()),
            Err(Error::Format { path, message, .. }) => {
                assert!(path.ends_with(self.files[self.fuzzed].0), "{path:?}: {message}");
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// Rows and rejects are all the lines there were (unless a line may hold many rows), with places that fit.
fn account(tables: &RawTables, many_rows_a_line: bool) {
    let batches = tables.interactions.iter().chain(tables.items.iter().flatten());
    let rows: usize = batches.map(|batch| batch.num_rows()).sum();
    let rejected = tables.rejects.len() as u64;
    if many_rows_a_line {
        assert!(rejected <= tables.lines);
    } else {
        assert_eq!(rows as u64 + rejected, tables.lines);
    }
    for pair in tables.rejects.windows(2) {
        let (one, next) = (&pair[0], &pair[1]);
        // Rows of Parquet have no offset; of lines only the first can be at 0.
        let later = one.offset < next.offset || next.offset == 0 && one.offset == 0;
        assert!(one.file != next.file || (one.line < next.line && later));
    }
    for reject in &tables.rejects {
        assert!(reject.line > 0 && !reject.reason.is_empty() && reject.text.len() <= 600);
    }
}

/// One of the sets, chosen by the first byte; the rest of the bytes.
pub fn choose<'a, 'b, T>(among: &'a [T], bytes: &'b [u8]) -> Option<(&'a T, &'b [u8])> {
    let (first, rest) = bytes.split_first()?;
    among
        .get(usize::from(*first) % among.len())
        .map(|set| (set, rest))
}

/// What a time means in a way to write times, which must mean the same after it was written into a description and read again.
pub fn calendar(format: &str, time: &str) -> Option<i64> {
    let format = dataset::TimeFormat::try_from(format.to_string()).ok()?;
    let again = dataset::TimeFormat::try_from(format.to_string()).expect("what was written can be read");
    assert_eq!(again, format);
    let found = format.reader().calendar(time);
    assert_eq!(again.reader().calendar(time), found);
    // What reads a time when the described way does not.
    for way in dataset::ways(&[time.to_string()]) {
        dataset::TimeFormat::try_from(way).expect("what is proposed can be written");
    }
    found
}

/// What a gzip file holds, or holds before its damage; through blocks that take `size` bytes.
pub fn gunzip(stored: &[u8], size: usize) -> (Vec<u8>, std::io::Result<()>) {
    let mut decoder = gzip::Decoder::new(stored);
    let mut block = vec![0; gzip::SMALLEST + size];
    let mut all = Vec::new();
    loop {
        let (range, result) = decoder.fill(&mut block);
        all.extend_from_slice(&block[range.clone()]);
        if result.is_err() || range.is_empty() {
            return (all, result);
        }
    }
}
