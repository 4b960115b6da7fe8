//! Raw rows to interactions, items and sequences, with the sizes on the way.

mod described;
mod held;
mod planned;
mod repeats;
mod side_by_side;
mod spilled;
mod text_column;
mod ties;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray, UInt32Array, UInt64Array};
use datafusion::prelude::DataFrame;

use crate::engine::{BATCH_ROWS, Engine};
use crate::error::{Error, Result};
use crate::parameters::Parameters;
use crate::prepare::PrepareConfig;
use crate::prepare::store::Rows;
use crate::prepared::{
    self, BinReport, FileEntry, ITEMS, Lengths, ParquetFile, REJECTS, RepeatReport, StageCount, TieReport,
};
use crate::raw::{Lines, Reject, Rejects};
use crate::schema::Item;
use crate::stage::split::MIN_LENGTH;
use crate::stage::{Bins, Catalogue, Holdout, Repeats, Targets, Titles};
use crate::title::TitleCounts;
pub use described::check_described;
use ties::TieTally;

/// What the tables of a domain leave in memory once they are written.
pub struct Tables {
    /// By dense id.
    pub items: Vec<Item>,
    /// How many have a stand-in for a title.
    pub titles_missing: u64,
    /// What was met in the titles.
    pub titles: TitleCounts,
    /// What is held out of each sequence.
    pub targets: Targets,
    /// Sizes after each stage.
    pub counts: Vec<StageCount>,
    /// Remarks for the manifest.
    pub notes: Vec<String>,
    /// How long the sequences are.
    pub lengths: Lengths,
    /// How many of their events tie.
    pub ties: TieReport,
    /// How many of their targets are repeats.
    pub repeats: RepeatReport,
    /// Items by popularity, for binned candidates.
    pub bins: Arc<Bins>,
    /// What the bins hold.
    pub bin_report: BinReport,
    /// Interactions, items and sequences, as written.
    pub files: Vec<FileEntry>,
}

impl Tables {
    /// Runs the stages from raw rows to sequences and writes what comes of them into `folder`.
    ///
    /// Packed rows, in memory or in files, are chosen without plans, others by plans; what is written does not show which it was.
    pub async fn build(
        config: &PrepareConfig,
        engine: &Engine,
        rows: Rows,
        items: DataFrame,
        lines: &Lines,
        folder: &Path,
    ) -> Result<Self> {
        let made = match rows {
            Rows::Packed(packed) if packed.spilled() => {
                spilled::build(config, engine, packed, items, lines, folder).await?
            }
            Rows::Packed(packed) => held::build(config, engine, packed, items, lines, folder).await?,
            Rows::Settled(rows) => planned::build(config, engine, rows, items, lines, folder).await?,
        };
        let Made {
            mut catalogue,
            counts,
            tally,
            interactions,
            sequences,
        } = made;
        if tally.tested == 0 {
            return Err(no_users(config, &tally.targets, &counts));
        }
        for (item, count) in catalogue.items.iter_mut().zip(&tally.train_counts) {
            item.train_count = *count;
        }
        let bins = Bins::of(&catalogue.items, &tally.validated);
        let bin_report = BinReport::of(&bins, &catalogue.items, &tally.validated);
        let items = write_items(folder, &catalogue)?;
        let titles_missing = catalogue.stand_ins.iter().filter(|missing| **missing).count() as u64;
        let titles = TitleCounts::of(&catalogue.marks);
        let mut notes = notes(config, &counts, &tally.targets, tally.untested);
        notes.splice(0..0, title_notes(&catalogue, titles_missing, &titles));
        Ok(Self {
            items: catalogue.items,
            titles_missing,
            titles,
            targets: tally.targets,
            counts,
            notes,
            lengths: Lengths::of(&tally.lengths),
            ties: tally.ties.report(),
            repeats: tally.repeats,
            bins: Arc::new(bins),
            bin_report,
            files: vec![interactions, items, sequences],
        })
    }
}

/// What the stages made, one way or the other.
struct Made {
    catalogue: Catalogue,
    counts: Vec<StageCount>,
    tally: Tally,
    interactions: FileEntry,
    sequences: FileEntry,
}

/// What is counted of histories as they are written.
struct Tally {
    targets: Targets,
    /// Interactions that no test or validation holds out, by dense id from 1.
    train_counts: Vec<u32>,
    /// Validation targets, by dense id from 1.
    validated: Vec<u32>,
    /// Users with a test.
    tested: u64,
    /// Users without.
    untested: u64,
    /// Users by how many interactions they have.
    lengths: Vec<u64>,
    ties: TieTally,
    repeats: RepeatReport,
}

impl Tally {
    fn new(parameters: &Parameters, holdout: Holdout, items: &[Item]) -> Self {
        Self {
            targets: Targets::new(parameters, holdout, Titles::of(items)),
            train_counts: vec![0; items.len()],
            validated: vec![0; items.len()],
            tested: 0,
            untested: 0,
            lengths: Vec::new(),
            ties: TieTally::new(items),
            repeats: RepeatReport::default(),
        }
    }

