//! Scores of a row of ours as a file for other programs: the same columns that are read back.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use arrow::array::{ArrayRef, Float64Array, ListBuilder, RecordBatch, StringArray, StringBuilder};
use weaverec_output::{Staged, write_file};

use super::cases;

/// Scores written at a time.
const BATCH: usize = 1 << 20;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// By its ending.
    Parquet,
    /// Likewise.
    Csv,
}

impl Form {
    /// The form that the ending of a file's name says.
    ///
    /// # Errors
    /// Another ending.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("parquet") => Ok(Form::Parquet),
            Some("csv") => Ok(Form::Csv),
            _ => bail!("{} ends neither in .parquet nor in .csv", path.display()),
        }
    }
}

/// One user's items under raw ids, each with its score.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored<'a> {
    /// The user.
    pub user: &'a str,
    /// Items and scores, the higher the better.
    pub items: Vec<(&'a str, f32)>,
}

impl Scored<'_> {
    /// Puts the best first. Items of one score come in an order of their own that knows no target.
    pub fn sort(&mut self) {
        let user = self.user;
        let lot = |item: &str| blake3::hash(format!("{user}\0{item}").as_bytes());
        self.items.sort_by(|(one, a), (other, b)| {
            b.total_cmp(a)
                .then_with(|| lot(one).as_bytes().cmp(lot(other).as_bytes()))
        });
    }
}

/// Writes (user, item, score), or ranked lists (user, items) where `lists`, of users whose best items stand first.
///
/// # Errors
/// A score that is no finite number, or a file that cannot be written.
pub fn write(path: &Path, all: &[Scored], lists: bool) -> Result<()> {
    for scored in all {
        let odd = scored.items.iter().find(|(_, score)| !score.is_finite());
        ensure!(
            odd.is_none(),
            "the row gives user {} no finite score for item {}, so that its scores cannot be written",
            scored.user,
            odd.map_or("", |(item, _)| item)
        );
    }
    match Form::of(path)? {
        Form::Csv => write_csv(path, all, lists),
        Form::Parquet => {
            let place = std::path::absolute(path).with_context(|| path.display().to_string())?;
            let staged = Staged::beside(&place)?;
            let file = staged.path().join("scores.parquet");
            match lists {
                true => cases::write(&file, std::iter::once(of_lists(all)))?,
                false => cases::write(&file, of_scores(all))?,
            }
            let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            Ok(write_file(&place, &bytes)?)
        }
    }
}

fn write_csv(path: &Path, all: &[Scored], lists: bool) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(match lists {
        true => &["user", "items"][..],
        false => &["user", "item", "score"],
    })?;
    for scored in all {
        if lists {
            let items: Vec<&str> = scored.items.iter().map(|(item, _)| *item).collect();
            writer.write_record([scored.user, &serde_json::to_string(&items)?])?;
        } else {
            for (item, score) in &scored.items {
                // Widened first, so that what is read back is the same to the last bit.
                writer.write_record([scored.user, item, &f64::from(*score).to_string()])?;
            }
        }
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(write_file(path, &bytes)?)
}

fn of_lists(all: &[Scored]) -> Result<RecordBatch> {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for scored in all {
        scored
            .items
            .iter()
            .for_each(|(item, _)| lists.values().append_value(item));
        lists.append(true);
    }
    let users = StringArray::from_iter_values(all.iter().map(|scored| scored.user));
    Ok(RecordBatch::try_from_iter([
        ("user", Arc::new(users) as ArrayRef),
        ("items", Arc::new(lists.finish()) as ArrayRef),
    ])?)
}

fn of_scores<'a>(all: &'a [Scored<'a>]) -> impl Iterator<Item = Result<RecordBatch>> + 'a {
    let mut rest = all.iter().flat_map(|scored| {
        scored
            .items
            .iter()
            .map(|(item, score)| (scored.user, *item, *score))
    });
    let mut first = true;
    std::iter::from_fn(move || {
        let some: Vec<(&str, &str, f32)> = rest.by_ref().take(BATCH).collect();
        if some.is_empty() && !std::mem::take(&mut first) {
            return None;
        }
        first = false;
        let texts = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
        let scores = Float64Array::from_iter_values(some.iter().map(|(.., score)| f64::from(*score)));
        let batch = RecordBatch::try_from_iter([
            ("user", texts(some.iter().map(|(user, ..)| *user).collect())),
            ("item", texts(some.iter().map(|(_, item, _)| *item).collect())),
            ("score", Arc::new(scores) as ArrayRef),
        ]);
        Some(batch.map_err(Into::into))
    })
}
