//! The scores of a ranking in Parquet: a row a user, a list a column where there is a value for each candidate.
//!
//! | column | type | |
//! |---|---|---|
//! | `user_id` | string | |
//! | `cut` | string | `selection`, `calibration`, `dev`, `final` |
//! | `scale` | f32 | what the merged update was multiplied by; 1 where there is none |
//! | `target` | u32 | where in `candidates` the item stands that came next |
//! | `candidates` | list of u32 | dense item ids |
//! | `protocols` | list of u32 | who drew each candidate: 1 uniform, 2 binned, 3 both |
//! | `scores` | list of f32 | log p(title given history), or what the row scores by |
//! | `neutral` | list of f32 | log p(title given a neutral history), or empty |
//! | `tokens` | list of u32 | tokens of each title, or empty |
//! | `popularity` | list of u32 | training interactions of each |
//! | `above`, `tied` | u32 | where the target stands in the whole catalogue, history excluded, by `scores`; null where it was not scored |
//! | `history` | u32 | items that the user had before; in records of earlier versions those that the prompt shows |
//! | `descends`, `ties` | bool | see [`ScoredCase`] |

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float32Array, ListArray, PrimitiveArray, RecordBatch,
    StringArray, UInt32Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{ArrowPrimitiveType, Field, Float32Type, UInt32Type};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::cell::ScoredCase;
use crate::cut::Cut;
use crate::metric::Place;
use crate::protocol::Protocol;

/// Users read at a time.
const BATCH: usize = 8192;

/// Writes them.
pub fn write(path: &Path, cases: &[ScoredCase]) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let batch = RecordBatch::try_from_iter([
        ("user_id", strings(cases.iter().map(|case| case.user_id.as_str()))),
        ("cut", strings(cases.iter().map(|case| case.cut.name()))),
        (
            "scale",
            Arc::new(Float32Array::from_iter_values(
                cases.iter().map(|case| case.scale),
            )) as ArrayRef,
        ),
        ("target", numbers(cases.iter().map(|case| Some(case.target)))),
        ("candidates", lists::<UInt32Type>(cases, |case| &case.candidates)),
        (
            "protocols",
            lists_of::<UInt32Type>(cases, |case| {
                case.protocols.iter().map(|bits| u32::from(*bits)).collect()
            }),
        ),
        ("scores", lists::<Float32Type>(cases, |case| &case.scores)),
        ("neutral", lists::<Float32Type>(cases, |case| &case.neutral)),
        ("tokens", lists::<UInt32Type>(cases, |case| &case.tokens)),
        ("popularity", lists::<UInt32Type>(cases, |case| &case.popularity)),
        (
            "above",
            numbers(cases.iter().map(|case| case.catalogue.map(|place| place.above))),
        ),
        (
            "tied",
            numbers(cases.iter().map(|case| case.catalogue.map(|place| place.tied))),
        ),
        ("history", numbers(cases.iter().map(|case| Some(case.history)))),
        ("descends", flags(cases.iter().map(|case| case.descends))),
        ("ties", flags(cases.iter().map(|case| case.ties))),
    ])?;
    let properties = WriterProperties::builder()
        .set_created_by("weaverec".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        // Nobody asks such a file for a part of its rows.
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let file = File::create(path).with_context(failed)?;
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties))?;
    writer.write(&batch).with_context(failed)?;
    writer.close().with_context(failed)?;
    Ok(())
}

/// Reads them.
///
/// # Errors
/// A file that cannot be read, or has other columns, or lists of different lengths.
pub fn read(path: &Path) -> Result<Vec<ScoredCase>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?
        .with_batch_size(BATCH)
        .build();
    let mut cases = Vec::new();
    for batch in reader.with_context(|| format!("cannot read {}", path.display()))? {
        append(&batch?, &mut cases)
            .with_context(|| format!("{}: delete its folder to run the cell again", path.display()))?;
    }
    Ok(cases)
}

