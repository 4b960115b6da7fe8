//! What a study comes to: units, each a scenario and a replicate, and the cells that they need, each once. A plan is made from the
//! study's record alone.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::json;
use weaverec_model::train::Seeds;
use weaverec_model::weave::{Budget, Diet, Recipe, Supply};

use super::backbone;
use super::cell::{Cell, Kind};
use super::profile::{Backbone, Scenario};
use super::recommender::{self, RecommenderCell, RecommenderKey};
use super::replicate::{self, Replicate, written};
use super::study_record::StudyRecord;
use super::work::Work;
use crate::method::{self, How, MergeBy, Method};

/// Names an adapter: what it is trained on, and the replicate.
pub type AdapterKey = (Diet, Replicate);

/// A backbone to pre-train.
#[derive(Clone, Debug)]
pub struct BackboneCell {
    /// Its cell.
    pub cell: Cell,
    /// The replicate that draws it.
    pub replicate: Replicate,
    /// What there is to compute.
    pub work: Work,
}

/// An adapter to train.
#[derive(Clone, Debug)]
pub struct AdapterCell {
    /// Its cell.
    pub cell: Cell,
    /// What it is trained on.
    pub diet: Diet,
    /// The replicate that draws it.
    pub replicate: Replicate,
    /// What it is drawn from.
    pub seeds: Seeds,
    /// What there is to compute.
    pub work: Work,
}

/// How a ranking gets its scores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scorer {
    /// By what the row of this name counts.
    Counted {
        /// The row.
        method: &'static str,
        /// The replicate that draws it; none where nothing is drawn.
        drawn: Option<Replicate>,
    },
    /// By a recommender that is fitted to the target.
    Fitted {
        /// The row.
        method: &'static str,
        /// The replicate that draws it.
        replicate: Replicate,
        /// The other domains that it learns from, in the order of their names; none for rows that read the target alone.
        sources: Vec<String>,
    },
    /// By likelihood, with a merge of these adapters folded in; none is zero-shot.
    LanguageModel {
        /// The replicate whose language model it is.
        base: Replicate,
        /// The adapters, sorted.
        members: Vec<AdapterKey>,
        /// What merges them; none: the uniform mean.
        by: Option<MergeBy>,
        /// The replicate that gives every user another one's history, where it does.
        stranger: Option<Replicate>,
    },
}

/// A ranking to make.
#[derive(Clone, Debug)]
pub struct RankingCell {
    /// Its cell.
    pub cell: Cell,
    /// The domain whose users are ranked.
    pub target: String,
    /// How.
    pub scorer: Scorer,
    /// What there is to compute.
    pub work: Work,
}

/// Names a ranking: the target and the scorer.
pub type RankingKey = (String, Scorer);

/// What a machine does in one go: everything of a scenario and a replicate.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Place of the scenario in its study.
    pub scenario: usize,
    /// The replicate.
    pub replicate: Replicate,
    /// Its rankings.
    pub rankings: Vec<RankingKey>,
}

/// All cells of a study.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Backbones by replicate; none where the language model is fetched.
    pub backbones: BTreeMap<Replicate, BackboneCell>,
    /// Adapters by name.
    pub adapters: BTreeMap<AdapterKey, AdapterCell>,
    /// Recommenders by name.
    pub recommenders: BTreeMap<RecommenderKey, RecommenderCell>,
    /// Rankings by name.
    pub rankings: BTreeMap<RankingKey, RankingCell>,
    /// Units: the replicates one after another, of each the scenarios, which share adapters.
    pub units: Vec<Unit>,
}

