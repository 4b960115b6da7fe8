//! What studies can find.

use crate::statistics::contrast::{Components, TwoWay};
use crate::statistics::power::{CONFIDENCE, smallest_effect, upper_limit};
use crate::statistics::simulation::{Model, count_below, p_values};

const SPREAD: Components = Components {
    replicate: 0.01,
    user: 0.10,
    residual: 0.14,
};

#[test]
fn replicates_come_before_users() {
    let effect = |replicates, users| smallest_effect(SPREAD, replicates, users, 0.05, 0.8);
    // As simulated when the rule was chosen.
    for (replicates, expected) in [(3, 0.034), (4, 0.023), (5, 0.018), (8, 0.013)] {
        let found = effect(replicates, 2_000);
        assert!((found - expected).abs() < 0.0012, "{replicates}: {found}");
    }
    assert!(effect(5, 2_000) - effect(5, 8_000) < 0.001);
    assert!(effect(3, 8_000) > effect(4, 2_000));
}

#[test]
fn the_effect_is_found_as_often_as_it_says() {
    const STUDIES: usize = 4_000;
    for (replicates, users, alpha, power) in [(3, 300, 0.05, 0.8), (5, 50, 0.05, 0.9), (4, 2_000, 0.01, 0.6)]
    {
        let effect = smallest_effect(SPREAD, replicates, users, alpha, power);
        let model = Model {
            components: SPREAD,
            replicates,
            users,
            effect,
        };
        let p = p_values(&model, "as often", STUDIES, TwoWay::p);
        let found = count_below(&p, alpha) as f64 / STUDIES as f64;
        // Three standard errors of the share, and one per cent for the draws of the power itself.
        let tolerance = 3.0 * (power * (1.0 - power) / STUDIES as f64).sqrt() + 0.01;
        assert!(
            (found - power).abs() < tolerance,
            "{replicates} × {users}: {found}"
        );
    }
}

#[test]
fn a_limit_lies_above_the_truth_as_often_as_it_says() {
    const STUDIES: usize = 4_000;
    let model = Model {
        components: SPREAD,
        replicates: 4,
        users: 500,
        effect: 0.0,
    };
    // A rule that "finds" the studies whose limit is below the truth.
    let missed = p_values(&model, "limit", STUDIES, |layout| {
        let seen = layout.contrast().components?;
        let limit = upper_limit(seen, 4, 500, CONFIDENCE)?;
        assert!(limit.replicate >= seen.replicate && limit.user == seen.user);
        Some(if limit.replicate < SPREAD.replicate {
            0.0
        } else {
            1.0
        })
    });
    let share = count_below(&missed, 0.5) as f64 / STUDIES as f64;
    assert!((share - (1.0 - CONFIDENCE)).abs() < 0.025, "{share}");
    assert_eq!(upper_limit(SPREAD, 1, 500, CONFIDENCE), None);
}

#[test]
fn without_spread_everything_is_found() {
    let none = Components {
        replicate: 0.0,
        user: 0.0,
        residual: 0.0,
    };
    assert_eq!(smallest_effect(none, 3, 100, 0.05, 0.8), 0.0);
}
