//! Vectors of items as a file that other programs read and write: Parquet, a row an item.
//!
//! | column | type | |
//! |---|---|---|
//! | `item` (or `item_id`) | string | the item's id in the raw log; numbers are taken as they are written |
//! | `domain` | string | the prepared domain's name; may be left out, or null, where no id is in two domains |
//! | `vector` | list of numbers | of one width in the whole file |
//!
//! Files that are written here hold the domain, and in the metadata, under `weaverec.vectors`, how the vectors were made, as JSON.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use arrow::array::{Array, ArrayRef, AsArray, Float32Array, ListArray, RecordBatch, StringArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float32Type, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use serde_json::Value;
use weaverec_model::recommender::Vectors;
use weaverec_model::recommender::vectors::Given;
use weaverec_output::write_file;

/// Items written at a time.
const BATCH: usize = 8192;

/// Where a file says how its vectors were made.
const MADE: &str = "weaverec.vectors";

/// What columns may be called.
const ITEM: [&str; 2] = ["item", "item_id"];
const DOMAIN: [&str; 1] = ["domain"];
const VECTOR: &str = "vector";

/// The vectors of a domain.
pub struct Part<'a> {
    /// What it is called.
    pub domain: String,
    /// The items' ids, item 1 first.
    pub items: Vec<&'a str>,
    /// Their vectors.
    pub vectors: &'a Vectors,
}

/// Writes a file, which appears whole or not at all; `made` says how its vectors were made.
///
/// # Errors
/// Other numbers of items than of vectors, and a file that cannot be written.
pub fn write(path: &Path, parts: &[Part], made: &Value) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    for part in parts {
        let cannot = || format!("vectors of {}", part.domain);
        part.vectors.check(part.items.len()).with_context(cannot)?;
    }
    let value = Arc::new(Field::new("item", DataType::Float32, false));
    let schema = Arc::new(Schema::new(vec![
        Field::new("domain", DataType::Utf8, false),
        Field::new("item", DataType::Utf8, false),
        Field::new("vector", DataType::List(value.clone()), false),
    ]));
    let properties = WriterProperties::builder()
        .set_created_by("weaverec".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        // No number comes twice, and nobody asks for a range of them.
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_key_value_metadata(Some(vec![KeyValue::new(MADE.to_owned(), made.to_string())]))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema.clone(), Some(properties))?;
    for part in parts {
        let width = part.vectors.width;
        let values = part.vectors.values.chunks(BATCH * width);
        for (items, values) in part.items.chunks(BATCH).zip(values) {
            let domains = StringArray::from_iter_values(items.iter().map(|_| part.domain.as_str()));
            let lists = ListArray::try_new(
                value.clone(),
                OffsetBuffer::from_lengths(items.iter().map(|_| width)),
                Arc::new(Float32Array::from_iter_values(values.iter().copied())),
                None,
            )?;
            let columns: Vec<ArrayRef> = vec![
                Arc::new(domains),
                Arc::new(StringArray::from_iter_values(items)),
                Arc::new(lists),
            ];
            writer
                .write(&RecordBatch::try_new(schema.clone(), columns)?)
                .with_context(failed)?;
        }
    }
    writer.close().with_context(failed)?;
    Ok(write_file(path, &bytes)?)
}

/// Reads a file.
///
/// # Errors
/// A file that cannot be read or has other columns, an item without an id or a vector, and a vector with a gap.
pub fn read(path: &Path) -> Result<Vec<Given>> {
    let named = || path.display().to_string();
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).with_context(|| {
        format!(
            "{} is no Parquet file that can be read; vectors are given as Parquet with the columns item, vector and, where ids are in two \
             domains, domain",
            path.display()
        )
    })?;
    let names: Vec<String> = reader
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    let find = |known: &[&str]| names.iter().position(|name| known.contains(&name.trim()));
    let (Some(item), Some(vector)) = (find(&ITEM), find(&[VECTOR])) else {
        bail!(
            "{}: its columns are {}; name them item, vector and, where ids are in two domains, domain",
            path.display(),
            names.join(", ")
        );
    };
    let columns = Columns {
        item,
        vector,
        domain: find(&DOMAIN),
    };
    let mut given = Vec::new();
    for batch in reader.build().with_context(named)? {
        columns
            .append(&batch.with_context(named)?, &mut given)
            .with_context(named)?;
    }
    Ok(given)
}

/// The columns by their places.
struct Columns {
    item: usize,
    vector: usize,
    domain: Option<usize>,
}

impl Columns {
    fn append(&self, batch: &RecordBatch, given: &mut Vec<Given>) -> Result<()> {
        let before = given.len();
        let of = |place: usize, kind: &DataType| -> Result<ArrayRef> {
            let column = batch.column(place);
            cast(column, kind).with_context(|| {
                format!(
                    "the column {} is of type {}",
                    batch.schema().field(place).name(),
                    column.data_type()
                )
            })
        };
        let vectors = batch.column(self.vector).data_type();
        // A number would be taken for a list of one.
        ensure!(
            vectors.is_list(),
            "the column {VECTOR} is of type {vectors}, and a list of numbers is wanted"
        );
        let list = DataType::List(Field::new("item", DataType::Float32, true).into());
        let (items, lists) = (of(self.item, &DataType::Utf8)?, of(self.vector, &list)?);
        let (items, lists) = (items.as_string::<i32>(), lists.as_list::<i32>());
        let domains = self.domain.map(|place| of(place, &DataType::Utf8)).transpose()?;
        let domains = domains.as_ref().map(|domains| domains.as_string::<i32>());
        for row in 0..batch.num_rows() {
            let at = || format!("row {}", before + row + 1);
            ensure!(items.is_valid(row), "{}: the item has no id", at());
            let item = items.value(row).to_owned();
            ensure!(
                lists.is_valid(row),
                "{}: item {item} has no vector; give an item of which nothing is known zeros",
                at()
            );
            let vector = lists.value(row);
            let vector = vector.as_primitive::<Float32Type>();
            ensure!(
                vector.null_count() == 0,
                "{}: the vector of item {item} has a gap",
                at()
            );
            given.push(Given {
                domain: domains
                    .filter(|domains| domains.is_valid(row))
                    .map(|domains| domains.value(row).to_owned()),
                item,
                values: vector.values().to_vec(),
            });
        }
        Ok(())
    }
}
