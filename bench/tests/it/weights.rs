//! `weaverec merge --weights-by` and `merge statistics`: what is chosen or measured on prompts, and merged by.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::adapters::{train, write_model};
use super::calibration::prepare;
use super::{fail, run, succeed};

const DOMAIN: &str = "prepared/synth-films";

/// A domain of few users, a model and two adapters of it.
fn workplace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    prepare(at, "200", "sequence", "prepared");
    write_model(&at.join("models/one"), 1);
    train(at, "shop", "models/one");
    let other = [
        "--model",
        "models/one",
        "--seed",
        "5",
        "--rank",
        "3",
        "--epochs",
        "1",
        "--batch-size",
        "8",
        "--held-out",
        "4",
    ];
    succeed(at, &[&["train", DOMAIN, "--out", "other"][..], &other].concat());
    folder
}

fn receipt(at: &Path, name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(at.join(name).join("merge.json")).unwrap()).unwrap()
}

#[test]
fn weights_are_chosen_on_prompts_and_merged_again_without_them() {
    let folder = workplace();
    let at = folder.path();
    let merge = |more: &[&str]| {
        let arguments = [&["merge", "shop", "other", "--prompts", DOMAIN][..], more].concat();
        let output = run(at, &arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{arguments:?}: {said}");
        said
    };
    // Their base is the one that they name.
    merge(&[
        "--weights-by",
        "entropy",
        "--users",
        "3",
        "--weigh",
        "epochs=2",
        "--out",
        "plain",
    ]);
    let found = &receipt(at, "plain")["weights"];
    assert_eq!(found["cases"], 3);
    assert_eq!(found["weights"]["epochs"], 2);
    let lambda: Vec<f64> = serde_json::from_value(found["lambda"].clone()).unwrap();
    assert!(
        lambda.len() == 2 && (lambda.iter().sum::<f64>() - 1.0).abs() < 1e-5,
        "{lambda:?}"
    );
    assert!(found["after"].as_f64().unwrap() <= found["before"].as_f64().unwrap());
    assert_eq!(receipt(at, "plain")["adapters"][0]["weight"], lambda[0]);
    succeed(at, &["merge", "verify", "plain"]);

    let vocabulary = r#"objective={"kind": "vocabulary-entropy", "tokens": 2}"#;
    let module = [
        "--weights-by",
        "entropy",
        "--users",
        "3",
        "--weigh",
        "per=module",
        "--weigh",
        vocabulary,
    ];
    merge(&[&module[..], &["--model", "models/one", "--out", "woven"]].concat());
    let weight = &receipt(at, "woven")["recipe"]["models"][0]["parameters"]["weight"];
    assert_eq!(weight.as_array().unwrap().len(), 14);
    // Directions, learnt on training prompts from the first adapter alone.
    merge(&[
        "--weights-by",
        "fedecider",
        "--users",
        "6",
        "--weigh",
        "steps=4",
        "--out",
        "taught",
    ]);
    let found = &receipt(at, "taught")["weights"];
    assert_eq!(found["cases"], 6);
    assert_eq!(found["curve"][0]["lambda"], serde_json::json!([1.0, 0.0]));
    assert!(found["after"].as_f64().unwrap() <= found["before"].as_f64().unwrap());
    assert_eq!(found["lambda"].as_object().unwrap().len(), 14);
    // Pseudo-users of each adapter's domain, of which nobody's interactions are read.
    let pseudo = ["--weights-by", "mergerec", "--users", "3", "--weigh", "steps=2"];
    merge(&[&pseudo[..], &["--prompts", DOMAIN, "--out", "agreed"]].concat());
    let found = &receipt(at, "agreed")["weights"];
    assert_eq!(found["cases"], 6);
    assert_eq!(found["curve"][0]["lambda"], serde_json::json!([0.2, 0.2]));
    let one = [
        &["merge", "shop", "other", "--prompts", DOMAIN, "--out", "alone"][..],
        &pseudo,
    ];
    assert!(fail(at, &one.concat()).contains("once for each"));
    fs::remove_dir_all(at.join("prepared")).unwrap();
    succeed(at, &["merge", "verify", "woven"]);
    succeed(at, &["merge", "verify", "taught"]);
    succeed(at, &["merge", "verify", "agreed"]);
}

#[test]
fn a_recipe_alone_has_weights_chosen_as_the_flags_do() {
    let folder = workplace();
    let at = folder.path();
    let recipe = format!(
        "merge_method: cat\nmodels: [shop, other]\nweights:\n  by: entropy\n  prompts: {DOMAIN}\n  users: 3\n  epochs: 1\n  per: module\n"
    );
    fs::write(at.join("woven.yaml"), recipe).unwrap();
    let output = run(at, &["merge", "woven.yaml", "--dry-run"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    for words in [
        "by entropy",
        "3 users",
        "1 steps",
        "a number an adapter and module",
        "time: about",
        "memory: model",
    ] {
        assert!(said.contains(words), "no `{words}` in {said}");
    }
    succeed(at, &["merge", "woven.yaml", "--out", "by-recipe"]);
    let flags = [
        "merge",
        "shop",
        "other",
        "--weights-by",
        "entropy",
        "--prompts",
        DOMAIN,
        "--users",
        "3",
        "--weigh",
        "epochs=1",
        "--weigh",
        "per=module",
        "--out",
        "by-flags",
    ];
    succeed(at, &flags);
    let (ours, theirs) = (receipt(at, "by-recipe"), receipt(at, "by-flags"));
    assert_eq!(ours["weights"], theirs["weights"]);
    assert_eq!(ours["result"], theirs["result"]);
    assert_eq!(ours["choice"], theirs["choice"]);
    assert_eq!(ours["choice"]["prompts"][0]["folder"], DOMAIN);
    // What was chosen stands in the recipe, and how no more.
    assert!(ours["recipe"]["weights"].is_null());
    assert_eq!(
        ours["recipe"]["models"][0]["parameters"]["weight"]
            .as_array()
            .unwrap()
            .len(),
        14
    );
    let card = fs::read_to_string(at.join("by-recipe/README.md")).unwrap();
    assert!(
        card.contains("| q_proj | 2 |") && !card.contains("filter"),
        "{card}"
    );
    succeed(at, &["merge", "verify", "by-recipe"]);
    let error = fail(at, &["merge", "woven.yaml", "--users", "5", "--out", "more"]);
    assert!(error.contains("--users"), "{error}");
    // Other weights than were chosen.
    let path = at.join("by-recipe/merge.json");
    let mut json = receipt(at, "by-recipe");
    json["recipe"]["models"][0]["parameters"]["weight"] = 0.5.into();
    fs::write(&path, json.to_string()).unwrap();
    let error = fail(at, &["merge", "verify", "by-recipe"]);
    assert!(error.contains("otherwise than was chosen"), "{error}");
}

#[test]
fn few_users_choose_nothing_by_what_came_next() {
    let folder = workplace();
    let at = folder.path();
    let arguments = [
        "merge",
        "shop",
        "other",
        "--weights-by",
        "grid",
        "--prompts",
        DOMAIN,
        "--out",
        "woven",
    ];
    let output = run(at, &arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && said.contains("fewer than 300"),
        "{said}"
    );
    let found = &receipt(at, "woven")["weights"];
    assert_eq!(found["lambda"], serde_json::json!([0.5, 0.5]));
    assert_eq!(found["weights"]["by"], "uniform");
    let ties = [
        "--rule",
        "ties",
        "--density",
        "0.5",
        "--weights-by",
        "grid",
        "--prompts",
        DOMAIN,
    ];
    let error = fail(
        at,
        &[&["merge", "shop", "other", "--out", "elected"][..], &ties].concat(),
    );
    assert!(error.contains("ties"), "{error}");
    assert!(!at.join("elected").exists());
}

#[test]
fn fisher_information_is_measured_for_the_rule_that_goes_by_it() {
    let folder = workplace();
    let at = folder.path();
    for name in ["shop", "other"] {
        let out = format!("{name}.fisher.safetensors");
        let arguments = [
            "merge",
            "statistics",
            DOMAIN,
            "--adapter",
            name,
            "--model",
            "models/one",
            "--prompts",
            "3",
            "--out",
            &out,
        ];
        succeed(at, &arguments);
        assert!(fail(at, &arguments).contains("--force"));
    }
    let recipe = "merge_method: fisher\nmodels:\n  - {model: shop, statistics: shop.fisher.safetensors}\n  - {model: other, statistics: \
                  other.fisher.safetensors}\n";
    fs::write(at.join("fisher.yaml"), recipe).unwrap();
    succeed(at, &["merge", "fisher.yaml", "--out", "merged"]);
    succeed(at, &["merge", "verify", "merged"]);
}

#[test]
fn what_modules_read_is_measured_for_the_rule_that_goes_by_it() {
    let folder = workplace();
    let at = folder.path();
    for name in ["shop", "other"] {
        let out = format!("{name}.gram.safetensors");
        let arguments = [
            "merge",
            "statistics",
            DOMAIN,
            "--kind",
            "regmean",
            "--adapter",
            name,
            "--model",
            "models/one",
            "--prompts",
            "3",
            "--out",
            &out,
        ];
        succeed(at, &arguments);
    }
    let recipe = "merge_method: regmean\nmodels:\n  - {model: shop, statistics: shop.gram.safetensors}\n  - {model: other, statistics: \
                  other.gram.safetensors}\n";
    fs::write(at.join("regmean.yaml"), recipe).unwrap();
    succeed(at, &["merge", "regmean.yaml", "--dry-run"]);
    succeed(at, &["merge", "regmean.yaml", "--out", "merged"]);
    succeed(at, &["merge", "verify", "merged"]);
}

#[test]
fn masks_are_learnt_for_the_rule_that_stitches_what_they_keep() {
    let folder = workplace();
    let at = folder.path();
    let arguments = |name: &'static str, more: &[&'static str]| {
        let mut all = vec![
            "merge",
            "statistics",
            DOMAIN,
            "--adapter",
            name,
            "--model",
            "models/one",
            "--prompts",
            "3",
        ];
        all.extend(more);
        all
    };
    let kind = ["--kind", "localize-and-stitch", "--epochs", "2"];
    let said = |arguments: &[&str]| {
        let output = run(at, arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let learnt = said(&arguments(
        "shop",
        &[&kind[..], &["--out", "shop.mask.safetensors"]].concat(),
    ));
    assert!(
        learnt.contains("the mask keeps") && learnt.contains("the loss of an answer went"),
        "{learnt}"
    );
    let all = [
        "--density",
        "1",
        "--sparsity",
        "0",
        "--epochs",
        "0",
        "--out",
        "other.mask.safetensors",
    ];
    let whole = said(&arguments("other", &[&kind[..2], &all[..]].concat()));
    assert!(whole.contains("the mask keeps 100.00 %"), "{whole}");
    let refused = fail(
        at,
        &arguments("shop", &["--epochs", "2", "--out", "other.safetensors"]),
    );
    assert!(refused.contains("--kind localize-and-stitch"), "{refused}");
    let recipe = "merge_method: localize_and_stitch\nmodels:\n  - {model: shop, statistics: shop.mask.safetensors}\n  - {model: other, \
                  statistics: other.mask.safetensors}\n";
    fs::write(at.join("stitch.yaml"), recipe).unwrap();
    succeed(at, &["merge", "stitch.yaml", "--dry-run"]);
    succeed(at, &["merge", "stitch.yaml", "--out", "merged"]);
    succeed(at, &["merge", "verify", "merged"]);
    // Which masks a result was made by is part of it.
    fs::copy(
        at.join("other.mask.safetensors"),
        at.join("shop.mask.safetensors"),
    )
    .unwrap();
    fail(at, &["merge", "verify", "merged"]);
}
