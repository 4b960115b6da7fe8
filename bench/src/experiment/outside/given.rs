//! Reads a file of scores: Parquet or CSV of (user, item, score), or of ranked lists (user, items), told apart by their columns.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::experiment::domain::DomainData;

/// What a Parquet file begins with.
const PARQUET: &[u8] = b"PAR1";

/// What a column may be called.
const USER: [&str; 2] = ["user", "user_id"];
const ITEM: [&str; 2] = ["item", "item_id"];
const ITEMS: [&str; 1] = ["items"];
const SCORE: [&str; 1] = ["score"];

/// What a file gives to each user: items by dense id, each with a score, the higher the better.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Given {
    /// By the place of the user among those that are ranked.
    pub lists: Vec<Vec<(u32, f64)>>,
    /// Users of the file that choose and are not ranked, and of whom nothing is taken.
    pub choosing: usize,
}

/// Where in a file something stands.
#[derive(Clone, Copy)]
enum At {
    Line(u64),
    Row(usize),
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Line(line) => write!(f, "line {line}"),
            At::Row(row) => write!(f, "row {row}"),
        }
    }
}

/// Reads a file for the ranked users of a domain.
///
/// # Errors
/// A file that cannot be read or has other columns; a user or an item that is not known, or is there twice; a ranked user who is missing;
/// a score that is no finite number.
pub fn read(path: &Path, domain: &DomainData) -> Result<Given> {
    let named = || format!("cannot read {}", path.display());
    let mut taking = Taking::new(domain);
    let mut magic = Vec::new();
    let file = File::open(path).with_context(named)?;
    file.take(PARQUET.len() as u64)
        .read_to_end(&mut magic)
        .with_context(named)?;
    match magic == PARQUET {
        true => parquet(path, &mut taking),
        false => csv(path, &mut taking),
    }
    .with_context(|| path.display().to_string())?;
    taking.finish().with_context(|| path.display().to_string())
}

/// The columns of a file by their places.
enum Columns {
    Scores { user: usize, item: usize, score: usize },
    Lists { user: usize, items: usize },
}

impl Columns {
    fn of(names: &[String]) -> Result<Self> {
        let find = |known: &[&str]| names.iter().position(|name| known.contains(&name.trim()));
        let (user, item, score) = (find(&USER), find(&ITEM), find(&SCORE));
        match (user, item, score, find(&ITEMS)) {
            (Some(user), Some(item), Some(score), _) => Ok(Columns::Scores { user, item, score }),
            (Some(user), _, _, Some(items)) => Ok(Columns::Lists { user, items }),
            _ => bail!(
                "its columns are {}; name them user, item and score, or for ranked lists user and items",
                names.join(", ")
            ),
        }
    }
}

/// What is taken of a file, line by line.
struct Taking<'a> {
    /// The place of a ranked user; none of one that chooses.
    users: HashMap<&'a str, Option<usize>>,
    names: Vec<&'a str>,
    items: HashMap<&'a str, u32>,
    domain: &'a DomainData,
    lists: Vec<Option<Vec<(u32, f64)>>>,
    choosing: std::collections::BTreeSet<String>,
}

impl<'a> Taking<'a> {
    fn new(domain: &'a DomainData) -> Self {
        let others = domain.calibration.iter().chain(&domain.selection);
        let mut users: HashMap<&str, Option<usize>> =
            others.map(|prompt| (prompt.user_id.as_str(), None)).collect();
        let names: Vec<&str> = domain
            .ranked
            .iter()
            .map(|prompt| prompt.user_id.as_str())
            .collect();
        users.extend(names.iter().enumerate().map(|(place, user)| (*user, Some(place))));
        let items = domain.items.iter().map(|item| (item.item_id.as_str(), item.item));
        Self {
            users,
            items: items.collect(),
            lists: vec![None; names.len()],
            names,
            domain,
            choosing: std::collections::BTreeSet::new(),
        }
    }

    /// The place of a user who is ranked.
    fn user(&mut self, at: At, user: &str) -> Result<Option<usize>> {
        match self.users.get(user) {
            Some(Some(place)) => Ok(Some(*place)),
            Some(None) => {
                if !self.choosing.contains(user) {
                    self.choosing.insert(user.to_owned());
                }
                Ok(None)
            }
            None => bail!(
                "{at}: {user:?} is no user of the cases of {}; users are called as in cases.parquet, which `weaverec cases export` writes",
                self.domain.name
            ),
        }
    }

    fn item(&self, at: At, item: &str) -> Result<u32> {
        let found = self.items.get(item).copied();
        found.with_context(|| {
            format!(
                "{at}: {item:?} is no item of {}; items are called as in items.parquet, which `weaverec cases export` writes",
                self.domain.name
            )
        })
    }

    fn score(&mut self, at: At, user: &str, item: &str, score: f64) -> Result<()> {
        let Some(place) = self.user(at, user)? else {
            return Ok(());
        };
        let dense = self.item(at, item)?;
        ensure!(
            score.is_finite(),
            "{at}: the score of item {item} for user {user} is {score}; leave out what has no score"
        );
        self.lists[place].get_or_insert_default().push((dense, score));
        Ok(())
    }

