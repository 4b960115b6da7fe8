//! How long a report takes that is made of 10,000 rankings of 300 users each: 50 scenarios, 20 rows, 10 replicates.
//!
//! It has to stay under five seconds, so that a report is made again rather than trusted to be current.

use std::process::ExitCode;
use std::time::Instant;

use weaverec_bench::report::{
    Backbones, Case, Claims, Cut, Family, Place, Reading, Row, Run, Scenario, ScenarioKind, Study, contents,
};

const SCENARIOS: u32 = 50;
const ROWS: u32 = 20;
const REPLICATES: u32 = 10;
const USERS: u32 = 300;
const CANDIDATES: u32 = 30;
const LIMIT_SECONDS: f64 = 5.0;

/// Rows that claims name come first; the rest are further ones of the same families.
const KNOWN: [(&str, Family); 9] = [
    ("random", Family::Floor),
    ("popularity", Family::Floor),
    ("zero-shot", Family::Untuned),
    ("target-only", Family::Single),
    ("joint-matched", Family::Joint),
    ("naive-merge", Family::NaiveMerging),
    ("weaverec", Family::Woven),
    ("soup", Family::Control),
    ("longer", Family::Control),
];

fn place(scenario: u32, row: u32, replicate: u32, user: u32) -> Place {
    let mixed = (user * 7919 + scenario * 104_729) ^ (row * 15_485_863) ^ (replicate * 32_452_843);
    let drawn = mixed.wrapping_mul(2_654_435_761) >> 7;
    Place {
        above: drawn % (CANDIDATES - 1 - row),
        tied: u32::from(drawn.is_multiple_of(11)),
    }
}

fn row(scenario: u32, index: u32) -> Row {
    let (method, family) = KNOWN.get(index as usize).map_or_else(
        || (format!("row-{index}"), Family::Single),
        |(name, family)| ((*name).to_owned(), *family),
    );
    let run = |replicate| Run {
        replicate,
        candidate_hash: "same".to_owned(),
        places: (0..USERS)
            .map(|user| place(scenario, index, replicate, user))
            .collect(),
        train_seconds: 10.0,
        train_tokens: 100_000,
        train_steps: 250,
        train_flops: 1e12 * f64::from(index + 1),
        rank_seconds: Some(1.0),
        loss_curve: (0..50).map(|step| (step, 5.0 / (1.0 + step as f64))).collect(),
        ..Run::default()
    };
    Row {
        label: method.clone(),
        method,
        family,
        deterministic: false,
        runs: (0..REPLICATES).map(run).collect(),
    }
}

fn scenario(index: u32) -> Scenario {
    Scenario {
        name: format!("scenario {index}"),
        kind: ScenarioKind::SingleSource,
        units: Vec::new(),
        target: format!("target {index}"),
        sources: vec!["source".to_owned()],
        candidate_hash: "same".to_owned(),
        split: "leave-one-out".to_owned(),
        order: "ties by hash".to_owned(),
        candidates: CANDIDATES as usize,
        reading: Reading::PRIMARY,
        readings: Vec::new(),
        catalogue: None,
        contamination: None,
        best_floor: None,
        best_naive_merge: None,
        caveats: Vec::new(),
        cases: (0..USERS)
            .map(|user| Case {
                user_id: format!("user {user}"),
                descends: user % 3 == 0,
                ties: false,
                ..Case::default()
            })
            .collect(),
        lists: Vec::new(),
        rows: (0..ROWS).map(|row| self::row(index, row)).collect(),
    }
}

fn main() -> ExitCode {
    let study = Study {
        name: "large".to_owned(),
        title: "Large".to_owned(),
        profile: "bench".to_owned(),
        purpose: None,
        command: None,
        replicates: REPLICATES as usize,
        backbones: Backbones::Downloaded,
        claims: Claims::default(),
        report_on: Cut::Final,
        notes: Vec::new(),
        environments: Vec::new(),
        numerics: vec![1],
        choices: Vec::new(),
        scenarios: (0..SCENARIOS).map(scenario).collect(),
    };
    let started = Instant::now();
    let made = contents(&[study]);
    let seconds = started.elapsed().as_secs_f64();
    let bytes: usize = match made {
        Ok(files) => files.iter().map(Vec::len).sum(),
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    eprintln!(
        "a report of {} rankings of {USERS} users: {seconds:.2} s, {} MB",
        SCENARIOS * ROWS * REPLICATES,
        bytes / 1_000_000
    );
    if seconds > LIMIT_SECONDS {
        eprintln!("which is more than {LIMIT_SECONDS} s");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
