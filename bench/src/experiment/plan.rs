//! What a study comes to: units, each a scenario and a replicate, and the cells that they need, each once. A plan is made from the
//! study's record alone.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::json;
use weaverec_model::train::Seeds;
use weaverec_model::weave::{Domains as DomainSet, Recipe};

use super::backbone;
use super::cell::{Cell, Kind};
use super::profile::{Backbone, Scenario};
use super::replicate::{self, Replicate, written};
use super::study_record::StudyRecord;
use super::work::Work;
use crate::method::Method;

/// Names an adapter: the domains it is trained on, and the replicate.
pub type AdapterKey = (DomainSet, Replicate);

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
    pub domains: DomainSet,
    /// What it is drawn from.
    pub seeds: Seeds,
    /// What there is to compute.
    pub work: Work,
}

/// How a ranking gets its scores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scorer {
    /// At random.
    Random {
        /// The replicate that draws the order.
        replicate: Replicate,
    },
    /// By training counts.
    Popularity,
    /// By raw id, ahead of the last item's.
    NextId,
    /// By raw id, behind the last item's.
    PreviousId,
    /// By likelihood, with the uniform merge of these adapters folded in; none is zero-shot.
    LanguageModel {
        /// The replicate whose language model it is.
        base: Replicate,
        /// The adapters, sorted.
        members: Vec<AdapterKey>,
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
        if let Backbone::Nano(sizes) = &study.profile.backbone {
            for replicate in 0..study.facts.bases.len() as Replicate {
                let cell = backbone::cell(sizes, &study.profile, study.study(), &study.facts, replicate);
                let text = study.facts.pretraining.unwrap_or_default();
                let work = study.facts.operations.pretraining(text, sizes.pretrain.epochs);
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
                let methods = Method::all().map(|method| scorer(method, study, of, replicate));
                let members = members(of)
                    .into_iter()
                    .map(|domains| alone(domains, study, replicate));
                let mut rankings: Vec<RankingKey> = Vec::new();
                for scorer in methods.chain(members) {
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

    /// Adds a ranking and the adapters it needs.
    fn add(&mut self, study: &StudyRecord, key: &RankingKey) -> Result<()> {
        if self.rankings.contains_key(key) {
            return Ok(());
        }
        for member in key.1.members() {
            if !self.adapters.contains_key(member) {
                self.adapters.insert(member.clone(), adapter_cell(study, member)?);
            }
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
        });
        let mut work = Work::default();
        let label = match scorer {
            Scorer::Random { replicate } => {
                configuration["random"] = json!(written(replicate::random_seed(*replicate)));
                format!("{target}: random, replicate {replicate}")
            }
            Scorer::Popularity => {
                configuration["popularity"] = json!("training interactions");
                format!("{target}: popularity")
            }
            Scorer::NextId | Scorer::PreviousId => {
                let probe = match scorer {
                    Scorer::NextId => Method::NextId,
                    _ => Method::PreviousId,
                };
                configuration["probe"] = json!(probe.id());
                format!("{target}: {}", probe.label())
            }
            Scorer::LanguageModel { base, members } => {
                let keys: Vec<&str> = members
                    .iter()
                    .filter_map(|member| self.adapters.get(member))
                    .map(|adapter| adapter.cell.key.as_str())
                    .collect();
                configuration["model"] = json!(study.base_key(*base)?);
                configuration["uniform_merge_of"] = json!(keys);
                configuration["rank"] = json!(profile.rank);
                configuration["validation_prompts"] = json!(profile.adapter.held_out);
                work = study.facts.operations.scoring(domain.queries);
                match members.as_slice() {
                    [] if study.facts.bases.len() == 1 => format!("{target}: zero-shot"),
                    [] => format!("{target}: zero-shot, replicate {base}"),
                    [(domains, replicate)] => format!("{target}: {domains}, replicate {replicate}"),
                    several => {
                        let names: Vec<String> =
                            several.iter().map(|(domains, _)| domains.to_string()).collect();
                        format!(
                            "{target}: merge of {}, replicate {}",
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
            Scorer::Random { .. } => false,
            Scorer::Popularity | Scorer::NextId | Scorer::PreviousId => true,
            Scorer::LanguageModel { members, .. } => members.is_empty() && study.facts.bases.len() == 1,
        }
    }
}

/// The ranking behind a row in a replicate.
pub fn scorer(method: Method, study: &StudyRecord, scenario: &Scenario, replicate: Replicate) -> Scorer {
    match method {
        Method::Random => Scorer::Random { replicate },
        Method::Popularity => Scorer::Popularity,
        Method::NextId => Scorer::NextId,
        Method::PreviousId => Scorer::PreviousId,
        Method::ZeroShot => merged(Vec::new(), study, replicate),
        Method::Adapters(recipe) => merged(recipe.members(&scenario.weave()), study, replicate),
    }
}

/// The adapters that take part in the scenario's merges, each of which the diagnosis shows alone.
pub fn members(scenario: &Scenario) -> Vec<DomainSet> {
    let mut all: Vec<DomainSet> = [Recipe::NaiveMerge, Recipe::Weave]
        .iter()
        .flat_map(|recipe| recipe.members(&scenario.weave()))
        .collect();
    all.sort();
    all.dedup();
    all
}

/// The scorer that ranks with one adapter alone.
pub fn alone(domains: DomainSet, study: &StudyRecord, replicate: Replicate) -> Scorer {
    merged(vec![domains], study, replicate)
}

fn merged(members: Vec<DomainSet>, study: &StudyRecord, replicate: Replicate) -> Scorer {
    let mut members: Vec<AdapterKey> = members.into_iter().map(|domains| (domains, replicate)).collect();
    members.sort();
    Scorer::LanguageModel {
        base: study.base(replicate),
        members,
    }
}

fn adapter_cell(study: &StudyRecord, (domains, replicate): &AdapterKey) -> Result<AdapterCell> {
    let (profile, facts) = (&study.profile, &study.facts);
    let (mut data, mut work) = (serde_json::Map::new(), Work::default());
    for name in domains.iter() {
        let domain = study.domain(name)?;
        data.insert(name.to_string(), json!(domain.fingerprint));
        let text = domain.training.at_most(profile.adapter.prompts_per_domain);
        work = work + facts.operations.training(text, profile.adapter.train.epochs);
    }
    let seeds = replicate::seeds(*replicate, domains);
    let configuration = json!({
        "model": study.base_key(*replicate)?,
        "domains": data,
        "format": profile.prepare.format,
        "adapter": profile.adapter,
        "cut_seed": profile.cut_seed,
        "init_seed": written(seeds.init),
        "data_seed": written(seeds.data),
    });
    Ok(AdapterCell {
        cell: Cell::new(
            Kind::Adapter,
            format!("{domains}, replicate {replicate}"),
            configuration,
        ),
        domains: domains.clone(),
        seeds,
        work,
    })
}
