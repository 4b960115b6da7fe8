#![allow(clippy::unwrap_used)]
use super::*;
use crate::merge::rule::{Flavor, Ties};
use crate::merge::setting::Filtered;
use crate::merge::space::Space;

const RECIPE: &str = r#"
merge_method: ties
base_model: org/base
models:
  - model: org/base
  - model: a
    parameters:
      weight: 0.5
      density: [0.2, 0.8]
  - model: org/base+b
parameters:
  weight: 1
  normalize: false
  lambda:
    - filter: mlp
      value: 0.5
    - value: 1
dtype: bfloat16
rank: 8
seed: 3
"#;

#[test]
fn a_recipe_of_mergekit_becomes_a_rule_and_its_members() {
    let recipe = Recipe::yaml(RECIPE).unwrap();
    let Rule::Ties(ties) = &recipe.rule else {
        panic!("{:?}", recipe.rule);
    };
    assert_eq!(
        (ties.flavor, ties.sparse.normalize),
        (Flavor::Mergekit, Some(false))
    );
    let half = Filtered {
        filter: Some("mlp".into()),
        value: 0.5.into(),
    };
    let whole = Filtered {
        filter: None,
        value: 1.0.into(),
    };
    assert_eq!(ties.sparse.lambda, Setting::Filtered(vec![half, whole]));
    let folders: Vec<_> = recipe
        .members
        .iter()
        .map(|member| member.folder.to_str().unwrap())
        .collect();
    assert_eq!(folders, ["a", "b"], "the base is no member");
    assert_eq!(recipe.members[0].settings["weight"], 0.5.into());
    assert_eq!(recipe.members[1].settings["weight"], 1.0.into());
    assert_eq!(
        recipe.members[0].settings["density"],
        Setting::Gradient(vec![0.2, 0.8])
    );
    assert_eq!((recipe.rank, recipe.seed), (Some(8), 3));
    assert_eq!(recipe.base, Some(PathBuf::from("org/base")));
    assert!(recipe.notes[0].contains("bfloat16"));
}

#[test]
fn a_recipe_written_out_reads_back_as_the_same() {
    let mut recipe = Recipe::yaml(RECIPE).unwrap();
    recipe.notes.clear();
    let again = Recipe::of(&Node::of_json(recipe.json().unwrap())).unwrap();
    assert_eq!(again, recipe);
    for name in NAMES {
        let models = match ["fisher", "regmean"].contains(name) {
            true => "[{model: a, statistics: a.safetensors}, {model: b, statistics: b.safetensors}]",
            false => "[a, b]",
        };
        let text = format!("{{merge_method: {name}, models: {models}}}");
        let recipe = Recipe::yaml(&text).unwrap();
        assert_eq!(recipe.rule.name(), *name);
        assert_eq!(
            Recipe::of(&Node::of_json(recipe.json().unwrap())).unwrap(),
            recipe
        );
    }
}

#[test]
fn the_names_of_peft_for_rules_of_updates_are_known() {
    let recipe = Recipe::yaml("{rule: ties_svd, models: [a, b], parameters: {density: 0.5}}").unwrap();
    let mut expected = Ties {
        flavor: Flavor::Peft,
        ..Ties::default()
    };
    expected.sparse.space = Some(Space::Dense);
    expected.sparse.density = Some(0.5.into());
    assert_eq!(recipe.rule, Rule::Ties(expected));
}

