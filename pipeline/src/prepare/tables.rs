//! Raw tables to interactions, items and sequences, with the sizes on the way.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray, UInt32Array, UInt64Array};
use datafusion::prelude::{DataFrame, col};
use futures::StreamExt;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::prepare::PrepareConfig;
use crate::prepared::{self, FileEntry, INTERACTIONS, ITEMS, ParquetFile, REJECTS, SEQUENCES, StageCount};
use crate::raw::{RawTables, Reject, interactions_schema, items_schema};
use crate::schema::Item;
use crate::stage::sequence::{self, Sequencer};
use crate::stage::split::MIN_LENGTH;
use crate::stage::{Catalogue, Holdout, catalogue, dedup, rating};

/// What the tables of a domain leave in memory once they are written.
pub struct Tables {
    /// By dense id.
    pub items: Vec<Item>,
    /// How many have a stand-in for a title.
    pub titles_missing: u64,
    /// What is held out of each sequence.
    pub holdout: Holdout,
    /// Sizes after each stage.
    pub counts: Vec<StageCount>,
    /// Remarks for the manifest.
    pub notes: Vec<String>,
    /// Interactions, items and sequences, as written.
    pub files: Vec<FileEntry>,
}

impl Tables {
    /// Runs the stages from raw rows to sequences and writes what comes of them into `folder`.
    pub async fn build(
        config: &PrepareConfig,
        engine: &Engine,
        rows: Vec<RecordBatch>,
        items: Vec<RecordBatch>,
        folder: &Path,
    ) -> Result<Self> {
        let rows = engine.hold(interactions_schema(), rows).await?;
        let described = engine.hold(items_schema(), items).await?;
        let mut stages = Stages {
            engine,
            counts: Vec::new(),
        };
        let kept = stages.run(config, rows, described.clone()).await?;
        let counts = stages.counts;

        let parameters = &config.parameters;
        let catalogue = catalogue::catalogue(kept.clone(), described, parameters.max_title_chars)?;
        let mut catalogue = Catalogue::collect(catalogue).await?;
        let holdout = parameters.split.resolve(kept.clone()).await?;
        let histories = Histories::write(kept, &catalogue.items, holdout, folder).await?;
        if histories.tested == 0 {
            return Err(no_users(config, holdout, &counts));
        }
        for (item, count) in catalogue.items.iter_mut().zip(&histories.train_counts) {
            item.train_count = *count;
        }
        let items = write_items(folder, &catalogue)?;
        let titles_missing = catalogue.stand_ins.iter().filter(|missing| **missing).count() as u64;
        let notes = notes(config, &counts, titles_missing, holdout, histories.untested);
        Ok(Self {
            items: catalogue.items,
            titles_missing,
            holdout,
            counts,
            notes,
            files: vec![histories.interactions, items, histories.sequences],
        })
    }
}

/// The stages that choose interactions, with the sizes they leave.
struct Stages<'a> {
    engine: &'a Engine,
    counts: Vec<StageCount>,
}

impl Stages<'_> {
    async fn run(
        &mut self,
        config: &PrepareConfig,
        rows: DataFrame,
        described: DataFrame,
    ) -> Result<DataFrame> {
        let parameters = &config.parameters;
        let mut kept = self.counted("read", rows).await?;
        if let Some(least) = parameters.min_rating {
            kept = self.settled("rating", rating::at_least(kept, least)?).await?;
        }
        if parameters.window.bounded() {
            kept = self.settled("window", parameters.window.apply(kept)?).await?;
        }
        if parameters.filter.by_category() {
            kept = self
                .settled("domain", parameters.filter.apply(kept, described)?)
                .await?;
        }
        kept = self
            .settled("dedup", dedup::dedup(kept, parameters.dedup)?)
            .await?;
        kept = parameters.core.apply(self.engine, kept).await?;
        self.counted("core", kept).await
    }

    async fn settled(&mut self, stage: &str, frame: DataFrame) -> Result<DataFrame> {
        let frame = self.engine.settle(frame).await?;
        self.counted(stage, frame).await
    }

    async fn counted(&mut self, stage: &str, frame: DataFrame) -> Result<DataFrame> {
        self.counts.push(size(stage, &frame).await?);
        Ok(frame)
    }
}

async fn size(stage: &str, interactions: &DataFrame) -> Result<StageCount> {
    // Distinct values are counted by grouping, which can spill; a count of distinct values holds them all.
    let distinct = async |column: &str| -> Result<u64> {
        let values = interactions.clone().select(vec![col(column)])?.distinct()?;
        Ok(values.count().await? as u64)
    };
    Ok(StageCount {
        stage: stage.to_owned(),
        interactions: interactions.clone().count().await? as u64,
        users: distinct("user_id").await?,
        items: distinct("item_id").await?,
    })
}

/// One scan over the interactions by user and time: it writes them and the sequences, and counts on the way.
struct Histories {
    interactions: FileEntry,
    sequences: FileEntry,
    /// Interactions that no test or validation holds out, by dense id from 1.
    train_counts: Vec<u32>,
    /// Users with a test.
    tested: u64,
    /// Users without.
    untested: u64,
}

