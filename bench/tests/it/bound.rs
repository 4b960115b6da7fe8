//! Prompts of at most so many tokens, and the paper's recipe: from a prepared folder to what a model is trained on and ranks.

use std::path::Path;

use weaverec_bench::cut::Cut;
use weaverec_bench::experiment::domain::{self, DomainData, Domains, Wanted};
use weaverec_bench::experiment::encoder::Encoder;
use weaverec_bench::experiment::training_set::{ChosenBy, Keys, Part, TrainingSet, supply};
use weaverec_bench::experiment::words::Words;
use weaverec_bench::progress::Meter;
use weaverec_bench::protocol::union;
use weaverec_model::backbone::Tokenizer;
use weaverec_model::train::Example;
use weaverec_model::weave::{Diet, Portion};
use weaverec_pipeline::schema::{PromptFormat, Split};

use super::succeed;

/// What the domain is called.
const NAME: &str = "home";

/// A domain of long histories, prepared by a recipe.
fn prepared(at: &Path, recipe: &str) -> DomainData {
    if !at.join("raw").exists() {
        let synth = [
            "datasets",
            "synth",
            "--out",
            "raw",
            "--users",
            "60",
            "--items",
            "60",
            "--dirt",
            "0",
            "--domain",
            "home=amazon2014",
        ];
        succeed(at, &synth);
    }
    let prepare = [
        "prepare",
        "raw/home/home.toml",
        "--raw",
        "raw/home",
        "--out",
        recipe,
        "--format",
        "top-5",
        "--candidates",
        "4",
        "--max-history",
        "10",
        "--recipe",
        recipe,
    ];
    succeed(at, &prepare);
    let wanted = Wanted {
        cut_seed: 0,
        report_on: Cut::Final,
        ranked: 30,
        held_out: 5,
        calibration: 5,
        format: PromptFormat::Top5,
    };
    domain::read(NAME, &wanted, &at.join(recipe).join(NAME)).unwrap()
}

fn words(domain: &DomainData) -> Words {
    let titles: Vec<String> = domain.items.iter().map(|item| item.title.clone()).collect();
    Words::of_text(Tokenizer::train_bpe(titles, 400).unwrap())
}

/// All prompts of the domain once.
fn diet(domain: &DomainData, placebo: bool) -> Diet {
    let prompts = usize::try_from(supply(&domain.folder).unwrap()).unwrap();
    Diet::of([Portion {
        domain: NAME.into(),
        placebo,
        pool: prompts,
        prompts,
        further: 0,
        again_for: None,
    }])
}

fn trained_on(domain: &DomainData, words: &Words, diet: &Diet) -> anyhow::Result<TrainingSet> {
    let part = |_: &str| {
        let part = Part {
            folder: &domain.folder,
            chosen_by: ChosenBy::These(&domain.selection),
        };
        Ok((part, domain.items.as_slice()))
    };
    let keys = Keys {
        subset: 1,
        order: 2,
        placebo: &|_| 3,
    };
    TrainingSet::of_diet(diet, &keys, part, words, &Meter::start(NAME))
}

/// The titles of the history that is shown, and all that is asked and answered after it.
fn shown(words: &Words, example: &Example) -> (String, String) {
    let text = words.tokenizer().unwrap().decode(&example.tokens).unwrap();
    let (before, after) = text.split_once("From the candidates").unwrap();
    let (_, history) = before.split_once("||:\n").unwrap();
    (history.trim().to_owned(), after.to_owned())
}

#[test]
fn training_and_ranking_leave_out_the_oldest_titles_of_long_prompts_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let domain = prepared(folder.path(), "clean");
    let free = words(&domain);
    let domains: Domains = [(NAME.to_owned(), domain)].into();
    let domain = &domains[NAME];
    // As they are, and with the titles exchanged.
    let diets = [false, true].map(|placebo| diet(domain, placebo));
    let wholes: Vec<TrainingSet> = diets
        .iter()
        .map(|diet| trained_on(domain, &free, diet).unwrap())
        .collect();
    let all = || wholes.iter().flat_map(|set| &set.examples);
    let lengths = || all().map(|example| example.tokens.len());
    let (shortest, longest) = (lengths().min().unwrap(), lengths().max().unwrap());
    let most = shortest + (longest - shortest) / 3;
    let held = free.clone().held_to(Some(most), &domains).unwrap();
    for (diet, whole) in diets.iter().zip(&wholes) {
        let set = trained_on(domain, &held, diet).unwrap();
        assert_eq!(set.examples.len(), whole.examples.len());
        let mut shorter = 0;
        for (is, was) in set.examples.iter().zip(&whole.examples) {
            if was.tokens.len() <= most {
                assert_eq!(is, was, "{diet}");
                continue;
            }
            shorter += 1;
            assert!(is.tokens.len() <= most, "{diet}");
            let ((newest, asked), (history, as_before)) = (shown(&held, is), shown(&held, was));
            assert_eq!(asked, as_before, "{diet}");
            assert!(
                newest.len() < history.len() && history.ends_with(&newest),
                "{diet}: {newest} of {history}"
            );
            assert_eq!(is.tokens[is.loss_from..], was.tokens[was.loss_from..], "{diet}");
        }
        assert!(
            shorter > 0 && shorter < whole.examples.len(),
            "{diet}: {shorter} of {}",
            whole.examples.len()
        );
        assert!(set.held_out.iter().all(|example| example.tokens.len() <= most));
    }

    let (free, held) = (
        free.encoder(NAME, PromptFormat::Top5).unwrap(),
        held.encoder(NAME, PromptFormat::Top5).unwrap(),
    );
    let mut shorter = 0;
    for prompt in &domain.ranked {
        let (candidates, _) = union(prompt, PromptFormat::Top5);
        let of = |encoder: &Encoder| encoder.query(prompt, &candidates, &domain.items).unwrap();
        let (was, is) = (of(&free), of(&held));
        let longest = was.candidates.iter().map(Vec::len).max().unwrap();
        if was.prompt.len() + longest <= most {
            assert_eq!(is, was);
        } else {
            shorter += 1;
            assert!(is.prompt.len() + longest <= most);
            assert_eq!(is.candidates, was.candidates);
        }
        assert_eq!(held.prompt(prompt).unwrap(), is.prompt);
    }
    assert!(shorter > 0, "no prompt that is ranked was too long");
    assert_eq!(held.shortened(), 2 * shorter);
}

#[test]
fn the_papers_recipe_trains_on_validation_prompts_and_on_none_that_it_holds_out() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (clean, paper) = (prepared(at, "clean"), prepared(at, "paper"));
    let count = |domain: &DomainData, split| domain.folder.manifest().prompt_count(split);
    assert_eq!(
        supply(&clean.folder).unwrap(),
        count(&clean, Split::Train),
        "the clean recipe holds nothing out"
    );
    let (usable, all) = (supply(&paper.folder).unwrap(), count(&paper, Split::Train));
    assert_eq!(
        all,
        count(&clean, Split::Train) + count(&clean, Split::Validation)
    );
    assert!(usable < all && 10 * usable > 9 * all, "{usable} of {all}");

    let (words, mut diet) = (words(&paper), diet(&paper, false));
    let set = trained_on(&paper, &words, &diet).unwrap();
    assert_eq!(set.examples.len() as u64, usable);
    // What is held out can be part of no plan.
    diet.portions[0].pool += 1;
    diet.portions[0].prompts += 1;
    let error = format!("{:#}", trained_on(&paper, &words, &diet).unwrap_err());
    assert!(error.contains("plan again"), "{error}");
}
