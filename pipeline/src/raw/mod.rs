//! Published raw formats, one a file: bytes in, Arrow batches of interactions and items out, and a [`Reject`] for every line
//! that is neither.
//!
//! A line that cannot be parsed, lacks a key or holds an impossible value is rejected with its place and reason, and reading goes
//! on. A file that cannot be read on is an error, unless [`ReadOptions::salvage`] asks to keep what came before. Blank lines
//! hold nothing and are passed over.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};

use crate::dataset::{DatasetDescription, RawFormat, TableKind};
use crate::error::{Error, Result};
use crate::magic::Expected;
use crate::storage;

mod ahead;
mod amazon;
mod amazon_2023;
mod batch;
mod clock;
mod csv;
mod generic;
mod goodreads;
mod header;
mod id;
pub mod json;
mod line;
mod movielens_100k;
mod movielens_csv;
mod movielens_dat;
mod nested;
mod open;
mod parallel;
mod partition;
mod place;
pub mod python_literal;
mod recbole;
mod rejects;
mod scan;
mod steam;
mod table;
mod unclosed;
mod utf16;

pub use batch::RowBatch;
pub(crate) use partition::parts as partition_of;
pub use place::Lines;
pub(crate) use place::{file_of, line_of};
pub use rejects::Rejects;
pub use scan::Reject;
pub use table::{RawInteraction, interactions_schema, items_schema};
pub(crate) use table::{RowSink, Sink, TextRows, number_lines};

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
    /// Where it lies; a file in an archive below the archive's name.
    pub path: PathBuf,
    /// Its size as stored (compressed, if it is), or that of its archive.
    pub bytes: u64,
    /// BLAKE3 hash of it, or of its archive, as stored, in hex.
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
    /// What else a reader of results should know of the files, one sentence each.
    pub notes: Vec<String>,
}

/// What reading met, besides rows.
#[derive(Debug)]
pub(crate) struct Met {
    /// Lines that were no rows, interaction files first, each in file order.
    pub rejects: Rejects,
    /// The files read, interaction files first.
    pub inputs: Vec<InputFile>,
    /// Data lines read, rejects included; headers and blank lines are none.
    pub lines: u64,
    /// What salvaging lost, one sentence a file.
    pub losses: Vec<String>,
    /// What else a reader of results should know of the files, one sentence each.
    pub notes: Vec<String>,
    /// From the places of interactions to their lines.
    pub interaction_lines: Lines,
    /// From the places of items to their lines; `None` when the set has no item file.
    pub item_lines: Option<Lines>,
}

/// Reads the files of a data set from the folder `root` into memory.
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
    let collected = Collected::default();
    let mut met = read_into(description, root, options, &collected, None, progress)?;
    let mut rejects = Vec::new();
    met.rejects.each(|reject| {
        rejects.push(reject.clone());
        Ok(())
    })?;
    let lines = met.interaction_lines;
    let items = met
        .item_lines
        .map(|lines| in_order(collected.items, items_schema(), &lines));
    Ok(RawTables {
        interactions: in_order(collected.interactions, interactions_schema(), &lines)?,
        items: items.transpose()?,
        rejects,
        inputs: met.inputs,
        lines: met.lines,
        losses: met.losses,
        notes: met.notes,
    })
}

/// Reads the files of a data set from the folder `root` and hands the rows to `sink` as they come; their `line` is a place, since
/// several files are read at a time. Rejects that are too many for memory go to files without a name in `scratch`.
pub(crate) fn read_into(
    description: &DatasetDescription,
    root: &Path,
    options: &ReadOptions,
    sink: &dyn Sink,
    scratch: Option<&Path>,
    progress: &dyn Progress,
) -> Result<Met> {
    let interaction_files = description.interaction_files(root)?;
    let item_files = description.item_files(root)?;
    description.check_found(&interaction_files, item_files.as_deref().unwrap_or_default())?;
    let mut total = 0;
    for path in interaction_files.iter().chain(item_files.iter().flatten()) {
        total += storage::size(path).map_err(|source| Error::io(path, "read", source))?;
    }
    progress.stage("read", Some(total));

    let interactions = interaction_files.iter().enumerate();
    let items = item_files.iter().flatten().enumerate();
    let interactions = interactions.map(|(number, path)| (Part::Interactions, number, path));
    let items = items.map(|(number, path)| (Part::Items, number, path));
    let jobs: Vec<(Part, usize, &PathBuf)> = interactions.chain(items).collect();
    let read = |(part, number, path): &(Part, usize, &PathBuf)| {
        let mut scan = Scan::new(
            options.salvage,
            expected(description.format, *part, path),
            root,
            scratch,
        );
        read_file(description, (*part, *number, path), &mut scan, sink, progress).map(|()| scan)
    };
    let mut files = parallel::in_order(&jobs, options.threads, read);
    let described = files.split_off(interaction_files.len());

    // Of several errors the first file's counts, whichever came first.
    let join = |files: Vec<Result<Scan>>| -> Result<Scan> {
        files.into_iter().try_fold(
            Scan::new(false, Expected::Text, root, scratch),
            |mut joined, file| {
                joined.append(file?);
                Ok(joined)
            },
        )
    };
    let mut scan = join(files)?;
    let interaction_lines = Lines::of(std::mem::take(&mut scan.file_lines));
    let mut of_items = join(described)?;
    let item_lines = Lines::of(std::mem::take(&mut of_items.file_lines));
    scan.append(of_items);
    Ok(Met {
        rejects: scan.rejects,
        inputs: scan.inputs,
        lines: scan.lines,
        losses: scan.losses,
        notes: scan.notes,
        interaction_lines,
        item_lines: item_files.map(|_| item_lines),
    })
}

