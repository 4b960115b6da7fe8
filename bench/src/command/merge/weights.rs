//! `weaverec merge --weights-by`, or `weights` in a recipe: what the adapters weigh, chosen by prompts of users who are held out.

mod plan;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;
use weaverec_model::backbone::{DecoderConfig, Precision};
use weaverec_model::device::{Arithmetic, DeviceName};
use weaverec_model::lora::Adapter;
use weaverec_model::merge::align::WEIGHT;
use weaverec_model::merge::receipt::{ChoiceRecord, PromptsRecord};
use weaverec_model::merge::recipe::{Choice, Recipe, WAYS};
use weaverec_model::merge::rule::Rule;
use weaverec_model::merge::weights::{Case, Chosen, Content, Goal, Start, Weights, choose, taught};
use weaverec_model::op::with_threads;
use weaverec_model::rank::Normalisation;
use weaverec_model::train::task::Room;
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::{Prompt, PromptFormat, Split};

use super::request::pair;
use crate::command::adapter::doubt;
use crate::command::base::Base;
use crate::cut::{Cut, First, Lot};
use crate::experiment::backbone::LanguageModel;
use crate::experiment::encoder::Encoder;
use crate::experiment::{pseudo, weighing};
use crate::progress::{Meter, say};
use crate::scoring::LEAST;

pub(super) use plan::print as print_plan;

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
    /// directions, on training prompts, the first adapter being the target's own; as MergeRec does, by what each adapter says of its own domain. A
    /// recipe says the same under `weights`.
    #[arg(
        long,
        value_name = "HOW",
        requires = "prompts",
        conflicts_with = "weights",
        value_parser = WAYS
    )]
    weights_by: Option<String>,
    /// Prepared folder of the target: the validation prompts of its calibration users choose (20 % of all, by a keyed hash), on whom nothing is
    /// reported; its training prompts, where weights are learnt as FeDecider does. As MergeRec does, one for each adapter, in their order: of these
    /// the items alone are read.
    #[arg(long, value_name = "FOLDER", requires = "weights_by")]
    prompts: Vec<PathBuf>,
    /// Most users that choose, or training prompts, or pseudo-users of each domain [default: 100 by entropy and by mergerec, 400 by fedecider,
    /// else 1000].
    #[arg(long, value_parser = super::super::number::at_least(1))]
    users: Option<usize>,
    /// A setting of the choice, as divisions=20, per=module or learning_rate=0.5; docs/merging.md has all.
    #[arg(long, value_name = "KEY=VALUE", requires = "weights_by", value_parser = pair)]
    weigh: Vec<(String, Value)>,
    /// Key of the cut of users; the one of the profile that reports on the others [default: 0].
    #[arg(long)]
    cut_seed: Option<u64>,
    /// The model that the weights are chosen on [default: --base, or what an adapter names as its base, where that is found].
    #[arg(long)]
    model: Option<String>,
    /// What the projections of that model are kept in [default: f32].
    #[arg(long, value_parser = super::super::choice::<Precision>(&Precision::NAMES))]
    precision: Option<Precision>,
    /// `cpu`, `cuda`, `cuda:1` (the second GPU) or `metal`; a GPU needs a program built for it [default: cpu].
    #[arg(long)]
    device: Option<DeviceName>,
    /// Type of activations and products: f32, or on a GPU bf16 [default: f32].
    #[arg(long, value_parser = super::super::choice::<Arithmetic>(&Arithmetic::NAMES))]
    arithmetic: Option<Arithmetic>,
    /// Threads [default: all].
    #[arg(long, value_parser = super::super::number::threads)]
    threads: Option<usize>,
}

/// On whom weights are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    Calibration,
    Training,
    PseudoUsers,
}

impl Whom {
    pub(super) fn of(weights: &Weights) -> Self {
        match weights.goal() {
            Some(Goal::Answer(_)) => Whom::Training,
            Some(Goal::Distillation(_)) => Whom::PseudoUsers,
            _ => Whom::Calibration,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Whom::Calibration => "users",
            Whom::Training => "training prompts",
            Whom::PseudoUsers => "pseudo-users",
        }
    }
}

