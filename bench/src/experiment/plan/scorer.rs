//! The rows of a scenario, and what ranks each.

use anyhow::{Result, bail};
use weaverec_model::weave::{Budget, Diet, Recipe, Supply};

use super::super::profile::{Backbone, Scenario};
use super::super::recommender::RecommenderKey;
use super::super::replicate::Replicate;
use super::super::study_record::StudyRecord;
use super::AdapterKey;
use crate::method::{self, How, MergeBy, Method};
use crate::scoring::LEAST;

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
    pub(super) fn fitted(&self, target: &str) -> Option<RecommenderKey> {
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
pub(super) fn ranked(study: &StudyRecord, scenario: &Scenario) -> Result<Vec<&'static dyn Method>> {
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
            // Too few choose no weights: then it is the uniform mean, ranked once for all rows that are. A grid is walked all the same, for
            // what it shows.
            let few = study.domain(&scenario.target)?.calibration < LEAST;
            let by = by.filter(|by| !(few && by.is_by_entropy()));
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