    fn list<'i>(&mut self, at: At, user: &str, items: impl Iterator<Item = &'i str>) -> Result<()> {
        let Some(place) = self.user(at, user)? else {
            return Ok(());
        };
        ensure!(
            self.lists[place].is_none(),
            "{at}: user {user} has a list already; give one list a user"
        );
        // The first is the best, and none ties.
        let scored = items
            .enumerate()
            .map(|(rank, item)| Ok((self.item(at, item)?, -(rank as f64))));
        let list = scored.collect::<Result<_>>()?;
        self.lists[place] = Some(list);
        Ok(())
    }

    fn finish(self) -> Result<Given> {
        let missing: Vec<&str> = self
            .names
            .iter()
            .zip(&self.lists)
            .filter(|(_, list)| list.is_none())
            .map(|(user, _)| *user)
            .collect();
        if let Some(first) = missing.first() {
            bail!(
                "{} of the {} users that are ranked are not in it, {first} for one; score every user of cases.parquet whose cut is reported",
                missing.len(),
                self.names.len()
            );
        }
        let mut lists: Vec<Vec<(u32, f64)>> = self.lists.into_iter().flatten().collect();
        for (user, list) in self.names.iter().zip(&mut lists) {
            list.sort_by_key(|(item, _)| *item);
            if let Some(twice) = list.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                bail!(
                    "user {user} has the item {} twice; give each item once",
                    self.domain.raw(twice[0].0)?
                );
            }
        }
        Ok(Given {
            lists,
            choosing: self.choosing.len(),
        })
    }
}

fn csv(path: &Path, taking: &mut Taking) -> Result<()> {
    let mut reader = csv::Reader::from_path(path)?;
    let names: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
    let columns = Columns::of(&names)?;
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record)? {
        let at = At::Line(record.position().map_or(0, csv::Position::line));
        let field = |place: usize| record.get(place).unwrap_or_default();
        match columns {
            Columns::Scores { user, item, score } => {
                let text = field(score).trim();
                let value = text
                    .parse()
                    .with_context(|| format!("{at}: the score {text:?} is no number"))?;
                taking.score(at, field(user), field(item), value)?;
            }
            Columns::Lists { user, items } => {
                let text = field(items).trim();
                if text.starts_with('[') {
                    let items: Vec<String> = serde_json::from_str(text)
                        .with_context(|| format!("{at}: `items` is no JSON array of texts"))?;
                    taking.list(at, field(user), items.iter().map(String::as_str))?;
                } else {
                    taking.list(at, field(user), text.split_whitespace())?;
                }
            }
        }
    }
    Ok(())
}

fn parquet(path: &Path, taking: &mut Taking) -> Result<()> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    let names: Vec<String> = reader
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    let columns = Columns::of(&names)?;
    let mut before = 0;
    for batch in reader.build()? {
        let batch = batch?;
        add(&batch, &columns, before, taking)?;
        before += batch.num_rows();
    }
    Ok(())
}

/// Adds a batch that stands behind so many rows.
fn add(batch: &RecordBatch, columns: &Columns, before: usize, taking: &mut Taking) -> Result<()> {
    let at = |row: usize| At::Row(before + row + 1);
    // Of numbers or texts of whatever width.
    let of = |place: usize, kind: &DataType| -> Result<ArrayRef> {
        let (name, column) = (batch.schema().field(place).name().clone(), batch.column(place));
        let column = cast(column, kind)
            .with_context(|| format!("the column {name} is of type {}", column.data_type()))?;
        if let Some(row) = (0..column.len()).find(|row| column.is_null(*row)) {
            bail!("{}: the column {name} has no value", at(row));
        }
        Ok(column)
    };
    match columns {
        Columns::Scores { user, item, score } => {
            let (users, items) = (of(*user, &DataType::Utf8)?, of(*item, &DataType::Utf8)?);
            let scores = of(*score, &DataType::Float64)?;
            let (users, items) = (users.as_string::<i32>(), items.as_string::<i32>());
            let scores = scores.as_primitive::<Float64Type>();
            (0..batch.num_rows()).try_for_each(|row| {
                taking.score(at(row), users.value(row), items.value(row), scores.value(row))
            })
        }
        Columns::Lists { user, items } => {
            let list = DataType::List(Field::new("item", DataType::Utf8, true).into());
            let (users, lists) = (of(*user, &DataType::Utf8)?, of(*items, &list)?);
            let (users, lists) = (users.as_string::<i32>(), lists.as_list::<i32>());
            for row in 0..batch.num_rows() {
                let items = lists.value(row);
                let items = items.as_string::<i32>();
                ensure!(
                    items.null_count() == 0,
                    "{}: an item of the list has no value",
                    at(row)
                );
                taking.list(at(row), users.value(row), items.iter().flatten())?;
            }
            Ok(())
        }
    }
}