impl WeightArguments {
    /// How weights are chosen, by flags or by a recipe's key; none: they are not.
    ///
    /// # Errors
    /// The same said by both, or flags of a choice where there is none.
    pub fn asked(&self, recipe: &Recipe) -> Result<Option<Choice>> {
        let choice = match (&self.weights_by, &recipe.weights) {
            (Some(_), Some(_)) => bail!(
                "the recipe says how the weights are chosen (weights); leave --weights-by, --prompts and --weigh out, or the key"
            ),
            (Some(way), None) => Choice {
                weights: self.weights(way)?,
                prompts: self.prompts.clone(),
                users: None,
                cut_seed: None,
                model: None,
                precision: None,
                arithmetic: None,
            },
            (None, Some(choice)) => choice.clone(),
            (None, None) => {
                if let Some(flag) = self.without_choice() {
                    bail!(
                        "{flag} is about a choice of weights, and none is asked for: add --weights-by, or weights to the recipe"
                    );
                }
                return Ok(None);
            }
        };
        Ok(Some(Choice {
            users: one_of("users", self.users, choice.users)?,
            cut_seed: one_of("cut-seed", self.cut_seed, choice.cut_seed)?,
            model: one_of("model", self.model.clone(), choice.model)?,
            precision: one_of("precision", self.precision, choice.precision)?,
            arithmetic: one_of("arithmetic", self.arithmetic, choice.arithmetic)?,
            ..choice
        }))
    }

    /// A flag that is given and means nothing where no weights are chosen.
    fn without_choice(&self) -> Option<&'static str> {
        let given = [
            ("--users", self.users.is_some()),
            ("--cut-seed", self.cut_seed.is_some()),
            ("--model", self.model.is_some()),
            ("--precision", self.precision.is_some()),
            ("--device", self.device.is_some()),
            ("--arithmetic", self.arithmetic.is_some()),
            ("--threads", self.threads.is_some()),
        ];
        given.into_iter().find_map(|(flag, given)| given.then_some(flag))
    }

    /// What the flags ask for, with its settings.
    fn weights(&self, way: &str) -> Result<Weights> {
        let mut settings = serde_json::Map::new();
        for (key, value) in &self.weigh {
            if key == "by" {
                bail!("--weigh by: --weights-by says how the weights are chosen");
            }
            if settings.insert(key.clone(), value.clone()).is_some() {
                bail!("--weigh {key} is given twice");
            }
        }
        Weights::by(way, settings).context("--weigh")
    }
}

/// What a flag or a recipe's key says, where not both do.
fn one_of<T>(flag: &str, given: Option<T>, in_recipe: Option<T>) -> Result<Option<T>> {
    match (given, in_recipe) {
        (Some(_), Some(_)) => bail!(
            "the recipe's weights have {} already; leave --{flag} out",
            flag.replace('-', "_")
        ),
        (given, in_recipe) => Ok(given.or(in_recipe)),
    }
}

/// What a choice of weights goes by: everything but the choosing.
struct Ready {
    weights: Weights,
    model: LanguageModel,
    cases: Vec<Case>,
    record: ChoiceRecord,
}

