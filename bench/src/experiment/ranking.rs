//! Runs a ranking: every candidate of every user that is ranked, or that chooses, is scored, and the scores are kept.

use std::collections::HashSet;
use std::time::Instant;

use anyhow::{Context, Result};

use super::backbone::LanguageModel;
use super::case::Cases;
use super::cell::{Choice, Ranking, Recall, ScoredCase};
use super::domain::{DomainData, candidate_hash};
use super::encoder::Encoder;
use super::item_vectors::study;
use super::likelihood::{self, Likelihood};
use super::materials::{Bench, Materials};
use super::measured::Measuring;
use super::merged::Merged;
use super::plan::{RankingCell, Scorer};
use super::replicate;
use super::schedule::Finished;
use super::weighing::{self, Weighing};
use super::workshop::Workshop;
use crate::cut::Cut;
use crate::method::{self, Asked, Fitted, Fitting, How, MergeBy};
use crate::metric::{Place, place};
use crate::progress::Meter;
use crate::protocol::union;
use crate::weight_curve::WeightCurve;
use weaverec_model::recommender::{self, Recommender, Vectors};
use weaverec_pipeline::schema::{Prompt, PromptFormat, Split};

/// Histories that go through a recommender at one time.
const BATCH: usize = 64;

/// One user who is to be scored.
pub(super) struct Subject<'a> {
    /// The prompt.
    pub prompt: &'a Prompt,
    /// The part that the user plays.
    pub cut: Cut,
    /// All that the user had before.
    pub history: &'a [u32],
    /// Of all protocols.
    pub candidates: Vec<u32>,
    /// Those of each candidate.
    pub protocols: Vec<u8>,
}

/// The scores of one user under one scale.
pub(super) struct Scores {
    /// Which of the subjects.
    pub subject: usize,
    /// What the merged update was multiplied by.
    pub scale: f32,
    /// Of every candidate.
    pub scores: Vec<f32>,
    /// Of every candidate after neutral histories, or none.
    pub neutral: Vec<f32>,
    /// Tokens of every candidate, or none.
    pub tokens: Vec<u32>,
    /// Where the target stands in the whole catalogue, if that was scored.
    pub catalogue: Option<Place>,
}

/// What scoring came to.
#[derive(Default)]
pub(super) struct Scored {
    /// Of the reported users first, in order.
    pub scores: Vec<Scores>,
    /// Of scoring the reported users alone, at scale 1.
    pub seconds: f64,
    pub validation_loss: Option<f64>,
    pub selection_loss: Option<f64>,
    pub invalid_output_rate: Option<f64>,
    pub recall: Option<Recall>,
    pub choices: Vec<Choice>,
    /// What was found along the weights that were tried, where they were on a grid.
    pub weights: Option<WeightCurve>,
}

