#![allow(clippy::unwrap_used)]
use super::*;
use crate::statistics::draw::Draws;
use std::collections::BTreeMap;

const USERS: usize = 120;

/// A table of made-up scores: what each row adds on average, with a replicate, a user and a residual part of its own.
struct Table {
    scenario: String,
    users: Vec<String>,
    rows: BTreeMap<String, Vec<Vec<f64>>>,
}

impl Table {
    fn new(scenario: &str, replicates: usize, rows: &[(&str, f64)]) -> Self {
        Self::spread(scenario, replicates, rows, 0.01)
    }

    fn spread(scenario: &str, replicates: usize, rows: &[(&str, f64)], spread: f64) -> Self {
        let scores = |(name, mean): &(&str, f64)| {
            let mut draws = Draws::new(&format!("{scenario}/{name}"), 0);
            let users: Vec<f64> = (0..USERS).map(|_| draws.normal()).collect();
            let rows = (0..replicates)
                .map(|_| {
                    let replicate = draws.normal();
                    users
                        .iter()
                        .map(|user| mean + spread * (user + 0.1 * replicate + draws.normal()))
                        .collect()
                })
                .collect();
            ((*name).to_owned(), rows)
        };
        Self {
            scenario: scenario.to_owned(),
            users: (0..USERS).map(|user| format!("{scenario}/{user}")).collect(),
            rows: rows.iter().map(scores).collect(),
        }
    }

    fn evidence(&self) -> Evidence<'_> {
        Evidence {
            scenario: &self.scenario,
            users: self.users.iter().map(String::as_str).collect(),
            rows: self
                .rows
                .iter()
                .map(|(name, rows)| (name.as_str(), (0..).zip(rows.iter().map(Vec::as_slice)).collect()))
                .collect(),
            at_one: BTreeMap::new(),
            best_naive_merge: Some("naive-merge"),
        }
    }
}

/// All rows that claims are made against, with the woven one ahead by so much.
fn ahead(lead: f64) -> Vec<(&'static str, f64)> {
    vec![
        ("weaverec", 0.5 + lead),
        ("target-only", 0.5),
        ("soup", 0.5),
        ("longer", 0.5),
        ("joint-matched", 0.5),
        ("naive-merge", 0.5),
    ]
}

fn judged(tables: &[&Table], standing: Standing) -> Judgement {
    let evidence: Vec<Evidence> = tables.iter().map(|table| table.evidence()).collect();
    judge(&Claims::default(), &evidence, standing).unwrap()
}

fn find<'a>(judgement: &'a Judgement, kind: ClaimKind, scenario: &str) -> &'a ClaimResult {
    judgement
        .family
        .iter()
        .find(|claim| claim.kind == kind && claim.scenario == scenario)
        .unwrap()
}

#[test]
fn a_claim_holds_where_each_comparison_does() {
    let (a, b) = (Table::new("a", 5, &ahead(0.1)), Table::new("b", 5, &ahead(0.1)));
    let judgement = judged(&[&a, &b], Standing::Claim);
    assert_eq!((judgement.family.len(), judgement.size), (6, 6));
    for claim in judgement.family.iter().chain([&judgement.primary]) {
        assert!(claim.holds(), "{claim:?}");
        let largest = claim.parts.iter().map(|(_, part)| part.contrast.p.unwrap());
        assert_eq!(claim.p, largest.reduce(f64::max));
        assert!(claim.parts.iter().all(|(_, part)| part.mark() == "†"));
    }
    assert_eq!(judgement.primary.scenario, AVERAGE);
    assert_eq!(judgement.primary.p, judgement.primary.adjusted_p);
    let rows: Vec<&str> = judgement
        .primary
        .parts
        .iter()
        .map(|(row, _)| row.as_str())
        .collect();
    assert_eq!(rows, ["target-only", "soup", "longer"]);
    assert_eq!(judgement.primary.parts[0].1.contrast.users, 2 * USERS);
}

#[test]
fn one_row_that_is_as_good_takes_the_claim_away() {
    let mut rows = ahead(0.1);
    rows[2].1 = 0.6;
    let judgement = judged(&[&Table::new("a", 5, &rows)], Standing::Claim);
    let weaving = find(&judgement, ClaimKind::W, "a");
    assert_eq!(weaving.outcome, Outcome::Equivalent, "{weaving:?}");
    assert!(!weaving.holds());
    let outcomes: Vec<Outcome> = weaving.parts.iter().map(|(_, part)| part.outcome).collect();
    assert_eq!(outcomes, [Outcome::Better, Outcome::Equivalent, Outcome::Better]);
    rows[2].1 = 0.7;
    let judgement = judged(&[&Table::new("a", 5, &rows)], Standing::Claim);
    let refuted = find(&judgement, ClaimKind::W, "a");
    assert_eq!(refuted.outcome, Outcome::Worse);
    assert!(
        refuted.adjusted_p.unwrap() < 0.05,
        "it is decided, against the claim"
    );
    assert!(find(&judgement, ClaimKind::J, "a").holds());
}

