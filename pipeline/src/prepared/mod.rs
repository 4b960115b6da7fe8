//! The prepared folder: the only place that knows its layout, schema and manifest.

mod bins;
mod croissant;
mod id_order;
mod layout;
mod lengths;
mod manifest;
mod repeats;
mod row;
mod ties;
mod write;

pub use bins::{Bin, BinReport};
pub use croissant::{CROISSANT, croissant};
pub use id_order::IdOrder;
pub use layout::{
    CARD, DATASET_INFO, INTERACTIONS, ITEMS, MANIFEST, PROMPT_ROWS, REJECTS, SCHEMA_VERSION, SEQUENCES,
    SHARD_ROWS, TABLE_ROWS, interactions as interactions_schema, items as items_schema,
    prompts as prompts_schema, rejects as rejects_schema, shard,
};
pub use lengths::Lengths;
pub use manifest::{FileEntry, Manifest, STAGES, StageCount, fingerprint};
pub use repeats::RepeatReport;
pub use row::PromptRow;
pub use ties::{Share, TieReport};
pub use write::{ParquetFile, write_batches, write_frame, write_text};

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Float64Type, Int64Type, UInt32Type, UInt64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

use crate::error::{Error, Result};
use crate::raw::Reject;
use crate::schema::{Item, Prompt, Split};
use crate::stage::{Bins, Holdout, PromptStyle, Targets, Titles};
use crate::storage;

/// One user's interactions, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// The user as named in the raw log.
    pub user_id: String,
    /// Dense item ids.
    pub items: Vec<u32>,
    /// Milliseconds UTC, one an item; within a burst ([`tie_window_ms`](crate::parameters::Parameters::tie_window_ms)) in no order.
    pub timestamps: Vec<i64>,
}

/// One interaction after deduplication and k-core.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InteractionRow<'a> {
    /// Dense id of the user.
    pub user: u32,
    /// Dense id of the item.
    pub item: u32,
    /// The user as named in the raw log.
    pub user_id: &'a str,
    /// The item as named in the raw log.
    pub item_id: &'a str,
    /// The rating, where there is one.
    pub rating: Option<f64>,
    /// Milliseconds UTC.
    pub timestamp: i64,
    /// The row's place in the raw files.
    pub line: i64,
}

/// A finished folder, opened for reading.
#[derive(Clone, Debug)]
pub struct Prepared {
    folder: PathBuf,
    manifest: Manifest,
    /// The temporary folder, where it was opened by URL.
    _copy: Option<Arc<TempDir>>,
}

