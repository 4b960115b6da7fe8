//! The work that grows with the logs: parsing, the k-core, drawing candidates, wording prompts.
//!
//! `--decompress FILE` does something else: it reads a file through our decompression and does nothing with it, the floor of any
//! reading.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::{Read, Write as _};
use std::path::Path;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput};
use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use weaverec_pipeline::dataset::DatasetDescription;
use weaverec_pipeline::engine::Engine;
use weaverec_pipeline::packed::{Histories, Interaction, Packed, Part};
use weaverec_pipeline::parameters::Parameters;
use weaverec_pipeline::raw::{self, NoProgress, ReadOptions, RowBatch};
use weaverec_pipeline::schema::{Item, PromptFormat, Split};
use weaverec_pipeline::stage::prompt::Instance;
use weaverec_pipeline::stage::{Bins, Candidates, DedupPolicy, KCore, Negatives, Order, PromptStyle};

const LINES: usize = 20_000;

/// A number that looks drawn.
fn scattered(index: usize, below: usize) -> usize {
    (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) as usize % below
}

fn reviews() -> String {
    let words = "it came early and fits as it should, the colour is not what the picture shows but my sister likes it \\\"a lot\\\" ";
    let mut text = String::new();
    for line in 0..LINES {
        writeln!(
            text,
            "{{\"reviewerID\": \"A{:012}\", \"asin\": \"B{:09}\", \"helpful\": [0, 0], \"reviewText\": \"{}\", \
             \"overall\": 5.0, \"summary\": \"good\", \"unixReviewTime\": {}, \"reviewTime\": \"01 31, 2014\"}}",
            scattered(line, 4_000),
            scattered(line, 900),
            words.repeat(1 + line % 8),
            1_300_000_000 + line * 86_400 % 90_000_000,
        )
        .unwrap();
    }
    text
}

fn metadata() -> String {
    let mut text = String::new();
    for line in 0..LINES {
        let also: Vec<String> = (0..line % 60).map(|other| format!("'B{other:09}'")).collect();
        writeln!(
            text,
            "{{'asin': 'B{line:09}', 'title': \"Baker's Apron {line}\", 'price': 9.99, 'related': {{'also_bought': [{}]}}, \
             'categories': [['Home', 'Kitchen'], ['Home', 'Gifts']], 'description': 'It\\'s plain \\u20ac cotton.'}}",
            also.join(", ")
        )
        .unwrap();
    }
    text
}

fn ratings() -> String {
    let mut text = String::from("userId,movieId,rating,timestamp\n");
    for line in 0..LINES {
        let (user, film) = (scattered(line, 4_000), scattered(line, 900));
        writeln!(text, "{user},{film},4.5,{}", 1_300_000_000 + line).unwrap();
    }
    text
}

/// Reads one text in a format from a file in memory or nearly so.
fn parse(c: &mut Criterion, name: &str, format: &str, files: [(&str, String); 2]) {
    let folder = tempfile::tempdir().unwrap();
    let bytes: usize = files.iter().map(|(_, text)| text.len()).sum();
    for (file, text) in &files {
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    let description = format!(
        "name = \"t\"\ntitle = \"T\"\nplatform = \"p\"\nlicence = \"own\"\nformat = \"{format}\"\ninteractions = [\"{}\"]\n\
         items = [\"{}\"]\n",
        files[0].0, files[1].0
    );
    let description = DatasetDescription::parse(&description, "t.toml").unwrap();
    let options = ReadOptions {
        threads: 1,
        ..ReadOptions::default()
    };
    let mut group = c.benchmark_group("parse");
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function(name, |b| {
        b.iter(|| raw::read(&description, folder.path(), &options, &NoProgress).unwrap());
    });
}

fn parsers(c: &mut Criterion) {
    let none = |name| (name, String::new());
    parse(
        c,
        "Amazon reviews",
        "amazon-2014",
        [("r.json", reviews()), none("m.json")],
    );
    parse(
        c,
        "Python literals",
        "amazon-2014",
        [none("r.json"), ("m.json", metadata())],
    );
    let films = ("movies.csv", "movieId,title,genres\n".to_owned());
    parse(c, "csv", "movielens-csv", [("ratings.csv", ratings()), films]);
}

/// A file as raw logs are read, hash and reading ahead included, beside flate2 alone.
fn decompression(c: &mut Criterion) {
    let text = reviews();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    let stored = encoder.finish().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.json.gz");
    std::fs::write(&path, &stored).unwrap();
    let mut group = c.benchmark_group("decompress");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("as raw logs", |b| {
        b.iter(|| raw::decompressed_bytes(&path, &NoProgress).unwrap());
    });
    let mut block = vec![0; 512 * 1024];
    group.bench_function("flate2", |b| {
        b.iter(|| {
            let mut decoder = flate2::bufread::MultiGzDecoder::new(stored.as_slice());
            while decoder.read(black_box(&mut block)).unwrap() > 0 {}
        });
    });
}

const USERS: usize = 40_000;
const ITEMS: usize = 15_000;

/// 240,000 interactions of users and items, few of which many have.
fn packed() -> Packed {
    let (mut part, mut batch) = (Part::default(), RowBatch::default());
    for row in 0..USERS * 6 {
        let item = scattered(row, ITEMS) * scattered(row / 3, ITEMS) / ITEMS;
        let (user, item) = (format!("u{}", scattered(row * 7, USERS)), format!("i{item}"));
        let row = Interaction {
            user: &user,
            item: &item,
            rating: None,
            time: scattered(row, 1_000_000) as i64,
            place: row as i64,
        };
        if !batch.push(&row) {
            assert_eq!(part.take(&batch), batch.len());
            batch.clear();
            assert!(batch.push(&row));
        }
    }
    assert_eq!(part.take(&batch), batch.len());
    Packed::join(vec![part]).unwrap()
}

/// The same rows as a frame of texts.
fn batch(packed: &Packed) -> RecordBatch {
    let rows: Vec<_> = packed.each().map(|(_, row)| *row).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(
            rows.iter().map(|row| packed.users.text(row.user)),
        )),
        Arc::new(StringArray::from_iter_values(
            rows.iter().map(|row| packed.items.text(row.item)),
        )),
        Arc::new(Float64Array::from(vec![None; rows.len()])),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.time))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.place))),
    ];
    RecordBatch::try_new(raw::interactions_schema(), columns).unwrap()
}

