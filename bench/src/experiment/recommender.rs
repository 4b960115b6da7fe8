//! Recommenders that are fitted by gradients: the cell of each, how it is fitted, and on whom its epoch is chosen.

mod planned;
mod work;

use anyhow::{Context, Result, bail};
use serde_json::json;
use weaverec_model::recommender::{self, Course, Data, Source, System, Vectors};
use weaverec_model::train::{Checkpoint, Outcome};
use weaverec_output::write_file;
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::Split;

pub use self::planned::{RecommenderCell, RecommenderKey, cell, space};
pub use self::work::ranking;

use super::cell::{Choice, Epochs, Training};
use super::coded::described;
use super::item_vectors::study;
use super::materials::{Bench, Materials};
use super::schedule::Finished;
use super::workshop::Workshop;
use crate::cut::{Cut, First, Lot};
use crate::method::log::{Histories, Log};
use crate::output::{CURVE, RECOMMENDER};
use crate::progress::{Meter, say};

/// Most users who choose an epoch.
pub const CHOOSING: usize = 1000;

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
    let space = cell
        .system
        .needs()
        .vectors
        .then(|| materials.vectors())
        .transpose()?;
    let vectors_of = |name: &str| -> Result<Option<&Vectors>> {
        let Some(space) = space else {
            return Ok(None);
        };
        let found = study::of_domain(space, name)?;
        let missing = materials.domain(name)?.folder.manifest().titles_missing;
        study::check(name, missing, found)?;
        Ok(Some(found))
    };
    let source = |name: &String| -> Result<Source<'_>> {
        let log = &materials.domain(name)?.log;
        source(name, log, vectors_of(name)?)
    };
    let sources: Vec<Source> = cell.sources.iter().map(source).collect::<Result<_>>()?;
    let checkpoint = Checkpoint::new(workshop.store.checkpoint(&cell.cell), &domain.fingerprint);
    let request = Request {
        system: &cell.system,
        log: &domain.log,
        vectors: vectors_of(&cell.target)?,
        sources: &sources,
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
        codes: recommender.code_report().cloned(),
        artefacts: Some(Box::new(move |folder| {
            write_file(&folder.join(CURVE), curve.as_bytes())?;
            Ok(recommender.save(&folder.join(RECOMMENDER))?)
        })),
        ..Finished::default()
    })
}

