//! What SciPy and statsmodels say; `bench/tests/fixtures/statistics.py` made the numbers.

use crate::statistics::{
    Contrast, Test, contrast, effect_size_dz, hochberg, holm, mean, paired_t, power, sd, student, wilcoxon,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
    two_way: Vec<Layout>,
    tails: Vec<[f64; 3]>,
    criticals: Vec<[f64; 3]>,
    chi_squared: Vec<[f64; 3]>,
    family: Family,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    differences: Vec<f64>,
    mean: f64,
    sd: f64,
    t: Option<(f64, f64)>,
    wilcoxon: Option<(f64, f64)>,
    dz: Option<f64>,
}

#[derive(Deserialize)]
struct Layout {
    name: String,
    differences: Vec<Vec<f64>>,
    mean: f64,
    standard_error: f64,
    freedom: f64,
    p_two_way: f64,
    p_replicates: f64,
    p: f64,
    half_95: f64,
    half_90: f64,
    users_only: f64,
    mixed: Option<Mixed>,
}

#[derive(Deserialize)]
struct Mixed {
    replicate: f64,
    user: f64,
    residual: f64,
    standard_error: f64,
}

#[derive(Deserialize)]
struct Family {
    p: Vec<f64>,
    holm: Vec<f64>,
    hochberg: Vec<f64>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../../../tests/fixtures/statistics.json")).unwrap()
}

#[track_caller]
fn close(what: &str, ours: f64, theirs: f64) {
    within(what, ours, theirs, 1e-9);
}

#[track_caller]
fn within(what: &str, ours: f64, theirs: f64, relative: f64) {
    let tolerance = relative * theirs.abs().max(1e-30);
    assert!(
        (ours - theirs).abs() <= tolerance.max(1e-300),
        "{what}: {ours} is not {theirs}"
    );
}

#[track_caller]
fn same_test(what: &str, ours: Option<Test>, theirs: Option<(f64, f64)>) {
    match (ours, theirs) {
        (Some(ours), Some((statistic, p))) => {
            close(&format!("{what} statistic"), ours.statistic, statistic);
            close(&format!("{what} p"), ours.p, p);
        }
        (None, None) => {}
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn tests_agree_with_scipy() {
    let cases = fixture().cases;
    assert!(cases.len() >= 10);
    for case in cases {
        let d = &case.differences;
        assert!((mean(d) - case.mean).abs() < 1e-12, "{}", case.name);
        assert!((sd(d).unwrap() - case.sd).abs() < 1e-12, "{}", case.name);
        same_test(&format!("{}: t", case.name), paired_t(d), case.t);
        same_test(&format!("{}: wilcoxon", case.name), wilcoxon(d), case.wilcoxon);
        assert_eq!(effect_size_dz(d).is_some(), case.dz.is_some(), "{}", case.name);
        if let (Some(ours), Some(theirs)) = (effect_size_dz(d), case.dz) {
            close(&format!("{}: dz", case.name), ours, theirs);
        }
    }
}

#[test]
fn tails_and_critical_values_agree_with_scipy() {
    let fixture = fixture();
    for [t, freedom, p] in fixture.tails {
        close(
            &format!("tail of {t}, {freedom} degrees"),
            student::two_sided_p(t, freedom),
            p,
        );
        close("the other tail", student::two_sided_p(-t, freedom), p);
    }
    for [alpha, freedom, t] in fixture.criticals {
        close(
            &format!("{alpha}, {freedom} degrees"),
            student::critical(alpha, freedom),
            t,
        );
    }
    for [probability, freedom, value] in fixture.chi_squared {
        close(
            &format!("chi-squared {probability}, {freedom} degrees"),
            power::chi_squared_quantile(probability, freedom),
            value,
        );
    }
}

#[test]
fn families_agree_with_statsmodels() {
    let Family {
        p,
        holm: by_holm,
        hochberg: by_hochberg,
    } = fixture().family;
    for (ours, theirs) in [(holm(&p), by_holm), (hochberg(&p), by_hochberg)] {
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(theirs) {
            close("adjusted", *ours, theirs);
        }
    }
    assert_eq!(holm(&[0.01, 0.02]), vec![0.02, 0.02]);
    assert_eq!(hochberg(&[0.01, 0.04]), vec![0.02, 0.04]);
    assert!(holm(&[]).is_empty() && hochberg(&[]).is_empty());
}

/// Half of an interval that must lie around the mean.
#[track_caller]
fn half(interval: Option<crate::statistics::Interval>, contrast: &Contrast) -> f64 {
    let interval = interval.unwrap();
    assert!((f64::midpoint(interval.low, interval.high) - contrast.mean).abs() < 1e-12);
    (interval.high - interval.low) / 2.0
}

#[test]
fn the_rule_agrees_with_mean_squares_of_statsmodels() {
    let layouts = fixture().two_way;
    assert!(layouts.iter().filter(|layout| layout.mixed.is_some()).count() >= 3);
    assert!(layouts.iter().any(|layout| layout.mixed.is_none()));
    for layout in layouts {
        let name = &layout.name;
        let ours = contrast(&layout.differences).unwrap();
        close(&format!("{name}: mean"), ours.mean, layout.mean);
        close(
            &format!("{name}: error"),
            ours.standard_error.unwrap(),
            layout.standard_error,
        );
        close(&format!("{name}: freedom"), ours.freedom.unwrap(), layout.freedom);
        close(&format!("{name}: p"), ours.p_two_way.unwrap(), layout.p_two_way);
        close(
            &format!("{name}: p of replicates"),
            ours.p_replicates.unwrap(),
            layout.p_replicates,
        );
        close(&format!("{name}: the larger p"), ours.p.unwrap(), layout.p);
        close(
            &format!("{name}: 95 %"),
            half(ours.interval, &ours),
            layout.half_95,
        );
        close(
            &format!("{name}: 90 %"),
            half(ours.interval_90, &ours),
            layout.half_90,
        );
        close(
            &format!("{name}: users only"),
            half(ours.users_only, &ours),
            layout.users_only,
        );
        if let Some(mixed) = layout.mixed {
            // Maximised by steps there, so that it agrees to some digits only.
            let components = ours.components.unwrap();
            within(
                &format!("{name}: replicates"),
                components.replicate,
                mixed.replicate,
                2e-3,
            );
            within(&format!("{name}: users"), components.user, mixed.user, 2e-3);
            within(
                &format!("{name}: residual"),
                components.residual,
                mixed.residual,
                2e-3,
            );
            within(
                &format!("{name}: error of the mixed model"),
                ours.standard_error.unwrap(),
                mixed.standard_error,
                2e-3,
            );
        }
    }
}