#[test]
fn a_claim_whose_row_is_missing_never_holds_and_costs_what_it_tested() {
    let mut rows = ahead(0.1);
    rows.retain(|(name, _)| !["soup", "longer", "joint-matched"].contains(name));
    let judgement = judged(&[&Table::new("a", 5, &rows)], Standing::Claim);
    let weaving = find(&judgement, ClaimKind::W, "a");
    assert_eq!(weaving.missing, ["soup", "longer"]);
    assert_eq!(
        weaving.untestable().unwrap(),
        "not testable: no rows soup, longer"
    );
    assert_eq!((weaving.p, weaving.adjusted_p), (None, None));
    assert_eq!(weaving.outcome, Outcome::Undecided);
    // What could be compared still is, in the family.
    assert_eq!(weaving.parts.len(), 1);
    assert_eq!(weaving.parts[0].1.outcome, Outcome::Better);
    let joint = find(&judgement, ClaimKind::J, "a");
    assert_eq!(joint.untestable().unwrap(), "not testable: no row joint-matched");
    assert!(joint.parts.is_empty());
    assert!(find(&judgement, ClaimKind::M, "a").holds());
    assert_eq!(judgement.size, 2);
    assert!(!judgement.primary.holds());
    assert_eq!(judgement.primary.missing, ["soup", "longer"]);

    rows.retain(|(name, _)| *name != "weaverec");
    let judgement = judged(&[&Table::new("a", 5, &rows)], Standing::Claim);
    assert_eq!(judgement.size, 0);
    assert_eq!(find(&judgement, ClaimKind::M, "a").missing, ["weaverec"]);
    assert_eq!(judgement.primary.missing, ["weaverec", "soup", "longer"]);
}

#[test]
fn without_a_choice_there_is_no_best_merge() {
    let table = Table::new("a", 5, &ahead(0.1));
    let mut evidence = table.evidence();
    evidence.best_naive_merge = None;
    let judgement = judge(&Claims::default(), &[evidence], Standing::Claim).unwrap();
    let merge = find(&judgement, ClaimKind::M, "a");
    assert!(
        merge.untestable().unwrap().contains("calibration users"),
        "{merge:?}"
    );
}

#[test]
fn few_replicates_indicate_and_a_single_one_describes() {
    for (replicates, ceiling, standing) in [
        (5, Standing::Indicated, Standing::Indicated),
        (3, Standing::Claim, Standing::Indicated),
        (1, Standing::Claim, Standing::Described),
    ] {
        let judgement = judged(&[&Table::new("a", replicates, &ahead(0.1))], ceiling);
        for claim in judgement.family.iter().chain([&judgement.primary]) {
            assert_eq!(claim.standing, standing);
            assert!(!claim.holds());
            let expected = if standing == Standing::Described {
                Outcome::Undecided
            } else {
                Outcome::Better
            };
            assert_eq!(claim.outcome, expected);
        }
    }
}

#[test]
fn pairs_are_made_of_the_replicates_that_both_have() {
    let (mut a, b) = (Table::new("a", 6, &ahead(0.1)), Table::new("b", 5, &ahead(0.1)));
    a.rows.get_mut("soup").unwrap().truncate(4);
    let judgement = judged(&[&a, &b], Standing::Claim);
    let replicates = |claim: &ClaimResult| -> Vec<usize> {
        claim
            .parts
            .iter()
            .map(|(_, part)| part.contrast.replicates)
            .collect()
    };
    let weaving = find(&judgement, ClaimKind::W, "a");
    assert_eq!(replicates(weaving), [6, 4, 6]);
    assert_eq!(weaving.standing, Standing::Indicated);
    assert_eq!(replicates(&judgement.primary), [5, 4, 5]);
    a.rows.get_mut("soup").unwrap().clear();
    let judgement = judged(&[&a, &b], Standing::Claim);
    let missing = &find(&judgement, ClaimKind::W, "a").missing;
    assert_eq!(missing, &["soup in a replicate of weaverec"]);
}

#[test]
fn marks_and_claims_come_from_one_procedure() {
    // Leads so small that some are found and some are not.
    let mut decided = [0; 2];
    for round in 0..60 {
        let names: Vec<String> = (0..4).map(|scenario| format!("{round}/{scenario}")).collect();
        let tables: Vec<Table> = names
            .iter()
            .map(|name| Table::spread(name, 5, &ahead(0.03), 0.08))
            .collect();
        let judgement = judged(&tables.iter().collect::<Vec<_>>(), Standing::Claim);
        let own: Vec<f64> = judgement.family.iter().map(|claim| claim.p.unwrap()).collect();
        for (claim, adjusted) in judgement.family.iter().zip(holm(&own)) {
            assert_eq!(claim.adjusted_p, Some(adjusted));
            let marked = claim
                .parts
                .iter()
                .all(|(_, part)| part.outcome == Outcome::Better);
            let all_ahead = claim.parts.iter().all(|(_, part)| part.contrast.mean > 0.0);
            assert_eq!(claim.holds(), marked);
            assert_eq!(claim.holds(), adjusted < 0.05 && all_ahead, "{claim:?}");
            for (_, part) in &claim.parts {
                assert!(part.p >= part.contrast.p);
            }
            decided[usize::from(claim.holds())] += 1;
        }
    }
    assert!(decided[0] > 50 && decided[1] > 50, "{decided:?}");
}