/// A domain to learn from besides the target: its training part alone.
///
/// # Errors
/// One that nothing can be learnt from.
pub fn source<'a>(name: &str, log: &'a Log, vectors: Option<&'a Vectors>) -> Result<Source<'a>> {
    check(log.items(), log.sequences()).with_context(|| format!("the source {name}"))?;
    Ok(Source {
        items: log.items(),
        train: log.sequences(),
        vectors,
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
    /// Of its items, for systems that read them.
    pub vectors: Option<&'a Vectors>,
    /// Other domains, for systems that learn from them.
    pub sources: &'a [Source<'a>],
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
        vectors,
        sources,
        validation,
        seed,
        checkpoint,
    } = *request;
    let mut examples = check(log.items(), log.sequences())?;
    examples += sources.iter().map(|source| learners(source.train)).sum::<usize>();
    let data = Data {
        items: log.items(),
        train: log.sequences(),
        validation,
        vectors,
        sources,
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
    if let Some(codes) = recommender.code_report() {
        say(format!("  {}", described(codes)));
    }
    // Epochs are not of the same number of steps where a system is trained twice.
    let ends = outcome.epoch_steps;
    let ended = |step: usize| ends.binary_search(&step).ok().map(|place| place + 1);
    let best_step = outcome
        .best_epoch
        .checked_sub(1)
        .and_then(|place| ends.get(place));
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
    let flops = work::done(
        system,
        &data,
        outcome.tokens,
        epochs.ndcg.len() * validation.len(),
    );
    Ok(Fitted {
        recommender,
        choices: choices.into_iter().collect(),
        training: Training {
            examples,
            flops,
            outcome: Outcome {
                steps: outcome.steps,
                best_step: best_step.copied().unwrap_or(outcome.steps),
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
fn check(items: usize, sequences: &[Vec<u32>]) -> Result<usize> {
    if items < 2 {
        bail!(
            "the catalogue has {items} item(s): there is nothing to choose among; prepare the domain with a lower item core"
        );
    }
    match learners(sequences) {
        0 => bail!(
            "none of {} users has two items in the training part, so that nothing follows anything: prepare the domain with a higher user core, \
             or with a later cut",
            sequences.len()
        ),
        users => Ok(users),
    }
}

/// Users of whom something follows something.
fn learners(sequences: &[Vec<u32>]) -> usize {
    sequences.iter().filter(|items| items.len() > 1).count()
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
    use weaverec_model::device::Compute;

    use super::super::environment::Environment;
    use super::super::profile::{Backbone, Profile};
    use super::super::stated;
    use super::*;

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
        let profile = Profile::load("rivals").unwrap();
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

    /// Fits a system to twelve users of six items, with twenty of another domain beside.
    fn of_two_domains(system: &System) -> Training {
        let walk = |user: u32| (0..4).map(|step| (user + step) % 6 + 1).collect::<Vec<u32>>();
        let log = |users: u32| Log::new((0..users).map(walk).collect(), 6).unwrap();
        let vectors = Vectors {
            width: 3,
            values: (0..18u8).map(|place| f32::from(place * 7 % 11)).collect(),
        };
        let (own, theirs) = (log(12), log(20));
        let sources = [source("theirs", &theirs, Some(&vectors)).unwrap()];
        let validation = [(vec![1, 2], 3), (vec![4, 5], 6)];
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(folder.path().join("checkpoint"), "");
        let request = Request {
            system,
            log: &own,
            vectors: Some(&vectors),
            sources: &sources,
            validation: &validation,
            seed: 1,
            checkpoint: &checkpoint,
        };
        fitted(&request, Meter::start("a test")).unwrap().training
    }

    #[test]
    fn epochs_end_at_their_own_steps_in_one_training_and_in_two() {
        let schedule = json!({ "epochs": 3, "batch_size": 8 });
        // Steps of eight users: of both domains four an epoch, of the target two.
        for (system, ends) in [
            (
                json!({ "kind": "sasrec", "width": 8, "blocks": 1, "length": 5, "schedule": schedule }),
                vec![2, 4, 6],
            ),
            (
                json!({
                    "kind": "unisrec", "width": 8, "inner": 8, "blocks": 1, "length": 5, "schedule": schedule,
                    "pretraining": { "epochs": 2, "batch_size": 8 },
                }),
                vec![4, 8, 10, 12, 14],
            ),
            (
                json!({
                    "kind": "gencdr", "codes": { "size": 3 }, "width": 8, "inner": 8, "layers": 1, "heads": 2, "history": 5,
                    "train": { "learning_rate": 1e-3, "epochs": 2, "batch_size": 8 },
                }),
                vec![4, 8, 10, 12],
            ),
        ] {
            let training = of_two_domains(&serde_json::from_value(system.clone()).unwrap());
            let (outcome, epochs) = (&training.outcome, training.epochs.as_ref().unwrap());
            assert_eq!(
                (outcome.steps, epochs.all),
                (ends[ends.len() - 1], ends.len()),
                "{system}"
            );
            assert_eq!(outcome.best_step, ends[epochs.best - 1], "{system}");
            assert!(epochs.chosen().is_some(), "{system}");
            let steps: Vec<usize> = outcome.curve.iter().map(|(step, _)| *step as usize).collect();
            assert_eq!(steps, (1..=outcome.steps).collect::<Vec<_>>(), "{system}");
            let (told, seconds): (Vec<usize>, Vec<f64>) = epochs.seconds.iter().copied().unzip();
            assert_eq!(told, (1..=ends.len()).collect::<Vec<_>>(), "{system}");
            assert!(
                seconds.is_sorted() && seconds[seconds.len() - 1] <= outcome.seconds,
                "{system}: {seconds:?}, {}",
                outcome.seconds
            );
        }
    }

    #[test]
    fn a_domain_that_nothing_can_be_learnt_from_is_refused_with_what_to_do() {
        let error = |sequences: &[&[u32]], items: usize| {
            let sequences: Vec<Vec<u32>> = sequences.iter().map(|items| items.to_vec()).collect();
            check(items, &sequences).unwrap_err().to_string()
        };
        let one = error(&[&[1, 1]], 1);
        assert!(one.contains("1 item(s)") && one.contains("item core"), "{one}");
        let none = error(&[&[1], &[2], &[]], 2);
        assert!(
            none.contains("none of 3 users") && none.contains("user core"),
            "{none}"
        );
        assert_eq!(check(2, &[vec![1, 2], vec![2]]).unwrap(), 1);
        let log = Log::new(vec![vec![1], vec![2]], 2).unwrap();
        let error = format!("{:#}", source("films", &log, None).err().unwrap());
        assert!(error.starts_with("the source films: none of 2 users"), "{error}");
    }
}
