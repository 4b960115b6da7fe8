//! What must hold of one rule or another.

use serde_json::json;

use super::*;
use crate::merge::setting::{Filtered, Setting};
use crate::merge::{svd, threshold, truncate};

#[test]
fn cat_is_the_weighted_sum_to_the_last_bit_and_svd_its_truncation_but_for_rounding() {
    let [a, b, c] = three(3, false);
    let parts = [(&a, 0.7), (&b, -0.4), (&c, 1.1)];
    let whole = weighted(&parts).unwrap();
    let cat = merge(&rule("cat", json!({})), &parts);
    assert_eq!(cat.fingerprint().unwrap(), whole.fingerprint().unwrap());
    assert_eq!(cat.config, whole.config);
    let (cut, lost) = truncate(&whole, 2).unwrap();
    let (svd, reports) = try_merge(&rule("svd", json!({})), &parts, 2).unwrap();
    assert_eq!(svd.config, cut.config);
    // The sum's factors are rounded to f32 before they are cut; the members' are not, so that theirs is held to the true sum.
    let apart = apart(&svd, &cut);
    assert!(apart < 1e-6, "{apart}");
    let all: f64 = reports.iter().map(|report| report.lost.powi(2)).sum();
    assert!((all.sqrt() - lost).abs() < 1e-6 * lost);
    for report in &reports {
        let [out, input] = report.shape;
        let sum = dense(&parts, &report.module);
        let matrix = faer::Mat::from_fn(out, input, |row, column| sum[row * input + column]);
        let least: f64 = matrix.singular_values().unwrap()[2..]
            .iter()
            .map(|value| value * value)
            .sum();
        let least = least.sqrt();
        assert!(
            (report.lost - least).abs() <= 1e-9 * least,
            "{}: {} and {least}",
            report.module,
            report.lost
        );
        let missing = distance(&dense(&[(&svd, 1.0)], &report.module), &sum);
        assert!(
            (missing - least).abs() <= 1e-6 * least,
            "{}: {missing} and {least}",
            report.module
        );
    }
}

#[test]
fn what_is_cut_off_a_dense_result_is_the_rest_of_its_singular_values() {
    let [a, b, c] = three(3, false);
    let parts = [(&a, 0.7), (&b, 0.4), (&c, 1.1)];
    let ties = rule("ties", json!({"density": 0.4}));
    let whole = merge(&ties, &parts);
    let (_, reports) = try_merge(&ties, &parts, 3).unwrap();
    for report in &reports {
        let values = svd::singular_values(&report.module, &whole.modules[&report.module]).unwrap();
        let rest: f64 = values[3..].iter().map(|value| value * value).sum();
        assert!(
            (report.lost - rest.sqrt()).abs() < 1e-4 * (1.0 + report.lost),
            "{report:?}"
        );
        assert_eq!(report.rank, Some(3));
        assert!(report.gap > 0.0);
    }
}

#[test]
fn the_papers_threshold_is_over_all_entries_of_a_member() {
    let [a, b, _] = three(4, false);
    let aligned = members(&[(&a, 1.0), (&b, 1.0)], true);
    for (place, adapter) in [&a, &b].into_iter().enumerate() {
        let mut all: Vec<f64> = ALL
            .iter()
            .flat_map(|name| dense(&[(adapter, 1.0)], name))
            .map(f64::abs)
            .collect();
        all.sort_by(|one, other| other.total_cmp(one));
        for share in [0.2, 0.5, 0.7] {
            let expected = all[(share * all.len() as f64) as usize - 1];
            let found = threshold::of_member(&aligned, place, share).unwrap();
            assert!((found - expected).abs() < 1e-9, "{share}: {found} {expected}");
        }
        assert_eq!(threshold::of_member(&aligned, place, 0.0).unwrap(), f64::INFINITY);
    }
    // The second lacks a module, and all of its zeros are kept at last.
    assert_eq!(threshold::of_member(&aligned, 1, 1.0).unwrap(), 0.0);
    assert!(threshold::of_member(&aligned, 0, 1.5).is_err());
}

