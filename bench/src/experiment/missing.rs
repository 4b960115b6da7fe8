//! What there is to run of a unit, on this machine.

use std::collections::HashSet;

use anyhow::Result;

use super::cell::Cell;
use super::library::Library;
use super::materials::Bench;
use super::plan::{AdapterCell, BackboneCell, RankingCell, Unit};
use super::recommender::RecommenderCell;
use super::work::Work;
use super::workshop::Workshop;

/// What is missing of a unit, here.
#[derive(Debug, Default)]
pub struct Missing<'a> {
    /// Backbones whose weights are not here and are needed.
    pub backbones: Vec<&'a BackboneCell>,
    /// Adapters of which there is no record, or whose weights are not here and are needed.
    pub adapters: Vec<&'a AdapterCell>,
    /// Recommenders of which there is no record, or whose weights are not here and are needed.
    pub recommenders: Vec<&'a RecommenderCell>,
    /// Rankings of which there is no record.
    pub rankings: Vec<&'a RankingCell>,
}

impl<'a> Missing<'a> {
    /// Of these units, each cell once. Only what a missing ranking needs is missing: the records of a finished unit are enough, wherever
    /// it was run.
    ///
    /// # Errors
    /// A plan that lacks a cell.
    pub fn of(
        bench: &'a Bench,
        units: impl IntoIterator<Item = &'a Unit>,
        library: &Library,
        workshop: &Workshop,
    ) -> Result<Self> {
        let plan = &bench.plan;
        let mut missing = Missing::default();
        let mut seen = HashSet::new();
        for unit in units {
            for key in &unit.rankings {
                let ranking = plan.ranking(key)?;
                let unfinished = !library.has(&ranking.cell);
                if unfinished && seen.insert(&ranking.cell.key) {
                    missing.rankings.push(ranking);
                }
                let mut trains = false;
                for member in ranking.scorer.members() {
                    let adapter = plan.adapter(member)?;
                    let needed = match unfinished {
                        true => workshop.adapter(&adapter.cell).is_none(),
                        false => !library.has(&adapter.cell),
                    };
                    trains |= needed;
                    if needed && seen.insert(&adapter.cell.key) {
                        missing.adapters.push(adapter);
                    }
                }
                if let Some(recommender) = plan.recommender(key) {
                    let needed = match unfinished {
                        true => workshop.recommender(&recommender.cell).is_none(),
                        false => !library.has(&recommender.cell),
                    };
                    if needed && seen.insert(&recommender.cell.key) {
                        missing.recommenders.push(recommender);
                    }
                }
                let base = ranking.scorer.base();
                let Some(backbone) = base.and_then(|base| plan.backbones.get(&base)) else {
                    continue;
                };
                let needed = match unfinished || trains {
                    true => !workshop.store.has(&backbone.cell),
                    false => !library.has(&backbone.cell),
                };
                if needed && seen.insert(&backbone.cell.key) {
                    missing.backbones.push(backbone);
                }
            }
        }
        Ok(missing)
    }

    /// Every cell of it, with what there is to compute.
    pub fn cells(&self) -> Vec<(&'a Cell, Work)> {
        let backbones = self
            .backbones
            .iter()
            .map(|backbone| (&backbone.cell, backbone.work));
        let adapters = self.adapters.iter().map(|adapter| (&adapter.cell, adapter.work));
        let recommenders = self
            .recommenders
            .iter()
            .map(|recommender| (&recommender.cell, recommender.work));
        let rankings = self.rankings.iter().map(|ranking| (&ranking.cell, ranking.work));
        backbones
            .chain(adapters)
            .chain(recommenders)
            .chain(rankings)
            .collect()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.cells().is_empty()
    }
}
