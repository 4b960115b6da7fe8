//! Choices and places of cases made by hand.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::metric::Place;
use crate::statistics::draw::Draws;

/// Eight candidates of a user, all of both protocols but the last two, which are uniform alone; the first is the target.
#[derive(Clone)]
struct Made {
    protocols: Vec<u8>,
    scores: Vec<f32>,
    neutral: Vec<f32>,
}

impl Made {
    fn case(&self) -> Case<'_> {
        Case {
            target: 0,
            protocols: &self.protocols,
            scores: &self.scores,
            neutral: &self.neutral,
        }
    }
}

/// Users whose likelihood is what the history says plus `common` times how common the words of a title are. The target is `lead` ahead.
fn made(users: usize, common: f64, lead: f64) -> Vec<Made> {
    let user = |user: usize| {
        let mut draws = Draws::new("scoring", user as u64);
        let neutral: Vec<f64> = (0..8).map(|_| 4.0 * draws.normal() - 10.0).collect();
        let says = (0..8).map(|item| draws.normal() + if item == 0 { lead } else { 0.0 });
        let scores = says
            .zip(&neutral)
            .map(|(says, neutral)| (says + common * neutral) as f32);
        Made {
            protocols: vec![3, 3, 3, 3, 3, 3, 1, 1],
            scores: scores.collect(),
            neutral: neutral.iter().map(|neutral| *neutral as f32).collect(),
        }
    };
    (0..users).map(user).collect()
}

fn cases(made: &[Made]) -> Vec<Case<'_>> {
    made.iter().map(Made::case).collect()
}

#[test]
fn the_target_is_ranked_among_the_candidates_of_a_protocol() {
    let made = Made {
        protocols: vec![3, 1, 2, 3],
        scores: vec![-2.0, -1.0, -3.0, -2.0],
        neutral: vec![-4.0, -1.0, -1.0, -8.0],
    };
    let case = made.case();
    let at = |scoring, alpha, protocol| place(&case, &scored(&case, scoring, alpha), protocol);
    let likelihood = |protocol| at(Scoring::Likelihood, 1.0, protocol);
    assert_eq!(likelihood(Protocol::Uniform), Place { above: 1, tied: 1 });
    assert_eq!(likelihood(Protocol::Binned), Place { above: 0, tied: 1 });
    // Content at α = 1: 2, 0, −2, 6; at α = ½: 0, −½, −2½, 2.
    assert_eq!(scored(&case, Scoring::Content, 1.0), [2.0, 0.0, -2.0, 6.0]);
    assert_eq!(scored(&case, Scoring::Content, 0.5), [0.0, -0.5, -2.5, 2.0]);
    assert_eq!(
        at(Scoring::Content, 1.0, Protocol::Uniform),
        Place { above: 1, tied: 0 }
    );
    let last = Case { target: 2, ..case };
    assert_eq!(
        place(&last, last.scores, Protocol::Uniform),
        Place { above: 3, tied: 0 },
        "a target belongs to all protocols"
    );
}

#[test]
fn with_alpha_0_content_is_likelihood_whatever_is_neutral() {
    for (number, mut made) in made(200, 0.7, 0.5).into_iter().enumerate() {
        made.neutral[number % 8] = f32::NEG_INFINITY;
        let case = made.case();
        let (content, raw) = (
            scored(&case, Scoring::Content, 0.0),
            scored(&case, Scoring::Likelihood, 1.0),
        );
        let bits = |scores: &[f32]| scores.iter().map(|score| score.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&content), bits(&raw));
        for protocol in Protocol::ALL {
            assert_eq!(place(&case, &content, protocol), place(&case, &raw, protocol));
        }
    }
}

#[test]
fn a_row_without_neutral_scores_is_read_by_its_scores() {
    let mut made = made(1, 1.0, 0.0);
    made[0].neutral.clear();
    let case = made[0].case();
    assert_eq!(scored(&case, Scoring::Content, 1.0), case.scores);
}

#[test]
fn alpha_is_the_smallest_within_one_standard_error_of_the_best() {
    let made = made(1_000, 0.9, 1.0);
    let cases = cases(&made);
    let chosen = alpha(&cases, Protocol::Binned);
    assert!(chosen.chosen && chosen.users == 1_000);
    let levels: Vec<f64> = ALPHAS
        .iter()
        .map(|alpha| level(&cases, Scoring::Content, *alpha, Protocol::Binned))
        .collect();
    let best = levels.iter().copied().fold(0.0, f64::max);
    // The error of a mean of 1,000 users whose metric lies between 0 and 1.
    let at = ALPHAS.iter().position(|alpha| *alpha == chosen.value).unwrap();
    assert!(best - levels[at] < 0.016, "{levels:?}");
    assert!(
        levels[..at].iter().all(|level| best - level > 0.006),
        "{levels:?}"
    );
    assert!((0.5..=1.0).contains(&chosen.value) && !chosen.edge, "{chosen:?}");
}

#[test]
fn an_edge_of_the_grid_is_flagged() {
    // Nothing to take away, and more than the grid takes.
    for (common, expected) in [(0.0, 0.0), (1.75, 1.5)] {
        let made = made(600, common, 1.5);
        let chosen = alpha(&cases(&made), Protocol::Binned);
        assert_eq!((chosen.value, chosen.edge), (expected, true));
    }
}

#[test]
fn few_users_choose_nothing() {
    let made = made(LEAST, 0.0, 1.0);
    let all = cases(&made);
    assert!(alpha(&all, Protocol::Binned).chosen);
    let few = alpha(&all[1..], Protocol::Binned);
    assert_eq!(few, Chosen::standing(1.0, LEAST - 1));
    assert_eq!(
        choose_scale(&[(1.0, all[1..].to_vec()), (2.0, all[1..].to_vec())]),
        1.0
    );
    let add = |case: &Case<'static>| (*case, Added::Popularity(&[1; 8]));
    let leaked: &'static [Made] = made.leak();
    let with: Vec<_> = leaked.iter().skip(1).map(|made| add(&made.case())).collect();
    assert_eq!(
        Weighing::new(&with, Reading::PRIMARY, 1.0, true).choose(Reading::PRIMARY),
        None
    );
}