impl Prepared {
    /// Opens a folder that [`crate::prepare::prepare`] wrote; fails where a file is missing or has another size than recorded. One
    /// that is given by URL is copied to a temporary folder first.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let prepared = Self::open_as_found(folder)?;
        prepared.manifest.check_sizes(&prepared.folder)?;
        Ok(prepared)
    }

    /// Opens a folder whose files may have been changed, to find out; see [`Prepared::altered`].
    pub fn open_as_found(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        storage::check(folder)?;
        let manifest = Manifest::read(folder)?;
        if storage::url(folder).is_none() {
            return Ok(Self::unfinished(folder, manifest));
        }
        let copy = copy(folder, &manifest)?;
        Ok(Self {
            folder: copy.path().to_owned(),
            manifest,
            _copy: Some(Arc::new(copy)),
        })
    }

    /// Files whose content is not what the manifest recorded.
    pub fn altered(&self) -> Result<Vec<String>> {
        let mut altered = Vec::new();
        for file in &self.manifest.files {
            let path = self.folder.join(&file.path);
            let failed = |source| Error::io(&path, "read", source);
            let mut hasher = blake3::Hasher::new();
            hasher
                .update_reader(File::open(&path).map_err(failed)?)
                .map_err(failed)?;
            if hasher.finalize().to_hex().as_str() != file.blake3 {
                altered.push(file.path.clone());
            }
        }
        Ok(altered)
    }

    /// A folder that is still being written, for the audit before it is published.
    pub(crate) fn unfinished(folder: &Path, manifest: Manifest) -> Self {
        Self {
            folder: folder.to_owned(),
            manifest,
            _copy: None,
        }
    }

    /// Where it lies, or where its copy does.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How it came to be.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Hash of the data's contents.
    pub fn fingerprint(&self) -> String {
        self.manifest.fingerprint.clone()
    }

    /// The items; index 0 holds item 1.
    pub fn items(&self) -> Result<Vec<Item>> {
        read_items(&self.folder.join(ITEMS))
    }

    /// Which interactions of a user are asked for.
    pub fn targets(&self) -> Result<Targets> {
        let holdout = self.manifest.cut.map_or(Holdout::LastTwo, Holdout::From);
        let titles = Titles::of(&self.items()?);
        Ok(Targets::new(&self.manifest.parameters, holdout, titles))
    }

    /// The bins that binned candidates were drawn from, over this folder's [items](Self::items).
    pub fn bins(&self, items: &[Item]) -> Bins {
        self.manifest.bins.over(items)
    }

    /// Words prompts as this folder's were, with the titles of these items: this folder's, or others in the order of its dense ids. To
    /// be used by [`PromptStyle::messages`].
    pub fn style(&self, items: &[Item]) -> Result<PromptStyle> {
        let parameters = &self.manifest.parameters;
        let wording = parameters.wording.as_ref();
        PromptStyle::new(
            parameters.format,
            wording,
            parameters.seed,
            &self.manifest.name,
            items,
        )
    }

    /// Hands over the interactions one by one, by user and time.
    pub fn each_interaction(&self, mut visit: impl FnMut(InteractionRow<'_>) -> Result<()>) -> Result<()> {
        self.scan(&self.folder.join(INTERACTIONS), None, |batch| {
            let text = |name| Ok::<_, Error>(column(batch, name)?.as_string::<i32>());
            let id = |name| Ok::<_, Error>(column(batch, name)?.as_primitive::<UInt32Type>());
            let (users, items) = (text("user_id")?, text("item_id")?);
            let (dense_users, dense_items) = (id("user")?, id("item")?);
            let ratings = column(batch, "rating")?.as_primitive::<Float64Type>();
            let times = column(batch, "timestamp")?.as_primitive::<Int64Type>();
            let lines = column(batch, "line")?.as_primitive::<Int64Type>();
            (0..batch.num_rows()).try_for_each(|row| {
                visit(InteractionRow {
                    user: dense_users.value(row),
                    item: dense_items.value(row),
                    user_id: users.value(row),
                    item_id: items.value(row),
                    rating: ratings.is_valid(row).then(|| ratings.value(row)),
                    timestamp: times.value(row),
                    line: lines.value(row),
                })
            })
        })
    }

    /// The sequences, in the order of the users' dense ids from 1.
    pub fn sequences(&self) -> Result<Vec<Sequence>> {
        let mut sequences = Vec::new();
        self.each_sequence(|sequence| sequences.push(sequence))?;
        Ok(sequences)
    }

    /// Hands over the sequences one by one, in the order of the users' dense ids from 1.
    pub fn each_sequence(&self, mut visit: impl FnMut(Sequence)) -> Result<()> {
        self.scan(&self.folder.join(SEQUENCES), None, |batch| {
            let users = column(batch, "user_id")?.as_string::<i32>();
            let (items, times) = (
                column(batch, "items")?,
                column(batch, "timestamps")?.as_list::<i32>(),
            );
            for row in 0..batch.num_rows() {
                visit(Sequence {
                    user_id: users.value(row).to_owned(),
                    items: ids(items, row),
                    timestamps: times.value(row).as_primitive::<Int64Type>().values().to_vec(),
                });
            }
            Ok(())
        })
    }

    /// The prompts of a split, in file order.
    pub fn prompts(&self, split: Split) -> Result<Vec<Prompt>> {
        let mut prompts = Vec::new();
        self.each_prompt(split, |row| {
            prompts.push(row.to_prompt());
            Ok(())
        })?;
        Ok(prompts)
    }

    /// The first `count` prompts of a split.
    pub fn first_prompts(&self, split: Split, count: usize) -> Result<Vec<Prompt>> {
        let mut prompts = Vec::new();
        for path in self.shards(split) {
            self.scan(&path, Some(count - prompts.len()), |batch| {
                row::each_row(batch, |row| {
                    prompts.push(row.to_prompt());
                    Ok(())
                })
            })?;
        }
        Ok(prompts)
    }

    /// The files of a split, in order.
    pub fn shards(&self, split: Split) -> Vec<PathBuf> {
        let prefix = format!("prompts/{}-", split.name());
        let files = self
            .manifest
            .files
            .iter()
            .filter(|file| file.path.starts_with(&prefix));
        files.map(|file| self.folder.join(&file.path)).collect()
    }

    /// Hands over the prompts of a split one by one, so that not all texts are in memory at once.
    pub fn each_prompt(
        &self,
        split: Split,
        mut visit: impl FnMut(PromptRow<'_>) -> Result<()>,
    ) -> Result<()> {
        for path in self.shards(split) {
            self.each_prompt_in(&path, &mut visit)?;
        }
        Ok(())
    }

    /// The same for one of the [shards](Self::shards) of a split.
    pub fn each_prompt_in(
        &self,
        shard: &Path,
        mut visit: impl FnMut(PromptRow<'_>) -> Result<()>,
    ) -> Result<()> {
        self.scan(shard, None, |batch| row::each_row(batch, &mut visit))
    }

    /// The rejected lines.
    pub fn rejects(&self) -> Result<Vec<Reject>> {
        let mut rejects = Vec::new();
        self.each_reject(|reject| rejects.push(reject))?;
        Ok(rejects)
    }

    /// Hands over the rejected lines one by one: there may be a great many.
    pub fn each_reject(&self, mut visit: impl FnMut(Reject)) -> Result<()> {
        self.scan(&self.folder.join(REJECTS), None, |batch| {
            let text = |name| Ok::<_, Error>(column(batch, name)?.as_string::<i32>());
            let number = |name| Ok::<_, Error>(column(batch, name)?.as_primitive::<UInt64Type>());
            let (files, reasons, texts) = (text("file")?, text("reason")?, text("text")?);
            let (lines, offsets) = (number("line")?, number("offset")?);
            for row in 0..batch.num_rows() {
                visit(Reject {
                    file: files.value(row).into(),
                    line: lines.value(row),
                    offset: offsets.value(row),
                    reason: reasons.value(row).to_owned(),
                    text: texts.value(row).to_owned(),
                });
            }
            Ok(())
        })
    }

    fn scan(
        &self,
        path: &Path,
        limit: Option<usize>,
        mut visit: impl FnMut(&RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let file = File::open(path).map_err(|source| Error::io(path, "read", source))?;
        let mut reader = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(1024);
        if let Some(limit) = limit {
            reader = reader.with_limit(limit);
        }
        for batch in reader.build()? {
            visit(&batch?)?;
        }
        Ok(())
    }
}

/// A copy of a prepared folder that lies elsewhere.
fn copy(folder: &Path, manifest: &Manifest) -> Result<TempDir> {
    let failed = |source| Error::io(std::env::temp_dir(), "write into", source);
    let copy = tempfile::Builder::new()
        .prefix("weaverec-")
        .tempdir()
        .map_err(failed)?;
    std::fs::create_dir(copy.path().join("prompts")).map_err(failed)?;
    let data = manifest.files.iter().map(|file| file.path.as_str());
    for name in data.chain([MANIFEST, DATASET_INFO, CARD, CROISSANT]) {
        let (from, to) = (folder.join(name), copy.path().join(name));
        let mut source = match storage::open(&from) {
            // Folders of versions before it have none.
            Err(error) if name == CROISSANT && error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(|source| Error::io(&from, "read", source))?,
        };
        let mut target = File::create(&to).map_err(|source| Error::io(&to, "create", source))?;
        io::copy(&mut source, &mut target).map_err(|source| Error::io(&from, "copy", source))?;
    }
    Ok(copy)
}

/// The items of a file of that layout; index 0 holds item 1.
pub fn read_items(path: &Path) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    let file = File::open(path).map_err(|source| Error::io(path, "read", source))?;
    for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.build()? {
        let batch = &batch?;
        let ids = column(batch, "item")?.as_primitive::<UInt32Type>();
        let counts = column(batch, "train_count")?.as_primitive::<UInt32Type>();
        let text = |name| Ok::<_, Error>(column(batch, name)?.as_string::<i32>());
        let (raw, titles, categories) = (text("item_id")?, text("title")?, text("categories")?);
        items.extend((0..batch.num_rows()).map(|row| Item {
            item: ids.value(row),
            item_id: raw.value(row).to_owned(),
            title: titles.value(row).to_owned(),
            categories: categories.value(row).to_owned(),
            train_count: counts.value(row),
        }));
    }
    Ok(items)
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a dyn Array> {
    let found = batch.column_by_name(name).map(AsRef::as_ref);
    found.ok_or_else(|| {
        Error::Usage(format!(
            "a prepared file lacks the column `{name}`; prepare the data set again"
        ))
    })
}

fn ids(lists: &dyn Array, row: usize) -> Vec<u32> {
    lists
        .as_list::<i32>()
        .value(row)
        .as_primitive::<UInt32Type>()
        .values()
        .to_vec()
}
