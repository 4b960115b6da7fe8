//! `weaverec train`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use weaverec_model::lora::{self, LoraConfig};
use weaverec_model::op::with_threads;
use weaverec_model::train::{Checkpoint, Seeds, TrainConfig, train_lora};
use weaverec_model::weave::Mixture;
use weaverec_output::{Claim, Input, write_file};
use weaverec_pipeline::prepared::Prepared;

use super::number;
use crate::card::{self, Trained};
use crate::command::base::Base;
use crate::experiment::training_set::{ChosenBy, Part, TrainingSet};
use crate::output::{CHECKPOINT, CURVE, TRAINED};
use crate::progress::{Meter, say};

/// Train a LoRA adapter on one or several prepared folders; several make a hybrid (or joint) adapter. Writes a PEFT folder, with the
/// course of the training in training.jsonl and a card, README.md.
///
/// Stopped and started again, it goes on from its last checkpoint and ends with the same adapter. An adapter that was trained into the
/// same folder before is replaced; nothing else is, and no input.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec train prepared/shop --out shop                 target-only
  weaverec train prepared/shop prepared/films --out shop+films     hybrid, on both mixed
  weaverec train prepared/shop --out shop --model models/llama --precision q4 --rank 8")]
pub struct Arguments {
    /// Prepared folders.
    #[arg(required = true)]
    folders: Vec<PathBuf>,
    /// Folder of the adapter.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    base: Base,
    /// Rank of the factors.
    #[arg(long, default_value_t = 16, value_parser = number::at_least(1))]
    rank: usize,
    /// Scale times rank.
    #[arg(long, default_value_t = 32.0, value_parser = number::positive)]
    alpha: f64,
    /// Dropout before A.
    #[arg(long, default_value_t = 0.05, value_parser = number::share_below_one)]
    dropout: f64,
    /// Peak learning rate.
    #[arg(long, default_value_t = 2e-4, value_parser = number::positive)]
    learning_rate: f64,
    /// Passes over the prompts.
    #[arg(long, default_value_t = 2, value_parser = number::at_least(1))]
    epochs: usize,
    /// Prompts an optimiser step.
    #[arg(long, default_value_t = 16, value_parser = number::at_least(1))]
    batch_size: usize,
    /// MiB that may be kept of what could be computed again: faster, and with the same outcome.
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = number::some_mebibytes)]
    activation_memory: usize,
    /// Most prompts of each folder.
    #[arg(long, default_value_t = 40_000, value_parser = number::at_least(1))]
    cap: usize,
    /// Most prompts of each folder after the first, for each prompt of the first: 0.5 keeps sources at half the target [default:
    /// no such limit].
    #[arg(long, value_parser = number::positive)]
    ratio: Option<f64>,
    /// Prompts of each folder that choose the best step: of validation, or, under the paper's recipe, of the 2 % it holds out.
    #[arg(long, default_value_t = 50)]
    held_out: usize,
    /// Steps between two looks at them, and between two checkpoints; 0: one look at the end, and no checkpoint.
    #[arg(long, default_value_t = 20)]
    every: usize,
    /// Seed of the initial values, the order and the dropout.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads [default: all].
    #[arg(long, value_parser = number::threads)]
    threads: Option<usize>,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    let folders = arguments.folders.iter();
    let mut inputs: Vec<Input> = folders
        .map(|folder| Input::new(folder, "a prepared folder"))
        .collect();
    inputs.extend(arguments.base.input());
    let claim = Claim::take(&arguments.out, TRAINED, &inputs)?;
    lora::card::check(claim.place())?;
    let beside = claim.beside(".checkpoint", CHECKPOINT, &inputs)?;
    let model = arguments.base.load()?;
    let folders: Vec<Prepared> = arguments
        .folders
        .iter()
        .map(Prepared::open)
        .collect::<Result<_, _>>()?;
    let mixture = Mixture {
        cap: arguments.cap,
        ratio: arguments.ratio,
    };
    let (held_out, seed) = (arguments.held_out, arguments.seed);
    let chosen_by = ChosenBy::First(held_out);
    let parts: Vec<Part> = folders.iter().map(|folder| Part { folder, chosen_by }).collect();
    let meter = Meter::start("reading prompts");
    let TrainingSet { examples, held_out } = TrainingSet::read(&parts, &model.words, mixture, seed, &meter)?;
    meter.finish(format!("{} prompts", examples.len()));
    let config = TrainConfig {
        learning_rate: arguments.learning_rate,
        epochs: arguments.epochs,
        batch_size: arguments.batch_size,
        micro_batch_tokens: 1024,
        activation_memory: arguments.activation_memory,
        warmup: 0.05,
        weight_decay: 0.0,
        clip: 1.0,
        evaluate_every: arguments.every,
        patience: 0,
        keep: Default::default(),
        flat: None,
        checkpoint_every: arguments.every,
    };
    let mut settings = LoraConfig::new(arguments.rank, arguments.alpha);
    settings.lora_dropout = arguments.dropout;
    settings.base_model_name_or_path = Some(model.base.name.clone());
    let checkpoint = Checkpoint::new(beside, &model.fingerprint);
    let meter = Meter::start(format!("training on {} prompts", examples.len()));
    let (mut adapter, outcome) = with_threads(super::threads(arguments.threads), || {
        train_lora(
            &model.decoder,
            settings,
            &examples,
            &held_out,
            &config,
            Seeds::both(seed),
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
        )
    })?;
    meter.finish(match outcome.held_out_loss {
        Some(loss) => format!("best step {}, held-out loss {loss:.3}", outcome.best_step),
        None => format!("{} steps", outcome.steps),
    });
    adapter.base = Some(model.base.clone());
    let card = card::trained(
        &arguments.out,
        &Trained {
            folders: folders.iter().map(Prepared::manifest).collect(),
            taken: card::taken(mixture, folders.len()),
            prompts: examples.len(),
            held_out: held_out.len(),
            lora: &adapter.config,
            config: &config,
            seed: seed.to_string(),
            base: &model.base,
            outcome: &outcome,
        },
    );
    claim.write(|folder| -> Result<()> {
        adapter.save_into(folder)?;
        card.write(folder)?;
        Ok(write_file(&folder.join(CURVE), outcome.json_lines().as_bytes())?)
    })?;
    checkpoint.remove()?;
    say(format!("wrote {}", arguments.out.display()));
    Ok(())
}
