//! Recommenders that are fitted by gradients: the cell of each, how it is fitted, and on whom its epoch is chosen.

mod work;

use anyhow::{Context, Result, bail};
use serde_json::json;
use weaverec_model::recommender::{self, Course, Data, System};
use weaverec_model::train::{Checkpoint, Outcome};
use weaverec_output::write_file;
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::Split;

pub use self::work::ranking;

use super::cell::{Cell, Choice, Epochs, Kind, Training};
use super::cut::{Cut, First, Lot};
use super::materials::{Bench, Materials};
use super::replicate::{self, Replicate, written};
use super::runner::Workshop;
use super::schedule::Finished;
use super::study_record::StudyRecord;
use super::work::Work;
use crate::method::log::{Histories, Log};
use crate::method::{self, How};
use crate::output::{CURVE, RECOMMENDER};
use crate::progress::Meter;

/// Most users who choose an epoch.
pub const CHOOSING: usize = 1000;

/// Names a recommender: the domain that it is fitted to, its row, and the replicate.
pub type RecommenderKey = (String, &'static str, Replicate);

/// A recommender to fit.
#[derive(Clone, Debug)]
pub struct RecommenderCell {
    /// Its cell.
    pub cell: Cell,
    /// The domain that it is fitted to.
    pub target: String,
    /// The system with its settings, how long it is fitted among them.
    pub system: System,
    /// What it is drawn from.
    pub seed: u64,
    /// What there is to compute.
    pub work: Work,
}

/// The cell of a recommender.
///
/// # Errors
/// A row that is not fitted, or a domain that the record lacks.
pub fn cell(study: &StudyRecord, (target, method, replicate): &RecommenderKey) -> Result<RecommenderCell> {
    let row = method::named(method).with_context(|| format!("{method} is no row"))?;
    let How::Fitted { system } = row.how() else {
        bail!("{method} is not fitted");
    };
    let (system, domain) = (system(), study.domain(target)?);
    let seed = replicate::recommender_seed(*replicate);
    let configuration = json!({
        "system": system,
        "domains": { target: domain.fingerprint },
        "selection": { "cut_seed": study.profile.cut_seed, "most": CHOOSING },
        "seed": written(seed),
    });
    let label = format!("{} fitted to {target}, replicate {replicate}", row.label());
    Ok(RecommenderCell {
        cell: Cell::new(Kind::Recommender, label, configuration),
        target: target.clone(),
        work: work::planned(&system, domain),
        system,
        seed,
    })
}

/// Fits the recommender of a cell.
///
/// # Errors
/// A domain that nothing can be fitted to, or a training that has to stop.
pub fn fit(
    bench: &Bench,
    cell: &RecommenderCell,
    materials: &Materials,
    workshop: &Workshop,
) -> Result<Finished<'static>> {
    let domain = materials.domain(&cell.target)?;
    let validation = choosing(
        &domain.folder,
        &domain.histories,
        bench.study.profile.cut_seed,
        CHOOSING,
    )?;
    let checkpoint = Checkpoint::new(workshop.store.checkpoint(&cell.cell), &domain.fingerprint);
    let request = Request {
        system: &cell.system,
        log: &domain.log,
        validation: &validation,
        seed: cell.seed,
        checkpoint: &checkpoint,
    };
    let Fitted {
        recommender,
        training,
        choices,
    } = fitted(&request, Meter::start(cell.cell.label.clone()))?;
    let curve = curve(&training);
    Ok(Finished {
        training: Some(training),
        choices,
        artefacts: Some(Box::new(move |folder| {
            write_file(&folder.join(CURVE), curve.as_bytes())?;
            Ok(recommender.save(&folder.join(RECOMMENDER))?)
        })),
        ..Finished::default()
    })
}

/// The users who choose the epoch, with what they had before and what came next: those of the selection part with a validation target, `most`
/// of them, by lot. Nothing is reported on them, and they choose nothing else.
///
/// # Errors
/// A folder that cannot be read, or histories of another one.
pub fn choosing(
    folder: &Prepared,
    histories: &Histories,
    cut_seed: u64,
    most: usize,
) -> Result<Vec<(Vec<u32>, u32)>> {
    let manifest = folder.manifest();
    let key = manifest.parameters.domain_name(&manifest.dataset);
    let mut first = First::new(most);
    folder.each_prompt(Split::Validation, |row| {
        let lot = Lot::of(cut_seed, &key, row.user_id);
        if lot.cut() == Cut::Selection {
            first.offer(lot, || row.to_prompt());
        }
        Ok(())
    })?;
    let mut found = Vec::new();
    for prompt in first.into_vec() {
        let history = histories.before(Split::Validation, &prompt)?;
        if !history.is_empty() {
            found.push((history.to_vec(), prompt.target));
        }
    }
    Ok(found)
}

