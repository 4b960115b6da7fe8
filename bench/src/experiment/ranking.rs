//! Runs a ranking: every candidate of every user that is ranked is scored, and the scores are kept.

use std::time::Instant;

use anyhow::{Context, Result};
use weaverec_model::lora::Adapter;
use weaverec_model::merge;
use weaverec_model::train::mean_loss;

use super::backbone::LanguageModel;
use super::case::Cases;
use super::cell::{Ranking, ScoredCase};
use super::domain::{DomainData, candidate_hash};
use super::encoder::Encoder;
use super::materials::{Bench, Materials};
use super::plan::{RankingCell, Scorer};
use super::replicate;
use super::runner::Workshop;
use super::schedule::Finished;
use crate::method::{language_model, next_id, popularity, previous_id, random};
use crate::progress::Meter;

/// What scoring came to, for every user in order.
struct Scored {
    scores: Vec<Vec<f32>>,
    /// Tokens of every candidate, where there are any.
    tokens: Vec<Vec<u32>>,
    seconds: f64,
    validation_loss: Option<f64>,
    invalid_output_rate: Option<f64>,
}

/// Scores a target's users by one method and replicate.
///
/// # Errors
/// An adapter whose weights are not here, or a device that fails.
pub fn rank(
    bench: &Bench,
    ranking: &RankingCell,
    model: &LanguageModel,
    encoder: &Encoder,
    materials: &Materials,
    workshop: &Workshop,
) -> Result<Finished<'static>> {
    let target = materials.domain(&ranking.target)?;
    let meter = Meter::start(ranking.cell.label.clone());
    let counted = |scores: fn(&DomainData, u64) -> Vec<Vec<f32>>, seed: u64| {
        let scoring = Instant::now();
        let scores = scores(target, seed);
        Scored {
            tokens: vec![Vec::new(); scores.len()],
            scores,
            seconds: scoring.elapsed().as_secs_f64(),
            validation_loss: None,
            invalid_output_rate: None,
        }
    };
    let scored = match &ranking.scorer {
        Scorer::Random { replicate } => counted(
            |target, seed| random::scores(&target.ranked, seed),
            replicate::random_seed(*replicate),
        ),
        Scorer::Popularity => counted(|target, _| popularity::scores(&target.ranked, &target.items), 0),
        Scorer::NextId => counted(|target, _| next_id::scores(&target.ranked, &target.items), 0),
        Scorer::PreviousId => counted(|target, _| previous_id::scores(&target.ranked, &target.items), 0),
        Scorer::LanguageModel { members, .. } => {
            let adapters: Vec<Adapter> = members
                .iter()
                .map(|key| {
                    let cell = &bench.plan.adapter(key)?.cell;
                    let folder = workshop.adapter(cell);
                    Ok(Adapter::load(&folder.with_context(|| {
                        format!("the weights of {} are not in the store", cell.label)
                    })?)?)
                })
                .collect::<Result<_>>()?;
            by_likelihood(bench, &adapters, model, encoder, target, &meter)?
        }
    };
    meter.finish(format!("{} users", scored.scores.len()));
    Ok(Finished {
        ranking: Some(result(bench, target, scored)?),
        ..Finished::default()
    })
}

fn by_likelihood(
    bench: &Bench,
    adapters: &[Adapter],
    model: &LanguageModel,
    encoder: &Encoder,
    target: &DomainData,
    meter: &Meter,
) -> Result<Scored> {
    let profile = &bench.study.profile;
    let (config, format) = (&profile.rank, profile.prepare.format);
    let decoder = match adapters {
        [] => model.decoder.clone(),
        some => model
            .decoder
            .folded(&merge::uniform(&some.iter().collect::<Vec<_>>())?)?,
    };
    let diagnosis = encoder.examples(&target.diagnosis)?;
    let validation_loss = mean_loss(&decoder, &diagnosis, config.batch_tokens)?;
    let invalid_output_rate = language_model::invalid_output_rate(
        &decoder,
        encoder,
        &target.ranked,
        &target.items,
        config,
        format,
    )?;
    let queries = language_model::queries(encoder, &target.ranked, &target.items)?;
    let scoring = Instant::now();
    let scores = language_model::scores(&decoder, &queries, config, meter)?;
    let length = |candidate: &Vec<u32>| candidate.len() as u32;
    Ok(Scored {
        scores,
        tokens: queries
            .iter()
            .map(|query| query.candidates.iter().map(length).collect())
            .collect(),
        seconds: scoring.elapsed().as_secs_f64(),
        validation_loss,
        invalid_output_rate,
    })
}

/// The record of a ranking: its scores with all that is needed to rank by them, and the hash of what was scored.
fn result(bench: &Bench, target: &DomainData, scored: Scored) -> Result<Ranking> {
    let count = |id: &u32| {
        let item = target.items.get(*id as usize - 1);
        item.map_or(0, |item| item.train_count)
    };
    let looks = Cases::of(&target.items);
    let mut cases = Vec::new();
    let scores = scored.scores.into_iter().zip(scored.tokens);
    for (prompt, (scores, tokens)) in target.ranked.iter().zip(scores) {
        let at = prompt.candidates.iter().position(|c| *c == prompt.target);
        let at = at.with_context(|| {
            format!(
                "the target of user {} is not among the candidates",
                prompt.user_id
            )
        })?;
        let case = looks.case(prompt);
        cases.push(ScoredCase {
            user_id: prompt.user_id.clone(),
            cut: bench.study.profile.report_on,
            target: u32::try_from(at)?,
            popularity: prompt.candidates.iter().map(count).collect(),
            candidates: prompt.candidates.clone(),
            scores,
            neutral: Vec::new(),
            tokens,
            descends: case.descends,
            ties: case.ties,
        });
    }
    let manifest = target.folder.manifest();
    Ok(Ranking {
        candidate_hash: scored_hash(&cases),
        split: manifest.split.clone(),
        order: manifest.order(),
        rank_seconds: scored.seconds,
        validation_loss: scored.validation_loss,
        invalid_output_rate: scored.invalid_output_rate,
        cases,
    })
}

/// The hash of the users and candidates that were scored, from the scores themselves.
pub fn scored_hash(cases: &[ScoredCase]) -> String {
    candidate_hash(cases.iter().map(|case| {
        let target = case.candidates.get(case.target as usize);
        (
            case.user_id.as_str(),
            target.copied().unwrap_or(0),
            case.candidates.as_slice(),
        )
    }))
}
