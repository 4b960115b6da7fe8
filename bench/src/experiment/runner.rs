//! Runs what is missing: backbones, then adapters, then rankings, several cells at a time. A finished cell is never run again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;
use weaverec_model::device::{Compute, DeviceName};
use weaverec_model::lora::{Adapter, LoraConfig};
use weaverec_model::merge;
use weaverec_model::op::with_threads;
use weaverec_model::train::{Checkpoint, Example, mean_loss, train_lora, training_flops};
use weaverec_model::weave::Mixture;
use weaverec_output::write_file;

use super::backbone::{self, LanguageModel};
use super::cell::{Cell, Kind, Ranking, Record, Training};
use super::domain::{self, DomainData, Domains};
use super::encoder::Encoder;
use super::environment;
use super::plan::{AdapterCell, Plan, RankingCell, Scorer};
use super::profile::{Data, Profile, Study};
use super::store::Store;
use super::training_set::TrainingSet;
use crate::method::{language_model, next_id, popularity, previous_id, random};
use crate::metric::pessimistic_rank;
use crate::output::CURVE;
use crate::progress::{Meter, duration, say};
use crate::report::input::UserScore;

/// Where work is done and with how many threads.
pub struct Workshop {
    /// Folder of prepared domains and generated logs.
    pub work: PathBuf,
    /// Finished cells.
    pub store: Store,
    /// Threads in all.
    pub threads: usize,
    /// What models compute with.
    pub compute: Compute,
    /// What goes into records about the machine.
    pub environment: Value,
}

impl Workshop {
    /// A workshop in the folder `work`.
    pub fn open(work: &Path, threads: usize, compute: Compute) -> Result<Self> {
        Ok(Workshop {
            work: work.to_path_buf(),
            store: Store::open(work.join("cells"))?,
            threads,
            compute,
            environment: environment::describe(threads, compute),
        })
    }

    /// The record of a cell that has just been finished.
    pub fn record(
        &self,
        cell: &Cell,
        seconds: f64,
        training: Option<Training>,
        ranking: Option<Ranking>,
    ) -> Record {
        Record {
            kind: cell.kind,
            label: cell.label.clone(),
            key: cell.key.clone(),
            configuration: cell.configuration.clone(),
            environment: self.environment.clone(),
            seconds,
            peak_memory_bytes: environment::peak_memory_bytes(),
            training,
            ranking,
        }
    }
}

/// A study with its domains and language model at hand.
pub struct Bench<'a> {
    /// The profile it belongs to.
    pub profile: &'a Profile,
    /// The study.
    pub study: &'a Study,
    /// Its prepared domains.
    pub domains: Domains,
    /// Its language model.
    pub model: LanguageModel,
}

impl<'a> Bench<'a> {
    /// Prepares a study's domains and loads (or pre-trains) its language model.
    pub fn set_up(profile: &'a Profile, study: &'a Study, data: &Data, workshop: &Workshop) -> Result<Self> {
        say(format!(
            "{}: preparing {} domains",
            study.title,
            study.domains.len()
        ));
        let domains = domain::prepare_study(study, &profile.prepare, data, &workshop.work, workshop.threads)?;
        let model = backbone::load(profile, study, &domains, workshop)?;
        Ok(Bench {
            profile,
            study,
            domains,
            model,
        })
    }

    /// A domain by name; scenarios were checked against the study's domains.
    pub fn domain(&self, name: &str) -> Result<&DomainData> {
        self.domains
            .get(name)
            .with_context(|| format!("the domain {name} was not prepared"))
    }
}