fn append(batch: &RecordBatch, cases: &mut Vec<ScoredCase>) -> Result<()> {
    let text = |name| column(batch, name, |c| c.as_string_opt::<i32>());
    let flag = |name| column(batch, name, |c| c.as_boolean_opt());
    let ids = |name| Lists::<UInt32Type>::of(batch, name);
    let values = |name| Lists::<Float32Type>::of(batch, name);
    let (users, cuts) = (text("user_id")?, text("cut")?);
    let number = |name| column(batch, name, |c| c.as_primitive_opt::<UInt32Type>());
    let (targets, above, tied, histories) = (
        number("target")?,
        number("above")?,
        number("tied")?,
        number("history")?,
    );
    let scales = column(batch, "scale", |c| c.as_primitive_opt::<Float32Type>())?;
    let protocols = ids("protocols")?;
    let (candidates, tokens, popularity) = (ids("candidates")?, ids("tokens")?, ids("popularity")?);
    let (scores, neutral) = (values("scores")?, values("neutral")?);
    let (descends, ties) = (flag("descends")?, flag("ties")?);
    for row in 0..batch.num_rows() {
        let case = ScoredCase {
            user_id: users.value(row).to_string(),
            cut: cut(cuts.value(row))?,
            scale: scales.value(row),
            target: targets.value(row),
            candidates: candidates.get(row),
            // Four bits are in use at most: what is more is found by the check below.
            protocols: protocols
                .get(row)
                .into_iter()
                .map(|bits| bits.min(255) as u8)
                .collect(),
            scores: scores.get(row),
            neutral: neutral.get(row),
            tokens: tokens.get(row),
            popularity: popularity.get(row),
            catalogue: (above.is_valid(row) && tied.is_valid(row)).then(|| Place {
                above: above.value(row),
                tied: tied.value(row),
            }),
            history: histories.value(row),
            descends: descends.value(row),
            ties: ties.value(row),
        };
        check(&case)?;
        cases.push(case);
    }
    Ok(())
}

/// Whether there is a score for each candidate, and a target among them.
pub fn check(case: &ScoredCase) -> Result<()> {
    let count = case.candidates.len();
    let all_or_none = [case.neutral.len(), case.tokens.len(), case.popularity.len()];
    if case.scores.len() != count
        || case.protocols.len() != count
        || all_or_none.iter().any(|length| ![0, count].contains(length))
    {
        bail!(
            "user {} has not a value for each of {count} candidates",
            case.user_id
        );
    }
    if case.target as usize >= count {
        bail!("the target of user {} is not among the candidates", case.user_id);
    }
    let all: u8 = Protocol::ALL.iter().map(|protocol| protocol.bit()).sum();
    if case.protocols.iter().any(|bits| *bits == 0 || bits & !all != 0) {
        bail!(
            "a candidate of user {} belongs to no protocol that is known",
            case.user_id
        );
    }
    Ok(())
}

fn cut(name: &str) -> Result<Cut> {
    let found = Cut::ALL.into_iter().find(|cut| cut.name() == name);
    found.with_context(|| format!("no part of the users is called {name}"))
}

fn column<'a, T>(
    batch: &'a RecordBatch,
    name: &str,
    of: impl Fn(&'a ArrayRef) -> Option<&'a T>,
) -> Result<&'a T> {
    let column = batch.column_by_name(name);
    let typed = column.and_then(of);
    typed.with_context(|| match column {
        None => format!("there is no column {name}"),
        Some(column) => format!("the column {name} is of type {}", column.data_type()),
    })
}

fn strings<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn numbers(values: impl Iterator<Item = Option<u32>>) -> ArrayRef {
    Arc::new(UInt32Array::from_iter(values))
}

fn flags(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(BooleanArray::from_iter(values.map(Some)))
}