#[test]
fn slerp_begins_and_ends_at_its_adapters_and_is_the_adapter_between_equals() {
    let (a, b) = (adapter(1, 2, 4.0, &ALL), adapter(2, 3, 4.0, &ALL));
    let at = |t: f64, one: &Adapter, other: &Adapter| {
        merge(&rule("slerp", json!({"t": t})), &[(one, 1.0), (other, 1.0)])
    };
    assert!(apart(&at(0.0, &a, &b), &a) < 1e-5);
    assert!(apart(&at(1.0, &a, &b), &b) < 1e-5);
    assert!(apart(&at(0.3, &a, &a), &a) < 1e-5);
    assert!(apart(&at(0.3, &a, &b), &at(0.7, &b, &a)) < 1e-5);
    let longer = scaled_up(&a, 3.0);
    // Between updates of one direction it goes straight.
    assert!(apart(&at(0.5, &a, &longer), &scaled_up(&a, 2.0)) < 1e-5);
    let three = [(&a, 1.0), (&b, 1.0), (&a, 1.0)];
    let error = try_merge(&rule("slerp", json!({})), &three, WHOLE)
        .unwrap_err()
        .to_string();
    assert!(error.contains("2 adapters") && error.contains('3'), "{error}");
}

#[test]
fn model_stock_is_the_mean_of_equals_and_nothing_of_opposites() {
    let a = adapter(1, 2, 4.0, &ALL);
    let stock = rule("model_stock", json!({}));
    assert!(apart(&merge(&stock, &[(&a, 1.0), (&a, 1.0), (&a, 1.0)]), &a) < 1e-5);
    let minus = scaled_up(&a, -1.0);
    let error = try_merge(&stock, &[(&a, 1.0), (&minus, 1.0)], WHOLE)
        .unwrap_err()
        .to_string();
    assert!(error.contains("no module"), "{error}");
    assert!(try_merge(&stock, &[(&a, 1.0)], WHOLE).is_err());
}

#[test]
fn iso_c_has_equal_singular_values_of_the_sums_mean() {
    let [a, b, c] = three(5, false);
    let parts = [(&a, 0.7), (&b, 0.4), (&c, 1.1)];
    let (iso, sum) = (
        merge(&rule("iso_c", json!({})), &parts),
        weighted(&parts).unwrap(),
    );
    for name in ALL {
        let ours = svd::singular_values(name, &iso.modules[name]).unwrap();
        let theirs = svd::singular_values(name, &sum.modules[name]).unwrap();
        let rank = theirs.iter().filter(|value| **value > 1e-5 * theirs[0]).count();
        let mean = theirs[..rank].iter().sum::<f64>() / rank as f64;
        assert_eq!(ours.len(), rank);
        assert!(
            ours.iter().all(|value| (value / mean - 1.0).abs() < 1e-4),
            "{ours:?} {mean}"
        );
    }
}

#[test]
fn tsv_m_leaves_orthogonal_updates_as_they_are() {
    // Of one update's singular directions two adapters are made, which share none.
    let whole = truncate(&adapter(6, 4, 4.0, &ALL), 4).unwrap().0;
    let half = |from: usize| {
        let mut part = whole.clone();
        for module in part.modules.values_mut() {
            module.a = module.a.narrow(0, from, 2).unwrap().contiguous().unwrap();
            module.b = module.b.narrow(1, from, 2).unwrap().contiguous().unwrap();
        }
        part
    };
    let merged = merge(&rule("tsv_m", json!({})), &[(&half(0), 1.0), (&half(2), 1.0)]);
    assert!(apart(&merged, &whole) < 1e-4);
}

#[test]
fn weights_may_differ_from_module_to_module() {
    let [a, b, _] = three(7, false);
    let by_filter = Setting::Filtered(vec![
        Filtered {
            filter: Some("mlp".into()),
            value: 0.25.into(),
        },
        Filtered {
            filter: None,
            value: Setting::Gradient(vec![2.0, 5.0]),
        },
    ]);
    let first = Member {
        adapter: &a,
        settings: [("weight".to_string(), by_filter)].into(),
    };
    let aligned = Aligned::new(vec![first, Member::weighing(&b, 0.5)]).unwrap();
    let cat = rule("cat", json!({}));
    let run = Run {
        rule: &cat,
        rank: None,
        draws: &Seeded(0),
    };
    let (merged, reports) = run.adapter(&aligned).unwrap();
    for (name, weight) in [(Q, 2.0), (K, 2.0), (UP, 0.25)] {
        let expected = dense(&[(&a, weight), (&b, 0.5)], name);
        assert!(
            distance(&dense(&[(&merged, 1.0)], name), &expected) < 1e-4,
            "{name}"
        );
        let report = reports.iter().find(|report| report.module == name).unwrap();
        assert_eq!(report.weights, [weight, 0.5]);
    }
}
