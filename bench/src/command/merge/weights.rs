//! `weaverec merge --weights-by`: what the adapters weigh, chosen by prompts of users who are held out.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::Value;
use weaverec_model::backbone::{DecoderConfig, Precision};
use weaverec_model::device::{Arithmetic, DeviceName};
use weaverec_model::lora::Adapter;
use weaverec_model::merge::align::WEIGHT;
use weaverec_model::merge::recipe::Recipe;
use weaverec_model::merge::rule::Rule;
use weaverec_model::merge::weights::{
    Case, Chosen, Content, Descent, Goal, Likelihood, Start, Weights, choose, taught,
};
use weaverec_model::op::with_threads;
use weaverec_model::rank::Normalisation;
use weaverec_model::train::task::Room;
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::{Prompt, PromptFormat, Split};

use super::request::pair;
use crate::command::adapter::doubt;
use crate::command::base::Base;
use crate::experiment::backbone::LanguageModel;
use crate::experiment::cut::{Cut, First, Lot};
use crate::experiment::encoder::Encoder;
use crate::experiment::{pseudo, weighing};
use crate::progress::{Meter, say};
use crate::scoring::LEAST;

/// Tokens that go through the decoder at one time, with gradients or without, and what a pass may keep of what its backward could compute
/// again.
const ROOM: Room = Room {
    tokens: 2048,
    activation_memory: 512 << 20,
};
/// Users by whose prompts entropy is made small, unless another number is asked for; as many prompts as RecCocktail's code takes.
const USERS_OF_ENTROPY: usize = 100;
/// Users who choose by what came next.
const USERS: usize = 1000;
/// Neutral histories, as in `calibrate`.
const NEUTRAL: usize = 4;

/// How weights are chosen, where they are.
#[derive(Debug, Args)]
pub struct WeightArguments {
    /// Choose the weights on prompts: by a grid on the simplex or a search without gradients, both by NDCG or what --weigh names, by the entropy
    /// over the candidates of prompts without answers, or by the likelihood of what came next. Or learn them: as FeDecider does, of the updates'
    /// directions, on training prompts, the first adapter being the target's own; as MergeRec does, by what each adapter says of its own domain.
    #[arg(
        long,
        value_name = "HOW",
        requires = "prompts",
        conflicts_with_all = ["weights", "dry_run"]
    )]
    weights_by: Option<By>,
    /// Prepared folder of the target: the validation prompts of its calibration users choose (20 % of all, by a keyed hash), on whom nothing is
    /// reported; its training prompts, where weights are learnt as FeDecider does. As MergeRec does, one for each adapter, in their order: of these
    /// the items alone are read.
    #[arg(long, value_name = "FOLDER", requires = "weights_by")]
    prompts: Vec<PathBuf>,
    /// Most users that choose, or training prompts, or pseudo-users of each domain [default: 100 by entropy and by mergerec, 400 by fedecider,
    /// else 1000].
    #[arg(long, requires = "weights_by", value_parser = super::super::number::at_least(1))]
    users: Option<usize>,
    /// A setting of the choice, as divisions=20, per=module or learning_rate=0.5; docs/merging.md has all.
    #[arg(long, value_name = "KEY=VALUE", requires = "weights_by", value_parser = pair)]
    weigh: Vec<(String, Value)>,
    /// Key of the cut of users; the one of the profile that reports on the others.
    #[arg(long, requires = "weights_by", default_value_t = 0)]
    cut_seed: u64,
    /// The model that the weights are chosen on [default: --base, or what an adapter names as its base, where that is found].
    #[arg(long, requires = "weights_by")]
    model: Option<String>,
    /// What the projections of that model are kept in.
    #[arg(long, requires = "weights_by", default_value = "f32", value_parser = super::super::choice::<Precision>(&Precision::NAMES))]
    precision: Precision,
    /// `cpu`, `cuda`, `cuda:1` (the second GPU) or `metal`; a GPU needs a program built for it.
    #[arg(long, requires = "weights_by", default_value_t)]
    device: DeviceName,
    /// Type of activations and products: f32, or on a GPU bf16.
    #[arg(long, requires = "weights_by", default_value = "f32", value_parser = super::super::choice::<Arithmetic>(&Arithmetic::NAMES))]
    arithmetic: Arithmetic,
    /// Threads [default: all].
    #[arg(long, requires = "weights_by", value_parser = super::super::number::threads)]
    threads: Option<usize>,
}

