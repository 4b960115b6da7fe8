//! The stages on packed rows in memory.

use std::collections::HashSet;
use std::path::Path;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::prelude::{DataFrame, col};
use futures::StreamExt;
use rayon::prelude::*;

use super::{Made, Tally, side_by_side};
use crate::engine::Engine;
use crate::error::Result;
use crate::packed::{self, Histories, Packed, Row};
use crate::parameters::Parameters;
use crate::prepare::PrepareConfig;
use crate::prepared::{FileEntry, StageCount};
use crate::raw::Lines;
use crate::stage::domain::OTHER;
use crate::stage::{Catalogue, Holdout, Order, SplitPolicy};
use crate::title::{Marks, Rules};

/// Batches of metadata whose titles are cleaned side by side.
const CLEANED: usize = 8;

/// Runs the stages and writes interactions and sequences.
pub async fn build(
    config: &PrepareConfig,
    engine: &Engine,
    packed: Packed,
    described: DataFrame,
    lines: &Lines,
    folder: &Path,
) -> Result<Made> {
    let parameters = &config.parameters;
    let order = Order::new(parameters, &config.dataset);
    let described = descriptions(described).await?;
    engine.install(|| {
        let (histories, counts, left) = choose(parameters, &order, &packed, &described);
        let rules = parameters.title_rules(&config.dataset);
        let (catalogue, dense) = catalogue(&rules, &packed, described, &left);
        let holdout = holdout(parameters, &packed, &histories)?;
        let mut tally = Tally::new(parameters, holdout, &catalogue.items);
        let (interactions, sequences) = write(folder, &packed, &histories, lines, &dense, &mut tally)?;
        Ok(Made {
            catalogue,
            counts,
            tally,
            interactions,
            sequences,
        })
    })
}

/// `item_id`, `title`, `categories` and `line` of the raw items.
pub(super) async fn descriptions(items: DataFrame) -> Result<Vec<RecordBatch>> {
    let columns = ["item_id", "title", "categories", "line"].map(col).to_vec();
    let mut batches = items.select(columns)?.execute_stream().await?;
    let mut found = Vec::new();
    while let Some(batch) = batches.next().await {
        found.push(batch?);
    }
    Ok(found)
}

/// The interactions that the stages leave, sizes after each stage, and which items are left, by code.
fn choose(
    parameters: &Parameters,
    order: &Order,
    packed: &Packed,
    described: &[RecordBatch],
) -> (Histories, Vec<StageCount>, Vec<bool>) {
    let mut counts = vec![StageCount {
        stage: "read".to_owned(),
        interactions: packed.len() as u64,
        users: packed.users.len() as u64,
        items: packed.items.len() as u64,
    }];
    // An unrated interaction has no number to compare, and leaves with the badly rated.
    let liked = |row: &Row| parameters.min_rating.is_none_or(|least| row.rating >= least);
    if parameters.min_rating.is_some() {
        counts.push(packed::size(packed, "rating", liked));
    }
    let window = parameters.window;
    let inside = |row: &Row| {
        liked(row)
            && window.from.is_none_or(|from| row.time >= from)
            && window.until.is_none_or(|until| row.time < until)
    };
    if window.bounded() {
        counts.push(packed::size(packed, "window", inside));
    }
    let domain = parameters
        .filter
        .by_category()
        .then(|| of_domain(parameters, packed, described));
    let of_domain = |row: &Row| domain.as_ref().is_none_or(|items| items[row.item as usize]);
    let keep = |row: &Row| inside(row) && of_domain(row);
    if domain.is_some() {
        counts.push(packed::size(packed, "domain", keep));
    }
    let mut histories = Histories::of(packed, keep, parameters.dedup, order);
    counts.push(histories.size(packed, "dedup").0);
    histories.core(packed, parameters.core);
    let (count, left) = histories.size(packed, "core");
    counts.push(count);
    histories.forget_items();
    (histories, counts, left)
}

/// Which items the domain filter takes, by code: the first of an item's first categories decides.
pub(super) fn of_domain(parameters: &Parameters, packed: &Packed, described: &[RecordBatch]) -> Vec<bool> {
    let mut first: Vec<Option<(i64, Option<&str>)>> = vec![None; packed.items.len()];
    for batch in described {
        let (ids, categories) = (
            batch.column(0).as_string::<i32>(),
            batch.column(2).as_string::<i32>(),
        );
        let places = batch.column(3).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let Some(code) = packed.items.code(ids.value(row)) else {
                continue;
            };
            let (place, slot) = (places.value(row), &mut first[code as usize]);
            if slot.is_none_or(|(before, _)| place < before) {
                let words = categories.is_valid(row).then(|| categories.value(row));
                *slot = Some((
                    place,
                    words.map(|words| words.split(", ").next().unwrap_or_default()),
                ));
            }
        }
    }
    let filter = &parameters.filter;
    let excluded: HashSet<&str> = filter.exclude.iter().map(String::as_str).collect();
    let takes = |category: Option<&str>| match filter.domain.as_deref() {
        Some(name) if name != OTHER => category == Some(name),
        _ => category.is_none_or(|category| !excluded.contains(category)),
    };
    first
        .into_iter()
        .map(|first| takes(first.and_then(|(_, category)| category)))
        .collect()
}

