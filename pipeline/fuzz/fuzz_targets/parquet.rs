//! Logs of one's own in Parquet, damaged: what is fuzzed says which whole file to take and which of its bytes to change.
#![no_main]

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::Int32Type;
use libfuzzer_sys::fuzz_target;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};
use weaverec_pipeline_fuzz::{Part, Set};

const ROWS: usize = 60;
const COLUMNS: &str = "time = \"s\"\n[columns]\nuser = \"who\"\nitem = \"what\"\nrating = \"score\"\ntimestamp = \"at\"\n";
const OF_ITEMS: &str = "title = \"name\"\ncategories = \"kinds\"\ncategory_separator = \"|\"\n";

static SETS: LazyLock<[Set; 2]> = LazyLock::new(|| {
    let set = |events, part| {
        // A key about item files is an error where there are none.
        let of_items = if part == Part::Items { OF_ITEMS } else { "" };
        let files = [("e.parquet", events), ("a.parquet", b"")];
        Set::new("generic", files, part, &format!("{COLUMNS}{of_items}"))
    };
    // Without interactions no items are read.
    let whole = Vec::leak(FILES[0][0].clone());
    [set(b"", Part::Interactions), set(whole, Part::Items)]
});

/// Interactions and items, each compressed and encoded in several ways.
static FILES: LazyLock<Vec<[Vec<u8>; 2]>> = LazyLock::new(|| {
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let ways = [
        (Compression::UNCOMPRESSED, true, WriterVersion::PARQUET_1_0),
        (Compression::UNCOMPRESSED, false, WriterVersion::PARQUET_2_0),
        (Compression::SNAPPY, true, WriterVersion::PARQUET_1_0),
        (zstd, true, WriterVersion::PARQUET_2_0),
    ];
    let file = |batch: &RecordBatch, (compression, dictionary, version)| {
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_dictionary_enabled(dictionary)
            .set_writer_version(version)
            .set_max_row_group_row_count(Some(ROWS / 2));
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties.build())).expect("a writer");
        writer.write(batch).expect("written");
        writer.close().expect("closed");
        bytes
    };
    let batches = [interactions(), items()];
    ways.iter().map(|way| batches.each_ref().map(|batch| file(batch, *way))).collect()
});

fn texts(word: &str, different: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("{word}{}", row % different))))
}

fn interactions() -> RecordBatch {
    let score = (0..ROWS).map(|row| (row % 3 > 0).then_some(row as f64 / 2.0));
    let at = (0..ROWS as i64).map(|row| 1_500_000_000_000 + row * 86_400_000);
    RecordBatch::try_from_iter([
        ("who", texts("u", 7)),
        ("what", Arc::new(Int64Array::from_iter_values(0..ROWS as i64)) as ArrayRef),
        ("score", Arc::new(Float64Array::from_iter(score))),
        ("at", Arc::new(TimestampMillisecondArray::from_iter_values(at))),
    ])
    .expect("a batch")
}

fn items() -> RecordBatch {
    let kinds = (0..ROWS as i32).map(|row| (row % 5 > 0).then(|| (0..row % 4).map(Some)));
    RecordBatch::try_from_iter([
        ("what", texts("b", ROWS)),
        ("name", texts("name ", 9)),
        ("kinds", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(kinds)) as ArrayRef),
    ])
    .expect("a batch")
}

/// A panic that is caught is an error like others, where libFuzzer's hook would end the process; one that is not still ends it.
static QUIET: LazyLock<()> = LazyLock::new(|| std::panic::set_hook(Box::new(|_| ())));

fuzz_target!(|bytes: &[u8]| {
    LazyLock::force(&QUIET);
    let Some(([way, what, cut], changes)) = bytes.split_first_chunk() else {
        return;
    };
    let part = usize::from(what % 2);
    let mut file = FILES[usize::from(*way) % FILES.len()][part].clone();
    // The footer and the heads of pages are at the end and at the beginning of chunks: places are counted from the end.
    for [low, high, value] in changes.as_chunks::<3>().0 {
        let from_end = usize::from(u16::from_le_bytes([*low, *high])) % file.len();
        let at = file.len() - 1 - from_end;
        file[at] ^= value;
    }
    if *cut > 200 {
        file.drain(..usize::from(*cut - 200) * file.len() / 100);
    }
    SETS[part].read(&file, false);
});
