//! What becomes of claims, one finding at a time, and what is marked.

use super::*;
use crate::claim::decision::Outcome;
use crate::report::fixture::{remove, set, study};
use crate::report::planned::{Finding, Planned};

/// A rank that looks random and is the same for a user in each replicate but every seventh.
pub(super) fn noisy(replicate: u32, user: u32) -> u32 {
    let drawn = (user * 37 + 11) % 10;
    if (user + replicate).is_multiple_of(7) {
        1 + (drawn + replicate) % 10
    } else {
        1 + drawn
    }
}

/// A better rank than [`noisy`] for two users of three.
pub(super) fn better(replicate: u32, user: u32) -> u32 {
    if user % 3 == 1 {
        noisy(replicate, user)
    } else {
        noisy(replicate, user).min(2)
    }
}

const AGAINST: [&str; 5] = ["target-only", "soup", "longer", "joint-matched", "naive-merge"];

/// The woven row and all it is compared to.
pub(super) fn contest(
    replicates: u32,
    woven: impl Fn(u32, u32) -> u32,
    others: impl Fn(u32, u32) -> u32 + Copy,
) -> Study {
    let mut study = study(replicates);
    let scenario = &mut study.scenarios[0];
    for method in AGAINST {
        set(scenario, method, others);
    }
    set(scenario, "weaverec", woven);
    study
}

fn planned(study: &Study) -> Planned {
    Analysed::new(study).unwrap().planned.unwrap()
}

/// The findings of the primary claim, W, J and M.
pub(super) fn findings(study: &Study) -> Vec<Finding> {
    planned(study).all().map(planned::Claim::finding).collect()
}

#[test]
fn a_claim_that_is_shown_against_each_of_its_rows_is_held() {
    let study = contest(5, better, noisy);
    assert_eq!(findings(&study), [Finding::Held; 4]);
    let said = said(&study);
    let w = said.iter().find(|text| text.starts_with("Claim W")).unwrap();
    assert!(w.contains("(weaving helps): held (adjusted p"), "{w}");
    assert!(
        w.contains("Against Target-only +0.") && w.contains("; Soup +0.") && w.contains(", better"),
        "{w}"
    );
    let summary = results(&[study])["summary"]["sentence"].clone();
    assert_eq!(summary, "Of 3 claims: 3 held. The primary claim was W: held.");
}

#[test]
fn a_claim_whose_contrary_is_shown_is_refuted() {
    let study = contest(5, noisy, better);
    assert_eq!(findings(&study), [Finding::Refuted; 4]);
    assert!(
        said(&study)
            .iter()
            .any(|text| text.contains("refuted") && text.contains(", worse"))
    );
}

#[test]
fn no_difference_within_the_margin_is_equivalent_and_noise_is_undecided() {
    let slightly = |replicate: u32, user: u32| {
        if user == replicate {
            1 + noisy(replicate, user) % 10
        } else {
            noisy(replicate, user)
        }
    };
    assert_eq!(findings(&contest(5, slightly, noisy)), [Finding::Equivalent; 4]);
    let unrelated = |replicate: u32, user: u32| 1 + (user * 53 + replicate * 17 + user * user) % 10;
    let study = contest(5, unrelated, noisy);
    assert_eq!(findings(&study), [Finding::Undecided; 4]);
    let rows = &table::matrix(&Summary::new(&[Analysed::new(&study).unwrap()])).rows;
    assert!(rows.iter().flatten().all(|cell| cell.mark.is_empty()));
}

