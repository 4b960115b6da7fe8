//! `per_user.parquet`: every rank of every user, so that any other test can be made later.

use super::input::Study;
use anyhow::{Context, Result};
use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::sync::Arc;

/// Every rank of every study as a Parquet file, in the order of the input and of user ids.
///
/// # Errors
/// Where the file cannot be encoded.
pub fn parquet(studies: &[Study]) -> Result<Vec<u8>> {
    let fields = ["study", "scenario", "method"].map(|name| Field::new(name, DataType::Utf8, false));
    let mut fields = fields.to_vec();
    fields.push(Field::new("seed", DataType::UInt64, false));
    fields.push(Field::new("user_id", DataType::Utf8, false));
    fields.push(Field::new("rank", DataType::UInt32, false));
    fields.push(Field::new("tied", DataType::UInt32, false));
    let schema = Arc::new(Schema::new(fields));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_created_by("weaverec".to_owned())
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema.clone(), Some(properties))?;
    for study in studies {
        for scenario in &study.scenarios {
            for row in &scenario.rows {
                for run in &row.runs {
                    let mut users: Vec<_> = run.users.iter().collect();
                    users.sort_unstable_by(|a, b| a.user_id.cmp(&b.user_id));
                    let same = |text: &str| -> ArrayRef {
                        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
                            text,
                            users.len(),
                        )))
                    };
                    let columns: Vec<ArrayRef> = vec![
                        same(&study.name),
                        same(&scenario.name),
                        same(&row.method),
                        Arc::new(UInt64Array::from_iter_values(std::iter::repeat_n(
                            run.seed,
                            users.len(),
                        ))),
                        Arc::new(StringArray::from_iter_values(
                            users.iter().map(|user| &user.user_id),
                        )),
                        Arc::new(UInt32Array::from_iter_values(users.iter().map(|user| user.rank))),
                        Arc::new(UInt32Array::from_iter_values(users.iter().map(|user| user.tied))),
                    ];
                    writer.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
                }
            }
        }
    }
    writer.close().context("finishing per_user.parquet")?;
    Ok(bytes)
}
