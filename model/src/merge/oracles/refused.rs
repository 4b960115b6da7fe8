//! Folding into a base, and what cannot be merged.

use std::collections::HashMap;

use candle_core::Tensor;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::*;
use crate::Error;
use crate::backbone::Weights;
use crate::merge::tests::{random, shape, with_whole};

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
        ("pcb", json!({"ratio": 2}), "ratio"),
        ("localize_and_stitch", json!({"density": -1}), "density"),
        ("emr", json!({"target": 3}), "target"),
        ("emr", json!({"target": 0}), "target"),
        ("tall_masks", json!({"agree": 3}), "agree"),
        ("tall_masks", json!({"target": 3}), "target"),
        ("lora_lego", json!({"units": 0}), "units"),
        ("fedecider", json!({"target": 3}), "target"),
        ("psa", json!({"sigma": -1}), "sigma"),
        ("psa_scalar", json!({"gamma": -1}), "gamma"),
        ("fisher", json!({"epsilon": -1}), "epsilon"),
        ("fisher", json!({}), "statistics"),
        ("regmean", json!({"off_diagonal": 2}), "off_diagonal"),
        ("regmean", json!({}), "statistics"),
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
