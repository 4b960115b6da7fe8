//! The rule that decides, under more studies than a test has time for, and on more users than a test has memory for.
//!
//! `cargo bench --bench rule` does all of it, `-- false-claims` and `-- scale` a half. It ends with 1 where a share of false claims is not
//! shown to be below its limit, or where the large table takes more seconds or memory than it may.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use rayon::prelude::*;
use weaverec_bench::claim::decision::{Standing, decide};
use weaverec_bench::claim::{Claims, Evidence, judge};
use weaverec_bench::metric::{Metric, Place, Tally};
use weaverec_bench::statistics::average::{Stratum, average};
use weaverec_bench::statistics::contrast::TwoWay;
use weaverec_bench::statistics::draw::Draws;
use weaverec_bench::statistics::simulation::{Model, count_below, grid, p_values, upper_limit};
use weaverec_bench::statistics::{contrast, holm};

/// Studies of each model by its closed form, which are also studies of fifteen claims, and studies drawn whole.
const STUDIES: usize = 900_000;
const CLAIMS: usize = 15;
const TABLES: u64 = 40_000;
/// Shares of false claims that are accepted at a level; at 0.05 also of studies with a false claim among fifteen.
const MOST: [(f64, f64); 2] = [(0.05, 0.06), (0.01, 0.013)];
const CONFIDENCE: f64 = 0.99;

const USERS: usize = 1_000_000;
const METHODS: usize = 20;
const REPLICATES: u32 = 5;
const MOST_SECONDS: f64 = 20.0;
const MOST_BYTES: u64 = 4 << 30;

fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|word| word == name);
    let mut passed = true;
    if wanted("false-claims") {
        passed &= closed();
        passed &= whole();
    }
    if wanted("scale") {
        passed &= scale();
    }
    ExitCode::from(u8::from(!passed))
}

/// Prints a share of studies with a false claim, and says whether it is shown to be below `most`.
fn accepted(name: &str, count: u64, studies: u64, most: f64) -> bool {
    let limit = upper_limit(count, studies, CONFIDENCE);
    let word = if limit <= most { "ok" } else { "NOT SHOWN" };
    let share = count as f64 / studies as f64;
    println!("{name:<76} {share:.4}, at most {limit:.4} ({most}: {word})");
    limit <= most
}

fn name(model: &Model) -> String {
    format!(
        "replicate sd {:<5} {} replicates, {:>4} users",
        model.components.replicate, model.replicates, model.users
    )
}

/// The whole grid.
fn closed() -> bool {
    println!("False claims by the closed form, {STUDIES} contrasts each:");
    let mut passed = true;
    for model in grid() {
        let found = p_values(&model, "bench", STUDIES, TwoWay::p);
        for (level, most) in MOST {
            let name = format!("{} at {level}", name(&model));
            passed &= accepted(&name, count_below(&found, level), STUDIES as u64, most);
        }
        let families = found.chunks(CLAIMS);
        let studies = families.len() as u64;
        let wrong = families
            .filter(|p| holm(p).iter().any(|p| *p < MOST[0].0))
            .count();
        let name = format!("{} at least one of {CLAIMS}", name(&model));
        passed &= accepted(&name, wrong as u64, studies, MOST[0].1);
    }
    passed
}

fn count(studies: u64, key: &str, found: impl Fn(&mut Draws) -> bool + Sync) -> u64 {
    let hits = (0..studies)
        .into_par_iter()
        .filter(|study| found(&mut Draws::new(key, *study)));
    hits.count() as u64
}

/// Tables drawn whole: the model itself, ranks in place of normal values, and averages over scenarios that share their replicates.
fn whole() -> bool {
    println!("False claims of whole tables, {TABLES} studies each:");
    let mut passed = true;
    for model in grid().into_iter().filter(|model| model.users == 300) {
        let p = |differences: Vec<Vec<f64>>| contrast(&differences).unwrap().p.unwrap();
        let normal = count(TABLES, "whole", |draws| p(model.differences(draws)) < 0.05);
        passed &= accepted(&format!("{}, normal", name(&model)), normal, TABLES, MOST[0].1);
        let ranked = count(TABLES, "ranked", |draws| p(ndcg(&model, draws)) < 0.05);
        passed &= accepted(
            &format!("{}, NDCG@5 of 10", name(&model)),
            ranked,
            TABLES,
            MOST[0].1,
        );
        for shared in [0, 50] {
            let averaged = count(TABLES, "averaged", |draws| three(&model, shared, draws) < 0.05);
            let name = format!("{}, three scenarios, {shared} users in two", name(&model));
            passed &= accepted(&name, averaged, TABLES, MOST[0].1);
        }
    }
    passed
}

/// Differences of NDCG@5 among ten candidates between two methods that are equally good: each has replicate effects of its own, and the users
/// whom both find easy are the same.
fn ndcg(model: &Model, draws: &mut Draws) -> Vec<Vec<f64>> {
    let ease: Vec<f64> = (0..model.users).map(|_| draws.normal()).collect();
    let own: Vec<[f64; 2]> = ease.iter().map(|_| [draws.normal(), draws.normal()]).collect();
    (0..model.replicates)
        .map(|_| {
            // A spread of the logit that moves NDCG by about as much as the model's.
            let shifts = [(); 2].map(|()| 3.0 * model.components.replicate * draws.normal());
            let mut score = |user: usize, method: usize| {
                let logit = ease[user] + 0.4 * own[user][method] + shifts[method] + 0.6 * draws.normal();
                let share = 1.0 / (1.0 + logit.exp());
                Metric::PRIMARY.score(1 + (share * 10.0) as u32)
            };
            (0..model.users)
                .map(|user| score(user, 0) - score(user, 1))
                .collect()
        })
        .collect()
}