/// Runs every missing cell of a study.
pub fn run(bench: &Bench, plan: &Plan, workshop: &Workshop) -> Result<()> {
    let encoder = Encoder::new(&bench.model.tokenizer, bench.profile.prepare.format);
    let adapters: Vec<&AdapterCell> = plan.adapters.values().collect();
    run_missing(
        "adapters",
        &adapters,
        |a| &a.cell,
        workshop,
        |adapter, threads| with_threads(threads, || train(bench, adapter, workshop)),
    )?;
    let rankings: Vec<&RankingCell> = plan.rankings.values().collect();
    run_missing(
        "rankings",
        &rankings,
        |r| &r.cell,
        workshop,
        |ranking, threads| with_threads(threads, || rank(bench, plan, &encoder, ranking, workshop)),
    )
}

/// Runs the cells that are not finished, as many at a time as there are threads.
///
/// Cells are independent and small products gain little from a second thread, so a thread a cell is the fastest way to finish
/// many; only when fewer cells than threads are left do they share. On a GPU, which one cell can fill, they take turns.
fn run_missing<T: Sync>(
    what: &str,
    cells: &[&T],
    cell: impl Fn(&T) -> &Cell + Sync,
    workshop: &Workshop,
    run: impl Fn(&T, usize) -> Result<()> + Sync,
) -> Result<()> {
    let missing: Vec<&&T> = cells.iter().filter(|c| !workshop.store.has(cell(c))).collect();
    say(format!(
        "  {what}: {} to do, {} kept from earlier runs",
        missing.len(),
        cells.len() - missing.len()
    ));
    if missing.is_empty() {
        return Ok(());
    }
    let workers = match workshop.compute.device {
        DeviceName::Cpu => workshop.threads.min(missing.len()).max(1),
        _ => 1,
    };
    let (next, done, failed) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let failure: Mutex<Option<anyhow::Error>> = Mutex::new(None);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed)
                    && let Some(item) = missing.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    if let Err(error) = run(item, (workshop.threads / workers).max(1)) {
                        failed.store(true, Ordering::Relaxed);
                        let error = error.context(format!("{what}: {}", cell(item).label));
                        failure
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .get_or_insert(error);
                        return;
                    }
                    let finished = done.fetch_add(1, Ordering::Relaxed) + 1;
                    let left =
                        started.elapsed().as_secs_f64() / finished as f64 * (missing.len() - finished) as f64;
                    say(format!(
                        "  {what} {finished}/{}, about {} left",
                        missing.len(),
                        duration(left)
                    ));
                }
            });
        }
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

fn train(bench: &Bench, adapter: &AdapterCell, workshop: &Workshop) -> Result<()> {
    let config = &bench.profile.adapter;
    let meter = Meter::start(adapter.cell.label.clone());
    let started = Instant::now();
    let domains = adapter.domains.iter().map(|name| bench.domain(name));
    let folders = domains.map(|domain| domain.map(|domain| &domain.folder));
    let TrainingSet { examples, held_out } = TrainingSet::read(
        &folders.collect::<Result<Vec<_>>>()?,
        &bench.model.tokenizer,
        Mixture::capped(config.prompts_per_domain),
        config.held_out,
        adapter.seed,
        &meter,
    )?;
    let checkpoint = Checkpoint::new(workshop.store.checkpoint(&adapter.cell), &bench.model.fingerprint);
    let mut lora = LoraConfig::new(config.rank, config.alpha);
    lora.lora_dropout = config.dropout;
    lora.base_model_name_or_path = Some(bench.model.base.name.clone());
    let (mut trained, outcome) = train_lora(
        &bench.model.decoder,
        lora,
        &examples,
        &held_out,
        &config.train,
        adapter.seed,
        Some(&checkpoint),
        &mut |p| {
            meter.update(p.step as u64, p.total as u64, || {
                format!(
                    "loss {:.3}, {:.0} tokens/s",
                    p.loss,
                    p.tokens as f64 / p.seconds.max(1e-9)
                )
            });
        },
    )?;
    trained.base = Some(bench.model.base.clone());
    meter.finish(format!(
        "held-out loss {:.3} at step {}, {:.0} tokens/s",
        outcome.held_out_loss.unwrap_or(f64::NAN),
        outcome.best_step,
        outcome.tokens as f64 / outcome.seconds.max(1e-9)
    ));
    let targets: usize = examples.iter().map(Example::targets).sum();
    let rows: usize = examples.iter().map(|e| e.tokens.len() - 1).sum();
    let share = outcome.tokens as f64 / rows.max(1) as f64;
    let flops = training_flops(
        bench.model.decoder.config(),
        outcome.tokens,
        (targets as f64 * share) as u64,
        rows as f64 / examples.len().max(1) as f64,
    );
    let curve_lines = outcome.json_lines();
    let training = Training {
        examples: examples.len(),
        flops,
        outcome,
    };
    let record = workshop.record(
        &adapter.cell,
        started.elapsed().as_secs_f64(),
        Some(training),
        None,
    );
    workshop.store.keep(&adapter.cell, &record, |folder| {
        write_file(&folder.join(CURVE), curve_lines.as_bytes())?;
        Ok(trained.save(&folder.join("adapter"))?)
    })?;
    Ok(checkpoint.remove()?)
}