/// Scores a target's users by one row and replicate. `reader` is the language model and what words prompts for it, if one takes part.
///
/// # Errors
/// A row that needs a language model where there is none, an adapter whose weights are not here, or a device that fails.
pub fn rank(
    bench: &Bench,
    ranking: &RankingCell,
    reader: Option<(&LanguageModel, &Encoder)>,
    materials: &Materials,
    workshop: &Workshop,
) -> Result<Finished<'static>> {
    let target = materials.domain(&ranking.target)?;
    let (profile, meter) = (&bench.study.profile, Meter::start(ranking.cell.label.clone()));
    let format = profile.prepare.format;
    let mut subjects = subjects(&target.ranked, profile.report_on, Split::Test, target, format)?;
    let calibrating = |most: usize| &target.calibration[..target.calibration.len().min(most)];
    let choosing =
        |calibration| self::subjects(calibration, Cut::Calibration, Split::Validation, target, format);
    let scored = match &ranking.scorer {
        Scorer::Counted { method, drawn } => {
            subjects.extend(choosing(calibrating(usize::MAX))?);
            let seed = drawn.map_or(0, replicate::random_seed);
            let vectors = match by_vectors(method) && !profile.vectors.is_default() {
                true => Some(study::of_domain(materials.vectors()?, &ranking.target)?),
                false => None,
            };
            counted(method, seed, (target, vectors), &subjects, profile.report_on)?
        }
        Scorer::Fitted { .. } => {
            subjects.extend(choosing(calibrating(usize::MAX))?);
            let fitted = bench
                .plan
                .recommender(&(ranking.target.clone(), ranking.scorer.clone()));
            let fitted = fitted.context("the recommender of this ranking is not planned")?;
            let folder = workshop.recommender(&fitted.cell).with_context(|| {
                format!(
                    "the weights of {} ({}) are not here: delete its folder to fit it again",
                    fitted.cell.label, fitted.cell.key
                )
            })?;
            let recommender = recommender::load(&folder)?;
            by_recommender(&*recommender, target, &subjects, profile.report_on, &meter)?
        }
        Scorer::LanguageModel {
            base,
            members,
            by,
            stranger,
        } => {
            let (model, encoder) = reader.context("this profile has no language model")?;
            let calibration = calibrating(profile.rank.calibration);
            if calibration.len() >= crate::scoring::LEAST {
                subjects.extend(choosing(calibration)?);
            }
            let adapters = likelihood::adapters(bench, members, workshop)?;
            let (mut choices, mut weights) = (Vec::new(), None);
            let merged = match by {
                None => Merged::Mean(&adapters),
                Some(MergeBy::Rule(rule)) => {
                    let measuring = Measuring {
                        model,
                        format,
                        materials,
                        members,
                    };
                    let place = workshop.store.folder(&ranking.cell);
                    let measured = measuring.of(*rule, &adapters, &place)?;
                    let own = match rule.settings()?.contains_key(method::TARGET) {
                        true => weighing::own(members, target)?,
                        false => 0,
                    };
                    Merged::by_rule(&adapters, *rule, measured.as_ref(), own, *base)?
                }
                Some(MergeBy::Weights(settings)) => {
                    let weighing = Weighing {
                        profile,
                        model,
                        encoder,
                        target,
                        materials,
                        members,
                        meter: &meter,
                    };
                    let weighed = weighing.merged(&adapters, method::weights(settings)?)?;
                    choices.extend(weighed.choice);
                    weights = weighed.curve;
                    weighed.merged
                }
            };
            let likelihood = Likelihood {
                profile,
                merged,
                model,
                encoder,
                target,
                meter: &meter,
                stranger: *stranger,
            };
            let mut scored = likelihood.score(&subjects)?;
            scored.choices.extend(choices);
            scored.weights = weights;
            scored
        }
    };
    meter.finish(format!("{} users", target.ranked.len()));
    result(bench, target, &subjects, scored)
}

/// The users of these prompts, each with what came before.
fn subjects<'a>(
    prompts: &'a [Prompt],
    cut: Cut,
    split: Split,
    target: &'a DomainData,
    format: PromptFormat,
) -> Result<Vec<Subject<'a>>> {
    let subject = |prompt: &'a Prompt| {
        let (candidates, protocols) = union(prompt, format);
        let history = target.histories.before(split, prompt)?;
        Ok(Subject {
            history,
            prompt,
            cut,
            candidates,
            protocols,
        })
    };
    prompts.iter().map(subject).collect()
}

/// Scores by what a row counts: candidates, and the whole catalogue without what the user had.
fn counted(
    method: &str,
    seed: u64,
    (target, vectors): (&DomainData, Option<&Vectors>),
    subjects: &[Subject],
    report_on: Cut,
) -> Result<Scored> {
    let choosing = subjects.iter().filter(|subject| subject.cut == Cut::Calibration);
    let calibration: Vec<Asked> = choosing.map(asked).collect();
    let fitted = fitted(method, seed, (target, vectors), &calibration)?;
    let mut scored = Scored {
        choices: fitted.choices,
        ..Scored::default()
    };
    for (number, subject) in subjects.iter().enumerate() {
        let user = subject.prompt.user_id.as_str();
        let scoring = Instant::now();
        let scores = fitted.scores.scores(user, subject.history, &subject.candidates);
        let reported = subject.cut == report_on;
        if reported {
            scored.seconds += scoring.elapsed().as_secs_f64();
        }
        let catalogue = reported.then(|| {
            let items = catalogue(subject, target.items.len());
            let at = items.iter().position(|item| *item == subject.prompt.target);
            let scores = fitted.scores.scores(user, subject.history, &items);
            at.map_or(Place::MISS, |at| place(&scores, at))
        });
        scored.scores.push(Scores {
            subject: number,
            scale: 1.0,
            scores,
            neutral: Vec::new(),
            tokens: Vec::new(),
            catalogue,
        });
    }
    Ok(scored)
}

