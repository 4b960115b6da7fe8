//! From lines of JSON to rows: the same four keys of the same reviews, by our scanner and by the libraries that could do its work.
//!
//! `make bench-json` writes what comes of it to `results/pipeline/json.md`; `cargo bench --manifest-path pipeline/peers/Cargo.toml` measures
//! each way by itself as well. With the path of a file of reviews (plain, of Amazon 2014 or 2018) in `REVIEWS`, those are read too; with
//! that of a report in `REPORT`, it is written. Our scanner stays as long as it takes at most two thirds of the time of the best other.
//!
//! Each library is used as it is fastest at this: `jiter` steps from key to key and passes over values without decoding them,
//! `sonic-rs` gives values lazily, or fills a structure; `serde_json` fills the same structure. All of them check the form of what they
//! pass over, as we do.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::borrow::Cow;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use criterion::{Criterion, Throughput};
use serde::Deserialize;
use sonic_rs::JsonValueTrait;
use weaverec_pipeline_peers::json::{Fields, number, text};
use weaverec_pipeline_peers::texts::Texts;

const KEYS: [&str; 4] = ["reviewerID", "asin", "overall", "unixReviewTime"];

/// What a row is, as in the pipeline: ids one after another, and the rest.
#[derive(Default)]
struct Rows {
    users: Texts,
    items: Texts,
    rest: Vec<(Option<f64>, f64)>,
}

impl Rows {
    fn push(&mut self, user: &str, item: &str, rating: Option<f64>, time: f64) {
        assert!(self.users.push(user) && self.items.push(item));
        self.rest.push((rating, time));
    }

    fn clear(&mut self) {
        self.users.clear();
        self.items.clear();
        self.rest.clear();
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', text).map(move |end| {
        let line = &text[start..end];
        start = end + 1;
        line
    })
}

fn ours(reviews: &[u8], rows: &mut Rows) {
    let mut fields = Fields::new(KEYS);
    for line in lines(reviews) {
        let [user, item, rating, time] = fields.of(line).unwrap();
        let (user, item) = (text(user).unwrap().unwrap(), text(item).unwrap().unwrap());
        rows.push(
            &user,
            &item,
            number(rating).unwrap(),
            number(time).unwrap().unwrap(),
        );
    }
}

fn jiter(reviews: &[u8], rows: &mut Rows) {
    use jiter::{Jiter, NumberAny, NumberInt};
    let place = |key: &str| KEYS.iter().position(|wanted| *wanted == key);
    let float = |number: NumberAny| match number {
        NumberAny::Float(number) => number,
        NumberAny::Int(NumberInt::Int(number)) => number as f64,
        #[allow(unreachable_patterns)]
        NumberAny::Int(_) => f64::NAN,
    };
    let (mut user, mut item) = (String::new(), String::new());
    for line in lines(reviews) {
        let mut walk = Jiter::new(line);
        let (mut rating, mut time) = (None, None);
        let mut next = walk.next_object().unwrap().map(place);
        while let Some(key) = next {
            match key {
                // A text lives no longer than the step to the next one.
                Some(0) => walk.next_str().unwrap().clone_into(&mut user),
                Some(1) => walk.next_str().unwrap().clone_into(&mut item),
                Some(2) => rating = Some(float(walk.next_number().unwrap())),
                Some(_) => time = Some(float(walk.next_number().unwrap())),
                None => walk.next_skip().unwrap(),
            }
            next = walk.next_key().unwrap().map(place);
        }
        walk.finish().unwrap();
        rows.push(&user, &item, rating, time.unwrap());
    }
}

fn sonic_lazily(reviews: &[u8], rows: &mut Rows) {
    for line in lines(reviews) {
        let mut found = [const { None }; 4];
        for member in sonic_rs::to_object_iter(line) {
            let (key, value) = member.unwrap();
            if let Some(at) = KEYS.iter().position(|wanted| *wanted == key) {
                found[at] = Some(value);
            }
        }
        let [user, item, rating, time] = found.each_ref().map(|value| value.as_ref().unwrap());
        rows.push(
            user.as_str().unwrap(),
            item.as_str().unwrap(),
            rating.as_f64(),
            time.as_f64().unwrap(),
        );
    }
}

