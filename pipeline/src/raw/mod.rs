//! Published raw formats, one a file: bytes in, Arrow batches of interactions and items out, and a [`Reject`] for every line
//! that is neither.
//!
//! A line that cannot be parsed, lacks a key or holds an impossible value is rejected with its place and reason, and reading goes
//! on. A file that cannot be read on is an error, unless [`ReadOptions::salvage`] asks to keep what came before. Blank lines
//! hold nothing and are passed over.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;

use crate::dataset::{DatasetDescription, RawFormat};
use crate::error::{Error, Result};
use crate::storage;

mod ahead;
mod amazon;
mod amazon_2023;
mod clock;
mod csv;
mod generic;
mod goodreads;
mod line;
mod movielens;
mod movielens_100k;
mod movielens_dat;
mod nested;
mod parallel;
pub mod python_literal;
mod recbole;
mod scan;
mod steam;
mod table;

pub use scan::Reject;
pub use table::{interactions_schema, items_schema};

use scan::Scan;
use table::{InteractionTable, ItemTable};

/// Hears how far a long job has come.
pub trait Progress: Send + Sync {
    /// A new stage begins; `total` is the number of its units where that is known.
    fn stage(&self, name: &str, total: Option<u64>);
    /// `by` more units of the stage are done.
    fn advance(&self, by: u64);
}

/// A [`Progress`] that nobody hears.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn stage(&self, _name: &str, _total: Option<u64>) {}
    fn advance(&self, _by: u64) {}
}

/// How to read.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    /// Keep what comes before the place where a file cannot be read on, instead of failing.
    pub salvage: bool,
    /// As many files are read at the same time, each with a thread beside it that decompresses. The result does not depend on it.
    pub threads: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions {
            salvage: false,
            threads: 2,
        }
    }
}

/// A raw file as it was found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct InputFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its size as stored (compressed, if it is).
    pub bytes: u64,
    /// BLAKE3 hash of it as stored, in hex.
    pub blake3: String,
}

/// What was read.
#[derive(Debug)]
pub struct RawTables {
    /// Interactions, in file order ([`interactions_schema`]).
    pub interactions: Vec<RecordBatch>,
    /// Items, in file order and with repetitions ([`items_schema`]); `None` when the set has no item file.
    pub items: Option<Vec<RecordBatch>>,
    /// Lines that were neither, interaction files first, each in file order.
    pub rejects: Vec<Reject>,
    /// The files read, interaction files first.
    pub inputs: Vec<InputFile>,
    /// Data lines read, rejects included; headers and blank lines are none.
    pub lines: u64,
    /// What salvaging lost, one sentence a file.
    pub losses: Vec<String>,
}

/// Reads the files of a data set from the folder `root`.
///
/// # Errors
/// [`Error::Io`] for a missing or unreadable file, [`Error::Format`] for one that cannot be read on (damaged compression, a header
/// without a needed column).
pub fn read(
    description: &DatasetDescription,
    root: &Path,
    options: &ReadOptions,
    progress: &dyn Progress,
) -> Result<RawTables> {
    let interaction_files = description.interaction_files(root)?;
    let item_files = description.item_files(root)?;
    let mut total = 0;
    for path in interaction_files.iter().chain(item_files.iter().flatten()) {
        total += storage::size(path).map_err(|source| Error::io(path, "read", source))?;
    }
    progress.stage("read", Some(total));

    let interactions = interaction_files.iter().map(|path| (Part::Interactions, path));
    let items = item_files.iter().flatten().map(|path| (Part::Items, path));
    let jobs: Vec<(Part, &PathBuf)> = interactions.chain(items).collect();
    let read =
        |(part, path): &(Part, &PathBuf)| read_file(description, *part, path, options.salvage, progress);
    let mut files = parallel::in_order(&jobs, options.threads, read);
    let described = files.split_off(interaction_files.len());

    let (interactions, mut scan) = join(files)?;
    let (items, of_items) = join(described)?;
    scan.append(of_items);
    Ok(RawTables {
        interactions,
        items: item_files.map(|_| items),
        rejects: scan.rejects,
        inputs: scan.inputs,
        lines: scan.lines,
        losses: scan.losses,
    })
}

/// What a file holds.
#[derive(Clone, Copy)]
enum Part {
    Interactions,
    Items,
}

/// The rows of a file, with line numbers that count from its beginning, and what was met in it.
type FileRows = (Vec<RecordBatch>, Scan);

fn read_file(
    description: &DatasetDescription,
    part: Part,
    path: &Path,
    salvage: bool,
    progress: &dyn Progress,
) -> Result<FileRows> {
    let mut scan = Scan::new(salvage);
    let batches = match part {
        Part::Interactions => {
            let mut table = InteractionTable::new(description.time_format());
            read_interactions(description, path, &mut scan, &mut table, progress)?;
            table.end_file().map_err(|refusal| refusal.of_file(path))?;
            table.finish()?
        }
        Part::Items => {
            let mut table = ItemTable::default();
            read_items(description, path, &mut scan, &mut table, progress)?;
            table.finish()?
        }
    };
    Ok((batches, scan))
}

/// The rows of files one after another, with line numbers that go on from one to the next. Of several errors the first file's counts,
/// whichever came first.
fn join(files: Vec<Result<FileRows>>) -> Result<FileRows> {
    let mut joined = (Vec::new(), Scan::new(false));
    for file in files {
        let (batches, scan) = file?;
        for batch in batches {
            joined
                .0
                .push(table::count_lines_from(joined.1.file_lines, batch)?);
        }
        joined.1.append(scan);
    }
    Ok(joined)
}

fn read_interactions(
    description: &DatasetDescription,
    path: &Path,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    let columns = &description.columns;
    match description.format {
        RawFormat::Amazon2014 | RawFormat::Amazon2018 => amazon::reviews(path, scan, table, progress),
        RawFormat::Amazon2023 => amazon_2023::interactions(path, scan, table, progress),
        RawFormat::MovielensCsv => movielens::ratings(path, scan, table, progress),
        RawFormat::Movielens100k => movielens_100k::ratings(path, scan, table, progress),
        RawFormat::MovielensDat => movielens_dat::ratings(path, scan, table, progress),
        RawFormat::Recbole => recbole::interactions(path, columns, scan, table, progress),
        RawFormat::Steam => steam::reviews(path, scan, table, progress),
        RawFormat::Goodreads => goodreads::shelvings(path, scan, table, progress),
        RawFormat::Generic => generic::interactions(path, columns, scan, table, progress),
    }
}

fn read_items(
    description: &DatasetDescription,
    path: &Path,
    scan: &mut Scan,
    table: &mut ItemTable,
    progress: &dyn Progress,
) -> Result<()> {
    let columns = &description.columns;
    match description.format {
        RawFormat::Amazon2014 => amazon::metadata_2014(path, scan, table, progress),
        RawFormat::Amazon2018 => amazon::metadata_2018(path, scan, table, progress),
        RawFormat::Amazon2023 => amazon_2023::metadata(path, scan, table, progress),
        RawFormat::MovielensCsv => movielens::movies(path, scan, table, progress),
        RawFormat::Movielens100k => movielens_100k::movies(path, scan, table, progress),
        RawFormat::MovielensDat => movielens_dat::movies(path, scan, table, progress),
        RawFormat::Recbole => recbole::items(path, columns, scan, table, progress),
        RawFormat::Steam => steam::games(path, scan, table, progress),
        RawFormat::Goodreads => goodreads::books(path, scan, table, progress),
        RawFormat::Generic => generic::items(path, columns, scan, table, progress),
    }
}

#[cfg(test)]
mod tests;