fn lists<T: ArrowPrimitiveType>(cases: &[ScoredCase], of: impl Fn(&ScoredCase) -> &[T::Native]) -> ArrayRef {
    lists_of::<T>(cases, |case| of(case).to_vec())
}

fn lists_of<T: ArrowPrimitiveType>(
    cases: &[ScoredCase],
    of: impl Fn(&ScoredCase) -> Vec<T::Native>,
) -> ArrayRef {
    let all: Vec<Vec<T::Native>> = cases.iter().map(of).collect();
    let values = PrimitiveArray::<T>::from_iter_values(all.iter().flatten().copied());
    let offsets = OffsetBuffer::from_lengths(all.iter().map(Vec::len));
    let field = Arc::new(Field::new("item", T::DATA_TYPE, false));
    Arc::new(ListArray::new(field, offsets, Arc::new(values), None))
}

/// A column of lists.
struct Lists<'a, T: ArrowPrimitiveType> {
    lists: &'a ListArray,
    values: &'a PrimitiveArray<T>,
}

impl<'a, T: ArrowPrimitiveType> Lists<'a, T> {
    fn of(batch: &'a RecordBatch, name: &str) -> Result<Self> {
        let lists = column(batch, name, |c| c.as_list_opt::<i32>())?;
        let values = lists.values().as_primitive_opt();
        let values = values.with_context(|| format!("the column {name} has values of another type"))?;
        Ok(Self { lists, values })
    }

    fn get(&self, row: usize) -> Vec<T::Native> {
        let offsets = self.lists.value_offsets();
        self.values.values()[offsets[row] as usize..offsets[row + 1] as usize].to_vec()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;

    pub fn some() -> Vec<ScoredCase> {
        let case = ScoredCase {
            user_id: "a".into(),
            cut: Cut::Dev,
            scale: 1.3,
            target: 2,
            candidates: vec![7, 1, 9],
            protocols: vec![1, 2, 3],
            scores: vec![-1.5, f32::NEG_INFINITY, -0.1],
            neutral: vec![-1.0, -2.0, -3.0],
            tokens: vec![3, 1, 4],
            popularity: vec![0, 12, 5],
            catalogue: Some(Place { above: 3, tied: 2 }),
            history: 4,
            descends: false,
            ties: true,
        };
        let bare = ScoredCase {
            user_id: "b é".into(),
            cut: Cut::Calibration,
            scale: 1.0,
            target: 0,
            candidates: vec![4, 3],
            protocols: vec![3, 1],
            scores: vec![0.1, f32::MIN_POSITIVE],
            neutral: Vec::new(),
            tokens: Vec::new(),
            popularity: vec![0, 0],
            catalogue: None,
            history: 0,
            descends: true,
            ties: false,
        };
        vec![case, bare]
    }

    #[test]
    fn scores_come_back_to_the_last_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scores.parquet");
        for cases in [some(), Vec::new()] {
            write(&path, &cases).unwrap();
            assert_eq!(read(&path).unwrap(), cases);
        }
    }

    #[test]
    fn what_is_not_whole_is_refused_with_the_user() {
        let broken = |change: fn(&mut ScoredCase)| {
            let mut case = some().remove(0);
            change(&mut case);
            check(&case).unwrap_err().to_string()
        };
        assert!(some().iter().all(|case| check(case).is_ok()));
        assert!(broken(|case| case.target = 3).contains("the target of user a"));
        assert!(broken(|case| case.scores.truncate(2)).contains("user a"));
        assert!(broken(|case| case.tokens.truncate(1)).contains("user a"));
        assert!(broken(|case| case.protocols[0] = 0).contains("no protocol"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scores.parquet");
        let mut cases = some();
        cases[1].target = 2;
        write(&path, &cases).unwrap();
        let error = format!("{:#}", read(&path).unwrap_err());
        assert!(
            error.contains("user b é") && error.contains("delete its folder"),
            "{error}"
        );
    }
}