/// Scores by a fitted recommender, which scores the whole catalogue at one time: candidates, and all items without what the user had.
fn by_recommender(
    recommender: &dyn Recommender,
    target: &DomainData,
    subjects: &[Subject],
    report_on: Cut,
    meter: &Meter,
) -> Result<Scored> {
    let items = target.items.len();
    let mut scored = Scored::default();
    let mut room = vec![0.0; subjects.len().min(BATCH) * items];
    for (batch, chunk) in subjects.chunks(BATCH).enumerate() {
        let histories: Vec<&[u32]> = chunk.iter().map(|subject| subject.history).collect();
        let all = &mut room[..chunk.len() * items];
        let scoring = Instant::now();
        recommender.scores(&histories, all)?;
        let seconds = scoring.elapsed().as_secs_f64() / chunk.len() as f64;
        for (number, (subject, all)) in chunk.iter().zip(all.chunks(items)).enumerate() {
            let of = |ids: &[u32]| -> Vec<f32> { ids.iter().map(|id| all[*id as usize - 1]).collect() };
            let reported = subject.cut == report_on;
            if reported {
                scored.seconds += seconds;
            }
            let catalogue = reported.then(|| {
                let among = catalogue(subject, items);
                let at = among.iter().position(|item| *item == subject.prompt.target);
                at.map_or(Place::MISS, |at| place(&of(&among), at))
            });
            scored.scores.push(Scores {
                subject: batch * BATCH + number,
                scale: 1.0,
                scores: of(&subject.candidates),
                neutral: Vec::new(),
                tokens: Vec::new(),
                catalogue,
            });
        }
        meter.update(scored.scores.len() as u64, subjects.len() as u64, || {
            "users".into()
        });
    }
    Ok(scored)
}

/// What a calibration user is asked when a row is fitted.
fn asked(subject: &Subject) -> Asked {
    Asked {
        user: subject.prompt.user_id.clone(),
        history: subject.history.to_vec(),
        target: subject.prompt.target,
        candidates: match subject.prompt.binned.is_empty() {
            true => subject.prompt.candidates.clone(),
            false => subject.prompt.binned.clone(),
        },
    }
}

fn fitted<'a>(
    method: &str,
    seed: u64,
    (target, vectors): (&'a DomainData, Option<&'a Vectors>),
    calibration: &'a [Asked],
) -> Result<Fitted<'a>> {
    let row = method::named(method).with_context(|| format!("{method} is no row"))?;
    let How::Counted(row) = row.how() else {
        anyhow::bail!("{method} counts nothing");
    };
    row.fit(&Fitting {
        items: &target.items,
        log: &target.log,
        vectors,
        calibration,
        seed,
    })
}

/// Whether a row counts, and reads vectors of the items where a profile says how they are made.
pub fn by_vectors(method: &str) -> bool {
    let how = method::named(method).map(|row| row.how());
    matches!(how, Some(How::Counted(row)) if row.reads_vectors())
}

/// The scores of all items by a row that counts, item 1 first, for each of the users that are ranked; items of the history are scored like
/// all others.
///
/// # Errors
/// A row that counts nothing, or a domain that it cannot be fitted to.
pub fn catalogue_scores(
    method: &str,
    seed: u64,
    (target, vectors): (&DomainData, Option<&Vectors>),
    format: PromptFormat,
) -> Result<Vec<Vec<f32>>> {
    let choosing = subjects(
        &target.calibration,
        Cut::Calibration,
        Split::Validation,
        target,
        format,
    )?;
    let calibration: Vec<Asked> = choosing.iter().map(asked).collect();
    let fitted = fitted(method, seed, (target, vectors), &calibration)?;
    let items: Vec<u32> = (1..).take(target.items.len()).collect();
    let scores = |prompt: &Prompt| {
        let history = target.histories.before(Split::Test, prompt)?;
        Ok(fitted.scores.scores(&prompt.user_id, history, &items))
    };
    target.ranked.iter().map(scores).collect()
}