/// The p-value of an average over three scenarios: replicate effects are the same in all, and some users of the first are in the second.
fn three(model: &Model, shared: usize, draws: &mut Draws) -> f64 {
    const USERS: usize = 100;
    let spread = model.components;
    let replicates: Vec<f64> = (0..model.replicates)
        .map(|_| spread.replicate * draws.normal())
        .collect();
    let everybody: Vec<f64> = (0..3 * USERS).map(|_| spread.user * draws.normal()).collect();
    let people: Vec<Vec<usize>> = (0..3)
        .map(|scenario| {
            let first = scenario * USERS - if scenario == 1 { shared } else { 0 };
            (first..first + USERS).collect()
        })
        .collect();
    let tables: Vec<Vec<Vec<f64>>> = people
        .iter()
        .map(|people| {
            replicates
                .iter()
                .map(|replicate| {
                    people
                        .iter()
                        .map(|person| everybody[*person] + replicate + spread.residual * draws.normal())
                        .collect()
                })
                .collect()
        })
        .collect();
    let strata: Vec<Stratum<Vec<f64>>> = people
        .iter()
        .zip(&tables)
        .map(|(people, differences)| Stratum { people, differences })
        .collect();
    average(&strata).unwrap().p.unwrap()
}

/// Rule, metrics and outcomes of a table as large as any is meant to be.
fn scale() -> bool {
    println!("{USERS} users × {METHODS} methods × {REPLICATES} replicates:");
    let names: Vec<String> = [
        "weaverec",
        "target-only",
        "soup",
        "longer",
        "joint-matched",
        "naive-merge",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain((6..METHODS).map(|method| format!("method-{method}")))
    .collect();
    let users: Vec<String> = (0..USERS).map(|user| format!("user-{user}")).collect();
    let places: Vec<Vec<Vec<Place>>> = (0..METHODS)
        .map(|method| {
            (0..REPLICATES)
                .into_par_iter()
                .map(|replicate| places(method, replicate))
                .collect()
        })
        .collect();

    let start = Instant::now();
    let mut lap = start;
    let mut say = |what: &str| {
        println!("  {what}: {:.1} s", lap.elapsed().as_secs_f64());
        lap = Instant::now();
    };
    let means: Vec<[f64; 2]> = places
        .par_iter()
        .flatten()
        .flat_map_iter(|run| {
            let tally = Tally::of(run);
            let both = |metric| [tally.mean(metric), tally.pessimistic_mean(metric)];
            Metric::ALL.map(both)
        })
        .collect();
    say(&format!("{} means, with ties expected and at worst", means.len()));

    let scores: Vec<Vec<Vec<f64>>> = places
        .par_iter()
        .map(|runs| {
            let scores =
                |run: &Vec<Place>| run.iter().map(|place| Metric::PRIMARY.expected(*place)).collect();
            runs.iter().map(scores).collect()
        })
        .collect();
    say("the primary metric by user");

    let evidence = Evidence {
        scenario: "large",
        users: users.iter().map(String::as_str).collect(),
        rows: names
            .iter()
            .zip(&scores)
            .map(|(name, runs)| (name.as_str(), (0..).zip(runs.iter().map(Vec::as_slice)).collect()))
            .collect::<BTreeMap<_, BTreeMap<u32, &[f64]>>>(),
        at_one: BTreeMap::new(),
        best_naive_merge: Some("naive-merge"),
    };
    let claims = Claims::default();
    let pairs: Vec<(&str, &str)> = ["weaverec", "target-only"]
        .into_iter()
        .flat_map(|row| names.iter().map(move |other| (row, other.as_str())))
        .filter(|(row, other)| row != other)
        .collect();
    let decisions: Vec<_> = pairs
        .par_iter()
        .map(|(row, other)| {
            let contrast = evidence.contrast(row, other).unwrap().unwrap();
            decide(contrast, None, &claims, Standing::Claim)
        })
        .collect();
    say(&format!("{} contrasts with their outcomes", decisions.len()));
    let judgement = judge(&claims, &[evidence], Standing::Claim).unwrap();
    say("the claims");

    let seconds = start.elapsed().as_secs_f64();
    let bytes = peak_memory_bytes();
    println!(
        "  in all {seconds:.1} s (may take {MOST_SECONDS}), peak memory {:.2} GiB with the places themselves (may take {:.0}); W: {} {:+.4}",
        bytes as f64 / f64::from(1 << 30),
        MOST_BYTES as f64 / f64::from(1 << 30),
        judgement.primary.outcome.label(),
        judgement.primary.parts[0].1.contrast.mean
    );
    seconds < MOST_SECONDS && bytes < MOST_BYTES
}

/// Where the targets of one run stand among thirty candidates; one in five shares its score with others.
fn places(method: usize, replicate: u32) -> Vec<Place> {
    let mut draws = Draws::new(&format!("places of {method}"), u64::from(replicate));
    let skill = 1.0 + method as f64 * 0.01;
    (0..USERS)
        .map(|_| Place {
            above: (30.0 * draws.uniform().powf(skill)) as u32,
            tied: if draws.below(5) == 0 {
                draws.below(10) as u32
            } else {
                0
            },
        })
        .collect()
}

/// The highest resident memory of this process so far, or 0 where the system does not say.
fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
