//! `per_user.parquet`: the place of every user's target in every run, so that any other test can be made later.

use super::input::{Place, Study};
use anyhow::{Context, Result, ensure};
use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, UInt32Type};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::collections::BTreeMap;
use std::fs::File;
use std::iter::repeat_n;
use std::path::Path;
use std::sync::Arc;

const WORDS: [&str; 4] = ["study", "scenario", "method", "user_id"];
const NUMBERS: [&str; 3] = ["replicate", "above", "tied"];

/// Every place of every study as a Parquet file, in the order of the input and of user ids. A target that was not ranked at all has
/// `above` at its highest.
///
/// # Errors
/// Where the file cannot be encoded.
pub fn parquet(studies: &[Study]) -> Result<Vec<u8>> {
    let field = |name: &str, kind| Field::new(name, kind, false);
    let schema = Arc::new(Schema::new(vec![
        field("study", DataType::Utf8),
        field("scenario", DataType::Utf8),
        field("method", DataType::Utf8),
        field("replicate", DataType::UInt32),
        field("user_id", DataType::Utf8),
        field("above", DataType::UInt32),
        field("tied", DataType::UInt32),
    ]));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_created_by("weaverec".to_owned())
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema.clone(), Some(properties))?;
    for study in studies {
        for scenario in &study.scenarios {
            let cases = &scenario.cases;
            let mut users: Vec<usize> = (0..cases.len()).collect();
            users.sort_unstable_by(|a, b| cases[*a].user_id.cmp(&cases[*b].user_id));
            let same = |text: &str| -> ArrayRef {
                Arc::new(StringArray::from_iter_values(repeat_n(text, users.len())))
            };
            let ids: ArrayRef = Arc::new(StringArray::from_iter_values(
                users.iter().map(|user| &cases[*user].user_id),
            ));
            let number = |values: &mut dyn Iterator<Item = u32>| -> ArrayRef {
                Arc::new(UInt32Array::from_iter_values(values))
            };
            for row in &scenario.rows {
                for run in &row.runs {
                    let places = || users.iter().map(|user| run.places[*user]);
                    let columns: Vec<ArrayRef> = vec![
                        same(&study.name),
                        same(&scenario.name),
                        same(&row.method),
                        number(&mut repeat_n(run.replicate, users.len())),
                        ids.clone(),
                        number(&mut places().map(|place| place.above)),
                        number(&mut places().map(|place| place.tied)),
                    ];
                    writer.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
                }
            }
        }
    }
    writer.close().context("finishing per_user.parquet")?;
    Ok(bytes)
}

/// Places by user.
pub type Places = BTreeMap<String, Place>;

/// Places by study, scenario and method, then by replicate and user.
pub type PerUser = BTreeMap<(String, String, String), BTreeMap<u32, Places>>;

/// Reads a `per_user.parquet` back.
///
/// # Errors
/// Where it cannot be read, has other columns (those of an older version, for one), or a user stands in a run twice.
pub fn read(path: &Path) -> Result<PerUser> {
    let named = || format!("{}", path.display());
    let file = File::open(path).with_context(named)?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .with_context(named)?;
    let mut places = PerUser::new();
    for batch in reader {
        add(&mut places, &batch.with_context(named)?).with_context(named)?;
    }
    Ok(places)
}

fn add(places: &mut PerUser, batch: &RecordBatch) -> Result<()> {
    let column = |name: &str| {
        batch.column_by_name(name).with_context(|| {
            format!("it has no column `{name}`; it is of another version of weaverec, whose report has to be made again")
        })
    };
    let mut words = Vec::new();
    for name in WORDS {
        let array = column(name)?.as_string_opt::<i32>();
        words.push(array.with_context(|| format!("its column `{name}` is no text"))?);
    }
    let mut numbers = Vec::new();
    for name in NUMBERS {
        let array = column(name)?.as_primitive_opt::<UInt32Type>();
        numbers
            .push(array.with_context(|| format!("its column `{name}` holds no whole numbers of 32 bits"))?);
    }
    let ([study, scenario, method, user], [replicate, above, tied]) = (words.as_slice(), numbers.as_slice())
    else {
        anyhow::bail!("it has other columns than expected");
    };
    let same = |a: usize, b: usize| {
        [study, scenario, method]
            .iter()
            .all(|words| words.value(a) == words.value(b))
            && replicate.value(a) == replicate.value(b)
    };
    let mut from = 0;
    // A run's users stand together, so that its name is looked up once.
    for end in 1..=batch.num_rows() {
        if end < batch.num_rows() && same(from, end) {
            continue;
        }
        let key = [study, scenario, method].map(|words| words.value(from).to_owned());
        let [study, scenario, method] = key;
        let run = places
            .entry((study, scenario, method))
            .or_default()
            .entry(replicate.value(from))
            .or_default();
        for index in from..end {
            let place = Place {
                above: above.value(index),
                tied: tied.value(index),
            };
            let twice = run.insert(user.value(index).to_owned(), place).is_some();
            ensure!(!twice, "user `{}` stands in one run twice", user.value(index));
        }
        from = end;
    }
    Ok(())
}
