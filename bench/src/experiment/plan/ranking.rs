//! The cells of rankings.

use anyhow::{Context, Result};
use serde_json::json;

use super::super::cell::{Cell, Kind};
use super::super::recommender;
use super::super::replicate::{self, written};
use super::super::study_record::StudyRecord;
use super::super::work::Work;
use super::{Plan, Scorer};
use crate::method::{self, Method};

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

/// The cell of a ranking, whose adapters or recommender are among `plan`'s already.
pub(super) fn cell(plan: &Plan, study: &StudyRecord, (target, scorer): &RankingKey) -> Result<RankingCell> {
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
            let row = method::named(method);
            if study.facts.vectors.is_some() && row.is_some_and(method::reads_vectors) {
                configuration["vectors"] = recommender::space(study);
            }
            let label = row.map_or(*method, Method::label);
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
            let recommender = fitted.and_then(|fitted| plan.recommenders.get(&fitted));
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
                .filter_map(|member| plan.adapters.get(member))
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
            if let Some(most) = profile.prepare.most_tokens() {
                configuration["max_tokens"] = json!(most);
            }
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