/// The same by a fitted recommender, to the bit as they were when its ranking was recorded.
///
/// # Errors
/// One of another catalogue.
pub fn catalogue_scores_by(recommender: &dyn Recommender, target: &DomainData) -> Result<Vec<Vec<f32>>> {
    let (items, ranked) = (target.items.len(), target.ranked.len());
    let before = |split| move |prompt| target.histories.before(split, prompt);
    let histories = target.ranked.iter().map(before(Split::Test));
    // Whose scores are rounded with whose is as it was then: those who calibrate came after the ranked users, and fill their last batch.
    let beside = target.calibration.iter().map(before(Split::Validation));
    let whole = histories.chain(beside).take(ranked.next_multiple_of(BATCH));
    let histories: Vec<&[u32]> = whole.collect::<Result<_>>()?;
    let mut all = Vec::with_capacity(histories.len());
    for chunk in histories.chunks(BATCH) {
        let mut scores = vec![0.0; chunk.len() * items];
        recommender.scores(chunk, &mut scores)?;
        all.extend(scores.chunks(items).map(<[f32]>::to_vec));
    }
    all.truncate(ranked);
    Ok(all)
}

/// All items but those that the user had, the target among them even if it is a repeat.
pub(super) fn catalogue(subject: &Subject, items: usize) -> Vec<u32> {
    let had: HashSet<u32> = subject.history.iter().copied().collect();
    (1..=items as u32)
        .filter(|item| *item == subject.prompt.target || !had.contains(item))
        .collect()
}

/// The record of a ranking: its scores with all that is needed to rank by them, and the hash of what was scored.
fn result(
    bench: &Bench,
    target: &DomainData,
    subjects: &[Subject],
    scored: Scored,
) -> Result<Finished<'static>> {
    let count = |id: &u32| {
        let item = target.items.get(*id as usize - 1);
        item.map_or(0, |item| item.train_count)
    };
    let looks = Cases::of(&target.items);
    let mut cases = Vec::new();
    for scores in scored.scores {
        let subject = &subjects[scores.subject];
        let prompt = subject.prompt;
        let at = subject.candidates.iter().position(|c| *c == prompt.target);
        let at = at.with_context(|| {
            format!(
                "the target of user {} is not among the candidates",
                prompt.user_id
            )
        })?;
        let case = looks.case(prompt);
        cases.push(ScoredCase {
            user_id: prompt.user_id.clone(),
            cut: subject.cut,
            scale: scores.scale,
            target: u32::try_from(at)?,
            popularity: subject.candidates.iter().map(count).collect(),
            candidates: subject.candidates.clone(),
            protocols: subject.protocols.clone(),
            scores: scores.scores,
            neutral: scores.neutral,
            tokens: scores.tokens,
            catalogue: scores.catalogue,
            // Not what is shown of it: strata are of how much a user had.
            history: u32::try_from(subject.history.len())?,
            descends: case.descends,
            ties: case.ties,
        });
    }
    let manifest = target.folder.manifest();
    let ranking = Ranking {
        candidate_hash: scored_hash(&cases, bench.study.profile.report_on),
        split: manifest.split.clone(),
        order: manifest.order(),
        rank_seconds: scored.seconds,
        validation_loss: scored.validation_loss,
        selection_loss: scored.selection_loss,
        invalid_output_rate: scored.invalid_output_rate,
        recall: scored.recall,
        cases,
    };
    Ok(Finished {
        ranking: Some(ranking),
        choices: scored.choices,
        weights: scored.weights,
        ..Finished::default()
    })
}

/// The hash of the reported users and of the candidates that were scored, from the scores themselves.
pub fn scored_hash(cases: &[ScoredCase], report_on: Cut) -> String {
    let reported = cases
        .iter()
        .filter(|case| case.cut == report_on && case.scale == 1.0);
    candidate_hash(reported.map(|case| {
        let target = case.candidates.get(case.target as usize);
        (
            case.user_id.as_str(),
            target.copied().unwrap_or(0),
            case.candidates.as_slice(),
        )
    }))
}
