//! A small study made by hand, for tests of reports and of the commands that read them.

use super::input::{
    Backbones, Case, Choice, Claims, Cut, Family, Place, Reading, Row, Run, Scenario, ScenarioKind, Study,
};
use serde_json::json;

/// How many users it has.
pub const USERS: u32 = 60;
/// How many candidates each of them has.
pub const CANDIDATES: usize = 10;

/// A number below 100 that looks random.
fn draw(a: u32, b: u32, c: u32) -> u32 {
    let mut mixed = a.wrapping_mul(0x9e37_79b1) ^ b.wrapping_mul(0x85eb_ca6b) ^ c.wrapping_mul(0xc2b2_ae35);
    for shift in [15, 13, 16] {
        mixed = (mixed ^ (mixed >> shift)).wrapping_mul(0x2c1b_3c6d);
    }
    (mixed ^ (mixed >> 16)) % 100
}

/// A target of this 1-based rank, tied with nobody.
pub fn at(rank: u32) -> Place {
    Place {
        above: rank - 1,
        tied: 0,
    }
}

/// Where the targets stand in one run of a row of a skill from 0 to 9. What is easy for one row is easy for all; replicates differ in a
/// sixth of the users.
fn places(skill: u32, salt: u32, replicate: u32) -> Vec<Place> {
    (0..USERS)
        .map(|user| {
            let redrawn = draw(user, salt, replicate) < 16;
            let (key, redraw) = if redrawn {
                (salt + 7, replicate + 100)
            } else {
                (1, 1)
            };
            let easy = draw(user, key, redraw) < 10 * skill;
            at(if easy {
                1 + user % 2
            } else {
                1 + draw(user, key + 1, redraw) % 10
            })
        })
        .collect()
}

/// Where a run was read from.
fn cells(salt: u32, replicate: u32, trained: bool) -> Vec<String> {
    let ranking = format!("rankings/{salt:012x}{replicate:04x}");
    let adapter = trained.then(|| format!("adapters/{salt:012x}{replicate:04x}"));
    [ranking].into_iter().chain(adapter).collect()
}

fn row(method: &str, label: &str, family: Family, skill: u32, replicates: u32) -> Row {
    let trained = family.is_tuned() || family == Family::Member;
    let deterministic = matches!(method, "popularity" | "next-id" | "previous-id");
    let salt = method.bytes().map(u32::from).sum::<u32>();
    let run = |replicate: u32| Run {
        replicate,
        candidate_hash: "c0ffee".to_owned(),
        cells: cells(salt, replicate, trained),
        places: places(skill, salt, replicate),
        train_seconds: if trained { 12.5 } else { 0.0 },
        train_tokens: if trained {
            40_000 + 10_000 * u64::from(skill)
        } else {
            0
        },
        train_steps: if trained { 120 } else { 0 },
        train_flops: if trained { 3e11 * f64::from(skill + 1) } else { 0.0 },
        rank_seconds: (family != Family::Floor).then_some(1.25),
        peak_memory_bytes: (family == Family::Untuned).then_some(300 << 20),
        validation_loss: trained.then(|| 4.0 - 0.1 * f64::from(skill)),
        loss_curve: if trained {
            (0..5).map(|i| (10 * i, 5.0 / (1.0 + i as f64))).collect()
        } else {
            vec![]
        },
        held_out_curve: if trained {
            (0..3).map(|i| (20 * i, 5.5 / (1.0 + i as f64))).collect()
        } else {
            vec![]
        },
        ..Run::default()
    };
    let runs = if deterministic { 1 } else { replicates };
    Row {
        method: method.to_owned(),
        label: label.to_owned(),
        family,
        deterministic,
        runs: (0..runs).map(run).collect(),
    }
}

