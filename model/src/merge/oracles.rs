//! What must hold of rules in exact arithmetic, on adapters drawn at random: of unequal ranks, with modules that one of them lacks.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::align::{Aligned, Member};
use super::draw::Seeded;
use super::receipt::difference;
use super::recipe::Recipe;
use super::rule::{NAMES, Rule};
use super::run::{ModuleReport, Run};
use super::setting::{Filtered, Setting};
use super::tests::{K, Q, UP, adapter, dense, distance, random, shape, with_whole};
use super::*;
use crate::backbone::Weights;
use crate::{Error, Result};

/// The least side of any module: at this rank nothing is cut off.
const WHOLE: usize = 12;
const ALL: [&str; 3] = [Q, K, UP];

fn rule(name: &str, settings: Value) -> Rule {
    Recipe::rule(name, settings.as_object().unwrap().clone()).unwrap()
}

fn members<'a>(parts: &[(&'a Adapter, f64)], weighed: bool) -> Aligned<'a> {
    let member = |(adapter, weight): &(&'a Adapter, f64)| match weighed {
        true => Member::weighing(adapter, *weight),
        false => Member {
            adapter,
            settings: Default::default(),
        },
    };
    Aligned::new(parts.iter().map(member).collect()).unwrap()
}

fn try_merge(rule: &Rule, parts: &[(&Adapter, f64)], rank: usize) -> Result<(Adapter, Vec<ModuleReport>)> {
    let weighed = !rule.merging().own_settings().is_empty();
    let run = Run {
        rule,
        rank: Some(rank),
        draws: &Seeded(5),
    };
    run.adapter(&members(parts, weighed))
}

fn merge(rule: &Rule, parts: &[(&Adapter, f64)]) -> Adapter {
    try_merge(rule, parts, WHOLE).unwrap().0
}

/// The largest difference of two adapters' updates, as a share of an update.
fn apart(one: &Adapter, other: &Adapter) -> f64 {
    difference(one, other).unwrap().0
}

/// Rules of every kind with settings under which they do something, and whether they need equal ranks.
fn rules() -> Vec<(Rule, bool)> {
    let with = |name: &str, settings: Value| (rule(name, settings), false);
    let of_factors = |name: &str, settings: Value| (rule(name, settings), true);
    vec![
        with("linear", json!({})),
        of_factors("linear", json!({"flavor": "peft"})),
        with("task_arithmetic", json!({"lambda": 0.3})),
        with("cat", json!({})),
        with("svd", json!({})),
        with("ties", json!({"density": 0.4})),
        with("ties", json!({"density": 0.4, "flavor": "paper"})),
        with("ties", json!({"density": 0.4, "space": "core"})),
        with("ties", json!({"density": 0.4, "space": "knots"})),
        of_factors("ties", json!({"density": 0.4, "flavor": "peft"})),
        with(
            "ties_svd",
            json!({"density": 0.4, "majority_sign_method": "frequency"}),
        ),
        with("dare_linear", json!({"density": 0.4})),
        with("dare_linear", json!({"density": 0.4, "flavor": "paper"})),
        of_factors("dare_linear", json!({"density": 0.4, "flavor": "peft"})),
        with("dare_ties", json!({"density": 0.4})),
        with("dare_ties", json!({"density": 0.4, "space": "core"})),
        of_factors("magnitude_prune", json!({"density": 0.4})),
        with("magnitude_prune_svd", json!({"density": 0.4})),
        with("breadcrumbs", json!({"density": 0.4, "gamma": 0.05})),
        with("breadcrumbs_ties", json!({"density": 0.4, "gamma": 0.05})),
        with("della", json!({"density": 0.4})),
        with("della_linear", json!({"density": 0.4})),
        with("model_stock", json!({})),
        with("tsv_m", json!({})),
        with("iso_c", json!({})),
        with("iso_cts", json!({"common_space_fraction": 0.5})),
    ]
}

/// Three adapters of ranks that may differ, the second without K and the third with it alone.
fn three(seed: u64, equal: bool) -> [Adapter; 3] {
    let ranks = if equal { [3, 3, 3] } else { [2, 3, 4] };
    [
        adapter(seed, ranks[0], 3.0, &ALL),
        adapter(seed + 1, ranks[1], 8.0, &[Q, UP]),
        adapter(seed + 2, ranks[2], 2.0, &[K]),
    ]
}