impl Plan {
    /// Plans a study.
    ///
    /// # Errors
    /// A record that lacks something.
    pub fn new(study: &StudyRecord) -> Result<Self> {
        let mut plan = Plan::default();
        if let Some(own) = study.profile.backbone.own() {
            for replicate in 0..study.facts.bases.len() as Replicate {
                let cell = backbone::cell(own, &study.profile, study.study(), &study.facts, replicate);
                let text = study.facts.pretraining.unwrap_or_default();
                let work = study.facts.operations.pretraining(text, own.pretrain().epochs);
                plan.backbones.insert(
                    replicate,
                    BackboneCell {
                        cell,
                        replicate,
                        work,
                    },
                );
            }
        }
        for replicate in 0..study.profile.replicates {
            for (scenario, of) in study.study().scenarios.iter().enumerate() {
                let mut rankings: Vec<RankingKey> = Vec::new();
                let members = members(study, of)?.into_iter();
                let alone = members.map(|diet| alone(diet, study, replicate));
                let mut scorers = Vec::new();
                for row in ranked(study, of)? {
                    scorers.extend(scorer(row, study, of, replicate)?);
                }
                for scorer in scorers.into_iter().chain(alone) {
                    let key = (of.target.clone(), scorer);
                    plan.add(study, &key)?;
                    if !rankings.contains(&key) {
                        rankings.push(key);
                    }
                }
                plan.units.push(Unit {
                    scenario,
                    replicate,
                    rankings,
                });
            }
        }
        Ok(plan)
    }

    /// Adds a ranking and the adapters, or the recommender, that it needs.
    fn add(&mut self, study: &StudyRecord, key: &RankingKey) -> Result<()> {
        if self.rankings.contains_key(key) {
            return Ok(());
        }
        for member in key.1.members() {
            if !self.adapters.contains_key(member) {
                self.adapters.insert(member.clone(), adapter_cell(study, member)?);
            }
        }
        if let Some(fitted) = key.1.fitted(&key.0)
            && !self.recommenders.contains_key(&fitted)
        {
            let cell = recommender::cell(study, &fitted)?;
            self.recommenders.insert(fitted, cell);
        }
        let cell = self.ranking_cell(study, key)?;
        self.rankings.insert(key.clone(), cell);
        Ok(())
    }

    fn ranking_cell(&self, study: &StudyRecord, (target, scorer): &RankingKey) -> Result<RankingCell> {
        let (profile, domain) = (&study.profile, study.domain(target)?);
        let mut configuration = json!({
            "target": { "name": target, "fingerprint": domain.fingerprint, "candidates": domain.candidate_hash },
            "users": { "cut": profile.report_on, "cut_seed": profile.cut_seed, "most": profile.prepare.users },
            "calibration": profile.rank.calibration,
        });
        let mut work = Work::default();
        let label = match scorer {
            Scorer::Counted { method, drawn } => {
                configuration["counted"] = json!(method);
                if let Some(replicate) = drawn {
                    configuration["seed"] = json!(written(replicate::random_seed(*replicate)));
                }
                let label = method::named(method).map_or(*method, Method::label);
                match drawn {
                    Some(replicate) => format!("{target}: {label}, replicate {replicate}"),
                    None => format!("{target}: {label}"),
                }
            }
            Scorer::Fitted {
                method,
                replicate,
                sources,
            } => {
                let fitted = scorer.fitted(target);
                let recommender = fitted.and_then(|fitted| self.recommenders.get(&fitted));
                let recommender = recommender.context("a recommender of this ranking is not planned")?;
                configuration["recommender"] = json!(recommender.cell.key);
                work = recommender::ranking(&recommender.system, domain);
                let label = method::named(method).map_or(*method, Method::label);
                match sources.as_slice() {
                    [] => format!("{target}: {label}, replicate {replicate}"),
                    _ => format!(
                        "{target}: {label} with {}, replicate {replicate}",
                        sources.join(" + ")
                    ),
                }
            }
            Scorer::LanguageModel {
                base,
                members,
                by,
                stranger,
            } => {
                let keys: Vec<&str> = members
                    .iter()
                    .filter_map(|member| self.adapters.get(member))
                    .map(|adapter| adapter.cell.key.as_str())
                    .collect();
                configuration["model"] = json!(study.base_key(*base)?);
                match by {
                    None => configuration["uniform_merge_of"] = json!(keys),
                    Some(by) => {
                        configuration["merge_of"] = json!(keys);
                        configuration["merged_by"] = by.identity()?;
                        configuration["merge_seed"] = json!(written(replicate::merge_seed(*base)));
                    }
                }
                configuration["rank"] = json!(profile.rank);
                configuration["validation_prompts"] = json!(profile.adapter.held_out);
                if let Some(replicate) = stranger {
                    configuration["stranger"] = json!(written(replicate::stranger_seed(*replicate)));
                }
                work = scoring(study, target, members.is_empty())?;
                let who = match stranger {
                    Some(_) => ", strangers' histories",
                    None => "",
                };
                match members.as_slice() {
                    [] if study.facts.bases.len() == 1 => format!("{target}: zero-shot{who}"),
                    [] => format!("{target}: zero-shot{who}, replicate {base}"),
                    [(diet, replicate)] => format!("{target}: {diet}{who}, replicate {replicate}"),
                    several => {
                        let names: Vec<String> = several.iter().map(|(diet, _)| diet.to_string()).collect();
                        let by = by.map_or_else(String::new, |by| format!(" by {}", by.name()));
                        format!(
                            "{target}: merge{by} of {}{who}, replicate {}",
                            names.join(", "),
                            several[0].1
                        )
                    }
                }
            }
        };
        Ok(RankingCell {
            cell: Cell::new(Kind::Ranking, label, configuration),
            target: target.clone(),
            scorer: scorer.clone(),
            work,
        })
    }

