//! Recommenders that are fitted by gradients: the cell of each, how it is fitted, and on whom its epoch is chosen.

mod work;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::json;
use weaverec_model::recommender::{self, Course, Data, Needs, Source, System, Vectors};
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
use super::store::Store;
use super::study_record::{DomainFacts, StudyRecord};
use super::vectors;
use super::work::Work;
use crate::method::log::{Histories, Log};
use crate::method::{self, How};
use crate::output::{CURVE, RECOMMENDER};
use crate::progress::Meter;

/// Most users who choose an epoch.
pub const CHOOSING: usize = 1000;

/// Names a recommender.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecommenderKey {
    /// The domain that it is fitted to.
    pub target: String,
    /// Its row.
    pub method: &'static str,
    /// The replicate.
    pub replicate: Replicate,
    /// The other domains that it learns from, in the order of their names; none for rows that read the target alone, which all scenarios of
    /// a target share.
    pub sources: Vec<String>,
}

/// A recommender to fit.
#[derive(Clone, Debug)]
pub struct RecommenderCell {
    /// Its cell.
    pub cell: Cell,
    /// The domain that it is fitted to.
    pub target: String,
    /// The other domains that it learns from.
    pub sources: Vec<String>,
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
pub fn cell(study: &StudyRecord, key: &RecommenderKey) -> Result<RecommenderCell> {
    let RecommenderKey {
        target,
        method,
        replicate,
        sources,
    } = key;
    let row = method::named(method).with_context(|| format!("{method} is no row"))?;
    let How::Fitted { system } = row.how() else {
        bail!("{method} is not fitted");
    };
    let system = system();
    let configuration = configuration(study, key, &system, system.needs())?;
    let with = match sources.as_slice() {
        [] => String::new(),
        _ => format!(" with {}", sources.join(" + ")),
    };
    let label = format!("{} fitted to {target}{with}, replicate {replicate}", row.label());
    let domains: Vec<&DomainFacts> = std::iter::once(target)
        .chain(sources)
        .map(|name| study.domain(name))
        .collect::<Result<_>>()?;
    Ok(RecommenderCell {
        cell: Cell::new(Kind::Recommender, label, configuration),
        target: target.clone(),
        sources: sources.clone(),
        work: work::planned(&system, &domains),
        system,
        seed: replicate::recommender_seed(*replicate),
    })
}

/// All that decides what comes of a fit. What a system does not read is not in it.
fn configuration(
    study: &StudyRecord,
    key: &RecommenderKey,
    system: &System,
    needs: Needs,
) -> Result<serde_json::Value> {
    let target = &key.target;
    let mut configuration = json!({
        "system": system,
        "domains": { target: study.domain(target)?.fingerprint },
        "selection": { "cut_seed": study.profile.cut_seed, "most": CHOOSING },
        "seed": written(replicate::recommender_seed(key.replicate)),
    });
    let fingerprints = |domains: Vec<&String>| -> Result<serde_json::Map<String, serde_json::Value>> {
        let of = |name: &String| Ok((name.clone(), json!(study.domain(name)?.fingerprint)));
        domains.into_iter().map(of).collect()
    };
    if needs.sources {
        configuration["sources"] = fingerprints(key.sources.iter().collect())?.into();
    }
    if needs.vectors {
        // One title more in any of the domains turns the space.
        let domains = fingerprints(study.facts.domains.keys().collect())?;
        configuration["vectors"] =
            json!({ "of": "titles", "settings": vectors::settings(), "domains": domains });
    }
    Ok(configuration)
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
        let found = vectors::of_domain(space, name)?;
        let missing = materials.domain(name)?.folder.manifest().titles_missing;
        vectors::check(name, missing, found)?;
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
    let course = Course {
        seed,
        checkpoint: Some(checkpoint),
        progress: &mut |p| {
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
    let epochs = Epochs {
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
    // Epochs are of the same number of steps.
    let steps_an_epoch = outcome.steps / epochs.all.max(1);
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

/// The folder of a recommender that was fitted here; none where only its record is at hand.
pub fn stored(store: &Store, cell: &Cell) -> Option<PathBuf> {
    let folder = store.folder(cell).join(RECOMMENDER);
    (store.has(cell) && folder.is_dir()).then_some(folder)
}

/// The course of a fit, as JSON lines: that of its [training](weaverec_model::train::Outcome::json_lines), then `epoch` and `ndcg@10` of
/// every look at the users who choose.
pub fn curve(training: &Training) -> String {
    let mut lines = training.outcome.json_lines();
    for (epoch, ndcg) in training.epochs.iter().flat_map(|epochs| &epochs.ndcg) {
        lines.push_str(&json!({ "epoch": epoch, "ndcg@10": ndcg }).to_string());
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use weaverec_model::device::Compute;
    use weaverec_model::recommender::Sasrec;

    use super::super::environment::Environment;
    use super::super::profile::Profile;
    use super::super::stated;
    use super::*;
    use crate::method::METHODS;

    /// The study of the paper, as it is stated, with more rows.
    fn paper(more: &[&str]) -> Bench {
        let here = Environment::here(2, Compute::default());
        let mut profile = Profile::load("paper").unwrap();
        profile.methods.extend(more.iter().map(|row| (*row).to_owned()));
        stated::bench(&profile, &profile.studies[0], &here).unwrap()
    }

    #[test]
    fn a_fitted_row_is_a_cell_a_domain_and_replicate_and_moves_no_other_cell() {
        let keys = |bench: &Bench| -> BTreeSet<String> {
            let units = bench.plan.units.iter();
            units
                .flat_map(|unit| bench.plan.cells(unit))
                .map(|cell| cell.key.clone())
                .collect()
        };
        let (plain, fitted) = (paper(&[]), paper(&["sasrec", "gru4rec"]));
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

    #[test]
    fn what_a_system_reads_is_in_its_key_and_nothing_else() {
        let study = paper(&[]).study;
        let key = |sources: &[&str]| RecommenderKey {
            target: "beauty".into(),
            method: "tiger",
            replicate: 0,
            sources: sources.iter().map(|name| (*name).to_owned()).collect(),
        };
        let of = |study: &StudyRecord, sources: &[&str], needs| {
            let system = System::Sasrec(Sasrec::default());
            configuration(study, &key(sources), &system, needs).unwrap()
        };
        let names = |found: &serde_json::Value| -> Vec<String> {
            found.as_object().unwrap().keys().cloned().collect()
        };
        let plain = of(&study, &[], Needs::default());
        assert_eq!(names(&plain), ["domains", "seed", "selection", "system"]);
        let both = Needs {
            vectors: true,
            sources: true,
        };
        let whole = of(&study, &["grocery"], both);
        assert_eq!(names(&whole["domains"]), ["beauty"]);
        assert_eq!(names(&whole["sources"]), ["grocery"]);
        let all: Vec<String> = study.facts.domains.keys().cloned().collect();
        assert!(all.len() > 2 && names(&whole["vectors"]["domains"]) == all);
        assert_eq!(whole["vectors"]["settings"]["width"], 256);
        assert_ne!(whole, of(&study, &["sports"], both));
        // Another preparation of a domain is another key for whoever reads it: as a source, or for the space of its vectors.
        let mut other = study.clone();
        let grocery = other.facts.domains.get_mut("grocery").unwrap();
        grocery.fingerprint = "prepared anew".into();
        assert_eq!(of(&other, &[], Needs::default()), plain);
        for needs in [
            both,
            Needs {
                vectors: false,
                ..both
            },
            Needs {
                sources: false,
                ..both
            },
        ] {
            assert_ne!(of(&other, &["grocery"], needs), of(&study, &["grocery"], needs));
        }
        let lacking = configuration(&study, &key(&["toys"]), &System::Sasrec(Sasrec::default()), both);
        assert!(format!("{:#}", lacking.unwrap_err()).contains("lacks the domain toys"));
    }

    #[test]
    fn a_row_is_fitted_once_a_target_or_once_for_each_choice_of_sources_that_it_reads() {
        let fitted = METHODS.iter().filter_map(|row| match row.how() {
            How::Fitted { system } => Some((row.id(), system())),
            _ => None,
        });
        for (method, system) in fitted {
            let bench = paper(&[method]);
            let scenarios = &bench.study.study().scenarios;
            let mut read: Vec<(String, Vec<String>)> = scenarios
                .iter()
                .map(|scenario| {
                    let mut sources = scenario.sources.clone();
                    sources.sort();
                    sources.retain(|_| system.needs().sources);
                    (scenario.target.clone(), sources)
                })
                .collect();
            read.sort();
            read.dedup();
            let replicates = bench.study.profile.replicates as usize;
            assert_eq!(bench.plan.recommenders.len(), read.len() * replicates, "{method}");
            for cell in bench.plan.recommenders.values() {
                let configuration = &cell.cell.configuration;
                assert_eq!(
                    !configuration["vectors"].is_null(),
                    system.needs().vectors,
                    "{method}"
                );
                assert_eq!(
                    !configuration["sources"].is_null(),
                    system.needs().sources,
                    "{method}"
                );
                assert!(cell.work.flops > 0.0 && cell.work.tokens > 0, "{method}");
            }
        }
    }
}
