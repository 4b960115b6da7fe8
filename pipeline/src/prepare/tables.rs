//! Raw tables to interactions, items and sequences, with the sizes on the way.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use datafusion::common::cast::{as_int64_array, as_string_array, as_uint32_array};
use datafusion::functions_aggregate::expr_fn::{count, count_distinct};
use datafusion::prelude::{DataFrame, col, lit};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::prepare::PrepareConfig;
use crate::prepared::{self, FileEntry, INTERACTIONS, ITEMS, REJECTS, SEQUENCES, StageCount};
use crate::raw::{RawTables, Reject, interactions_schema, items_schema};
use crate::schema::Item;
use crate::stage::list::IdRows;
use crate::stage::split::MIN_LENGTH;
use crate::stage::{KCore, catalogue, dedup, dense, sequence};

/// The tables of a domain, before prompts.
pub struct Tables {
    /// With dense ids, ordered by user and time.
    pub interactions: DataFrame,
    /// One row a user.
    pub sequences: DataFrame,
    /// By dense id.
    pub items: Vec<Item>,
    /// Whether an item's title is a stand-in, by dense id.
    pub stand_ins: Vec<bool>,
    /// How many are.
    pub titles_missing: u64,
    /// Sizes after each stage.
    pub counts: Vec<StageCount>,
    /// Remarks for the manifest.
    pub notes: Vec<String>,
}

impl Tables {
    /// Runs the stages from raw rows to sequences.
    pub async fn build(config: &PrepareConfig, engine: &Engine, raw: &RawTables) -> Result<Self> {
        let rows = engine.frame(interactions_schema(), raw.interactions.clone())?;
        let described = engine.frame(items_schema(), raw.items.clone().unwrap_or_default())?;
        let filter = config.filter();

        let mut counts = vec![size("read", &rows).await?];
        let domain = engine.settle(filter.apply(rows, described.clone())?).await?;
        if filter.by_category() || filter.min_rating.is_some() {
            counts.push(size("domain", &domain).await?);
        }
        let deduplicated = engine.settle(dedup::dedup(domain, config.dedup)?).await?;
        counts.push(size("dedup", &deduplicated).await?);
        let core = KCore {
            users: config.user_core,
            items: config.item_core,
        };
        let kept = core.apply(engine, deduplicated).await?;
        counts.push(size("core", &kept).await?);

        let catalogue = catalogue::catalogue(kept.clone(), described, config.max_title_chars)?;
        let catalogue = engine
            .settle(dense::number(catalogue, "item_id", "item")?)
            .await?;
        let users = engine.settle(dense::users(kept.clone())?).await?;
        let interactions = engine
            .settle(dense::interactions(kept, users, catalogue.clone())?)
            .await?;
        let sequences = sequence::sequences(engine, interactions.clone()).await?;

        let batches = sequences.clone().collect().await?;
        let item_rows = catalogue
            .sort(vec![col("item").sort(true, true)])?
            .collect()
            .await?;
        let train_counts = train_counts(&batches)?;
        let (items, stand_ins) = items(&item_rows, &train_counts.per_item)?;
        if train_counts.users_with_test == 0 {
            return Err(no_users(config, &counts));
        }
        let titles_missing = stand_ins.iter().filter(|missing| **missing).count() as u64;
        let notes = notes(config, &counts, titles_missing, train_counts.short_users);
        Ok(Self {
            interactions,
            sequences,
            items,
            stand_ins,
            titles_missing,
            counts,
            notes,
        })
    }

    /// Writes interactions, items and sequences.
    pub async fn write(&self, engine: &Engine, folder: &Path) -> Result<Vec<FileEntry>> {
        // One partition reads the settled rows back in the order they were sorted into.
        let ordered = engine.serial().frame(
            Arc::new(self.interactions.schema().as_arrow().clone()),
            self.interactions.clone().collect().await?,
        )?;
        let order = ["user", "timestamp", "item", "line"]
            .map(|name| col(name).sort(true, true))
            .to_vec();
        let ordered = ordered.sort(order)?;
        let schema = prepared::interactions_schema();
        let interactions = prepared::write_frame(folder, Path::new(INTERACTIONS), schema, ordered).await?;

        let text = |field: fn(&Item) -> &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(self.items.iter().map(field)))
        };
        let ids = self.items.iter().map(|item| item.item).collect::<Vec<_>>();
        let train = self.items.iter().map(|item| item.train_count).collect::<Vec<_>>();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(ids)),
            text(|item| &item.item_id),
            text(|item| &item.title),
            text(|item| &item.categories),
            Arc::new(UInt32Array::from(train)),
            Arc::new(BooleanArray::from(self.stand_ins.clone())),
        ];
        let schema = prepared::items_schema();
        let batch = RecordBatch::try_new(schema.clone(), columns)?;
        let items = prepared::write_batches(folder, Path::new(ITEMS), schema, &[batch])?;

        let batches = self.sequences.clone().collect().await?;
        let sequences = prepared::write_batches(folder, Path::new(SEQUENCES), sequence::schema(), &batches)?;
        Ok(vec![interactions, items, sequences])
    }
}

