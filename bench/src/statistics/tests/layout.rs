//! The rule at its edges, and the average over scenarios.

use crate::statistics::average::{Stratum, average};
use crate::statistics::contrast::{Components, TwoWay};
use crate::statistics::draw::Draws;
use crate::statistics::simulation::Model;
use crate::statistics::{Contrast, contrast, paired_t};

fn model(replicates: usize, users: usize) -> Model {
    Model {
        components: Components {
            replicate: 0.02,
            user: 0.10,
            residual: 0.14,
        },
        replicates,
        users,
        effect: 0.01,
    }
}

fn draw(key: u64, replicates: usize, users: usize) -> Vec<Vec<f64>> {
    model(replicates, users).differences(&mut Draws::new("layout", key))
}

#[track_caller]
fn same(ours: &Contrast, theirs: &Contrast) {
    let numbers = |c: &Contrast| {
        [
            c.mean,
            c.standard_error.unwrap(),
            c.freedom.unwrap(),
            c.replicate_error.unwrap(),
            c.p.unwrap(),
            c.interval.unwrap().low,
            c.interval_90.unwrap().high,
            c.users_only.unwrap().low,
        ]
    };
    for (a, b) in numbers(ours).into_iter().zip(numbers(theirs)) {
        assert!((a - b).abs() <= 1e-9 * b.abs(), "{ours:?} is not {theirs:?}");
    }
}

#[test]
fn rows_that_are_the_same_in_every_replicate_are_tested_over_users() {
    let one = &draw(1, 1, 200)[0];
    let repeated = contrast(&vec![one.clone(); 5]).unwrap();
    let alone = paired_t(one).unwrap();
    assert!((repeated.p.unwrap() - alone.p).abs() < 1e-12);
    assert_eq!(repeated.freedom, Some(199.0));
    assert_eq!(repeated.p_replicates, None);
    assert_eq!(repeated.interval, repeated.users_only);
    assert_eq!(repeated.components.unwrap().replicate, 0.0);
    assert_eq!(repeated.components.unwrap().residual, 0.0);
}

#[test]
fn one_replicate_is_tested_by_nothing() {
    let lone = contrast(&draw(2, 1, 200)).unwrap();
    assert!(lone.p.is_none() && lone.interval.is_none() && lone.interval_90.is_none());
    assert!(lone.components.is_none() && lone.standard_error.is_none());
    assert!(lone.users_only.is_some());
    let single_user = contrast(&draw(2, 5, 1)).unwrap();
    assert!(single_user.p.is_none() && single_user.interval.is_none() && single_user.users_only.is_none());
}

#[test]
fn without_any_spread_there_is_an_interval_and_no_test() {
    for value in [0.0, 0.25, 1.0 / 3.0, -0.1] {
        let constant = contrast(&vec![vec![value; 37]; 5]).unwrap();
        assert_eq!(constant.mean, value);
        assert_eq!((constant.p, constant.freedom), (None, None));
        let interval = constant.interval.unwrap();
        assert_eq!((interval.low, interval.high), (value, value));
        assert_eq!(constant.interval_90, Some(interval));
    }
}

#[test]
fn the_interval_leaves_out_zero_where_the_test_finds_a_difference() {
    let mut found = 0;
    for key in 0..300 {
        let differences = draw(key, 2 + key as usize % 4, 30);
        let contrast = contrast(&differences).unwrap();
        let significant = contrast.p.unwrap() < 0.05;
        let interval = contrast.interval.unwrap();
        assert_eq!(
            significant,
            interval.above(0.0) || interval.below(0.0),
            "{contrast:?}"
        );
        assert_eq!(
            contrast.p.unwrap(),
            contrast.p_two_way.unwrap().max(contrast.p_replicates.unwrap())
        );
        let tighter = contrast.interval_90.unwrap();
        assert!(interval.low < tighter.low && tighter.high < interval.high);
        assert!(contrast.freedom.unwrap() >= (contrast.replicates - 1) as f64);
        found += usize::from(significant);
    }
    assert!(found > 3 && found < 150, "{found}");
}