/// A text of an item and the place of its line.
type Placed<T> = Option<(i64, T)>;

/// The items that are left, in the order of their raw ids, and their dense ids by code.
pub(super) fn catalogue(
    rules: &Rules,
    packed: &Packed,
    described: Vec<RecordBatch>,
    left: &[bool],
) -> (Catalogue, Vec<u32>) {
    let sorted = packed.items.sorted(|code| left[code as usize]);
    let mut dense = vec![0; packed.items.len()];
    for (item, code) in (1..).zip(&sorted) {
        dense[*code as usize] = item;
    }
    // Of the metadata's lines on an item the first usable title counts, and the first categories.
    let usable = |batch: &RecordBatch| {
        let [ids, titles, categories] = [0, 1, 2].map(|at| batch.column(at).as_string::<i32>());
        let places = batch.column(3).as_primitive::<Int64Type>();
        let mut found = Vec::new();
        for row in 0..batch.num_rows() {
            let item = packed.items.code(ids.value(row)).map(|code| dense[code as usize]);
            let Some(item) = item.filter(|item| *item > 0) else {
                continue;
            };
            let title = titles.is_valid(row).then(|| titles.value(row));
            let title = title.map(|title| rules.clean(title));
            let words = categories.is_valid(row).then(|| categories.value(row).to_owned());
            found.push((item, places.value(row), title, words));
        }
        found
    };
    let mut titles: Vec<Placed<String>> = vec![None; sorted.len()];
    let mut marks = vec![Marks::default(); sorted.len()];
    let mut categories: Vec<Placed<String>> = vec![None; sorted.len()];
    let put = |slot: &mut Placed<String>, place: i64, text: Option<String>| -> bool {
        if let Some(text) = text
            && slot.as_ref().is_none_or(|(before, _)| place < *before)
        {
            *slot = Some((place, text));
            return true;
        }
        false
    };
    // A few batches at a time, each let go of before the next are looked at.
    let mut described = described.into_iter();
    loop {
        let some: Vec<RecordBatch> = described.by_ref().take(CLEANED).collect();
        if some.is_empty() {
            break;
        }
        let found: Vec<_> = some.par_iter().map(usable).collect();
        for (item, place, title, words) in found.into_iter().flatten() {
            let at = item as usize - 1;
            put(&mut categories[at], place, words);
            let Some(title) = title else { continue };
            let without = title.text.is_none() && titles[at].is_none();
            // An item whose data says in words that it has no title may have one in another line.
            if put(&mut titles[at], place, title.text) || without && title.marks.spelled_missing {
                marks[at] = title.marks;
            }
        }
    }
    let mut catalogue = Catalogue::default();
    for ((code, marks), (title, words)) in sorted.iter().zip(marks).zip(titles.into_iter().zip(categories)) {
        let text = |placed: Placed<String>| placed.map(|(_, text)| text);
        catalogue.push(packed.items.text(*code), text(title), marks, text(words));
    }
    (catalogue, dense)
}

fn holdout(parameters: &Parameters, packed: &Packed, histories: &Histories) -> Result<Holdout> {
    match parameters.split {
        SplitPolicy::LeaveOneOut => Ok(Holdout::LastTwo),
        SplitPolicy::GlobalTime(cut) => {
            let users = 0..packed.users.len() as u32;
            let rows = users.flat_map(|user| histories.of_user(user));
            let times = rows.map(|row| packed.row(*row).time).collect();
            cut.among(times).map(Holdout::From)
        }
    }
}

/// Writes interactions and sequences, users in the order of their raw ids.
fn write(
    folder: &Path,
    packed: &Packed,
    histories: &Histories,
    lines: &Lines,
    dense: &[u32],
    tally: &mut Tally,
) -> Result<(FileEntry, FileEntry)> {
    let users = packed.users.sorted(|user| histories.has(user));
    side_by_side::write(folder, packed, lines, dense, tally, |feed| {
        histories.each_users(packed, &users, |some| feed.users(some))
    })
}
