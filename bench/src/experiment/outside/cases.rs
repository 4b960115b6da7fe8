//! The frozen cases of a domain, for other programs: who is asked, what came before, and among what the next item is to be found.
//!
//! ```text
//! cases/
//!   cases.parquet      user, cut, history (oldest first, whole), uniform and binned candidates; the target where it was asked for
//!   items.parquet      item, title, train_count
//!   recbole/           the training part as atomic files: NAME.inter, NAME.item
//!   cases.json         what was asked for, the hash of the cases, and the files with their hashes
//! ```
//! Users of the reported part are asked for their test target, those that choose for their validation target. Ids are those of the raw log.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, ListBuilder, RecordBatch, StringArray, StringBuilder, UInt32Array};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use weaverec_output::{Again, Kind};
use weaverec_pipeline::export;
use weaverec_pipeline::schema::{Prompt, Split};

use crate::cut::Cut;
use crate::experiment::domain::DomainData;
use crate::output::write_json;

/// What says which cases these are.
pub const MANIFEST: &str = "cases.json";
/// The cases.
pub const CASES: &str = "cases.parquet";
/// The items.
pub const ITEMS: &str = "items.parquet";
/// The training part.
pub const RECBOLE: &str = "recbole";

/// A folder of cases, which is there once and stays.
pub const FOLDER: Kind = Kind {
    name: "a folder of cases that `weaverec cases export` wrote",
    marks: &[MANIFEST, CASES],
    holds: |name| [MANIFEST, CASES, ITEMS, RECBOLE].contains(&name),
    again: Again::Kept,
};

/// The same where an earlier one may go.
pub const REPLACED: Kind = Kind {
    again: Again::Replaced,
    ..FOLDER
};

/// Cases written at a time.
const BATCH: usize = 8192;

/// What a reader of targets must know.
const WARNING: &str =
    "this folder holds the targets: whoever trains or chooses anything with them measures nothing";

/// What [`MANIFEST`] says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// What was asked for: the study and target of a profile, or a prepared folder.
    pub asked: serde_json::Value,
    /// The domain's name.
    pub domain: String,
    /// Hash of what was prepared.
    pub fingerprint: String,
    /// Hash of the reported users and of their candidates: that of every record about these cases.
    pub cases: String,
    /// How targets were held out.
    pub split: String,
    /// How events of one time were ordered.
    pub order: String,
    /// The users that are reported on.
    pub report_on: Cut,
    /// Decides who plays which part.
    pub cut_seed: u64,
    /// Users in each part.
    pub users: std::collections::BTreeMap<String, usize>,
    /// Whether the targets are there.
    pub targets: bool,
    /// What must be known before they are used.
    pub warning: Option<String>,
    /// Files with their hashes (BLAKE3).
    pub files: std::collections::BTreeMap<String, String>,
}

/// What is written of a domain.
pub struct Cases<'a> {
    /// The domain.
    pub domain: &'a DomainData,
    /// What was asked for.
    pub asked: serde_json::Value,
    /// The users that are reported on.
    pub report_on: Cut,
    /// Decided who plays which part.
    pub cut_seed: u64,
    /// Whether targets are written.
    pub targets: bool,
}

/// Somebody who is asked.
#[derive(Clone, Copy)]
struct Asked<'a> {
    cut: Cut,
    split: Split,
    prompt: &'a Prompt,
}

/// Items that belong to somebody who is asked.
type ItemsOf<'a> = &'a dyn Fn(&Asked) -> Result<Vec<u32>>;