    /// A ranking of this plan.
    ///
    /// # Errors
    /// One that is not planned.
    pub fn ranking(&self, key: &RankingKey) -> Result<&RankingCell> {
        self.rankings
            .get(key)
            .context("a ranking of this scenario is not planned")
    }

    /// An adapter of this plan.
    ///
    /// # Errors
    /// One that is not planned.
    pub fn adapter(&self, key: &AdapterKey) -> Result<&AdapterCell> {
        self.adapters
            .get(key)
            .context("an adapter of this ranking is not planned")
    }

    /// The recommender that a ranking of this plan scores by; none where it is scored otherwise.
    pub fn recommender(&self, (target, scorer): &RankingKey) -> Option<&RecommenderCell> {
        self.recommenders.get(&scorer.fitted(target)?)
    }

    /// Every cell that a unit needs, those first that others need.
    pub fn cells<'a>(&'a self, unit: &'a Unit) -> Vec<&'a Cell> {
        let mut cells: Vec<&Cell> = Vec::new();
        let rankings = || unit.rankings.iter().filter_map(|key| self.rankings.get(key));
        let bases = rankings().filter_map(|ranking| self.backbones.get(&ranking.scorer.base()?));
        cells.extend(bases.map(|backbone| &backbone.cell));
        let members = rankings().flat_map(|ranking| ranking.scorer.members());
        cells.extend(
            members
                .filter_map(|key| self.adapters.get(key))
                .map(|adapter| &adapter.cell),
        );
        let fitted = unit.rankings.iter().filter_map(|key| self.recommender(key));
        cells.extend(fitted.map(|recommender| &recommender.cell));
        cells.extend(rankings().map(|ranking| &ranking.cell));
        let mut seen = std::collections::BTreeSet::new();
        cells.retain(|cell| seen.insert((cell.kind, &cell.key)));
        cells
    }
}

impl Scorer {
    /// The adapters that it merges.
    pub fn members(&self) -> &[AdapterKey] {
        match self {
            Scorer::LanguageModel { members, .. } => members,
            _ => &[],
        }
    }

    /// What it merges them by; none for the uniform mean.
    pub fn merged_by(&self) -> Option<MergeBy> {
        match self {
            Scorer::LanguageModel { by, .. } => *by,
            Scorer::Counted { .. } | Scorer::Fitted { .. } => None,
        }
    }

    /// The recommender that it scores the items of a domain by, where it does.
    fn fitted(&self, target: &str) -> Option<RecommenderKey> {
        match self {
            Scorer::Fitted {
                method,
                replicate,
                sources,
            } => Some(RecommenderKey {
                target: target.to_owned(),
                method,
                replicate: *replicate,
                sources: sources.clone(),
            }),
            _ => None,
        }
    }