#[test]
fn what_was_measured_of_a_member_stands_beside_its_folder() {
    let text = "{merge_method: fisher, base_model: base, models: [{model: base}, {model: a, statistics: m/a.safetensors, \
                parameters: {weight: 2}}, {model: b, statistics: b.safetensors}]}";
    let recipe = Recipe::yaml(text).unwrap();
    let files: Vec<_> = recipe
        .members
        .iter()
        .map(|member| member.settings[STATISTICS].file())
        .collect();
    assert_eq!(
        files,
        [
            Some(Path::new("m/a.safetensors")),
            Some(Path::new("b.safetensors"))
        ]
    );
    assert_eq!(recipe.members[0].settings["weight"], 2.0.into());
    let json = recipe.json().unwrap();
    assert_eq!(json["models"][0]["statistics"], "m/a.safetensors");
    assert!(json["models"][0]["parameters"].get("statistics").is_none());
    for (text, words) in [
        (
            "merge_method: fisher\nmodels:\n  - a\n",
            &["line 3", "fisher", "statistics: FILE"][..],
        ),
        (
            "merge_method: regmean\nmodels:\n  - model: a\n    statistics: a.safetensors\n  - model: b\n",
            &["line 5", "regmean", "b has no statistics"],
        ),
        (
            "merge_method: fisher\nmodels:\n  - model: a\n    statistics: 3\n",
            &["line 4", "statistics", "text"],
        ),
        (
            "merge_method: ties\nmodels:\n  - model: a\n    statistics: a.safetensors\n",
            &["line 4", "unknown key statistics"],
        ),
    ] {
        let error = Recipe::yaml(text).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{text:?}: {error}");
    }
}

#[test]
fn a_recipe_says_how_weights_are_chosen_and_reads_back_as_the_same() {
    let text = "merge_method: svd\nmodels: [a, b]\nrank: 4\nweights:\n  by: grid\n  prompts: prepared/shop\n  divisions: 20\n  \
                users: 300\n";
    let recipe = Recipe::yaml(text).unwrap();
    let choice = recipe.weights.clone().unwrap();
    assert_eq!(choice.weights.way(), Some("grid"));
    assert_eq!(serde_json::to_value(&choice.weights).unwrap()["divisions"], 20);
    assert_eq!(choice.prompts, [PathBuf::from("prepared/shop")]);
    assert_eq!(
        (choice.users, choice.cut_seed, choice.model),
        (Some(300), None, None)
    );
    for by in [
        "grid",
        "search, evaluations: 12, cut_seed: 7",
        "entropy, per: module, form: sigmoid, model: models/one, precision: q8",
        "likelihood, epochs: 2, objective: {kind: likelihood, normalisation: mean}, arithmetic: bf16",
        "entropy, objective: {kind: vocabulary-entropy, tokens: 3}",
        "fedecider",
        "fedecider, directions: false, steps: null, epochs: 2, weight_decay: 0.0",
        "mergerec, start: equal",
    ] {
        let text = format!("{{rule: cat, models: [a, b], weights: {{by: {by}, prompts: [p, q]}}}}");
        let recipe = Recipe::yaml(&text).unwrap();
        let way = by.split(',').next().unwrap();
        assert_eq!(recipe.weights.as_ref().unwrap().weights.way(), Some(way));
        let again = Recipe::of(&Node::of_json(recipe.json().unwrap())).unwrap();
        assert_eq!(again, recipe, "{by}");
    }
}

#[test]
fn weights_that_are_chosen_and_given_or_make_no_sense_are_errors_with_their_line() {
    let with = |rule: &str, models: &str, weights: &str| {
        Recipe::yaml(&format!(
            "rule: {rule}\nmodels: {models}\nparameters: {{}}\nweights: {weights}\n"
        ))
    };
    with("cat", "[a, b]", "{by: grid, prompts: p}").unwrap();
    for (rule, models, weights, words) in [
        ("cat", "[a, b]", "grid", &["line 4", "keys with values"][..]),
        ("cat", "[a, b]", "{prompts: p}", &["line 4", "by", "entropy"]),
        ("cat", "[a, b]", "{by: grid}", &["line 4", "prompts"]),
        (
            "cat",
            "[a, b]",
            "{by: gird, prompts: p}",
            &["line 4", "gird", "nearest is grid"],
        ),
        (
            "cat",
            "[a, b]",
            "{by: grid, prompts: p, divison: 4}",
            &["line 4", "divison", "nearest is divisions", "weights by grid"],
        ),
        (
            "cat",
            "[a, b]",
            "{by: grid, prompts: p, divisions: many}",
            &["line 4", "divisions"],
        ),
        (
            "cat",
            "[a, b]",
            "{by: grid, prompts: p, users: 0}",
            &["line 4", "users"],
        ),
        (
            "cat",
            "[a, b]",
            "{by: grid, prompts: p, precision: f23}",
            &["line 4", "f23", "bf16"],
        ),
        ("ties", "[a, b]", "{by: grid, prompts: p}", &["line 4", "ties"]),
        (
            "cat",
            "[a, {model: b, parameters: {weight: 0.5}}]",
            "{by: grid, prompts: p}",
            &["line 4", "b has one"],
        ),
    ] {
        let error = with(rule, models, weights).unwrap_err().to_string();
        assert!(
            words.iter().all(|word| error.contains(word)),
            "{weights}: {error}"
        );
    }
    let shared = "{rule: cat, models: [a, b], parameters: {weight: 1}, weights: {by: grid, prompts: p}}";
    assert!(Recipe::yaml(shared).is_err());
}

