//! The audit finds what is put there to be found.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StringArray, StructArray};
use datafusion::arrow::compute::concat;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use weaverec_pipeline::audit::audit;
use weaverec_pipeline::prepare::PrepareConfig;
use weaverec_pipeline::prepared::{Prepared, prompts_schema, write_batches};

use crate::support::{films, run};

const TEST: &str = "prompts/test-00000-of-00001.parquet";
const VALIDATION: &str = "prompts/validation-00000-of-00001.parquet";
const TRAIN: &str = "prompts/train-00000-of-00001.parquet";

/// Leaks found once `file` holds what `change` makes of the rows of `source`.
fn leaks(
    config: &PrepareConfig,
    source: &str,
    file: &str,
    change: impl Fn(&RecordBatch) -> RecordBatch,
) -> String {
    let folder = config.folder();
    let mut manifest = run(config).unwrap();
    assert_eq!(
        audit(&Prepared::open(&folder).unwrap()).unwrap().leaks,
        Vec::<String>::new()
    );
    let reader = std::fs::File::open(folder.join(source)).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(reader)
        .unwrap()
        .build()
        .unwrap();
    let rows: Vec<RecordBatch> = reader.map(|batch| change(&batch.unwrap())).collect();
    let entry = write_batches(&folder, Path::new(file), prompts_schema(), &rows).unwrap();
    *manifest
        .files
        .iter_mut()
        .find(|known| known.path == file)
        .unwrap() = entry;
    std::fs::write(
        folder.join("manifest.json"),
        serde_json::to_string(&manifest).unwrap(),
    )
    .unwrap();
    let report = audit(&Prepared::open(&folder).unwrap()).unwrap();
    assert!(report.check().is_err());
    report.leaks.join("\n")
}

fn with_column(batch: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let index = batch.schema().index_of(name).unwrap();
    let mut columns = batch.columns().to_vec();
    columns[index] = column;
    RecordBatch::try_new(prompts_schema(), columns).unwrap()
}

/// The column `name` of every row moved to the row before it.
fn shifted(batch: &RecordBatch, name: &str) -> RecordBatch {
    let column = batch.column_by_name(name).unwrap();
    let rest = column.slice(1, column.len() - 1);
    let moved = concat(&[&rest, &column.slice(0, 1)]).unwrap();
    with_column(batch, name, Arc::clone(&moved))
}

#[test]
fn every_kind_of_leak_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let base = films(folder.path(), 120);
    let in_place = |name: &str| {
        let mut config = base.clone();
        config.name = Some(name.to_owned());
        config
    };
    let found = leaks(&in_place("train"), VALIDATION, TRAIN, Clone::clone);
    assert!(
        found.contains("belongs to another split") && found.contains("key occurs twice"),
        "{found}"
    );
    let found = leaks(&in_place("candidates"), TEST, TEST, |batch| {
        shifted(batch, "candidates")
    });
    assert!(
        found.contains("touched by the user") && found.contains("lack the target"),
        "{found}"
    );
    let found = leaks(&in_place("history"), TEST, TEST, |batch| {
        shifted(batch, "history")
    });
    assert!(found.contains("not consecutive"), "{found}");
    let found = leaks(&in_place("text"), TEST, TEST, |batch| {
        let turns = batch.column_by_name("messages").unwrap().as_list::<i32>();
        let (fields, mut parts, nulls) = turns.values().as_struct().clone().into_parts();
        // The answer becomes a part of the question.
        parts[0] = Arc::new(StringArray::from(vec!["user"; parts[0].len()]));
        let values = Arc::new(StructArray::new(fields, parts, nulls));
        let (field, offsets, _, nulls) = turns.clone().into_parts();
        with_column(
            batch,
            "messages",
            Arc::new(ListArray::new(field, offsets, values, nulls)),
        )
    });
    assert!(found.contains("title stands in the question"), "{found}");
}