    /// The replicate whose language model it uses, where it uses one.
    pub fn base(&self) -> Option<Replicate> {
        match self {
            Scorer::LanguageModel { base, .. } => Some(*base),
            _ => None,
        }
    }

    /// Whether it comes to the same scores in every replicate: nothing in it is drawn.
    pub fn is_deterministic(&self, study: &StudyRecord) -> bool {
        match self {
            Scorer::Counted { drawn, .. } => drawn.is_none(),
            Scorer::Fitted { .. } => false,
            Scorer::LanguageModel {
                members, stranger, ..
            } => members.is_empty() && stranger.is_none() && study.facts.bases.len() == 1,
        }
    }
}

/// The rows of a scenario's table, in order: those that are named for it, but for [inapplicable] ones.
///
/// # Errors
/// A row that the program does not know, as in a record of another version.
pub fn rows(study: &StudyRecord, scenario: &Scenario) -> Result<Vec<&'static dyn Method>> {
    let mut rows = scenario.rows(&study.profile)?;
    rows.retain(|row| scenario.lacks(*row).is_none());
    Ok(rows)
}

/// The rows that are named for a scenario and cannot be had there, each with what the scenario lacks.
///
/// # Errors
/// As of [`rows`].
pub fn inapplicable(
    study: &StudyRecord,
    scenario: &Scenario,
) -> Result<Vec<(&'static dyn Method, &'static str)>> {
    let rows = scenario.rows(&study.profile)?.into_iter();
    Ok(rows.filter_map(|row| Some((row, scenario.lacks(row)?))).collect())
}

/// The rows of a scenario that need rankings: those of its table, and those that they are made of or chosen among.
fn ranked(study: &StudyRecord, scenario: &Scenario) -> Result<Vec<&'static dyn Method>> {
    let mut all = Vec::new();
    for row in rows(study, scenario)? {
        all.push(row.id());
        all.extend(method::parts(row));
    }
    all.sort_unstable();
    all.dedup();
    method::chosen(all)
}

/// The ranking behind a row in a replicate; none where the row is made of others' records.
///
/// # Errors
/// A domain that the record lacks.
pub fn scorer(
    method: &dyn Method,
    study: &StudyRecord,
    scenario: &Scenario,
    replicate: Replicate,
) -> Result<Option<Scorer>> {
    Ok(match method.how() {
        How::Counted(counted) => Some(Scorer::Counted {
            method: method.id(),
            drawn: counted.is_drawn().then_some(replicate),
        }),
        How::Fitted { system } => {
            let mut sources = match system().needs().sources {
                true => scenario.sources.clone(),
                false => Vec::new(),
            };
            // Whoever names them in another order means the same.
            sources.sort();
            Some(Scorer::Fitted {
                method: method.id(),
                replicate,
                sources,
            })
        }
        How::Adapters { recipe, by, stranger } => {
            let diets = match recipe(scenario.sources.len()) {
                Some(recipe) => diets(recipe, study, scenario)?,
                None => Vec::new(),
            };
            Some(merged(diets, by, study, replicate, stranger))
        }
        How::Best(_) | How::Fusion { .. } => None,
    })
}

