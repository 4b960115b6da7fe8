//! What must hold of rules in exact arithmetic, on adapters drawn at random: of unequal ranks, with modules that one of them lacks.
#![allow(clippy::unwrap_used)]

mod definitions;
mod refused;
mod single;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::align::{Aligned, Member};
use super::draw::Seeded;
use super::made::ModuleReport;
use super::receipt::difference;
use super::recipe::Recipe;
use super::rule::{NAMES, Rule};
use super::run::Run;
use super::tests::{K, Q, UP, adapter, dense, distance};
use super::weighted;
use crate::Result;
use crate::lora::Adapter;

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
        with("pcb", json!({"ratio": 0.3})),
        with("pcb", json!({"ratio": 0.3, "over": "model"})),
        with("localize_and_stitch", json!({"density": 0.3})),
        with("emr", json!({})),
        with("tall_masks", json!({})),
        with("lora_lego", json!({})),
        with("psa", json!({"sigma": 0.01})),
        with("psa_scalar", json!({})),
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
    // These go between two, begin with one of the members, or want files: they have tests of their own.
    names.extend(["slerp", "fedecider", "fisher", "regmean"]);
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
        for (name, settings) in [
            ("localize_and_stitch", json!({"density": 1})),
            ("emr", json!({})),
            ("emr", json!({"target": 1})),
            ("tall_masks", json!({"agree": 1})),
            ("tall_masks", json!({"target": 1})),
            ("lora_lego", json!({})),
            ("fedecider", json!({})),
            ("psa", json!({"sigma": 0, "gamma": 1, "alpha": 0, "epsilon": 0})),
            ("psa_scalar", json!({"gamma": 1, "alpha": 0, "epsilon": 0})),
        ] {
            let rule = rule(name, settings);
            prop_assert!(apart(&merge(&rule, &[(&a, 1.0)]), &a) < 1e-5, "{rule:?}");
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
            // SharpRec's map is none of a sum's: it makes less of a larger update.
            if rule.merging().own_settings().is_empty() || rule.name().starts_with("psa") {
                continue;
            }
            let [a, b, d] = three(seed, equal);
            let once = merge(&rule, &[(&a, 0.7), (&b, 0.4), (&d, 1.1)]);
            let scaled = merge(&rule, &[(&a, 0.7 * c), (&b, 0.4 * c), (&d, 1.1 * c)]);
            // A mean that divides by the weights forgets their scale; PEFT's and the papers' divide by the number of members or by scores.
            let is_peft = serde_json::to_value(&rule).unwrap()["flavor"].as_str().is_some_and(|flavor| flavor != "mergekit");
            let by_number = ["tsv_m", "iso_c", "iso_cts", "pcb", "localize_and_stitch", "emr", "lora_lego"].contains(&rule.name());
            let factor = if rule.merging().averages() && !is_peft && !by_number { 1.0 } else { c };
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
            if equal || space == "core" || rule.name() == "lora_lego" {
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