#[test]
fn every_rule_is_among_those_that_the_oracles_are_asked_of() {
    let mut names: Vec<&str> = rules().iter().map(|(rule, _)| rule.name()).collect();
    // It goes between two, and has tests of its own.
    names.push("slerp");
    assert!(NAMES.iter().all(|name| names.contains(name)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn the_order_of_adapters_does_not_matter(seed in 0u64..1000) {
        for (rule, equal) in rules() {
            let [a, b, c] = three(seed, equal);
            let one = merge(&rule, &[(&a, 0.7), (&b, 0.4), (&c, 1.1)]);
            let other = merge(&rule, &[(&c, 1.1), (&a, 0.7), (&b, 0.4)]);
            prop_assert!(apart(&one, &other) < 1e-5, "{rule:?}: {}", apart(&one, &other));
        }
    }

    #[test]
    fn one_adapter_of_weight_one_is_itself_where_nothing_is_left_out(seed in 0u64..1000) {
        let a = adapter(seed, 3, 5.0, &ALL);
        for name in ["linear", "task_arithmetic", "cat", "svd", "ties", "dare_linear", "dare_ties", "breadcrumbs", "breadcrumbs_ties",
            "della", "della_linear", "tsv_m"] {
            let merged = merge(&rule(name, json!({})), &[(&a, 1.0)]);
            prop_assert!(apart(&merged, &a) < 1e-5, "{name}");
        }
        for name in ["linear", "ties", "dare_linear", "dare_ties"] {
            let mut settings = json!({"flavor": "peft"});
            if name != "linear" {
                settings["density"] = 1.0.into();
            }
            prop_assert!(apart(&merge(&rule(name, settings), &[(&a, 1.0)]), &a) < 1e-5, "peft {name}");
        }
        for space in ["core", "knots", "dense"] {
            let ties = rule("ties", json!({"space": space}));
            prop_assert!(apart(&merge(&ties, &[(&a, 1.0)]), &a) < 1e-5, "{space}");
        }
    }

    #[test]
    fn at_a_density_of_one_what_is_kept_is_the_sum(seed in 0u64..1000) {
        let [a, b, c] = three(seed, false);
        let parts = [(&a, 0.7), (&b, -0.4), (&c, 1.1)];
        let sum = weighted(&parts).unwrap();
        let mut all = vec![rule("task_arithmetic", json!({})), rule("magnitude_prune_svd", json!({"density": 1}))];
        for name in ["dare_linear", "breadcrumbs", "della_linear"] {
            for space in ["dense", "core", "knots"] {
                all.push(rule(name, json!({"space": space})));
            }
        }
        for rule in all {
            let merged = merge(&rule, &parts);
            prop_assert!(apart(&merged, &sum) < 1e-5, "{rule:?}");
        }
    }

    #[test]
    fn ties_of_everything_is_the_mean_of_those_that_agree(seed in 0u64..1000) {
        let [a, b, c] = three(seed, false);
        let parts = [(&a, 0.7), (&b, 0.4), (&c, 1.1)];
        let merged = merge(&rule("ties", json!({})), &parts);
        for name in ALL {
            let updates: Vec<Vec<f64>> = parts.iter().map(|part| dense(&[*part], name)).collect();
            let expected: Vec<f64> = (0..updates[0].len()).map(|entry| {
                let sum: f64 = updates.iter().map(|update| update[entry]).sum();
                let agree = |update: &f64| *update != 0.0 && (*update > 0.0) == (sum >= 0.0);
                let of = parts.iter().zip(&updates).filter(|(_, update)| agree(&update[entry]));
                let (sum, weights) = of.fold((0.0, 0.0), |(sum, weights), ((_, weight), update)| (sum + update[entry], weights + weight));
                if weights == 0.0 { 0.0 } else { sum / weights }
            }).collect();
            let ours = dense(&[(&merged, 1.0)], name);
            prop_assert!(distance(&ours, &expected) < 1e-4 * (1.0 + distance(&expected, &vec![0.0; expected.len()])));
        }
    }

    #[test]
    fn weights_scale_a_sum_and_leave_a_mean_as_it_is(seed in 0u64..1000, c in 0.25f64..3.0) {
        for (rule, equal) in rules() {
            if rule.merging().own_settings().is_empty() {
                continue;
            }
            let [a, b, d] = three(seed, equal);
            let once = merge(&rule, &[(&a, 0.7), (&b, 0.4), (&d, 1.1)]);
            let scaled = merge(&rule, &[(&a, 0.7 * c), (&b, 0.4 * c), (&d, 1.1 * c)]);
            // A mean that divides by the weights forgets their scale; PEFT's and the paper's divide by the number of members.
            let is_peft = serde_json::to_value(&rule).unwrap()["flavor"].as_str().is_some_and(|flavor| flavor != "mergekit");
            let spectral = ["tsv_m", "iso_c", "iso_cts"].contains(&rule.name());
            let factor = if rule.merging().averages() && !is_peft && !spectral { 1.0 } else { c };
            let expected = scaled_up(&once, factor);
            prop_assert!(apart(&scaled, &expected) < 1e-4, "{rule:?} {}", apart(&scaled, &expected));
        }
    }

    #[test]
    fn a_member_without_weight_is_no_member(seed in 0u64..1000) {
        for (rule, equal) in rules() {
            if rule.merging().own_settings().is_empty() {
                continue;
            }
            let [a, b, c] = three(seed, equal);
            let without = merge(&rule, &[(&a, 0.7), (&b, 0.4)]);
            let with = merge(&rule, &[(&a, 0.7), (&b, 0.4), (&c, 0.0)]);
            prop_assert!(apart(&without, &with) < 1e-6, "{rule:?}");
        }
    }

    #[test]
    fn how_an_update_is_written_as_factors_does_not_matter_to_rules_of_updates(seed in 0u64..1000) {
        for (rule, equal) in rules() {
            let space = serde_json::to_value(&rule).unwrap()["space"].clone();
            if equal || space == "core" {
                // What works on the factors, or in bases of them, sees which they are.
                continue;
            }
            let [a, b, c] = three(seed, false);
            let mut other = a.clone();
            for module in other.modules.values_mut() {
                module.a = (&module.a * 4.0).unwrap();
                module.scale /= 4.0;
            }
            // Random masks go by what is stored.
            if ["dare_linear", "dare_ties", "della", "della_linear"].contains(&rule.name()) {
                continue;
            }
            let one = merge(&rule, &[(&a, 0.7), (&b, 0.4), (&c, 1.1)]);
            let two = merge(&rule, &[(&other, 0.7), (&b, 0.4), (&c, 1.1)]);
            prop_assert!(apart(&one, &two) < 1e-4, "{rule:?}: {}", apart(&one, &two));
        }
    }

    #[test]
    fn the_receipt_has_the_norms_and_no_gap_where_nothing_is_cut(seed in 0u64..1000) {
        for (rule, equal) in rules() {
            let [a, b, c] = three(seed, equal);
            let parts = [(&a, 0.7), (&b, 0.4), (&c, 1.1)];
            let (merged, reports) = try_merge(&rule, &parts, WHOLE).unwrap();
            for report in &reports {
                let zeros = vec![0.0; report.shape[0] * report.shape[1]];
                let norm = distance(&dense(&[(&merged, 1.0)], &report.module), &zeros);
                prop_assert!((norm - report.norm).abs() < 1e-4 * (1.0 + norm));
                for (norm, (adapter, _)) in report.norms.iter().zip(parts) {
                    let own = distance(&dense(&[(adapter, 1.0)], &report.module), &zeros);
                    prop_assert!((own - norm).abs() < 1e-4 * (1.0 + own));
                }
                prop_assert!(report.gap < 1e-4 && report.lost < 1e-4, "{rule:?}: {report:?}");
            }
        }
    }
}

fn scaled_up(adapter: &Adapter, factor: f64) -> Adapter {
    let mut scaled = adapter.clone();
    scaled
        .modules
        .values_mut()
        .for_each(|module| module.scale *= factor);
    scaled
}

#[test]
fn cat_is_the_weighted_sum_to_the_last_bit_and_svd_its_truncation() {
    let [a, b, c] = three(3, false);
    let parts = [(&a, 0.7), (&b, -0.4), (&c, 1.1)];
    let whole = weighted(&parts).unwrap();
    let cat = merge(&rule("cat", json!({})), &parts);
    assert_eq!(cat.fingerprint().unwrap(), whole.fingerprint().unwrap());
    assert_eq!(cat.config, whole.config);
    let (cut, lost) = truncate(&whole, 2).unwrap();
    let (svd, reports) = try_merge(&rule("svd", json!({})), &parts, 2).unwrap();
    assert_eq!(svd.fingerprint().unwrap(), cut.fingerprint().unwrap());
    assert_eq!(svd.config, cut.config);
    let all: f64 = reports.iter().map(|report| report.lost.powi(2)).sum();
    assert!((all.sqrt() - lost).abs() < 1e-9 * lost);
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

#[test]
fn a_rule_of_entries_is_folded_whole_into_a_base() {
    let [a, b, c] = three(8, false);
    let base: HashMap<String, Tensor> = ALL
        .map(|name| {
            let mut rng = ChaCha8Rng::seed_from_u64(9);
            (
                format!("{name}.weight"),
                random(&mut rng, shape(name).0, shape(name).1),
            )
        })
        .into();
    let parts = [(&a, 0.7), (&b, 0.4), (&c, 1.1)];
    let ties = rule("ties", json!({"density": 0.4}));
    let run = |rank| Run {
        rule: &ties,
        rank,
        draws: &Seeded(5),
    };
    let aligned = members(&parts, true);
    let (mut whole, mut factored) = (
        Weights::from_tensors(base.clone()),
        Weights::from_tensors(base.clone()),
    );
    let reports = run(None).into_base(&aligned, &mut whole).unwrap();
    assert!(
        reports
            .iter()
            .all(|report| report.rank.is_none() && report.lost == 0.0)
    );
    run(Some(WHOLE)).into_base(&aligned, &mut factored).unwrap();
    for name in ALL {
        let (out, input) = shape(name);
        let values = |weights: &Weights| {
            let values = weights.get(&format!("{name}.weight"), &[out, input]).unwrap();
            values
                .flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap()
                .into_iter()
                .map(f64::from)
                .collect::<Vec<_>>()
        };
        let (one, other) = (values(&whole), values(&factored));
        let before = values(&Weights::from_tensors(base.clone()));
        assert!(
            distance(&one, &other) < 1e-3 && distance(&one, &before) > 0.1,
            "{name}"
        );
    }
    let mut other = Weights::from_tensors(
        base.into_iter()
            .filter(|(name, _)| !name.contains("up_proj"))
            .collect(),
    );
    let before = other.fingerprint().unwrap();
    assert!(run(None).into_base(&aligned, &mut other).is_err());
    assert_eq!(
        other.fingerprint().unwrap(),
        before,
        "nothing changes unless every module fits"
    );
}

#[test]
fn what_a_rule_cannot_merge_is_refused_with_the_reason() {
    let [a, b, _] = three(1, false);
    let refused = |rule: &Rule, parts: &[(&Adapter, f64)]| match try_merge(rule, parts, WHOLE) {
        Err(Error::Merge(message)) => message,
        other => panic!("{other:?}"),
    };
    let error = refused(
        &rule("linear", json!({"flavor": "peft"})),
        &[(&a, 1.0), (&b, 1.0)],
    );
    for part in ["rank 2", "3", "space", Q] {
        assert!(error.contains(part), "{error}");
    }
    let (first, second) = (with_whole(1, &[Q], 1.0), with_whole(2, &[Q], 1.0));
    for (name, settings) in [("ties", json!({})), ("model_stock", json!({}))] {
        let error = refused(&rule(name, settings), &[(&first, 0.5), (&second, 0.5)]);
        assert!(
            error.contains("model.embed_tokens") && error.contains(name),
            "{error}"
        );
    }
    let merged = merge(&rule("linear", json!({})), &[(&first, 1.0), (&second, 3.0)]);
    let by_hand = weighted(&[(&first, 0.25), (&second, 0.75)]).unwrap();
    assert_eq!(merged.fingerprint().unwrap(), by_hand.fingerprint().unwrap());
    for (name, settings, word) in [
        ("ties", json!({"density": 1.5}), "density"),
        ("ties", json!({"flavor": "peft"}), "density"),
        (
            "ties",
            json!({"flavor": "peft", "density": 0.5, "normalize": true}),
            "normalize",
        ),
        ("ties", json!({"flavor": "paper", "space": "core"}), "space"),
        ("ties", json!({"space": "factors"}), "peft"),
        ("della", json!({"density": 0.9}), "epsilon"),
        ("breadcrumbs", json!({"gamma": 2}), "gamma"),
        (
            "iso_cts",
            json!({"common_space_fraction": -1}),
            "common_space_fraction",
        ),
    ] {
        let error = refused(&rule(name, settings), &[(&a, 1.0), (&b, 1.0)]);
        assert!(
            error.contains(word) && (error.contains(name) || error.contains(K)),
            "{error}"
        );
    }
    let error = refused(&rule("linear", json!({})), &[(&a, 1.0), (&b, -1.0)]);
    assert!(error.contains("sum to 0"), "{error}");
    for (name, settings) in [("tise", json!({})), ("ties", json!({"densty": 1}))] {
        assert!(Recipe::rule(name, settings.as_object().unwrap().clone()).is_err());
    }
}
