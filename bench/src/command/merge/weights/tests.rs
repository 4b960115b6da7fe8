#![allow(clippy::unwrap_used)]
use clap::Parser;
use weaverec_model::merge::weights::{Descent, Form, Grain};

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    asked: WeightArguments,
    #[arg(long)]
    weights: Vec<f64>,
}

fn weights(by: &str, settings: &[&str]) -> Result<Weights> {
    let settings = settings.iter().flat_map(|setting| ["--weigh", setting]);
    let words = ["merge", "--weights-by", by, "--prompts", "prepared"];
    let asked = Cli::try_parse_from(words.into_iter().chain(settings))?.asked;
    asked.weights(asked.weights_by.as_deref().unwrap())
}

#[test]
fn settings_of_a_choice_are_named_and_unknown_ones_refused() {
    let Weights::Grid(grid) = weights("grid", &["divisions=4"]).unwrap() else {
        panic!("a grid was asked for");
    };
    assert_eq!(grid.divisions, 4);
    let module = ["per=module", "form=sigmoid", "epochs=2"];
    let Weights::Descent(descent) = weights("entropy", &module).unwrap() else {
        panic!("gradients were asked for");
    };
    assert_eq!(
        (descent.per, descent.form, descent.epochs),
        (Grain::Module, Form::Sigmoid, 2)
    );
    assert!(!descent.objective.is_supervised());
    let over = r#"objective={"kind": "vocabulary-entropy", "tokens": 3}"#;
    let vocabulary = weights("search", &[over]).unwrap();
    assert_eq!(
        vocabulary.goal().unwrap().objective().name(),
        "entropy over the vocabulary, 3 tokens"
    );
    assert!(
        weights("likelihood", &[])
            .unwrap()
            .goal()
            .unwrap()
            .is_supervised()
    );
    let Weights::Descent(fedecider) = weights("fedecider", &["steps=20"]).unwrap() else {
        panic!("gradients were asked for");
    };
    assert_eq!(
        fedecider,
        Descent {
            steps: Some(20),
            ..Descent::fedecider()
        }
    );
    for (settings, word) in [
        (&["divison=4"][..], "divison"),
        (&["divisions=4", "divisions=5"], "twice"),
        (&["by=search"], "--weights-by"),
    ] {
        let error = format!("{:#}", weights("grid", settings).unwrap_err());
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn weights_are_given_or_chosen_on_prompts_of_a_folder() {
    let parse = |words: &[&str]| Cli::try_parse_from([&["merge"], words].concat());
    assert!(parse(&["--weights-by", "grid", "--prompts", "a"]).is_ok());
    assert!(parse(&[]).is_ok());
    for words in [
        &["--weights-by", "grid"][..],
        &["--prompts", "a"],
        &["--weigh", "divisions=4"],
        &["--weights-by", "grid", "--prompts", "a", "--weights", "1"],
        &["--weights-by", "test", "--prompts", "a"],
    ] {
        assert!(parse(words).is_err(), "{words:?}");
    }
}

#[test]
fn a_recipe_says_what_the_flags_say_and_not_both_do() {
    let asked = |words: &[&str], recipe: &str| {
        let words = [&["merge"], words].concat();
        Cli::try_parse_from(words)
            .unwrap()
            .asked
            .asked(&Recipe::yaml(recipe).unwrap())
    };
    let plain = "{rule: cat, models: [a, b]}";
    let chosen =
        "{rule: cat, models: [a, b], weights: {by: grid, prompts: p, divisions: 4, users: 9, model: m}}";
    let flags = [
        "--weights-by",
        "grid",
        "--prompts",
        "p",
        "--weigh",
        "divisions=4",
        "--users",
        "9",
        "--model",
        "m",
    ];
    let by_recipe = asked(&[], chosen).unwrap().unwrap();
    assert_eq!(asked(&flags, plain).unwrap().unwrap(), by_recipe);
    assert_eq!(asked(&[], plain).unwrap(), None);
    // What the recipe leaves open, flags may say, and all that is about the machine.
    let more = asked(&["--cut-seed", "7", "--device", "cpu", "--threads", "2"], chosen);
    assert_eq!(more.unwrap().unwrap().cut_seed, Some(7));
    for (words, recipe, named) in [
        (&flags[..], chosen, "--weights-by"),
        (&["--users", "5"], chosen, "--users"),
        (&["--model", "other"], chosen, "--model"),
        (&["--users", "5"], plain, "--users"),
        (&["--threads", "1"], plain, "--threads"),
    ] {
        let error = asked(words, recipe).unwrap_err().to_string();
        assert!(error.contains(named), "{words:?}: {error}");
    }
}

#[test]
fn weights_are_chosen_for_sums_and_where_none_are_given() {
    let recipe = |text: &str| Recipe::yaml(text).unwrap();
    check(&recipe("{rule: cat, models: [a, b]}")).unwrap();
    check(&recipe("{rule: svd, rank: 4, models: [a, b]}")).unwrap();
    for (text, word) in [
        ("{rule: ties, models: [a, b], parameters: {density: 0.5}}", "ties"),
        (
            "{rule: cat, models: [a, {model: b, parameters: {weight: 0.7}}]}",
            "b a weight",
        ),
    ] {
        let error = check(&recipe(text)).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}