#[test]
fn what_holds_on_ascending_users_alone_is_withdrawn() {
    // Every third user descends in id: on these nothing is better.
    let ascending = |replicate: u32, user: u32| {
        if user.is_multiple_of(3) {
            noisy(replicate, user)
        } else {
            noisy(replicate, user).min(2)
        }
    };
    let mut study = contest(5, ascending, noisy);
    assert_eq!(findings(&study), [Finding::Withdrawn; 4]);
    let text = said(&study).join(" ");
    let matrix = |study: &Study| table::matrix(&Summary::new(&[Analysed::new(study).unwrap()]));
    assert!(
        matrix(&study)
            .rows
            .iter()
            .flatten()
            .all(|cell| cell.mark.is_empty()),
        "nor is it marked"
    );
    assert!(
        text.contains("withdrawn") && text.contains("is not shown on users whose last step descends"),
        "{text}"
    );
    // The same where hardly a user descends, however clear it is on the others.
    study = contest(5, better, noisy);
    let (first, rest) = study.scenarios[0].cases.split_first_mut().unwrap();
    first.descends = true;
    rest.iter_mut().for_each(|case| case.descends = false);
    assert_eq!(findings(&study), [Finding::Withdrawn; 4]);
    assert!(said(&study).join(" ").contains("hardly one descends"));
    assert!(
        matrix(&study)
            .rows
            .iter()
            .flatten()
            .all(|cell| cell.mark.is_empty())
    );
    // What was not shown on all users has nothing to withdraw.
    let study = contest(5, noisy, better);
    assert_eq!(findings(&study), [Finding::Refuted; 4]);
}

#[test]
fn three_replicates_indicate_and_two_describe() {
    let indicated = contest(3, better, noisy);
    assert_eq!(findings(&indicated), [Finding::IndicatedBetter; 4]);
    assert!(
        said(&indicated)
            .iter()
            .any(|text| text.contains("indicated: better") && text.contains("better is indicated"))
    );
    assert_eq!(findings(&contest(3, noisy, better)), [Finding::IndicatedWorse; 4]);
    let described = contest(2, better, noisy);
    assert_eq!(findings(&described), [Finding::Described; 4]);
    assert_eq!(findings(&contest(1, better, noisy)), [Finding::Described; 4]);
    for study in [indicated, described] {
        let analysed = [Analysed::new(&study).unwrap()];
        let matrix = table::matrix(&Summary::new(&analysed));
        assert!(
            matrix.rows.iter().flatten().all(|cell| cell.mark.is_empty()),
            "nothing is marked"
        );
    }
}

#[test]
fn one_pretrained_backbone_claims_nothing_and_says_so() {
    let mut study = contest(5, better, noisy);
    study.backbones = Backbones::PreTrained(1);
    assert_eq!(findings(&study), [Finding::IndicatedBetter; 4]);
    for name in ["report.md", "report.html"] {
        assert!(
            text(&[study.clone()], name).contains("one backbone: no claims"),
            "{name}"
        );
    }
    study.backbones = Backbones::Downloaded;
    assert_eq!(
        findings(&study),
        [Finding::Held; 4],
        "a published model is one for everybody"
    );
    assert!(!text(&[study], "report.md").contains("one backbone"));
}

#[test]
fn a_claim_without_its_rows_is_not_testable_and_says_which() {
    let mut study = contest(5, better, noisy);
    remove(&mut study.scenarios[0], "soup");
    remove(&mut study.scenarios[0], "joint-matched");
    assert_eq!(
        findings(&study),
        [
            Finding::NotTestable,
            Finding::NotTestable,
            Finding::NotTestable,
            Finding::Held
        ]
    );
    let report = text(&[study.clone()], "report.md");
    assert!(report.contains("not testable: no row soup"), "{report}");
    assert!(report.contains("not testable: no row joint-matched"));
    // What was compared is still listed, and counts in the family.
    assert!(
        said(&study)
            .iter()
            .any(|text| text.starts_with("Claim W") && text.contains("Against Target-only +0."))
    );
    assert_eq!(planned(&study).size, 2);
    let sentence = results(&[study])["summary"]["sentence"].clone();
    assert_eq!(
        sentence,
        "Of 3 claims: 1 held, 2 not testable. The primary claim was W: not testable: no row soup."
    );
}

