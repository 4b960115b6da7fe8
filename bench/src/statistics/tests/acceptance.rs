//! How often the rule claims what is not so: the whole grid by its closed form, and whole tables to show that the two are the same.
//!
//! A share is accepted where it is *shown* to lie below its limit, with 99 % confidence; `cargo bench --bench rule` draws more.

use crate::statistics::contrast::{Components, TwoWay};
use crate::statistics::draw::Draws;
use crate::statistics::simulation::{
    GRID_REPLICATES, GRID_SPREADS, GRID_USERS, Model, Shares, grid, upper_limit,
};
use crate::statistics::{contrast, holm, student};
use rayon::prelude::*;

const STUDIES: u64 = 20_000;
/// Share of false claims that is accepted at 0.05 and at 0.01, and of studies with a false claim among fifteen.
const MOST: [f64; 2] = [0.06, 0.013];
const MOST_OF_FIFTEEN: f64 = 0.06;
const CONFIDENCE: f64 = 0.99;

#[test]
fn false_claims_stay_below_their_level_everywhere() {
    assert_eq!(
        grid().len(),
        GRID_SPREADS.len() * GRID_REPLICATES.len() * GRID_USERS.len()
    );
    for model in grid() {
        let shares = Shares::of(&model, "acceptance", STUDIES, TwoWay::p);
        for (level, most) in MOST.iter().enumerate() {
            let limit = upper_limit(shares.below[level], STUDIES, CONFIDENCE);
            assert!(limit <= *most, "{model:?}: {shares:?}, up to {limit}");
        }
        // Nor is it so careful that it would never find anything.
        assert!(shares.below[0] > STUDIES / 1000, "{model:?}: {shares:?}");
    }
}

#[test]
fn rules_that_know_nothing_of_replicates_or_trust_the_model_alone_fail() {
    let users_only = |layout: &TwoWay| {
        Some(student::two_sided_p(
            layout.mean / layout.user.sqrt(),
            layout.user_freedom,
        ))
    };
    let two_way = |layout: &TwoWay| layout.p_values().0;
    let mut worst = [0, 0];
    for model in grid() {
        for (worst, rule) in worst
            .iter_mut()
            .zip([&users_only as &(dyn Fn(&TwoWay) -> Option<f64> + Sync), &two_way])
        {
            let shares = Shares::of(&model, "acceptance", 4_000, rule);
            *worst = shares.below[0].max(*worst);
        }
    }
    let [users_only, two_way] = worst.map(|count| count as f64 / 4_000.0);
    assert!(users_only > 0.3, "{users_only}");
    assert!(two_way > 0.07, "{two_way}");
}

#[test]
fn at_least_one_false_claim_among_fifteen_is_as_rare() {
    const STUDIES: u64 = 6_000;
    for model in grid() {
        let false_claims = (0..STUDIES)
            .into_par_iter()
            .filter(|study| {
                let mut draws = Draws::new("fifteen", *study);
                let p: Vec<f64> = (0..15)
                    .map(|_| model.study(&mut draws).p().unwrap_or(1.0))
                    .collect();
                holm(&p).iter().any(|p| *p < 0.05)
            })
            .count();
        let limit = upper_limit(false_claims as u64, STUDIES, CONFIDENCE);
        assert!(
            limit <= MOST_OF_FIFTEEN,
            "{model:?}: {false_claims}, up to {limit}"
        );
    }
}

/// Sorted values of one number of the layout, from studies drawn by `draw`.
fn sorted(
    studies: u64,
    number: fn(&TwoWay) -> f64,
    draw: impl Fn(&mut Draws) -> TwoWay + Sync,
    key: &str,
) -> Vec<f64> {
    let mut values: Vec<f64> = (0..studies)
        .into_par_iter()
        .map(|study| number(&draw(&mut Draws::new(key, study))))
        .collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// The largest distance of two empirical distributions.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    let (mut i, mut j, mut most) = (0, 0, 0.0f64);
    while i < a.len() && j < b.len() {
        if a[i] <= b[j] {
            i += 1;
        } else {
            j += 1;
        }
        most = most.max((i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs());
    }
    most
}

#[test]
fn the_closed_form_draws_what_whole_tables_give() {
    const STUDIES: u64 = 2_000;
    // The distance of two samples of this size is beyond this once in a million times (Kolmogorov and Smirnov): 2·exp(−2·d²·n/2).
    let most = ((2.0f64 / 1e-6).ln() / STUDIES as f64).sqrt();
    let numbers: [(&str, fn(&TwoWay) -> f64); 5] = [
        ("mean", |layout| layout.mean),
        ("replicates", |layout| layout.replicate),
        ("users", |layout| layout.user),
        ("residual", |layout| layout.residual),
        ("p", |layout| layout.p().unwrap_or(1.0)),
    ];
    for (replicate, replicates, users) in [(0.0, 3, 30), (0.02, 5, 20)] {
        let model = Model {
            components: Components {
                replicate,
                user: 0.10,
                residual: 0.14,
            },
            replicates,
            users,
            effect: 0.01,
        };
        for (name, number) in numbers {
            let closed = sorted(STUDIES, number, |draws| model.study(draws), "closed");
            let whole = sorted(
                STUDIES,
                number,
                |draws| TwoWay::of(&model.differences(draws)).unwrap(),
                "whole",
            );
            let found = distance(&closed, &whole);
            assert!(found < most, "{name} of {model:?}: {found}");
        }
    }
}

#[test]
fn a_table_is_decided_by_its_mean_squares_alone() {
    let model = grid()[0];
    let differences = model.differences(&mut Draws::new("one", 0));
    let layout = TwoWay::of(&differences).unwrap();
    assert_eq!(contrast(&differences).unwrap(), layout.contrast());
    assert_eq!(layout.contrast().p, layout.p());
}

#[test]
fn limits_of_shares_are_exact() {
    // No event in n: 1 − (1 − c)^(1/n); all of them: nothing is excluded.
    let none = upper_limit(0, 100, 0.95);
    assert!((none - (1.0 - 0.05f64.powf(0.01))).abs() < 1e-9, "{none}");
    assert!((upper_limit(100, 100, 0.95) - 1.0).abs() < 1e-12);
    // As statsmodels' proportion_confint(60, 1000, 0.02, method="beta") has it.
    let some = upper_limit(60, 1000, 0.99);
    assert!((some - 0.079_812).abs() < 2e-3, "{some}");
}