/// The weights of a recipe's adapters, chosen, and by whom.
pub(super) fn chosen(
    asked: &WeightArguments,
    choice: &Choice,
    recipe: &Recipe,
    base: Option<&(PathBuf, DecoderConfig)>,
    adapters: &[Adapter],
) -> Result<(Chosen, ChoiceRecord)> {
    let ready = ready(asked, choice, recipe, base, adapters)?;
    let adapters: Vec<&Adapter> = adapters.iter().collect();
    let meter = Meter::start("choosing weights");
    let found = with_threads(super::super::threads(asked.threads), || {
        let mut progress = |done: usize, total: usize| {
            meter.update(done as u64, total as u64, || "weights tried".into());
        };
        let (decoder, weights) = (&ready.model.decoder, &ready.weights);
        choose(decoder, &adapters, weights, &ready.cases, ROOM, &mut progress)
    })?;
    let shares: Vec<String> = found
        .lambda
        .mean()
        .iter()
        .map(|weight| format!("{weight:.3}"))
        .collect();
    meter.finish(format!(
        "{} {}, weights {}",
        ready.cases.len(),
        Whom::of(&ready.weights).name(),
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
    Ok((found, ready.record))
}

/// Loads the model, and reads the prompts of those who choose.
fn ready(
    asked: &WeightArguments,
    choice: &Choice,
    recipe: &Recipe,
    base: Option<&(PathBuf, DecoderConfig)>,
    adapters: &[Adapter],
) -> Result<Ready> {
    check(recipe)?;
    let whom = Whom::of(&choice.weights);
    let folders = folders(choice, whom, adapters.len())?;
    let target = &folders[0];
    let mut weights = choice.weights.clone();
    let cut_seed = choice.cut_seed.unwrap_or(0);
    let prompts = match whom {
        Whom::Calibration => choosing(choice, &mut weights, target, cut_seed)?,
        // Nobody who is held out is asked.
        Whom::Training | Whom::PseudoUsers => Vec::new(),
    };
    let (name, model) = model(asked, choice, base)?;
    for (source, adapter) in recipe.members.iter().zip(adapters) {
        if let Some(doubt) = doubt(adapter, &source.folder, &model.base, &model.path) {
            say(format!("warning: {}: {doubt}", source.folder.display()));
        }
    }
    let cases = match whom {
        Whom::Training => {
            let encoder = Encoder::new(model.words.tokenizer()?, target.manifest().parameters.format);
            pseudo::training(target, &encoder, choice.users.unwrap_or(weighing::TRAINING))?
        }
        Whom::PseudoUsers => with_threads(super::super::threads(asked.threads), || {
            pseudo_users(choice, &model, adapters, &folders)
        })?,
        Whom::Calibration => {
            let (cases, content) = cases(target, &prompts, &model)?;
            // λ is chosen by what planned comparisons rank by, at α = 1; α itself comes after it.
            if let Weights::Grid(grid) = &mut weights {
                put(&mut grid.objective, content);
            } else if let Weights::Search(search) = &mut weights {
                put(&mut search.objective, content);
            }
            cases
        }
    };
    Ok(Ready {
        weights,
        model,
        cases,
        record: ChoiceRecord {
            prompts: choice
                .prompts
                .iter()
                .zip(&folders)
                .map(|(folder, prepared)| PromptsRecord {
                    folder: folder.to_string_lossy().into_owned(),
                    fingerprint: prepared.fingerprint(),
                })
                .collect(),
            cut_seed,
            model: name,
        },
    })
}

/// The prepared folders of a choice, as many as it reads.
fn folders(choice: &Choice, whom: Whom, adapters: usize) -> Result<Vec<Prepared>> {
    match (whom, &choice.prompts[..]) {
        (_, []) => {
            bail!("no prompts to choose the weights on: --prompts, or prompts among a recipe's weights")
        }
        (Whom::PseudoUsers, folders) if folders.len() != adapters => bail!(
            "{} prepared folders for {adapters} adapters: pseudo-users are of each adapter's own domain, give --prompts once for each, in their order",
            folders.len()
        ),
        (Whom::Calibration | Whom::Training, [_, other, ..]) => bail!(
            "--prompts {}: weights are chosen on one domain, that of the target; --weights-by mergerec takes one for each adapter",
            other.display()
        ),
        (_, folders) => folders.iter().map(|folder| Ok(Prepared::open(folder)?)).collect(),
    }
}

/// Pseudo-users of every adapter's domain, with what it says of them.
fn pseudo_users(
    choice: &Choice,
    model: &LanguageModel,
    adapters: &[Adapter],
    folders: &[Prepared],
) -> Result<Vec<Case>> {
    let normalisation = match choice.weights.goal() {
        Some(Goal::Distillation(distillation)) => distillation.normalisation,
        _ => Normalisation::default(),
    };
    let mut all = Vec::new();
    for (prepared, adapter) in folders.iter().zip(adapters) {
        let parameters = &prepared.manifest().parameters;
        let encoder = Encoder::new(model.words.tokenizer()?, parameters.format);
        let count = choice.users.unwrap_or(weighing::PSEUDO_USERS);
        let cases = pseudo::users(
            prepared,
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
    choice: &Choice,
    weights: &mut Weights,
    prepared: &Prepared,
    cut_seed: u64,
) -> Result<Vec<Prompt>> {
    let folder = choice.prompts.first().map(|folder| folder.display());
    let folder = folder.map(|folder| folder.to_string()).unwrap_or_default();
    let supervised = weights.goal().is_some_and(Goal::is_supervised);
    let usual = if supervised { USERS } else { USERS_OF_ENTROPY };
    let prompts = calibration_prompts(prepared, cut_seed, choice.users.unwrap_or(usual))?;
    if prompts.is_empty() {
        bail!(
            "{folder} has no validation prompts of calibration users: nobody could choose; prepare more of the domain, or give --weights"
        );
    }
    if supervised && prompts.len() < LEAST {
        say(format!(
            "warning: {} calibration users of {folder} choose, and fewer than {LEAST} choose nothing: all adapters weigh the same",
            prompts.len()
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
            "weights are chosen for a sum of updates, and {} makes something else of them: leave the rule out, or take svd",
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

/// The model that weights are chosen on, with its name.
fn model(
    asked: &WeightArguments,
    choice: &Choice,
    base: Option<&(PathBuf, DecoderConfig)>,
) -> Result<(String, LanguageModel)> {
    let found = base.map(|(path, _)| path.to_string_lossy().into_owned());
    let name = choice.model.clone().or(found).context(
        "no base is found that the adapters name: --model, or model among a recipe's weights, says on which model the weights are chosen",
    )?;
    let base = Base {
        model: name.clone(),
        precision: choice.precision.unwrap_or_default(),
        device: asked.device.unwrap_or_default(),
        arithmetic: choice.arithmetic.unwrap_or_default(),
    };
    Ok((name, base.load()?))
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