#[test]
fn of_several_naive_merges_the_one_that_calibration_chose_counts() {
    let mut study = contest(5, better, noisy);
    let scenario = &mut study.scenarios[0];
    let mut ties = scenario
        .rows
        .iter()
        .find(|row| row.method == "naive-merge")
        .unwrap()
        .clone();
    ties.method = "ties".to_owned();
    scenario.rows.push(ties);
    assert_eq!(findings(&study)[3], Finding::NotTestable, "none was chosen");
    study.scenarios[0].best_naive_merge = Some("ties".to_owned());
    assert_eq!(findings(&study)[3], Finding::Held);
    assert_eq!(planned(&study).family[2].result.parts[0].0, "ties");
}

#[test]
fn floors_and_probes_are_in_no_family() {
    let study = contest(5, better, noisy);
    let with = planned(&study);
    let mut without = study.clone();
    for method in [
        "random",
        "popularity",
        "next-id",
        "previous-id",
        "zero-shot",
        "source-only",
    ] {
        remove(&mut without.scenarios[0], method);
    }
    let without = planned(&without);
    assert_eq!(with.size, without.size);
    for (a, b) in with.all().zip(without.all()) {
        assert_eq!(a.result, b.result);
    }
    assert_eq!(with.size, 3);
    let p = |claim: &planned::Claim| (claim.result.p.unwrap(), claim.result.adjusted_p.unwrap());
    let (own, adjusted) = p(&with.primary);
    assert_eq!(own, adjusted, "the primary claim is tested alone");
    assert!(with.family.iter().all(|claim| p(claim).1 > p(claim).0));
}

#[test]
fn marks_stand_where_a_planned_contrast_is_claimed_and_nowhere_else() {
    let mut study = contest(5, better, noisy);
    // One row that the woven one is worse than, one of which nothing is planned.
    set(&mut study.scenarios[0], "naive-merge", |_, user| 1 + user % 2);
    set(&mut study.scenarios[0], "source-only", |_, _| 10);
    let analysed = [Analysed::new(&study).unwrap()];
    let summary = Summary::new(&analysed);
    let primary = table::primary(&analysed[0].scenarios[0], analysed[0].planned.as_ref());
    for table in [primary.clone(), table::matrix(&summary)] {
        let marked: Vec<(&str, &str)> = table
            .rows
            .iter()
            .flat_map(|row| row.iter().map(|cell| (row[0].text.as_str(), cell.mark)))
            .filter(|(_, mark)| !mark.is_empty())
            .collect();
        assert_eq!(
            marked,
            [
                ("Target-only", "†"),
                ("Joint, matched", "†"),
                ("Soup", "†"),
                ("Longer", "†"),
                ("Naive merge", "‡")
            ]
        );
    }
    let all = table::accuracy(&analysed[0].scenarios[0]);
    assert!(
        all.rows.iter().flatten().all(|cell| cell.mark.is_empty()),
        "other metrics are not tested"
    );
    let decision = analysed[0]
        .planned
        .as_ref()
        .unwrap()
        .decision("comedy-to-drama", "soup")
        .unwrap();
    assert_eq!(decision.outcome, Outcome::Better);
}

#[test]
fn the_primary_claim_is_averaged_over_the_scenarios_it_names() {
    let mut study = contest(5, better, noisy);
    let mut against = study.scenarios[0].clone();
    against.name = "against".to_owned();
    against.target = "Action".to_owned();
    for method in AGAINST {
        set(&mut against, method, better);
    }
    set(&mut against, "weaverec", noisy);
    study.scenarios.push(against);
    // Better in one by as much as it is worse in the other.
    let both = planned(&study);
    assert_eq!(both.family.len(), 6);
    assert!(both.primary.result.parts[0].1.contrast.mean.abs() < 1e-12);
    assert_ne!(both.primary.finding(), Finding::Held);
    study.claims.scenarios = vec!["comedy-to-drama".to_owned()];
    let one = planned(&study);
    assert_eq!((one.family.len(), one.primary.finding()), (3, Finding::Held));
    let table = text(&[study], "report.md");
    assert!(table.contains("the other 3 are one family"), "{table}");
}