    /// Counts a user's items, by dense id, with their times and their places in the raw files.
    fn note(&mut self, items: &[u32], timestamps: &[i64], places: &[i64]) {
        let parts = self.targets.parts(items, timestamps);
        let moments = self.targets.moments(timestamps);
        self.ties.note(items, &moments, places, parts.test);
        repeats::note(&mut self.repeats, &self.targets, items, timestamps, parts);
        self.tested += u64::from(parts.test.is_some());
        self.untested += u64::from(parts.test.is_none());
        if self.lengths.len() <= items.len() {
            self.lengths.resize(items.len() + 1, 0);
        }
        self.lengths[items.len()] += 1;
        for item in &items[..parts.known] {
            self.train_counts[*item as usize - 1] += 1;
        }
        if let Some(validation) = parts.validation {
            self.validated[items[validation] as usize - 1] += 1;
        }
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

/// What leave-one-out needs of a user.
fn needed(repeats: Repeats) -> &'static str {
    match repeats {
        Repeats::Novel => "items of different titles",
        Repeats::Keep => "interactions",
    }
}

fn no_users(config: &PrepareConfig, targets: &Targets, counts: &[StageCount]) -> Error {
    let steps: Vec<String> = counts
        .iter()
        .map(|count| format!("{} {}", count.interactions, count.stage))
        .collect();
    let domain = config.parameters.filter.domain.as_ref();
    let domain = domain.map_or(String::new(), |domain| format!(" (domain `{domain}`)"));
    let (wanted, otherwise) = match targets.holdout() {
        Holdout::LastTwo => (
            format!("at least {MIN_LENGTH} {} left", needed(targets.repeats())),
            "users with more interactions are needed",
        ),
        Holdout::From(cut) => (
            format!("interactions before and after {} (ms UTC)", cut.test_from),
            "let the test begin at another time, or use leave-one-out",
        ),
    };
    // The stage that left nothing is the one to be asked less of.
    let emptied = counts.iter().find(|count| count.interactions == 0);
    let hint = match emptied.map(|count| count.stage.as_str()) {
        Some("read") => "check that the raw files are those that the description means",
        Some("rating") => "lower the least rating",
        Some("window") => "widen the window of time",
        Some("domain") => "check the domain's name",
        Some("core") => "lower the k-core",
        _ => otherwise,
    };
    Error::Usage(format!(
        "{}{domain} has no user with {wanted} (interactions after each stage: {}); {hint}",
        config.dataset.name,
        steps.join(", ")
    ))
}

fn notes(config: &PrepareConfig, counts: &[StageCount], targets: &Targets, untested: u64) -> Vec<String> {
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
    match targets.holdout() {
        _ if untested == 0 => (),
        Holdout::LastTwo => notes.push(format!(
            "{untested} users have fewer than {MIN_LENGTH} {} and give no prompt",
            needed(targets.repeats())
        )),
        Holdout::From(_) => notes.push(format!(
            "{untested} users have no {}, or no history, at the test's time and give no test prompt",
            match targets.repeats() {
                Repeats::Novel => "interaction that is new to them",
                Repeats::Keep => "interaction",
            }
        )),
    }
    notes
}

/// What a reader of the folder should know of its titles.
fn title_notes(catalogue: &Catalogue, missing: u64, counts: &TitleCounts) -> Vec<String> {
    let mut notes = Vec::new();
    if missing > 0 {
        let spelled = match counts.spelled_missing {
            0 => String::new(),
            some => format!("; of {some} the data says so in words, such as `nan`"),
        };
        notes.push(format!(
            "{missing} items have no usable title and are called `Item <id>`{spelled}"
        ));
    }
    if counts.repaired > 0 {
        notes.push(format!(
            "{} titles were UTF-8 read as another encoding, and were put right (--repair-text)",
            counts.repaired
        ));
    } else if counts.mojibake > 0 {
        let mut marked = catalogue.items.iter().zip(&catalogue.marks);
        let first = marked.find(|(_, marks)| marks.mojibake);
        notes.push(format!(
            "{} titles look like UTF-8 read as another encoding, such as `{}`; --repair-text puts them right",
            counts.mojibake,
            first.map_or("", |(item, _)| &item.title)
        ));
    }
    if counts.articles_moved > 0 {
        notes.push(format!(
            "the article of {} titles went from the end to the front; leading_articles = false in the description leaves it there",
            counts.articles_moved
        ));
    }
    notes
}

/// Rejects by `file: reason`; fails when their share is too large.
pub fn count_rejects(rejects: &mut Rejects, total: u64, limit: f64) -> Result<BTreeMap<String, u64>> {
    let counts = rejects.counts();
    let rejected = rejects.len();
    let share = rejected as f64 / total.max(1) as f64;
    if share > limit {
        let mut parts: Vec<String> = counts
            .iter()
            .map(|(reason, count)| format!("{reason}: {count}"))
            .collect();
        parts.extend(
            rejects
                .first()?
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

/// Writes the rejects table, some rows at a time.
pub fn write_rejects(folder: &Path, rejects: &mut Rejects) -> Result<FileEntry> {
    let mut file = ParquetFile::create(folder, Path::new(REJECTS), prepared::rejects_schema())?;
    let mut rows: Vec<Reject> = Vec::new();
    rejects.each(|reject| {
        rows.push(reject.clone());
        if rows.len() == BATCH_ROWS {
            file.write(&rejects_batch(&rows)?)?;
            rows.clear();
        }
        Ok(())
    })?;
    file.write(&rejects_batch(&rows)?)?;
    file.finish()
}

fn rejects_batch(rejects: &[Reject]) -> Result<RecordBatch> {
    let text = |field: fn(&Reject) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rejects.iter().map(field)))
    };
    let number = |field: fn(&Reject) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(rejects.iter().map(field)))
    };
    let columns = vec![
        text(|reject| &reject.file),
        number(|reject| reject.line),
        number(|reject| reject.offset),
        text(|reject| &reject.reason),
        text(|reject| &reject.text),
    ];
    Ok(RecordBatch::try_new(prepared::rejects_schema(), columns)?)
}