fn cores(c: &mut Criterion) {
    let packed = packed();
    let core = KCore { users: 5, items: 5 };
    let order = Order::new(
        &Parameters::default(),
        &DatasetDescription::load("movielens-100k").unwrap(),
    );
    let mut group = c.benchmark_group("k-core of 240,000 interactions");
    group.sample_size(10);
    group.bench_function("packed rows", |b| {
        b.iter_batched(
            || Histories::of(&packed, |_| true, DedupPolicy::None, &order),
            |mut histories| {
                histories.core(&packed, core);
                histories
            },
            BatchSize::LargeInput,
        );
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let engine = Engine::new(2).unwrap();
    let batch = batch(&packed);
    group.bench_function("plans", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let rows = engine.frame(batch.schema(), vec![batch.clone()]).await.unwrap();
                core.apply(&engine, rows).await.unwrap()
            })
        });
    });
}

fn prompts(c: &mut Criterion) {
    let item = |item: usize| Item {
        item: item as u32,
        item_id: format!("B{item:09}"),
        title: format!("A Title of the Usual Length, with a Number: {item}"),
        categories: String::new(),
        train_count: (ITEMS / item) as u32,
    };
    let items: Vec<Item> = (1..=ITEMS).map(item).collect();
    let touched: Vec<u32> = (1..=12).map(|item| item * 31).collect();
    for negatives in [Negatives::Uniform, Negatives::Popularity] {
        let draws = Candidates::new(1, "d", 30, negatives, &items);
        let mut position = 0;
        c.bench_function(&format!("30 candidates, {negatives:?}").to_lowercase(), |b| {
            b.iter(|| {
                position += 1;
                black_box(draws.draw("A0123456789", position, 31, &touched))
            });
        });
    }
    let bins = Arc::new(Bins::of(&items, &vec![1; items.len()]));
    let draws = Candidates::new(1, "d", 30, Negatives::Uniform, &items).with_bins(bins);
    let mut position = 0;
    c.bench_function("30 candidates, binned", |b| {
        b.iter(|| {
            position += 1;
            black_box(draws.draw_binned("A0123456789", position, 31, &draws.touched(&touched)))
        });
    });
    let candidates: Vec<u32> = (1..=30).map(|item| item * 17).collect();
    for format in PromptFormat::ALL {
        let style = PromptStyle::new(format, None, 1, "d", &items).unwrap();
        let instance = Instance {
            split: Split::Test,
            user: "A0123456789",
            position: 13,
            history: &touched,
            target: candidates[3],
            candidates: &candidates,
        };
        c.bench_function(&format!("prompt, {}", format.name()), |b| {
            b.iter(|| black_box(style.render(&instance).unwrap()));
        });
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--decompress") {
        let bytes = raw::decompressed_bytes(Path::new(&arguments[at + 1]), &NoProgress).unwrap();
        println!("{bytes}");
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    parsers(&mut criterion);
    decompression(&mut criterion);
    cores(&mut criterion);
    prompts(&mut criterion);
    criterion.final_summary();
}