async fn size(stage: &str, interactions: &DataFrame) -> Result<StageCount> {
    let sums = vec![
        count(lit(1)).alias("rows"),
        count_distinct(col("user_id")).alias("users"),
        count_distinct(col("item_id")).alias("items"),
    ];
    let batches = interactions.clone().aggregate(vec![], sums)?.collect().await?;
    let mut values = [0u64; 3];
    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
        for (value, column) in values.iter_mut().zip(batch.columns()) {
            *value = as_int64_array(column)?.value(0) as u64;
        }
    }
    let [interactions, users, items] = values;
    Ok(StageCount {
        stage: stage.to_owned(),
        interactions,
        users,
        items,
    })
}

struct TrainCounts {
    /// By dense id.
    per_item: Vec<u32>,
    users_with_test: u64,
    short_users: u64,
}

/// Interactions that no test or validation holds out: all of a user too short for either, all but the last two otherwise.
fn train_counts(sequences: &[RecordBatch]) -> Result<TrainCounts> {
    let mut counts = TrainCounts {
        per_item: Vec::new(),
        users_with_test: 0,
        short_users: 0,
    };
    for batch in sequences {
        let rows = IdRows::new(batch.column(2))?;
        for row in 0..batch.num_rows() {
            let sequence = rows.row(row);
            let long = sequence.len() >= MIN_LENGTH;
            let held_out = if long { 2 } else { 0 };
            counts.users_with_test += u64::from(long);
            counts.short_users += u64::from(!long);
            for &item in &sequence[..sequence.len() - held_out] {
                let index = item as usize;
                if counts.per_item.len() <= index {
                    counts.per_item.resize(index + 1, 0);
                }
                counts.per_item[index] += 1;
            }
        }
    }
    Ok(counts)
}

fn items(batches: &[RecordBatch], train_counts: &[u32]) -> Result<(Vec<Item>, Vec<bool>)> {
    let (mut items, mut stand_ins) = (Vec::new(), Vec::new());
    for batch in batches {
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| missing(name));
        let (raw, titles) = (
            as_string_array(column("item_id")?)?,
            as_string_array(column("title")?)?,
        );
        let (categories, ids) = (
            as_string_array(column("categories")?)?,
            as_uint32_array(column("item")?)?,
        );
        for row in 0..batch.num_rows() {
            let (item, item_id) = (ids.value(row), raw.value(row).to_owned());
            let title = titles.is_valid(row).then(|| titles.value(row));
            let category = if categories.is_valid(row) {
                categories.value(row)
            } else {
                ""
            };
            stand_ins.push(title.is_none());
            items.push(Item {
                item,
                // The raw id is all that is known; being distinct, it at least lets items be told apart.
                title: title.map_or_else(|| format!("Item {item_id}"), str::to_owned),
                item_id,
                categories: category.to_owned(),
                train_count: train_counts.get(item as usize).copied().unwrap_or(0),
            });
        }
    }
    Ok((items, stand_ins))
}

fn missing(column: &str) -> Error {
    Error::Usage(format!("the catalogue lacks the column `{column}`"))
}

fn no_users(config: &PrepareConfig, counts: &[StageCount]) -> Error {
    let steps: Vec<String> = counts
        .iter()
        .map(|count| format!("{} {}", count.interactions, count.stage))
        .collect();
    let domain = config
        .domain
        .as_ref()
        .map_or(String::new(), |domain| format!(" (domain `{domain}`)"));
    Error::Usage(format!(
        "{}{domain} has no user with at least {MIN_LENGTH} interactions left (interactions after each stage: {}); \
         check the domain's name, lower the k-core or the least rating",
        config.dataset.name,
        steps.join(", ")
    ))
}

fn notes(
    config: &PrepareConfig,
    counts: &[StageCount],
    titles_missing: u64,
    short_users: u64,
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
    if short_users > 0 {
        notes.push(format!(
            "{short_users} users have fewer than {MIN_LENGTH} interactions and give no prompt"
        ));
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