#[test]
fn the_base_of_a_slerp_is_where_it_begins() {
    let text =
        "{merge_method: slerp, base_model: b, models: [{model: a}, {model: b}], parameters: {t: [0, 1]}}";
    let recipe = Recipe::yaml(text).unwrap();
    assert_eq!(recipe.members[0].folder, PathBuf::from("b"));
    assert_eq!(recipe.base, None);
}

#[test]
fn what_a_recipe_has_not_is_an_error_with_its_line_and_the_nearest_key() {
    let models = "models: [a, b]\n";
    for (text, words) in [
        (
            "merge_metod: ties\n",
            &["line 1", "merge_metod", "merge_method"][..],
        ),
        ("merge_method: tise\nmodels: [a]\n", &["line 1", "tise", "ties"]),
        (
            "merge_method: ties\nmodels: [a]\nparameters:\n  densty: 0.5\n",
            &["line 4", "densty", "density", "of ties"],
        ),
        (
            "merge_method: ties\nmodels:\n  - model: a\n    parameters:\n      wieght: 1\n",
            &["line 5", "wieght", "weight"],
        ),
        (
            "merge_method: ties\nmodels: [a]\nparameters: {density: much}\n",
            &["line 3", "density", "no setting"],
        ),
        (
            "merge_method: ties\nflavor: perft\nmodels: [a]\n",
            &["line 2", "perft", "peft"],
        ),
        (
            "merge_method: cat\nflavor: peft\nmodels: [a]\n",
            &["line 2", "flavor"],
        ),
        (
            "merge_method: ties\nslices: []\n",
            &["line 2", "slices", "models"],
        ),
        ("merge_method: ties\ntokenizer_source: base\n", &["tokenizer"]),
        (
            "merge_method: ties\nmodels:\n  - model: a\n    layer_range: [0, 4]\n",
            &["line 4", "layer_range"],
        ),
        ("merge_method: ties\nmodels: a\n", &["line 2", "list"]),
        ("merge_method: ties\n", &["no models"]),
        (models, &["no merge_method"]),
        ("merge_method: ties\nrank: 0\nmodels: [a]\n", &["line 2", "rank"]),
        (
            "merge_method: ties\nrank: many\nmodels: [a]\n",
            &["line 2", "whole number"],
        ),
        (
            "merge_method: ties\nbase_model: a\nmodels:\n  - model: a\n",
            &["line 4", "no adapter"],
        ),
        (
            "merge_method: slerp\nmodels:\n  - model: a\n    parameters: {weight: 1}\n",
            &["weight", "there are none"],
        ),
    ] {
        let error = Recipe::yaml(text).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{text:?}: {error}");
    }
}

#[test]
fn an_error_of_a_file_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("merge.yaml");
    std::fs::write(&path, "merge_method: ties\nmodls: []\n").unwrap();
    let error = Recipe::read(&path).unwrap_err().to_string();
    assert!(
        error.contains("merge.yaml") && error.contains("line 2"),
        "{error}"
    );
    assert!(Recipe::read(&folder.path().join("none.yaml")).is_err());
}
