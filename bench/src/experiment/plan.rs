//! What a study comes to: units, each a scenario and a replicate, and the cells that they need, each once. A plan is made from the
//! study's record alone.

mod adapter;
mod ranking;
mod scorer;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

pub use self::adapter::{AdapterCell, AdapterKey};
pub use self::ranking::{RankingCell, RankingKey};
pub use self::scorer::{Scorer, alone, inapplicable, members, rows, scorer};
use super::cell::Cell;
use super::pretraining;
use super::recommender::{self, RecommenderCell, RecommenderKey};
use super::replicate::Replicate;
use super::study_record::StudyRecord;
use super::work::Work;

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
                let cell = pretraining::cell(
                    own,
                    &study.profile,
                    study.study(),
                    (&study.facts.fingerprints(), study.facts.vectors.as_ref()),
                    replicate,
                );
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
                for row in scorer::ranked(study, of)? {
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
                self.adapters
                    .insert(member.clone(), adapter::cell(study, member)?);
            }
        }
        if let Some(fitted) = key.1.fitted(&key.0)
            && !self.recommenders.contains_key(&fitted)
        {
            let cell = recommender::cell(study, &fitted)?;
            self.recommenders.insert(fitted, cell);
        }
        let cell = ranking::cell(self, study, key)?;
        self.rankings.insert(key.clone(), cell);
        Ok(())
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
        let mut seen = BTreeSet::new();
        cells.retain(|cell| seen.insert((cell.kind, &cell.key)));
        cells
    }
}
