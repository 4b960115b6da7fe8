//! How often the rule claims what is not so: the whole grid by its closed form, and whole tables to show that the two are the same.
//!
//! A share is accepted where it is *shown* to lie below its limit, with 99 % confidence; `cargo bench --bench rule` draws more.

use crate::statistics::contrast::{Components, TwoWay};
use crate::statistics::draw::Draws;
use crate::statistics::simulation::{
    GRID_REPLICATES, GRID_SPREADS, GRID_USERS, Model, count_below, grid, p_values, upper_limit,
};
use crate::statistics::{contrast, holm, student};
use rayon::prelude::*;

/// Studies of each model. They also make 8,000 studies of fifteen claims.
const STUDIES: usize = 120_000;
const CLAIMS: usize = 15;
/// Share of false claims that is accepted at a level, and of studies with a false claim among fifteen.
const MOST: [(f64, f64); 2] = [(0.05, 0.06), (0.01, 0.013)];
const MOST_OF_FIFTEEN: f64 = 0.06;
const CONFIDENCE: f64 = 0.99;

#[test]
fn false_claims_stay_below_their_level_everywhere() {
    assert_eq!(
        grid().len(),
        GRID_SPREADS.len() * GRID_REPLICATES.len() * GRID_USERS.len()
    );
    for model in grid() {
        let found = p_values(&model, "acceptance", STUDIES, TwoWay::p);
        for (level, most) in MOST {
            let count = count_below(&found, level);
            let limit = upper_limit(count, STUDIES as u64, CONFIDENCE);
            assert!(limit <= most, "{model:?} at {level}: {count}, up to {limit}");
        }
        // Nor is it so careful that it would never find anything.
        assert!(count_below(&found, 0.05) > STUDIES as u64 / 100, "{model:?}");

        let families = found.chunks(CLAIMS);
        let studies = families.len() as u64;
        let wrong = families.filter(|p| holm(p).iter().any(|p| *p < 0.05)).count() as u64;
        let limit = upper_limit(wrong, studies, CONFIDENCE);
        assert!(
            limit <= MOST_OF_FIFTEEN,
            "{model:?}: {wrong} of {studies}, up to {limit}"
        );
    }
}

#[test]
fn rules_that_know_nothing_of_replicates_or_trust_the_model_alone_fail() {
    const STUDIES: usize = 10_000;
    let worst = |rule: &(dyn Fn(&TwoWay) -> Option<f64> + Sync)| {
        let shares = grid().into_iter().map(|model| {
            let found = p_values(&model, "acceptance", STUDIES, rule);
            count_below(&found, 0.05) as f64 / STUDIES as f64
        });
        shares.fold(0.0, f64::max)
    };
    let users_only = worst(&|layout| {
        Some(student::two_sided_p(
            layout.mean / layout.user.sqrt(),
            layout.user_freedom,
        ))
    });
    let two_way = worst(&|layout| layout.p_values().0);
    assert!(users_only > 0.5, "{users_only}");
    assert!(two_way > 0.065, "{two_way}");
}

/// One of the numbers that the rule reads or gives.
type Number = fn(&TwoWay) -> f64;

/// Sorted values of one number of the layout, from studies drawn by `draw`.
fn sorted(studies: u64, number: Number, draw: impl Fn(&mut Draws) -> TwoWay + Sync, key: &str) -> Vec<f64> {
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
    let numbers: [(&str, Number); 5] = [
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
    // As statsmodels' proportion_confint(60, 1000, 0.02, method="beta") has it, and SciPy's beta.ppf(0.99, 6001, 114000).
    for (count, total, expected) in [
        (60, 1_000, 0.079_786_746_729_14),
        (6_000, 120_000, 0.051_482_655_343_316),
    ] {
        let limit = upper_limit(count, total, 0.99);
        assert!((limit - expected).abs() < 1e-8, "{limit}");
    }
}