/// Decompresses a file, or reads a plain one, and counts its bytes: what reading costs at the least.
///
/// # Errors
/// As [`read`].
pub fn decompressed_bytes(path: &Path, progress: &dyn Progress) -> Result<u64> {
    line::LineReader::open(path, Expected::Text, progress)?.skip_all()
}

/// Size and hash of a file as stored; of one in an archive, those of the archive.
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read.
pub(crate) fn fingerprint(path: &Path) -> Result<InputFile> {
    let failed = |source| Error::io(path, "read", source);
    let file = storage::open(&storage::stored(path)).map_err(failed)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(failed)?;
    Ok(InputFile {
        path: path.to_path_buf(),
        bytes: hasher.count(),
        blake3: hasher.finalize().to_hex().to_string(),
    })
}

/// Keeps all rows in memory.
#[derive(Default)]
struct Collected {
    interactions: Mutex<Vec<RecordBatch>>,
    items: Mutex<Vec<RecordBatch>>,
}

fn add(to: &Mutex<Vec<RecordBatch>>, batch: RecordBatch) -> Result<()> {
    // A vector that was only pushed to is whole whatever happened to another thread.
    to.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
    Ok(())
}

impl Sink for Collected {
    fn interactions(&self) -> Box<dyn RowSink + '_> {
        Box::new(TextRows::new(|batch| add(&self.interactions, batch)))
    }

    fn items(&self, batch: RecordBatch) -> Result<()> {
        add(&self.items, batch)
    }
}

/// Batches in file order, with line numbers; at least one, so that the schema is there even without rows.
fn in_order(batches: Mutex<Vec<RecordBatch>>, schema: SchemaRef, lines: &Lines) -> Result<Vec<RecordBatch>> {
    let mut batches = batches.into_inner().unwrap_or_else(PoisonError::into_inner);
    batches.sort_by_key(|batch| {
        let places = batch.column(batch.num_columns() - 1).as_primitive::<Int64Type>();
        places.values().first().copied()
    });
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    batches.iter().map(|batch| number_lines(lines, batch)).collect()
}

/// What a file holds.
#[derive(Clone, Copy)]
enum Part {
    Interactions,
    Items,
}

/// What the lines of a file should hold.
fn expected(format: RawFormat, part: Part, path: &Path) -> Expected {
    match (format, part) {
        (RawFormat::Amazon2014, Part::Interactions)
        | (RawFormat::Amazon2018 | RawFormat::Goodreads, _)
        | (RawFormat::Amazon2023, Part::Items) => Expected::JsonLines,
        (RawFormat::MovielensCsv | RawFormat::Recbole, _) => Expected::Delimited,
        (RawFormat::Generic | RawFormat::Amazon2023, _) => match TableKind::of(&path.to_string_lossy()) {
            Some(TableKind::Csv | TableKind::Tsv) => Expected::Delimited,
            Some(TableKind::Parquet) if format == RawFormat::Generic => Expected::Parquet,
            Some(TableKind::JsonLines) => Expected::JsonLines,
            _ => Expected::Text,
        },
        // Python literals, and fields without a header.
        _ => Expected::Text,
    }
}

fn read_file(
    description: &DatasetDescription,
    (part, number, path): (Part, usize, &Path),
    scan: &mut Scan,
    sink: &dyn Sink,
    progress: &dyn Progress,
) -> Result<()> {
    if expected(description.format, part, path) == Expected::Parquet {
        open::parquet(path)?;
    }
    if description.format == RawFormat::Generic && TableKind::of(&path.to_string_lossy()).is_none() {
        open::nameless(path)?;
    }
    match part {
        Part::Interactions => batch::into_sink(sink, |rows| {
            let mut table = InteractionTable::new(description, number, rows);
            read_interactions(description, path, scan, &mut table, progress)?;
            table.end_file().map_err(|refusal| refusal.of_file(path))?;
            table.finish()
        }),
        Part::Items => {
            let mut table = ItemTable::new(description, number, sink);
            read_items(description, path, scan, &mut table, progress)?;
            table.finish()
        }
    }
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
        RawFormat::Amazon2014 => amazon::interactions_2014(path, scan, table, progress),
        RawFormat::Amazon2018 => amazon::interactions_2018(path, scan, table, progress),
        RawFormat::Amazon2023 => amazon_2023::interactions(path, scan, table, progress),
        RawFormat::MovielensCsv => movielens_csv::ratings(path, scan, table, progress),
        RawFormat::Movielens100k => movielens_100k::ratings(path, scan, table, progress),
        RawFormat::MovielensDat => movielens_dat::ratings(path, scan, table, progress),
        RawFormat::Recbole => recbole::interactions(path, columns, scan, table, progress),
        RawFormat::Steam => steam::reviews(path, scan, table, progress),
        RawFormat::SteamLibrary => steam::libraries(path, scan, table, progress),
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
    let columns = &description.columns.of_items();
    match description.format {
        RawFormat::Amazon2014 => amazon::metadata_2014(path, scan, table, progress),
        RawFormat::Amazon2018 => amazon::metadata_2018(path, scan, table, progress),
        RawFormat::Amazon2023 => amazon_2023::metadata(path, scan, table, progress),
        RawFormat::MovielensCsv => movielens_csv::movies(path, scan, table, progress),
        RawFormat::Movielens100k => movielens_100k::movies(path, scan, table, progress),
        RawFormat::MovielensDat => movielens_dat::movies(path, scan, table, progress),
        RawFormat::Recbole => recbole::items(path, columns, scan, table, progress),
        RawFormat::Steam | RawFormat::SteamLibrary => steam::games(path, scan, table, progress),
        RawFormat::Goodreads => goodreads::books(path, scan, table, progress),
        RawFormat::Generic => generic::items(path, columns, scan, table, progress),
    }
}

#[cfg(test)]
mod tests;