impl<'a> Cases<'a> {
    /// Everybody who is asked, the reported users first.
    fn all(&self) -> impl Iterator<Item = Asked<'a>> {
        let domain = self.domain;
        let of = |cut, split, prompts: &'a [Prompt]| {
            prompts.iter().map(move |prompt| Asked { cut, split, prompt })
        };
        of(self.report_on, Split::Test, &domain.ranked)
            .chain(of(Cut::Calibration, Split::Validation, &domain.calibration))
            .chain(of(Cut::Selection, Split::Validation, &domain.selection))
    }

    /// Fills a folder.
    ///
    /// # Errors
    /// What cannot be read or written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        self.write_cases(&folder.join(CASES))?;
        self.write_items(&folder.join(ITEMS))?;
        let recbole = folder.join(RECBOLE);
        std::fs::create_dir(&recbole).with_context(|| format!("cannot make {}", recbole.display()))?;
        export::training(&self.domain.folder, &recbole)?;
        let mut files = std::collections::BTreeMap::new();
        let name = &self.domain.folder.manifest().name;
        for file in [
            CASES.to_owned(),
            ITEMS.to_owned(),
            format!("{RECBOLE}/{name}.inter"),
            format!("{RECBOLE}/{name}.item"),
        ] {
            let hash = hash(&folder.join(&file))?;
            files.insert(file, hash);
        }
        let mut users = std::collections::BTreeMap::new();
        self.all()
            .for_each(|asked| *users.entry(asked.cut.name().to_owned()).or_default() += 1);
        let manifest = self.domain.folder.manifest();
        write_json(
            &folder.join(MANIFEST),
            &Manifest {
                asked: self.asked.clone(),
                domain: self.domain.name.clone(),
                fingerprint: self.domain.fingerprint.clone(),
                cases: self.domain.candidate_hash.clone(),
                split: manifest.split.clone(),
                order: manifest.order(),
                report_on: self.report_on,
                cut_seed: self.cut_seed,
                users,
                targets: self.targets,
                warning: self.targets.then(|| WARNING.to_owned()),
                files,
            },
        )
    }

    fn write_cases(&self, path: &Path) -> Result<()> {
        let all: Vec<_> = self.all().collect();
        // A file without rows has columns all the same.
        let chunks: Vec<&[Asked]> = match all.is_empty() {
            true => vec![&[]],
            false => all.chunks(BATCH).collect(),
        };
        write(path, chunks.into_iter().map(|chunk| self.batch(chunk)))
    }

    fn batch(&self, cases: &[Asked]) -> Result<RecordBatch> {
        let texts = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
        let raw = |items: &[u32]| {
            items
                .iter()
                .map(|item| self.domain.raw(*item))
                .collect::<Result<Vec<&str>>>()
        };
        let lists = |of: ItemsOf| -> Result<ArrayRef> {
            let mut builder = ListBuilder::new(StringBuilder::new());
            for case in cases {
                raw(&of(case)?)?
                    .into_iter()
                    .for_each(|item| builder.values().append_value(item));
                builder.append(true);
            }
            Ok(Arc::new(builder.finish()))
        };
        let users = cases.iter().map(|asked| asked.prompt.user_id.as_str());
        let mut columns = vec![
            ("user", texts(users.collect())),
            ("cut", texts(cases.iter().map(|asked| asked.cut.name()).collect())),
            (
                "history",
                lists(&|asked| Ok(self.domain.histories.before(asked.split, asked.prompt)?.to_vec()))?,
            ),
            ("uniform", lists(&|asked| Ok(asked.prompt.candidates.clone()))?),
            ("binned", lists(&|asked| Ok(asked.prompt.binned.clone()))?),
        ];
        if self.targets {
            let targets: Vec<u32> = cases.iter().map(|asked| asked.prompt.target).collect();
            columns.push(("target", texts(raw(&targets)?)));
        }
        Ok(RecordBatch::try_from_iter(columns)?)
    }

    fn write_items(&self, path: &Path) -> Result<()> {
        let items = &self.domain.items;
        let text = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
        let counts = UInt32Array::from_iter_values(items.iter().map(|item| item.train_count));
        let batch = RecordBatch::try_from_iter([
            (
                "item",
                text(items.iter().map(|item| item.item_id.as_str()).collect()),
            ),
            (
                "title",
                text(items.iter().map(|item| item.title.as_str()).collect()),
            ),
            ("train_count", Arc::new(counts) as ArrayRef),
        ])?;
        write(path, std::iter::once(Ok(batch)))
    }
}

/// Writes batches of the same columns as a Parquet file.
///
/// # Errors
/// A batch that could not be made, or a file that cannot be written.
pub(super) fn write(path: &Path, batches: impl IntoIterator<Item = Result<RecordBatch>>) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let mut batches = batches.into_iter();
    let first = batches.next().with_context(failed)??;
    let properties = WriterProperties::builder()
        .set_created_by("weaverec".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let file = File::create(path).with_context(failed)?;
    let mut writer = ArrowWriter::try_new(file, first.schema(), Some(properties))?;
    for batch in std::iter::once(Ok(first)).chain(batches) {
        writer.write(&batch?).with_context(failed)?;
    }
    writer.close().with_context(failed)?;
    Ok(())
}

/// The hash of a file's content.
///
/// # Errors
/// A file that cannot be read.
pub fn hash(path: &Path) -> Result<String> {
    let failed = || format!("cannot read {}", path.display());
    let mut hash = blake3::Hasher::new();
    hash.update_reader(File::open(path).with_context(failed)?)
        .with_context(failed)?;
    Ok(hash.finalize().to_hex().to_string())
}