#[test]
fn a_shift_and_a_scale_change_nothing_else() {
    let plain = draw(3, 4, 50);
    let moved: Vec<Vec<f64>> = plain
        .iter()
        .map(|row| row.iter().map(|d| 1000.0 + 8.0 * d).collect())
        .collect();
    let (plain, moved) = (contrast(&plain).unwrap(), contrast(&moved).unwrap());
    let (ours, theirs) = (plain.components.unwrap(), moved.components.unwrap());
    assert!((moved.mean - 1000.0 - 8.0 * plain.mean).abs() < 1e-9);
    for (a, b) in [
        (ours.replicate, theirs.replicate),
        (ours.user, theirs.user),
        (ours.residual, theirs.residual),
    ] {
        assert!((b - 8.0 * a).abs() < 1e-9, "{a} {b}");
    }
}

#[test]
fn what_is_no_matrix_of_numbers_is_refused_with_its_place() {
    let refused = |differences: &[Vec<f64>]| contrast(differences).unwrap_err().to_string();
    assert!(refused(&[]).contains("at least one"));
    assert!(refused(&[vec![], vec![]]).contains("at least one"));
    assert!(refused(&[vec![0.1; 3], vec![0.1; 4]]).contains("replicate 1 has 4 users"));
    let nan = refused(&[vec![0.1; 3], vec![0.1, f64::NAN, 0.2]]);
    assert!(nan.contains("user 1 in replicate 1"), "{nan}");
}

fn people(from: usize, count: usize) -> Vec<usize> {
    (from..from + count).collect()
}

#[test]
fn the_average_over_one_scenario_is_the_rule() {
    let differences = draw(4, 5, 60);
    let stratum = Stratum {
        people: &people(0, 60),
        differences: &differences,
    };
    same(&average(&[stratum]).unwrap(), &contrast(&differences).unwrap());
}

#[test]
fn a_scenario_twice_with_the_same_people_is_no_further_evidence() {
    let differences = draw(5, 5, 60);
    let (here, elsewhere) = (people(0, 60), people(60, 60));
    let twice = |second: &[usize]| {
        let strata = [&here, second].map(|people| Stratum {
            people,
            differences: &differences,
        });
        average(&strata).unwrap()
    };
    let once = contrast(&differences).unwrap();
    let known = twice(&here);
    assert!((known.standard_error.unwrap() - once.standard_error.unwrap()).abs() < 1e-12);
    assert!((known.p.unwrap() - once.p.unwrap()).abs() < 1e-12);
    // Taken for other people they seem to know more, as to users though not as to replicates.
    let strangers = twice(&elsewhere);
    assert!(strangers.standard_error.unwrap() < known.standard_error.unwrap());
    assert_eq!(strangers.replicate_error, known.replicate_error);
}

#[test]
fn scenarios_count_the_same_whatever_their_users() {
    let (small, large) = (vec![vec![0.3; 10]; 3], vec![vec![0.1; 1000]; 3]);
    let strata = [
        Stratum {
            people: &people(0, 10),
            differences: &small,
        },
        Stratum {
            people: &people(10, 1000),
            differences: &large,
        },
    ];
    let found = average(&strata).unwrap();
    assert!((found.mean - 0.2).abs() < 1e-12);
    assert_eq!((found.replicates, found.users), (3, 1010));
    let ragged = vec![vec![0.1; 1000]; 2];
    let wrong = [
        strata[0].clone(),
        Stratum {
            people: &people(10, 1000),
            differences: &ragged,
        },
    ];
    assert!(
        average(&wrong)
            .unwrap_err()
            .to_string()
            .contains("the same in each")
    );
    assert!(average::<Vec<f64>>(&[]).is_err());
}

#[test]
fn layouts_read_from_a_matrix_are_the_mean_squares() {
    // Three replicates of two users, by hand: the means of replicates are 2, 4, 3, of users 2 and 4, and nothing is left.
    let layout = TwoWay::of(&[vec![1.0, 3.0], vec![3.0, 5.0], vec![2.0, 4.0]]).unwrap();
    assert!((layout.mean - 3.0).abs() < 1e-15);
    // Between replicates 2·(1 + 1 + 0)/2 = 2, between users 3·(1 + 1)/1 = 6, over six cells.
    assert!((layout.replicate - 2.0 / 6.0).abs() < 1e-15);
    assert!((layout.user - 1.0).abs() < 1e-15);
    assert!(layout.residual.abs() < 1e-15);
}
