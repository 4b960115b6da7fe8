//! What a study comes to: the adapters it needs, each once, and the rankings that its rows are made of.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::json;
use weaverec_model::weave::{self, Domains as DomainSet, Recipe};

use super::cell::{Cell, Kind};
use super::profile::Scenario;
use super::runner::Bench;
use crate::method::Method;

/// Names an adapter: the domains it is trained on, and the seed.
pub type AdapterKey = (DomainSet, u64);

/// An adapter to train.
#[derive(Clone, Debug)]
pub struct AdapterCell {
    /// Its cell.
    pub cell: Cell,
    /// What it is trained on.
    pub domains: DomainSet,
    /// The seed of its initial values, its examples' order and its dropout.
    pub seed: u64,
}

/// How a ranking gets its scores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scorer {
    /// At random.
    Random {
        /// The seed.
        seed: u64,
    },
    /// By training counts.
    Popularity,
    /// By raw id, ahead of the last item's.
    NextId,
    /// By raw id, behind the last item's.
    PreviousId,
    /// By likelihood, with the uniform merge of these adapters folded in; none is zero-shot.
    LanguageModel {
        /// The adapters, sorted.
        members: Vec<AdapterKey>,
    },
}

/// A ranking to make.
#[derive(Clone, Debug)]
pub struct RankingCell {
    /// Its cell.
    pub cell: Cell,
    /// The domain whose test users are ranked.
    pub target: String,
    /// How.
    pub scorer: Scorer,
}

/// Names a ranking: the target and the scorer.
pub type RankingKey = (String, Scorer);

/// All cells of a study.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Adapters by name.
    pub adapters: BTreeMap<AdapterKey, AdapterCell>,
    /// Rankings by name.
    pub rankings: BTreeMap<RankingKey, RankingCell>,
}

impl Plan {
    /// Plans a study.
    pub fn new(bench: &Bench) -> Result<Self> {
        let mut plan = Plan::default();
        let scenarios: Vec<weave::Scenario> = bench.study.scenarios.iter().map(Scenario::weave).collect();
        for seed in &bench.profile.seeds {
            for domains in weave::plan(&scenarios, &Recipe::ALL) {
                let cell = adapter_cell(bench, &domains, *seed)?;
                plan.adapters.insert(
                    (domains.clone(), *seed),
                    AdapterCell {
                        cell,
                        domains,
                        seed: *seed,
                    },
                );
            }
        }
        for scenario in &bench.study.scenarios {
            let scorers = Method::all()
                .flat_map(|m| runs(m, scenario, &bench.profile.seeds))
                .map(|(_, s)| s);
            let members = members(scenario)
                .into_iter()
                .flat_map(|domains| bench.profile.seeds.iter().map(move |s| alone(&domains, *s)));
            for scorer in scorers.chain(members) {
                let key = (scenario.target.clone(), scorer);
                if !plan.rankings.contains_key(&key) {
                    let cell = plan.ranking_cell(bench, &key)?;
                    plan.rankings.insert(
                        key.clone(),
                        RankingCell {
                            cell,
                            target: key.0,
                            scorer: key.1,
                        },
                    );
                }
            }
        }
        Ok(plan)
    }

    fn ranking_cell(&self, bench: &Bench, (target, scorer): &RankingKey) -> Result<Cell> {
        let domain = bench.domain(target)?;
        let mut configuration = json!({
            "target": { "name": target, "fingerprint": domain.fingerprint, "candidates": domain.candidate_hash },
        });
        let label = match scorer {
            Scorer::Random { seed } => {
                configuration["random"] = json!(seed);
                format!("{target}: random, seed {seed}")
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
            Scorer::LanguageModel { members } => {
                let keys: Vec<&str> = members
                    .iter()
                    .filter_map(|m| self.adapters.get(m))
                    .map(|a| a.cell.key.as_str())
                    .collect();
                configuration["model"] = json!(bench.model.fingerprint);
                configuration["uniform_merge_of"] = json!(keys);
                configuration["rank"] = json!(bench.profile.rank);
                configuration["validation_prompts"] = json!(bench.profile.adapter.held_out);
                match members.as_slice() {
                    [] => format!("{target}: zero-shot"),
                    [(domains, seed)] => format!("{target}: {domains}, seed {seed}"),
                    several => {
                        let names: Vec<String> = several.iter().map(|(d, _)| d.to_string()).collect();
                        format!("{target}: merge of {}, seed {}", names.join(", "), several[0].1)
                    }
                }
            }
        };
        Ok(Cell::new(Kind::Ranking, label, configuration))
    }
}

/// The rankings behind a row, with their seeds; rows without randomness have one.
pub fn runs(method: Method, scenario: &Scenario, seeds: &[u64]) -> Vec<(u64, Scorer)> {
    match method {
        Method::Random => seeds
            .iter()
            .map(|seed| (*seed, Scorer::Random { seed: *seed }))
            .collect(),
        Method::Popularity => vec![(0, Scorer::Popularity)],
        Method::NextId => vec![(0, Scorer::NextId)],
        Method::PreviousId => vec![(0, Scorer::PreviousId)],
        Method::ZeroShot => vec![(0, Scorer::LanguageModel { members: Vec::new() })],
        Method::Adapters(recipe) => {
            let members = recipe.members(&scenario.weave());
            let merged = |seed: u64| {
                let mut members: Vec<AdapterKey> = members.iter().map(|d| (d.clone(), seed)).collect();
                members.sort();
                Scorer::LanguageModel { members }
            };
            seeds.iter().map(|seed| (*seed, merged(*seed))).collect()
        }
    }
}

/// The adapters that take part in the scenario's merges, each of which the diagnosis shows alone.
pub fn members(scenario: &Scenario) -> Vec<DomainSet> {
    let mut all: Vec<DomainSet> = [Recipe::NaiveMerge, Recipe::Weave]
        .iter()
        .flat_map(|r| r.members(&scenario.weave()))
        .collect();
    all.sort();
    all.dedup();
    all
}

/// The scorer that ranks with one adapter alone.
pub fn alone(domains: &DomainSet, seed: u64) -> Scorer {
    Scorer::LanguageModel {
        members: vec![(domains.clone(), seed)],
    }
}

fn adapter_cell(bench: &Bench, domains: &DomainSet, seed: u64) -> Result<Cell> {
    let data = domains
        .iter()
        .map(|name| Ok((name.to_string(), json!(bench.domain(name)?.fingerprint))))
        .collect::<Result<serde_json::Map<_, _>>>()?;
    let configuration = json!({
        "model": bench.model.fingerprint,
        "domains": data,
        "format": bench.profile.prepare.format,
        "adapter": bench.profile.adapter,
        "seed": seed,
    });
    Ok(Cell::new(
        Kind::Adapter,
        format!("{domains}, seed {seed}"),
        configuration,
    ))
}