#[test]
fn false_claims_and_marks_are_as_rare_as_the_level_says() {
    const STUDIES: u64 = 1_500;
    // All rows are alike, and the woven one's own part is in each of its comparisons.
    let names: Vec<String> = (0..STUDIES).map(|study| format!("null {study}")).collect();
    let (mut any, mut primary) = (0, 0);
    for name in &names {
        let tables = ["x", "y"].map(|part| Table::spread(&format!("{name}{part}"), 3, &ahead(0.0), 0.1));
        let judgement = judged(&tables.iter().collect::<Vec<_>>(), Standing::Claim);
        let shown = |claim: &ClaimResult| {
            let told_apart = |outcome| matches!(outcome, Outcome::Better | Outcome::Worse);
            told_apart(claim.outcome) || claim.parts.iter().any(|(_, part)| told_apart(part.outcome))
        };
        any += u64::from(judgement.family.iter().any(shown));
        primary += u64::from(shown(&judgement.primary));
    }
    let limit = |count| crate::statistics::simulation::upper_limit(count, STUDIES, 0.99);
    assert!(limit(any) < 0.06, "{any}");
    assert!(limit(primary) < 0.06, "{primary}");
}

#[test]
fn a_scenario_that_is_not_there_and_users_that_do_not_fit_are_named() {
    let table = Table::new("a", 3, &ahead(0.0));
    let claims = Claims {
        scenarios: vec!["b".to_owned()],
        ..Claims::default()
    };
    let error = judge(&claims, &[table.evidence()], Standing::Claim)
        .unwrap_err()
        .to_string();
    assert!(error.contains("scenario b") && error.contains('a'), "{error}");
    let mut short = table.evidence();
    short.users.pop();
    let error = judge(&Claims::default(), &[short], Standing::Claim)
        .unwrap_err()
        .to_string();
    assert!(error.contains("paired by user"), "{error}");
    assert!(judge(&Claims::default(), &[], Standing::Claim).is_err());
}

#[test]
fn a_claim_needs_the_chosen_scale_and_scale_1() {
    let chosen = Table::new("a", 5, &ahead(0.1));
    // At scale 1 the woven row is no better than a soup.
    let one = Table::new("a", 5, &[("weaverec", 0.5), ("soup", 0.5)]);
    let of = |scaled: &[&str]| {
        let mut evidence = chosen.evidence();
        let all = one.evidence().rows;
        evidence.at_one = all
            .into_iter()
            .filter(|(name, _)| scaled.contains(name))
            .collect();
        evidence
    };
    let judged = |evidence: Evidence| judge(&Claims::default(), &[evidence], Standing::Claim).unwrap();
    let none = judged(of(&[]));
    assert!(find(&none, ClaimKind::W, "a").holds());
    let soup = judged(of(&["soup"]));
    let w = find(&soup, ClaimKind::W, "a");
    let names: Vec<&str> = w.parts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["target-only", "soup", "soup at c = 1", "longer"],
        "only what has another scale is compared twice"
    );
    assert!(w.holds() && apart(names[2]) == ("soup", true) && apart(names[1]) == ("soup", false));
    let both = judged(of(&["weaverec", "soup"]));
    let w = find(&both, ClaimKind::W, "a");
    assert_eq!((w.parts.len(), w.holds()), (6, false));
    let largest = w.parts.iter().map(|(_, part)| part.contrast.p.unwrap());
    assert_eq!(w.p, largest.reduce(f64::max));
    assert_eq!(
        w.parts[2].1.outcome,
        Outcome::Better,
        "at the chosen scale it is shown"
    );
    assert_ne!(w.parts[3].1.outcome, Outcome::Better);
    assert!(!both.primary.holds());
    assert_eq!(both.primary.parts.len(), 6);
}

#[test]
fn the_deployment_claim_is_a_family_of_its_own() {
    let mut rows = ahead(0.1);
    rows.extend([("weaverec+counting", 0.8), ("counting", 0.7)]);
    let claims = Claims {
        kinds: vec![ClaimKind::W, ClaimKind::J, ClaimKind::M, ClaimKind::D],
        ..Claims::default()
    };
    let (with, without) = (Table::new("a", 5, &rows), Table::new("b", 5, &ahead(0.1)));
    let judgement = judge(&claims, &[with.evidence(), without.evidence()], Standing::Claim).unwrap();
    assert_eq!((judgement.family.len(), judgement.size), (6, 6));
    assert_eq!((judgement.deployment.len(), judgement.deployment_size), (2, 1));
    let [one, other] = judgement.deployment.as_slice() else {
        panic!("{judgement:?}")
    };
    assert!(one.holds() && one.p == one.adjusted_p && one.parts[0].0 == "counting");
    assert_eq!(other.missing, ["weaverec+counting", "counting"]);
    let plain = judge(
        &Claims::default(),
        &[with.evidence(), without.evidence()],
        Standing::Claim,
    )
    .unwrap();
    assert_eq!(plain.family, judgement.family, "the other family does not see it");
}