/// A way to choose weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    Grid,
    Search,
    Entropy,
    Likelihood,
    Fedecider,
    Mergerec,
}

/// On whom weights are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whom {
    Calibration,
    Training,
    PseudoUsers,
}

impl Whom {
    fn of(weights: &Weights) -> Self {
        match weights.goal() {
            Some(Goal::Answer(_)) => Whom::Training,
            Some(Goal::Distillation(_)) => Whom::PseudoUsers,
            _ => Whom::Calibration,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Whom::Calibration => "users",
            Whom::Training => "training prompts",
            Whom::PseudoUsers => "pseudo-users",
        }
    }
}

impl WeightArguments {
    /// The prepared folders that are named.
    pub fn prompts(&self) -> &[PathBuf] {
        &self.prompts
    }

    /// What is asked for, with its settings.
    fn weights(&self, by: By) -> Result<Weights> {
        let plain = match by {
            By::Grid => Weights::Grid(Default::default()),
            By::Search => Weights::Search(Default::default()),
            By::Entropy => Weights::Descent(Descent::default()),
            By::Likelihood => Weights::Descent(Descent {
                objective: Goal::Likelihood(Likelihood::default()),
                ..Descent::default()
            }),
            By::Fedecider => Weights::Descent(Descent::fedecider()),
            By::Mergerec => Weights::Descent(Descent::mergerec()),
        };
        let mut json = serde_json::to_value(&plain)?;
        let mut given = Vec::new();
        for (key, value) in &self.weigh {
            if key == "by" {
                bail!("--weigh by: --weights-by says how the weights are chosen");
            }
            if given.contains(&key) {
                bail!("--weigh {key} is given twice");
            }
            given.push(key);
            json[key.as_str()] = value.clone();
        }
        serde_json::from_value(json).context("--weigh")
    }
}