/// A fit that is asked for.
pub struct Request<'a> {
    /// The system with its settings.
    pub system: &'a System,
    /// What it is fitted to.
    pub log: &'a Log,
    /// Who chooses the epoch.
    pub validation: &'a [(Vec<u32>, u32)],
    /// Of all that is drawn.
    pub seed: u64,
    /// Where an interrupted fit goes on from.
    pub checkpoint: &'a Checkpoint,
}

/// What came of a fit.
pub struct Fitted {
    /// The recommender.
    pub recommender: Box<dyn recommender::Recommender>,
    /// What the fit took.
    pub training: Training,
    /// The epoch, where somebody chose it.
    pub choices: Vec<Choice>,
}

/// Fits a recommender and says how far it is.
///
/// # Errors
/// A domain that nothing can be fitted to, settings that cannot be trained, or a training that has to stop.
pub fn fitted(request: &Request, meter: Meter) -> Result<Fitted> {
    let Request {
        system,
        log,
        validation,
        seed,
        checkpoint,
    } = *request;
    let examples = check(log)?;
    let data = Data {
        items: log.items(),
        train: log.sequences(),
        validation,
        vectors: None,
    };
    let mut reached = Vec::new();
    let course = Course {
        seed,
        checkpoint: Some(checkpoint),
        progress: &mut |p| {
            reached.push((p.step, p.seconds));
            meter.update(p.step as u64, p.total as u64, || {
                format!(
                    "loss {:.3}, {:.0} items/s",
                    p.loss,
                    p.tokens as f64 / p.seconds.max(1e-9)
                )
            });
        },
    };
    let (recommender, outcome) = recommender::fit(system, &data, course)?;
    // Epochs are of the same number of steps.
    let steps_an_epoch = outcome.steps / outcome.epochs.max(1);
    let ended = |step: usize| {
        (steps_an_epoch > 0 && step.is_multiple_of(steps_an_epoch)).then(|| step / steps_an_epoch)
    };
    let epochs = Epochs {
        seconds: reached
            .into_iter()
            .filter_map(|(step, seconds)| Some((ended(step)?, seconds)))
            .collect(),
        ndcg: outcome.ndcg,
        best: outcome.best_epoch,
        all: outcome.epochs,
        stopped_early: outcome.stopped_early,
        parameters: outcome.parameters,
    };
    let chosen = format!("{} of {}", epochs.best, epochs.all);
    let best = epochs.chosen();
    meter.finish(match best {
        Some(ndcg) => format!("epoch {chosen}, NDCG@10 {ndcg:.3} of {} users", validation.len()),
        None => format!("{} epochs, nobody to choose one", epochs.all),
    });
    let choices = best.map(|_| Choice {
        what: "epoch".into(),
        value: chosen.into(),
        cut: Cut::Selection,
        users: validation.len(),
    });
    let flops = work::done(system, log, outcome.tokens, epochs.ndcg.len() * validation.len());
    Ok(Fitted {
        recommender,
        choices: choices.into_iter().collect(),
        training: Training {
            examples,
            flops,
            outcome: Outcome {
                steps: outcome.steps,
                best_step: steps_an_epoch * epochs.best,
                tokens: outcome.tokens,
                seconds: outcome.seconds,
                curve: outcome.curve,
                ..Outcome::default()
            },
            epochs: Some(epochs),
        },
    })
}

/// The users that something can be learnt from; a domain that nothing can be learnt from is refused.
fn check(log: &Log) -> Result<usize> {
    if log.items() < 2 {
        bail!(
            "the catalogue has {} item(s): there is nothing to choose among; prepare the domain with a lower item core",
            log.items()
        );
    }
    let users = log.sequences().iter().filter(|items| items.len() > 1).count();
    if users == 0 {
        bail!(
            "none of {} users has two items in the training part, so that nothing follows anything: prepare the domain with a higher user core, \
             or with a later cut",
            log.sequences().len()
        );
    }
    Ok(users)
}