fn sonic_by_paths(reviews: &[u8], rows: &mut Rows) {
    let mut paths = sonic_rs::PointerTree::new();
    KEYS.iter().for_each(|key| paths.add_path([key].iter().copied()));
    for line in lines(reviews) {
        let found = sonic_rs::get_many(line, &paths).unwrap();
        let value = |at: usize| found[at].as_ref().unwrap();
        rows.push(
            value(0).as_str().unwrap(),
            value(1).as_str().unwrap(),
            value(2).as_f64(),
            value(3).as_f64().unwrap(),
        );
    }
}

#[derive(Deserialize)]
struct Review<'a> {
    #[serde(rename = "reviewerID", borrow)]
    user: Cow<'a, str>,
    #[serde(borrow)]
    asin: Cow<'a, str>,
    overall: Option<f64>,
    #[serde(rename = "unixReviewTime")]
    time: f64,
}

impl Review<'_> {
    fn push(&self, rows: &mut Rows) {
        rows.push(&self.user, &self.asin, self.overall, self.time);
    }
}

fn sonic_structure(reviews: &[u8], rows: &mut Rows) {
    lines(reviews).for_each(|line| sonic_rs::from_slice::<Review<'_>>(line).unwrap().push(rows));
}

fn serde_structure(reviews: &[u8], rows: &mut Rows) {
    lines(reviews).for_each(|line| serde_json::from_slice::<Review<'_>>(line).unwrap().push(rows));
}

/// Reviews whose texts are up to `longest` times a sentence.
fn reviews(longest: usize) -> Vec<u8> {
    let words = "it came early and fits as it should, the colour is not what the picture shows but my sister likes it \\\"a lot\\\" ";
    let scattered =
        |index: usize, below: usize| (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) as usize % below;
    let mut text = String::new();
    for line in 0..20_000 {
        writeln!(
            text,
            "{{\"reviewerID\": \"A{:012}\", \"asin\": \"B{:09}\", \"helpful\": [0, 0], \"reviewText\": \"{}\", \
             \"overall\": 5.0, \"summary\": \"good\", \"unixReviewTime\": {}, \"reviewTime\": \"01 31, 2014\"}}",
            scattered(line, 4_000),
            scattered(line, 900),
            words.repeat(line % (longest + 1)),
            1_300_000_000 + line * 86_400 % 90_000_000,
        )
        .unwrap();
    }
    text.into_bytes()
}

type Way = fn(&[u8], &mut Rows);

const WAYS: [(&str, Way); 6] = [
    ("weaverec", ours),
    ("jiter", jiter),
    ("sonic-rs, lazily", sonic_lazily),
    ("sonic-rs, by paths", sonic_by_paths),
    ("sonic-rs, into a structure", sonic_structure),
    ("serde_json, into a structure", serde_structure),
];

/// Rounds in which all ways take turns.
const ROUNDS: usize = 31;

/// What a way took in the rounds.
struct Taken {
    /// Seconds, in order.
    seconds: Vec<f64>,
    /// The same by what ours took in the same round, in order.
    shares: Vec<f64>,
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

/// What each way takes: in rounds in which all take turns, so that what else the machine does meets them alike.
fn compare(text: &[u8]) -> [Taken; WAYS.len()] {
    let mut rows = Rows::default();
    let mut taken = [const { (Vec::new(), Vec::new()) }; WAYS.len()];
    for _ in 0..ROUNDS {
        let round = WAYS.map(|(_, read)| {
            rows.clear();
            let start = Instant::now();
            read(black_box(text), &mut rows);
            start.elapsed().as_secs_f64()
        });
        for ((seconds, shares), took) in taken.iter_mut().zip(round) {
            seconds.push(took);
            shares.push(took / round[0]);
        }
    }
    taken.map(|(mut seconds, mut shares)| {
        seconds.sort_by(f64::total_cmp);
        shares.sort_by(f64::total_cmp);
        Taken { seconds, shares }
    })
}

/// What came of a set of reviews, as a table.
fn table(name: &str, text: &[u8], taken: &[Taken; WAYS.len()]) -> String {
    let rows = lines(text).count();
    let mut table = format!(
        "## {name}\n\n{rows} lines of {:.0} bytes on average.\n\n| way | rows a second | MB/s | times as long as weaverec | from | to |\n\
         |---|---:|---:|---:|---:|---:|\n",
        text.len() as f64 / rows as f64
    );
    for ((way, _), Taken { seconds, shares }) in WAYS.iter().zip(taken) {
        let second = median(seconds);
        writeln!(
            table,
            "| {way} | {} | {:.0} | {:.2} | {:.2} | {:.2} |",
            grouped(rows as f64 / second),
            text.len() as f64 / second / 1e6,
            median(shares),
            shares[0],
            shares[ROUNDS - 1]
        )
        .unwrap();
    }
    let others = taken.iter().skip(1).map(|taken| median(&taken.shares));
    let best = others.fold(f64::INFINITY, f64::min);
    writeln!(
        table,
        "\nThe best of the others takes {best:.2} times as long; ours stays as long as that is at least 1.5."
    )
    .unwrap();
    table
}

/// A number with commas between thousands.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// What the numbers were measured on and with.
fn head() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let described = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = described
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let processor = model.map_or(std::env::consts::ARCH, |(_, name)| name.trim());
    let lock =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap_or_default();
    let versions = ["jiter", "sonic-rs", "serde_json"]
        .map(|name| format!("{name} {}", version(&lock, name).unwrap_or("?")));
    format!(
        "# The scanner of JSON lines beside the libraries that could do its work\n\n\
         {cores} cores of {processor}; {}. Made by `make bench-json`; `pipeline/peers/benches/json.rs` holds the ways, and says how each \
         library is used.\n\n\
         From lines of reviews to rows of user, item, rating and time. All ways take turns in {ROUNDS} rounds: rows a second are those of the \
         median turn, and times as long are the median, the least and the most of the ratios within a round.\n",
        versions.join(", ")
    )
}

/// The version of a package that a lock file has.
fn version<'l>(lock: &'l str, name: &str) -> Option<&'l str> {
    let named = format!("name = \"{name}\"\nversion = \"");
    lock.split_once(named.as_str())?.1.split('"').next()
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut sets = vec![
        ("short reviews".to_owned(), reviews(1)),
        ("long reviews".to_owned(), reviews(8)),
    ];
    if let Ok(path) = std::env::var("REVIEWS") {
        sets.push(("reviews at hand".to_owned(), std::fs::read(path).unwrap()));
    }
    let mut report = head();
    for (name, text) in &sets {
        let mut group = criterion.benchmark_group(format!("line to row, {name}"));
        let table = table(name, text, &compare(text));
        println!("{table}");
        write!(report, "\n{table}").unwrap();
        group.throughput(Throughput::Bytes(text.len() as u64));
        let (mut rows, mut first) = (Rows::default(), None);
        for (way, read) in WAYS {
            rows.clear();
            read(text, &mut rows);
            let found = (
                rows.users.buffer().to_owned(),
                rows.items.buffer().to_owned(),
                rows.rest.clone(),
            );
            assert!(
                *first.get_or_insert_with(|| found.clone()) == found,
                "{way} reads other rows"
            );
            group.bench_function(way, |b| {
                b.iter(|| {
                    rows.clear();
                    read(black_box(text), &mut rows);
                });
            });
        }
    }
    criterion.final_summary();
    if let Ok(path) = std::env::var("REPORT") {
        std::fs::write(path, report).unwrap();
    }
}
