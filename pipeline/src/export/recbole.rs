//! RecBole's atomic files: `<name>.inter` and `<name>.item`, tab-separated under a header of `name:type`, without quoting.
//!
//! Interactions are those after deduplication and k-core, by user and time; times are seconds. Ids are the raw ones. Categories
//! are a sequence of tokens parted by spaces, so that spaces inside a category become underscores. The events of a burst
//! (`--tie-window`) all get the time at which it ends: whoever sorts by time keeps our order of them.

use std::path::Path;

use super::TextFile;
use crate::dataset::{Columns, DatasetDescription, Expected, RawFormat, Source};
use crate::error::{Error, Result};
use crate::prepared::{InteractionRow, Manifest, Prepared, write_text};
use crate::stage::moment::Moments;

pub(super) fn write(prepared: &Prepared, folder: &Path) -> Result<()> {
    write_interactions(prepared, folder, |_| Ok(true))?;
    write_items(prepared, folder)?;

    let (manifest, name) = (prepared.manifest(), &prepared.manifest().name);
    let path = folder.join(format!("{name}.toml"));
    let text = toml::to_string(&description(manifest)).map_err(|error| Error::Description {
        file: path.display().to_string(),
        message: error.to_string(),
    })?;
    write_text(&path, &text)
}

/// The same of what is trained on alone, without a description: it is not the whole data set.
pub(super) fn write_training(prepared: &Prepared, folder: &Path) -> Result<()> {
    let (targets, mut known) = (prepared.targets()?, Vec::new());
    prepared.each_sequence(|row| {
        let trained = targets.parts(&row.items, &row.timestamps).known;
        known.extend(
            row.items
                .iter()
                .enumerate()
                .map(|(at, item)| (*item, at < trained)),
        );
    })?;
    let mut known = known.into_iter();
    write_interactions(prepared, folder, |row| match known.next() {
        Some((item, trained)) if item == row.item => Ok(trained),
        _ => Err(Error::Usage(format!(
            "{}: the interactions are not in the order of the sequences; prepare the data set again",
            prepared.folder().display()
        ))),
    })?;
    write_items(prepared, folder)
}

/// Writes those interactions that are wanted, of which each is asked in the order of [`Prepared::each_interaction`].
fn write_interactions(
    prepared: &Prepared,
    folder: &Path,
    mut wanted: impl FnMut(&InteractionRow<'_>) -> Result<bool>,
) -> Result<()> {
    let mut file = TextFile::create(folder.join(format!("{}.inter", prepared.manifest().name)))?;
    file.line("user_id:token\titem_id:token\trating:float\ttimestamp:float")?;
    let mut ends = burst_ends(prepared)?.into_iter();
    prepared.each_interaction(|row| {
        let time = ends.next().unwrap_or(row.timestamp);
        if !wanted(&row)? {
            return Ok(());
        }
        let (user, item) = (id(row.user_id)?, id(row.item_id)?);
        let rating = row.rating.map_or(String::new(), |rating| rating.to_string());
        file.line(&format!("{user}\t{item}\t{rating}\t{}", time as f64 / 1_000.0))
    })?;
    file.finish()
}

fn write_items(prepared: &Prepared, folder: &Path) -> Result<()> {
    let mut file = TextFile::create(folder.join(format!("{}.item", prepared.manifest().name)))?;
    file.line("item_id:token\ttitle:token_seq\tcategories:token_seq")?;
    for item in prepared.items()? {
        let tokens: Vec<String> = item.categories.split(", ").map(token).collect();
        file.line(&format!(
            "{}\t{}\t{}",
            id(&item.item_id)?,
            item.title,
            tokens.join(" ")
        ))?;
    }
    file.finish()
}

/// When the burst of each interaction ends, in the order of [`Prepared::each_interaction`]; nothing where only equal times tie.
fn burst_ends(prepared: &Prepared) -> Result<Vec<i64>> {
    let (window, mut ends) = (prepared.manifest().parameters.tie_window_ms, Vec::new());
    if window > 0 {
        prepared.each_sequence(|row| {
            for moment in Moments::of(&row.timestamps, window).ranges() {
                let count = moment.len();
                let end = row.timestamps[moment].iter().max().copied();
                ends.extend(end.into_iter().flat_map(|end| std::iter::repeat_n(end, count)));
            }
        })?;
    }
    Ok(ends)
}

/// The id, if a line can hold it.
fn id(text: &str) -> Result<&str> {
    if text.contains(['\t', '\n', '\r']) {
        return Err(Error::Usage(format!(
            "the id {text:?} holds a tab or a line end, which RecBole's files cannot; rename it in the raw log and prepare again"
        )));
    }
    Ok(text)
}

/// One category as one token.
fn token(category: &str) -> String {
    category.split_whitespace().collect::<Vec<_>>().join("_")
}

/// What lets this program read the files back.
fn description(manifest: &Manifest) -> DatasetDescription {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    DatasetDescription {
        name: manifest.name.chars().map(plain).collect(),
        title: format!("{}, exported", manifest.dataset.title),
        format: RawFormat::Recbole,
        time: None,
        // What is written here is all there is: an id that reads like none is an id.
        missing: Some(Vec::new()),
        interactions: vec![format!("{}.inter", manifest.name)],
        items: vec![format!("{}.item", manifest.name)],
        items_optional: false,
        // They are in front already.
        leading_articles: None,
        synthetic_fields: manifest.synthetic_fields.clone(),
        domains: Vec::new(),
        source: Source::default(),
        columns: Columns::default(),
        expected: manifest.size().map(|size| Expected {
            interactions: size.interactions,
            users: size.users,
            items: size.items,
        }),
        ..manifest.dataset.clone()
    }
}