/// The course of a fit, as JSON lines: that of its [training](weaverec_model::train::Outcome::json_lines), then `epoch` and `ndcg@10` of
/// every look at the users who choose, with the `seconds` that the fit had taken when it had gone through the epoch, where it is known.
pub fn curve(training: &Training) -> String {
    let mut lines = training.outcome.json_lines();
    if let Some(epochs) = &training.epochs {
        for (epoch, ndcg) in &epochs.ndcg {
            let mut line = json!({ "epoch": epoch, "ndcg@10": ndcg });
            if let Some((_, seconds)) = epochs.seconds.iter().find(|(ended, _)| ended == epoch) {
                line["seconds"] = json!(seconds);
            }
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
    }
    lines
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use weaverec_model::device::Compute;

    use super::super::environment::Environment;
    use super::super::profile::{Backbone, Profile};
    use super::super::stated;
    use super::*;

    #[test]
    fn a_fitted_row_is_a_cell_a_domain_and_replicate_and_moves_no_other_cell() {
        let here = Environment::here(2, Compute::default());
        let bench = |more: &[&str]| {
            let mut profile = Profile::load("paper").unwrap();
            profile.methods.extend(more.iter().map(|row| (*row).to_owned()));
            stated::bench(&profile, &profile.studies[0], &here).unwrap()
        };
        let keys = |bench: &Bench| -> BTreeSet<String> {
            let units = bench.plan.units.iter();
            units
                .flat_map(|unit| bench.plan.cells(unit))
                .map(|cell| cell.key.clone())
                .collect()
        };
        let (plain, fitted) = (bench(&[]), bench(&["sasrec", "gru4rec"]));
        assert!(plain.plan.recommenders.is_empty());
        // Four domains are targets, of several scenarios each.
        let fits = 2 * 4 * fitted.study.profile.replicates as usize;
        assert_eq!(fitted.plan.recommenders.len(), fits);
        let (before, after) = (keys(&plain), keys(&fitted));
        assert!(before.is_subset(&after));
        assert_eq!(after.len(), before.len() + 2 * fits, "a fit and its ranking");
        for recommender in fitted.plan.recommenders.values() {
            assert!(recommender.work.flops > 0.0 && recommender.work.tokens > 0);
        }
        // Whoever needs a fit comes after it.
        let cells = fitted.plan.cells(&fitted.plan.units[0]);
        let last = cells.iter().rposition(|cell| cell.kind == Kind::Recommender);
        let first = cells.iter().position(|cell| cell.kind == Kind::Ranking);
        assert!(last.unwrap() < first.unwrap());
    }

    #[test]
    fn without_a_language_model_sources_bring_no_adapters() {
        let mut profile = Profile::load("paper").unwrap();
        profile.backbone = Backbone::None;
        profile.methods = vec!["popularity".into(), "sasrec".into()];
        for scenario in &mut profile.studies[0].scenarios {
            scenario.also = Vec::new();
        }
        assert!(
            profile.studies[0]
                .scenarios
                .iter()
                .all(|scenario| !scenario.sources.is_empty())
        );
        let here = Environment::here(2, Compute::default());
        let bench = stated::bench(&profile, &profile.studies[0], &here).unwrap();
        assert!(bench.plan.adapters.is_empty());
        assert_eq!(bench.plan.recommenders.len(), 4 * profile.replicates as usize);
    }

    #[test]
    fn the_profile_of_rivals_can_be_read() {
        let profile = Profile::load("profiles/rivals.toml").unwrap();
        let units: usize = profile.studies.iter().map(|study| study.scenarios.len()).sum();
        assert!(units * profile.replicates as usize <= 6);
    }

    #[test]
    fn a_curve_says_when_an_epoch_ended_where_that_is_known() {
        let epochs = Epochs {
            ndcg: vec![(1, 0.25), (2, 0.5)],
            best: 2,
            all: 2,
            stopped_early: false,
            parameters: 9,
            seconds: vec![(2, 7.5)],
        };
        let curve = curve(&Training {
            outcome: Outcome::default(),
            examples: 3,
            flops: 1.0,
            epochs: Some(epochs),
        });
        let lines: Vec<serde_json::Value> = curve
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            lines[lines.len() - 2..],
            [
                json!({ "epoch": 1, "ndcg@10": 0.25 }),
                json!({ "epoch": 2, "ndcg@10": 0.5, "seconds": 7.5 }),
            ]
        );
    }

    #[test]
    fn a_domain_that_nothing_can_be_learnt_from_is_refused_with_what_to_do() {
        let error = |sequences: &[&[u32]], items: usize| {
            let sequences = sequences.iter().map(|items| items.to_vec()).collect();
            check(&Log::new(sequences, items).unwrap())
                .unwrap_err()
                .to_string()
        };
        let one = error(&[&[1, 1]], 1);
        assert!(one.contains("1 item(s)") && one.contains("item core"), "{one}");
        let none = error(&[&[1], &[2], &[]], 2);
        assert!(
            none.contains("none of 3 users") && none.contains("user core"),
            "{none}"
        );
        let log = Log::new(vec![vec![1, 2], vec![2]], 2).unwrap();
        assert_eq!(check(&log).unwrap(), 1);
    }
}