/// The weights of a recipe's adapters, where they are to be chosen.
pub(super) fn chosen(
    asked: &WeightArguments,
    recipe: &Recipe,
    base: Option<&(PathBuf, DecoderConfig)>,
    adapters: &[Adapter],
) -> Result<Option<Chosen>> {
    let (Some(by), [folder, others @ ..]) = (asked.weights_by, asked.prompts()) else {
        return Ok(None);
    };
    check(recipe)?;
    let mut weights = asked.weights(by)?;
    let whom = Whom::of(&weights);
    if whom == Whom::PseudoUsers && asked.prompts().len() != adapters.len() {
        bail!(
            "{} prepared folders for {} adapters: pseudo-users are of each adapter's own domain, give --prompts once for each, in their order",
            asked.prompts().len(),
            adapters.len()
        );
    }
    if let (Whom::Calibration | Whom::Training, [other, ..]) = (whom, others) {
        bail!(
            "--prompts {}: weights are chosen on one domain, that of the target; --weights-by mergerec takes one for each adapter",
            other.display()
        );
    }
    let prepared = Prepared::open(folder)?;
    let prompts = match whom {
        Whom::Calibration => choosing(asked, &mut weights, &prepared, folder)?,
        // Nobody who is held out is asked.
        Whom::Training | Whom::PseudoUsers => Vec::new(),
    };
    let model = model(asked, base)?;
    for (source, adapter) in recipe.members.iter().zip(adapters) {
        if let Some(doubt) = doubt(adapter, &source.folder, &model.base, &model.path) {
            say(format!("warning: {}: {doubt}", source.folder.display()));
        }
    }
    let cases = match whom {
        Whom::Training => {
            let encoder = Encoder::new(model.words.tokenizer()?, prepared.manifest().parameters.format);
            pseudo::training(&prepared, &encoder, asked.users.unwrap_or(weighing::TRAINING))?
        }
        Whom::PseudoUsers => with_threads(super::super::threads(asked.threads), || {
            pseudo_users(asked, &weights, &model, adapters)
        })?,
        Whom::Calibration => {
            let (cases, content) = cases(&prepared, &prompts, &model)?;
            // λ is chosen by what planned comparisons rank by, at α = 1; α itself comes after it.
            if let Weights::Grid(grid) = &mut weights {
                put(&mut grid.objective, content);
            } else if let Weights::Search(search) = &mut weights {
                put(&mut search.objective, content);
            }
            cases
        }
    };
    let adapters: Vec<&Adapter> = adapters.iter().collect();
    let meter = Meter::start("choosing weights");
    let found = with_threads(super::super::threads(asked.threads), || {
        let mut progress = |done: usize, total: usize| {
            meter.update(done as u64, total as u64, || "weights tried".into());
        };
        choose(&model.decoder, &adapters, &weights, &cases, ROOM, &mut progress)
    })?;
    let shares: Vec<String> = found
        .lambda
        .mean()
        .iter()
        .map(|weight| format!("{weight:.3}"))
        .collect();
    meter.finish(format!(
        "{} {}, weights {}",
        cases.len(),
        whom.name(),
        shares.join(", ")
    ));
    if let (Some(objective), Some(before), Some(after)) = (&found.objective, found.before, found.after) {
        let start = match &found.weights {
            Weights::Descent(descent) if descent.start != Start::Equal => "those it began with",
            _ => "equal weights",
        };
        say(format!(
            "{objective}: {before:.4} with {start}, {after:.4} with these"
        ));
    }
    Ok(Some(found))
}

/// Pseudo-users of every adapter's domain, with what it says of them.
fn pseudo_users(
    asked: &WeightArguments,
    weights: &Weights,
    model: &LanguageModel,
    adapters: &[Adapter],
) -> Result<Vec<Case>> {
    let normalisation = match weights.goal() {
        Some(Goal::Distillation(distillation)) => distillation.normalisation,
        _ => Normalisation::default(),
    };
    let mut all = Vec::new();
    for (folder, adapter) in asked.prompts().iter().zip(adapters) {
        let prepared = Prepared::open(folder)?;
        let parameters = &prepared.manifest().parameters;
        let encoder = Encoder::new(model.words.tokenizer()?, parameters.format);
        let count = asked.users.unwrap_or(weighing::PSEUDO_USERS);
        let cases = pseudo::users(
            &prepared,
            &prepared.items()?,
            &encoder,
            count,
            parameters.candidates,
        )?;
        all.extend(taught(&model.decoder, adapter, cases, normalisation, ROOM)?);
    }
    Ok(all)
}

/// The prompts of users who choose. Too few of them, where answers are looked at, leave the weights equal.
fn choosing(
    asked: &WeightArguments,
    weights: &mut Weights,
    prepared: &Prepared,
    folder: &Path,
) -> Result<Vec<Prompt>> {
    let supervised = weights.goal().is_some_and(Goal::is_supervised);
    let usual = if supervised { USERS } else { USERS_OF_ENTROPY };
    let prompts = calibration_prompts(prepared, asked.cut_seed, asked.users.unwrap_or(usual))?;
    if prompts.is_empty() {
        bail!(
            "{} has no validation prompts of calibration users: nobody could choose; prepare more of the domain, or give --weights",
            folder.display()
        );
    }
    if supervised && prompts.len() < LEAST {
        say(format!(
            "warning: {} calibration users of {} choose, and fewer than {LEAST} choose nothing: all adapters weigh the same",
            prompts.len(),
            folder.display()
        ));
        *weights = Weights::Uniform;
    }
    Ok(prompts)
}