/// The adapters that take part in the scenario's merges, each of which the diagnosis shows alone; none where there are no sources, or no
/// language model.
///
/// # Errors
/// A domain that the record lacks.
pub fn members(study: &StudyRecord, scenario: &Scenario) -> Result<Vec<Diet>> {
    let mut all = Vec::new();
    if scenario.sources.is_empty() || matches!(study.profile.backbone, Backbone::None) {
        return Ok(all);
    }
    for recipe in [Recipe::NaiveMerge, Recipe::Weave] {
        all.extend(diets(recipe, study, scenario)?);
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// The scorer that ranks with one adapter alone.
pub fn alone(diet: Diet, study: &StudyRecord, replicate: Replicate) -> Scorer {
    merged(vec![diet], None, study, replicate, false)
}

/// What the adapters of a recipe are trained on.
fn diets(recipe: Recipe, study: &StudyRecord, scenario: &Scenario) -> Result<Vec<Diet>> {
    for domain in scenario.sources.iter().chain([&scenario.target]) {
        if study.domain(domain)?.training.count == 0 {
            bail!("the domain {domain} has no training prompts: nothing could be trained on it");
        }
    }
    let supply = |name: &str| {
        let text = study.facts.domains.get(name).map(|domain| domain.training);
        let text = text.unwrap_or_default();
        Supply {
            prompts: text.count,
            tokens: text.tokens,
        }
    };
    let budget = Budget {
        cap: study.profile.adapter.prompts_per_domain,
        supply: &supply,
    };
    Ok(recipe.members(&scenario.weave(), &budget))
}

fn merged(
    members: Vec<Diet>,
    by: Option<MergeBy>,
    study: &StudyRecord,
    replicate: Replicate,
    stranger: bool,
) -> Scorer {
    let mut members: Vec<AdapterKey> = members.into_iter().map(|diet| (diet, replicate)).collect();
    members.sort();
    Scorer::LanguageModel {
        base: study.base(replicate),
        members,
        by,
        stranger: stranger.then_some(replicate),
    }
}

/// What ranking a target's users takes: the reported ones at one scale and at the chosen one, the calibration users at each, and as often
/// the titles of all of them after neutral histories.
fn scoring(study: &StudyRecord, target: &str, untuned: bool) -> Result<Work> {
    let (rank, domain) = (&study.profile.rank, study.domain(target)?);
    let scales = match untuned {
        true => 1,
        false => rank.scales.len(),
    };
    let calibration = match domain.calibration >= crate::scoring::LEAST {
        true => domain.calibration.min(rank.calibration) * scales,
        false => 0,
    };
    let passes = domain.ranked * scales.min(2) + calibration;
    let operations = &study.facts.operations;
    let mut work = operations.scoring(domain.queries.times(passes));
    if study.profile.prepare.format == weaverec_pipeline::schema::PromptFormat::Sequence {
        // A title is asked for once, however many have it among their candidates.
        let titles = |users: usize| (users * domain.distinct).min(domain.items);
        let asked = titles(domain.ranked) * scales.min(2)
            + match calibration {
                0 => 0,
                _ => titles(domain.calibration.min(rank.calibration)) * scales,
            };
        work = work + operations.scoring(domain.titles.times(asked * rank.neutral_histories));
    }
    Ok(work)
}

fn adapter_cell(study: &StudyRecord, (diet, replicate): &AdapterKey) -> Result<AdapterCell> {
    let (profile, facts) = (&study.profile, &study.facts);
    let (mut data, mut work) = (serde_json::Map::new(), Work::default());
    let passes = profile.adapter.train.epochs * diet.times;
    for portion in &diet.portions {
        let domain = study.domain(&portion.domain)?;
        data.insert(portion.domain.clone(), json!(domain.fingerprint));
        work = work
            + facts
                .operations
                .training(domain.training.times(portion.prompts), passes);
    }
    let seeds = replicate::seeds(*replicate, diet);
    let mut configuration = json!({
        "model": study.base_key(*replicate)?,
        "domains": data,
        "diet": diet,
        "format": profile.prepare.format,
        "adapter": profile.adapter,
        "cut_seed": profile.cut_seed,
        "init_seed": written(seeds.init),
        "subset_seed": written(replicate::subset_seed(*replicate)),
        "data_seed": written(seeds.data),
    });
    let placebos: serde_json::Map<String, serde_json::Value> = diet
        .portions
        .iter()
        .filter(|portion| portion.placebo)
        .map(|portion| {
            let seed = replicate::placebo_seed(*replicate, &portion.domain);
            (portion.domain.clone(), json!(written(seed)))
        })
        .collect();
    if !placebos.is_empty() {
        configuration["placebo_seeds"] = placebos.into();
    }
    Ok(AdapterCell {
        cell: Cell::new(
            Kind::Adapter,
            format!("{diet}, replicate {replicate}"),
            configuration,
        ),
        diet: diet.clone(),
        replicate: *replicate,
        seeds,
        work,
    })
}