fn rank(
    bench: &Bench,
    plan: &Plan,
    encoder: &Encoder,
    ranking: &RankingCell,
    workshop: &Workshop,
) -> Result<()> {
    let target = bench.domain(&ranking.target)?;
    let meter = Meter::start(ranking.cell.label.clone());
    let started = Instant::now();
    let mut result = Ranking {
        validation_loss: None,
        invalid_output_rate: None,
        users: Vec::new(),
    };
    let scores = match &ranking.scorer {
        Scorer::Random { seed } => random::scores(&target.test, *seed),
        Scorer::Popularity => popularity::scores(&target.test, &target.items),
        Scorer::NextId => next_id::scores(&target.test, &target.items),
        Scorer::PreviousId => previous_id::scores(&target.test, &target.items),
        Scorer::LanguageModel { members } => {
            let adapters: Vec<Adapter> = members
                .iter()
                .map(|key| {
                    let cell = &plan
                        .adapters
                        .get(key)
                        .context("an adapter of this ranking is not planned")?
                        .cell;
                    Ok(Adapter::load(&workshop.store.folder(cell).join("adapter"))?)
                })
                .collect::<Result<_>>()?;
            let decoder = match adapters.is_empty() {
                true => bench.model.decoder.clone(),
                false => bench
                    .model
                    .decoder
                    .folded(&merge::uniform(&adapters.iter().collect::<Vec<_>>())?)?,
            };
            let (config, format) = (&bench.profile.rank, bench.profile.prepare.format);
            let validation =
                &target.validation[..target.validation.len().min(bench.profile.adapter.held_out)];
            let validation = encoder.examples(validation)?;
            result.validation_loss = mean_loss(&decoder, &validation, config.batch_tokens)?;
            result.invalid_output_rate = language_model::invalid_output_rate(
                &decoder,
                encoder,
                &target.test,
                &target.items,
                config,
                format,
            )?;
            language_model::scores(&decoder, encoder, &target.test, &target.items, config, &meter)?
        }
    };
    for (prompt, scores) in target.test.iter().zip(scores) {
        let at = prompt.candidates.iter().position(|c| *c == prompt.target);
        let at = at.with_context(|| {
            format!(
                "the target of user {} is not among the candidates",
                prompt.user_id
            )
        })?;
        let (rank, tied) = pessimistic_rank(&scores, at);
        result.users.push(UserScore {
            user_id: prompt.user_id.clone(),
            rank,
            tied,
        });
    }
    meter.finish(format!("{} users", result.users.len()));
    let record = workshop.record(&ranking.cell, started.elapsed().as_secs_f64(), None, Some(result));
    debug_assert_eq!(ranking.cell.kind, Kind::Ranking);
    workshop.store.keep(&ranking.cell, &record, |_| Ok(()))
}