fn put(goal: &mut Goal, content: Option<Content>) {
    if let Goal::Ndcg(ndcg) = goal {
        ndcg.content = content;
    }
}

/// Weights are chosen for the sum of the updates, and mean nothing in a rule that makes something else of them.
fn check(recipe: &Recipe) -> Result<()> {
    if !matches!(recipe.rule, Rule::Cat(_) | Rule::Svd(_)) {
        bail!(
            "--weights-by chooses the weights of a sum of updates, and {} makes something else of them: leave the rule out, or take svd",
            recipe.rule.name()
        );
    }
    let weighed = recipe
        .members
        .iter()
        .find(|source| source.settings.contains_key(WEIGHT));
    match weighed {
        Some(source) if !recipe.members.iter().all(is_equal(recipe.members.len())) => bail!(
            "the recipe gives {} a weight: leave the weights out, or --weights-by",
            source.folder.display()
        ),
        _ => Ok(()),
    }
}

/// Whether a member has the weight that it has where none is given.
fn is_equal(members: usize) -> impl Fn(&weaverec_model::merge::recipe::Source) -> bool {
    move |source| {
        let weight = source.settings.get(WEIGHT).and_then(|weight| weight.constant());
        weight.is_none_or(|weight| weight == 1.0 / members as f64)
    }
}

/// The first validation prompts of calibration users, by lot.
fn calibration_prompts(prepared: &Prepared, cut_seed: u64, users: usize) -> Result<Vec<Prompt>> {
    let manifest = prepared.manifest();
    let key = manifest.parameters.domain_name(&manifest.dataset);
    let mut chosen = First::new(users);
    prepared.each_prompt(Split::Validation, |row| {
        let lot = Lot::of(cut_seed, &key, row.user_id);
        if lot.cut() == Cut::Calibration {
            chosen.offer(lot, || row.to_prompt());
        }
        Ok(())
    })?;
    Ok(chosen.into_vec())
}

fn model(asked: &WeightArguments, base: Option<&(PathBuf, DecoderConfig)>) -> Result<LanguageModel> {
    let found = base.map(|(path, _)| path.to_string_lossy().into_owned());
    let name = asked.model.clone().or(found);
    Base {
        model: name.context(
            "no base is found that the adapters name: --model says on which model the weights are chosen",
        )?,
        precision: asked.precision,
        device: asked.device,
        arithmetic: asked.arithmetic,
    }
    .load()
}

/// The prompts with their candidates (binned ones, where they have them), and what makes content scores of their likelihoods.
fn cases(
    prepared: &Prepared,
    prompts: &[Prompt],
    model: &LanguageModel,
) -> Result<(Vec<Case>, Option<Content>)> {
    let (items, format) = (prepared.items()?, prepared.manifest().parameters.format);
    let encoder = Encoder::new(model.words.tokenizer()?, format);
    let cases = prompts
        .iter()
        .map(|prompt| weighing::case(&encoder, prompt, &items, format))
        .collect::<Result<_>>()?;
    let neutral = match format {
        PromptFormat::Sequence => NEUTRAL,
        PromptFormat::Top5 | PromptFormat::TargetOnly | PromptFormat::Letter => 0,
    };
    let content = weighing::content(&encoder, &items, &prepared.fingerprint(), neutral)?;
    Ok((cases, content))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser;
    use weaverec_model::merge::weights::{Form, Grain};

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        asked: WeightArguments,
        #[arg(long)]
        weights: Vec<f64>,
        #[arg(long)]
        dry_run: bool,
    }

    fn weights(by: &str, settings: &[&str]) -> Result<Weights> {
        let settings = settings.iter().flat_map(|setting| ["--weigh", setting]);
        let words = ["merge", "--weights-by", by, "--prompts", "prepared"];
        let asked = Cli::try_parse_from(words.into_iter().chain(settings))?.asked;
        asked.weights(asked.weights_by.unwrap())
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
}