#[test]
fn of_scales_that_do_as_well_the_nearest_to_1_is_taken() {
    let (good, bad) = (made(400, 1.0, 1.5), made(400, 1.0, 0.0));
    let choose = |scales: &[(f64, &Vec<Made>)]| {
        let by: Vec<(f64, Vec<Case>)> = scales.iter().map(|(scale, made)| (*scale, cases(made))).collect();
        choose_scale(&by)
    };
    assert_eq!(choose(&[(0.5, &good), (1.0, &good), (2.0, &good)]), 1.0);
    assert_eq!(
        choose(&[
            (0.5, &good),
            (0.7, &good),
            (1.0, &bad),
            (1.3, &good),
            (2.0, &good)
        ]),
        1.3
    );
    assert_eq!(
        choose(&[(2.0, &good), (1.0, &bad), (0.5, &good)]),
        0.5,
        "the smaller of two as near"
    );
    assert_eq!(choose(&[]), 1.0);
}

fn recorded(made: &Made, user: usize, cut: Cut, scale: f32) -> ScoredCase {
    ScoredCase {
        user_id: format!("u{user}"),
        cut,
        scale,
        target: 0,
        candidates: (1..=8).collect(),
        protocols: made.protocols.clone(),
        scores: made.scores.clone(),
        neutral: made.neutral.clone(),
        tokens: vec![1; 8],
        popularity: vec![3; 8],
        catalogue: None,
        history: 5,
        descends: false,
        ties: false,
    }
}

#[test]
fn the_scale_is_chosen_by_calibration_users_at_the_scales_that_all_of_them_have() {
    let (good, bad) = (made(350, 1.0, 1.5), made(350, 1.0, 0.0));
    let of = |made: &[Made], cut, scale| -> Vec<ScoredCase> {
        made.iter()
            .enumerate()
            .map(|(user, made)| recorded(made, user, cut, scale))
            .collect()
    };
    let mut all = of(&bad, Cut::Calibration, 1.0);
    all.extend(of(&good, Cut::Calibration, 1.3));
    all.extend(of(&good[..349], Cut::Calibration, 0.9));
    // Reported users are not asked.
    all.extend(of(&good, Cut::Dev, 1.1));
    let chosen = scale(&all);
    assert_eq!((chosen.value, chosen.users, chosen.chosen), (1.3, 350, true));
    assert!(chosen.edge, "1.3 is the largest there is");
    all.retain(|case| case.scale == 1.0);
    assert_eq!(scale(&all), Chosen::standing(1.0, 350), "one scale is no choice");
}

#[test]
fn scores_are_standardised_within_their_case() {
    let close = |found: &[f64], expected: &[f64]| {
        assert!(
            found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12),
            "{found:?}"
        );
    };
    close(&standardised(&[1.0, 3.0]), &[-1.0, 1.0]);
    close(&standardised(&[5.0, 5.0]), &[0.0, 0.0]);
    let with = standardised(&[1.0, f32::NEG_INFINITY, 3.0]);
    assert_eq!((with[0], with[1], with[2]), (-1.0, f64::NEG_INFINITY, 1.0));
}

#[test]
fn a_fusion_adds_what_helps_and_nothing_that_does_not() {
    let all = made(500, 1.0, 0.5);
    let (mut helps, mut hinders) = (vec![0.0_f32; 8], vec![1.0_f32; 8]);
    (helps[0], hinders[0]) = (1.0, 0.0);
    let weigh = |added: &[f32]| {
        let with: Vec<_> = all.iter().map(|made| (made.case(), Added::Row(added))).collect();
        let weighing = Weighing::new(&with, Reading::PRIMARY, 1.0, true);
        let scores = weighing.scores(3, 0.0);
        assert_eq!(
            scores,
            scored(&weighing.cases()[3], Scoring::Content, 1.0),
            "no weight, no fusion"
        );
        weighing.choose(Reading::PRIMARY).unwrap()
    };
    assert_eq!((weigh(&hinders).value, weigh(&hinders).edge), (0.0, true));
    let chosen = weigh(&helps);
    assert!(chosen.value > 0.0 && chosen.users == 500, "{chosen:?}");
    // By hand: ln(n + ½), and a row that counts in standard deviations.
    let (case, counts) = (all[0].case(), [0, 1, 2, 3, 4, 5, 6, 7]);
    let weighing = Weighing::new(&[(case, Added::Popularity(&counts))], Reading::PRIMARY, 0.0, true);
    let expected = f64::from(case.scores[2]) + 2.0 * 2.5_f64.ln();
    assert!((f64::from(weighing.scores(0, 2.0)[2]) - expected).abs() < 1e-5);
    let counted = Weighing::new(&[(case, Added::Row(case.scores))], Reading::PRIMARY, 0.0, false);
    let doubled = 2.0 * standardised(case.scores)[2];
    assert!((f64::from(counted.scores(0, 1.0)[2]) - doubled).abs() < 1e-5);
}

#[test]
fn the_row_of_the_lowest_loss_is_taken_where_all_were_measured() {
    assert_eq!(lowest(&[Some(2.0), Some(1.5), Some(1.5)]), Some(1));
    assert_eq!(lowest(&[Some(2.0), None]), None);
    assert_eq!(lowest(&[Some(2.0), Some(f64::NAN)]), None);
    assert_eq!(lowest(&[]), None);
}