impl Histories {
    async fn write(kept: DataFrame, items: &[Item], holdout: Holdout, folder: &Path) -> Result<Self> {
        let schema = prepared::interactions_schema();
        let mut interactions = ParquetFile::create(folder, Path::new(INTERACTIONS), schema)?;
        let mut sequences = ParquetFile::create(folder, Path::new(SEQUENCES), sequence::schema())?;
        let mut sequencer = Sequencer::new(items);
        let (mut train_counts, mut tested, mut untested) = (vec![0; items.len()], 0, 0);
        let mut visit = |history: &sequence::History| {
            let parts = holdout.parts(&history.timestamps);
            tested += u64::from(parts.test.is_some());
            untested += u64::from(parts.test.is_none());
            for item in &history.items[..parts.known] {
                train_counts[*item as usize - 1] += 1;
            }
        };
        let mut batches = sequence::chronological(kept)?.execute_stream().await?;
        while let Some(batch) = batches.next().await {
            interactions.write(&sequencer.absorb(&batch?, &mut visit)?)?;
            sequencer
                .take()
                .iter()
                .try_for_each(|done| sequences.write(done))?;
        }
        let last = sequencer.finish(&mut visit)?;
        last.iter().try_for_each(|done| sequences.write(done))?;
        Ok(Self {
            interactions: interactions.finish()?,
            sequences: sequences.finish()?,
            train_counts,
            tested,
            untested,
        })
    }
}

fn write_items(folder: &Path, catalogue: &Catalogue) -> Result<FileEntry> {
    let items = &catalogue.items;
    let text = |field: fn(&Item) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(items.iter().map(field)))
    };
    let number = |field: fn(&Item) -> u32| -> ArrayRef {
        Arc::new(UInt32Array::from_iter_values(items.iter().map(field)))
    };
    let columns: Vec<ArrayRef> = vec![
        number(|item| item.item),
        text(|item| &item.item_id),
        text(|item| &item.title),
        text(|item| &item.categories),
        number(|item| item.train_count),
        Arc::new(BooleanArray::from(catalogue.stand_ins.clone())),
    ];
    let schema = prepared::items_schema();
    let batch = RecordBatch::try_new(schema.clone(), columns)?;
    prepared::write_batches(folder, Path::new(ITEMS), schema, &[batch])
}

fn no_users(config: &PrepareConfig, holdout: Holdout, counts: &[StageCount]) -> Error {
    let steps: Vec<String> = counts
        .iter()
        .map(|count| format!("{} {}", count.interactions, count.stage))
        .collect();
    let domain = config.parameters.filter.domain.as_ref();
    let domain = domain.map_or(String::new(), |domain| format!(" (domain `{domain}`)"));
    let (wanted, hint) = match holdout {
        Holdout::LastTwo => (
            format!("at least {MIN_LENGTH} interactions left"),
            "check the domain's name, lower the k-core or the least rating",
        ),
        Holdout::From(cut) => (
            format!("interactions before and after {} (ms UTC)", cut.test_from),
            "check the domain's name, let the test begin at another time, or use leave-one-out",
        ),
    };
    Error::Usage(format!(
        "{}{domain} has no user with {wanted} (interactions after each stage: {}); {hint}",
        config.dataset.name,
        steps.join(", ")
    ))
}

fn notes(
    config: &PrepareConfig,
    counts: &[StageCount],
    titles_missing: u64,
    holdout: Holdout,
    untested: u64,
) -> Vec<String> {
    let mut notes = Vec::new();
    if let (Some(known), Some(read)) = (&config.dataset.expected, counts.first()) {
        let found = (read.interactions, read.users, read.items);
        if found != (known.interactions, known.users, known.items) {
            notes.push(format!(
                "read {} interactions, {} users, {} items where {}, {}, {} are known",
                found.0, found.1, found.2, known.interactions, known.users, known.items
            ));
        }
    }
    if titles_missing > 0 {
        notes.push(format!(
            "{titles_missing} items have no usable title and are called `Item <id>`"
        ));
    }
    match holdout {
        _ if untested == 0 => (),
        Holdout::LastTwo => notes.push(format!(
            "{untested} users have fewer than {MIN_LENGTH} interactions and give no prompt"
        )),
        Holdout::From(_) => notes.push(format!(
            "{untested} users have no interaction, or no history, at the test's time and give no test prompt"
        )),
    }
    notes
}

/// Rejects by `file: reason`; fails when their share is too large.
pub fn count_rejects(raw: &RawTables, limit: f64) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    for reject in &raw.rejects {
        *counts
            .entry(format!("{}: {}", reject.file, reject.reason))
            .or_insert(0) += 1;
    }
    let (rejected, total) = (raw.rejects.len() as u64, raw.lines);
    let share = rejected as f64 / total.max(1) as f64;
    if share > limit {
        let mut parts: Vec<String> = counts
            .iter()
            .map(|(reason, count)| format!("{reason}: {count}"))
            .collect();
        parts.extend(
            raw.rejects
                .first()
                .map(|first| format!("first at {} line {}", first.file, first.line)),
        );
        return Err(Error::TooManyRejects {
            rejected,
            total,
            share,
            limit,
            breakdown: parts.join(", "),
        });
    }
    Ok(counts)
}

/// Writes the rejects table.
pub fn write_rejects(folder: &Path, rejects: &[Reject]) -> Result<FileEntry> {
    let text = |field: fn(&Reject) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rejects.iter().map(field)))
    };
    let number = |field: fn(&Reject) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from(rejects.iter().map(field).collect::<Vec<_>>()))
    };
    let columns = vec![
        text(|reject| reject.file.to_string()),
        number(|reject| reject.line),
        number(|reject| reject.offset),
        text(|reject| reject.reason.to_string()),
        text(|reject| reject.text.clone()),
    ];
    let schema = prepared::rejects_schema();
    let batch = RecordBatch::try_new(schema.clone(), columns)?;
    prepared::write_batches(folder, Path::new(REJECTS), schema, &[batch])
}