/// A scenario with every kind of row.
pub fn scenario(replicates: u32) -> Scenario {
    let row = |method, label, family, skill| row(method, label, family, skill, replicates);
    let mut rows = vec![
        row("random", "Random", Family::Floor, 0),
        row("popularity", "Popularity", Family::Floor, 4),
        row("next-id", "Next id", Family::Probe, 2),
        row("previous-id", "Previous id", Family::Probe, 1),
        row("zero-shot", "Zero-shot", Family::Untuned, 1),
        row("source-only", "Source-only", Family::Single, 2),
        row("target-only", "Target-only", Family::Single, 5),
        row("joint", "Joint", Family::Joint, 4),
        row("joint-matched", "Joint, matched", Family::Control, 5),
        row("soup", "Soup", Family::Control, 5),
        row("longer", "Longer", Family::Control, 4),
        row("naive-merge", "Naive merge", Family::NaiveMerging, 3),
        row("weaverec", "WeaveRec", Family::Woven, 8),
        row("hybrid:Comedy", "Hybrid Drama+Comedy", Family::Member, 5),
    ];
    let members = |other: &str| vec![("target-only".to_owned(), 0.5), (other.to_owned(), 0.5)];
    for row in &mut rows {
        for run in &mut row.runs {
            match row.method.as_str() {
                "naive-merge" => run.members = members("source-only"),
                "weaverec" => run.members = members("hybrid:Comedy"),
                _ => {}
            }
        }
    }
    Scenario {
        name: "comedy-to-drama".to_owned(),
        kind: ScenarioKind::SingleSource,
        units: (1..=replicates as usize).collect(),
        target: "Drama".to_owned(),
        sources: vec!["Comedy".to_owned()],
        candidate_hash: "c0ffee".to_owned(),
        split: "leave-one-out".to_owned(),
        order: "ties by hash".to_owned(),
        candidates: CANDIDATES,
        reading: Reading::PRIMARY,
        readings: Vec::new(),
        catalogue: None,
        contamination: None,
        best_floor: None,
        best_naive_merge: None,
        caveats: Vec::new(),
        cases: (0..USERS)
            .map(|user| Case {
                user_id: format!("u{user:03}"),
                descends: user % 3 == 0,
                ties: user % 10 == 0,
                popularity: Some(user % 30),
                history: Some(1 + user % 12),
            })
            .collect(),
        lists: Vec::new(),
        rows,
    }
}

/// A study of one scenario with so many replicates.
pub fn study(replicates: u32) -> Study {
    Study {
        name: "films".to_owned(),
        title: "Films by genre".to_owned(),
        profile: "tiny".to_owned(),
        purpose: Some("shows how a report reads, claims nothing".to_owned()),
        command: Some("weaverec reproduce --profile tiny".to_owned()),
        replicates: replicates as usize,
        backbones: Backbones::PreTrained(replicates as usize),
        claims: Claims::default(),
        report_on: Cut::Dev,
        notes: vec!["timestamps are synthetic".to_owned()],
        environments: vec![json!({
            "revision": "0123abcd",
            "dirty": false,
            "cpu": "two | cores",
            "features": ["avx2", "fma"],
            "kernel": "avx2",
            "threads": 2,
            "records": 140,
        })],
        numerics: vec![1],
        choices: vec![Choice {
            scenario: None,
            row: "weaverec".to_owned(),
            replicate: 0,
            what: "alpha".to_owned(),
            value: "0.75".to_owned(),
            users: "C (312 users)".to_owned(),
        }],
        scenarios: vec![scenario(replicates)],
    }
}

/// Gives every target of a row the rank that `rank` says of its replicate and user.
pub fn set(scenario: &mut Scenario, method: &str, rank: impl Fn(u32, u32) -> u32) {
    let row = scenario
        .rows
        .iter_mut()
        .find(|row| row.method == method)
        .unwrap_or_else(|| panic!("no row {method}"));
    for run in &mut row.runs {
        run.places = (0..)
            .zip(&run.places)
            .map(|(user, _)| at(rank(run.replicate, user)))
            .collect();
    }
}

/// Takes a row out.
pub fn remove(scenario: &mut Scenario, method: &str) {
    scenario.rows.retain(|row| row.method != method);
}
