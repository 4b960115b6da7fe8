//! The training loop, over any set of variables: an adapter's factors, or all weights of a small model in pre-training.

use std::time::Instant;

use candle_core::{Tensor, Var};
use serde::{Deserialize, Serialize};

use super::batch::{MicroBatch, order, pack};
use super::checkpoint::{Checkpoint, State};
use super::optimizer::{AdamW, Norm, cosine_with_warmup, values_of};
use super::{Example, Keep, TrainConfig};
use crate::backbone::Decoder;
use crate::op::{cross_entropy, mix, on_pool};
use crate::{Error, Result};

/// What is fitted, to what, and how.
pub struct Fit<'a> {
    /// The variables, in a fixed order.
    pub variables: Vec<Var>,
    /// The training examples.
    pub examples: &'a [Example],
    /// Examples that choose the best step and stop training early, or are only looked at; may be empty.
    pub held_out: &'a [Example],
    /// Length and speed of training.
    pub config: &'a TrainConfig,
    /// Seed of the order and of dropout.
    pub seed: u64,
    /// What else decides the outcome, in any words: the base and the adapter's settings. A checkpoint made under others is not taken up.
    pub identity: String,
    /// Where an interrupted training goes on from.
    pub checkpoint: Option<&'a Checkpoint>,
    /// The model for one pass, over the variables' current values; the key selects the dropout mask, `None` is evaluation.
    pub model: &'a dyn Fn(Option<u64>) -> Result<Decoder>,
}

/// A step's news, for progress bars and curves.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Steps done.
    pub step: usize,
    /// Steps in all, if training is not stopped early.
    pub total: usize,
    /// Mean loss a target token of this step, in nats.
    pub loss: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Tokens read in training so far.
    pub tokens: u64,
    /// Seconds of training so far.
    pub seconds: f64,
}

/// What a training came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Steps taken.
    pub steps: usize,
    /// The step whose values were kept.
    pub best_step: usize,
    /// Mean held-out loss at that step, nats a token; `None` without held-out examples.
    pub held_out_loss: Option<f64>,
    /// Tokens read in training.
    pub tokens: u64,
    /// Seconds of training, over all runs that it took.
    pub seconds: f64,
    /// (step, mean loss) of every step.
    pub curve: Vec<(u64, f64)>,
    /// Norm of the gradient before clipping, of every step; none in records of versions that kept none.
    #[serde(default)]
    pub gradient_norms: Vec<f64>,
    /// (step, mean held-out loss) of every look.
    pub held_out_curve: Vec<(u64, f64)>,
}

/// Fits the variables and leaves those of the step to [keep](Keep) in them.
///
/// # Errors
/// No examples with a target, settings that cannot train, a loss that is not finite, or a checkpoint that cannot be read or written.
pub fn fit(fit: Fit, progress: &mut dyn FnMut(Progress)) -> Result<Outcome> {
    let Fit { config, examples, .. } = fit;
    config.check().map_err(Error::Usage)?;
    let has_targets = |examples: &[Example]| examples.iter().any(|e| e.targets() > 0);
    if !has_targets(examples) {
        return Err(Error::Usage(format!(
            "{} examples, none of them with an answer: nothing to train on",
            examples.len()
        )));
    }
    let looks = has_targets(fit.held_out);
    let steps_an_epoch = examples.len().div_ceil(config.batch_size);
    let total = steps_an_epoch * config.epochs;
    let request = request_key(&fit);
    let mut optimizer = AdamW::new(fit.variables.clone())?;
    let (mut state, mut best) = match fit.checkpoint {
        Some(checkpoint) => checkpoint
            .load(request, &fit.variables, &mut optimizer)?
            .unwrap_or_default(),
        None => Default::default(),
    };
    state.request = request;
    let (before, started) = (state.seconds, Instant::now());
    while state.step < total && !state.stopped {
        let (epoch, within) = (state.step / steps_an_epoch, state.step % steps_an_epoch);
        let order = order(examples.len(), fit.seed, epoch);
        let chosen = order
            .iter()
            .skip(within * config.batch_size)
            .take(config.batch_size)
            .map(|i| &examples[*i]);
        let mut parts = pack(chosen, config.micro_batch_tokens);
        parts
            .iter_mut()
            .for_each(|part| part.pass.keep(config.activation_memory << 20));
        let targets: usize = parts.iter().map(|p| p.targets.len()).sum();
        let mut losses = Vec::with_capacity(parts.len());
        for (i, part) in parts.iter().enumerate() {
            let key = mix(fit.seed ^ mix((state.step as u64) << 20 | i as u64));
            let part_loss = (summed_loss(&(fit.model)(Some(key))?, part)? / targets.max(1) as f64)?;
            optimizer.accumulate(&on_pool(part_loss.device(), || part_loss.backward())?)?;
            losses.push(part_loss.detach());
            state.tokens += part.pass.rows() as u64;
        }
        let rate = config.learning_rate * cosine_with_warmup(state.step, total, config.warmup);
        let norm = optimizer.step(rate, config.weight_decay, config.clip)?;
        let (loss, gradient_norm) = read(losses, norm)?;
        if !loss.is_finite() || !gradient_norm.is_finite() {
            let what = format!("the loss is {loss} and the gradient's norm {gradient_norm}");
            return Err(failed(config, state.step + 1, &what));
        }
        state.step += 1;
        state.curve.push((state.step as u64, loss));
        state.gradient_norms.push(rounded(gradient_norm));
        if let Some((before, now)) = divergence(&state.curve) {
            let what = format!("the mean loss of {WINDOW} steps rose from {before:.3} to {now:.3}");
            return Err(failed(config, state.step, &what));
        }
        state.seconds = before + started.elapsed().as_secs_f64();
        let (step, tokens, seconds) = (state.step, state.tokens, state.seconds);
        progress(Progress {
            step,
            total,
            loss,
            gradient_norm,
            tokens,
            seconds,
        });
        let due = config.evaluate_every > 0 && step.is_multiple_of(config.evaluate_every);
        if looks && (due || step == total) {
            look(&fit, &mut state, &mut best)?;
        }
        if let Some(checkpoint) = fit.checkpoint
            && config.checkpoint_every > 0
            && step.is_multiple_of(config.checkpoint_every)
            && step < total
        {
            checkpoint.save(&state, &fit.variables, &optimizer, &best)?;
        }
    }
    for (variable, values) in fit.variables.iter().zip(best) {
        variable.set(&Tensor::from_vec(values, variable.shape(), variable.device())?)?;
    }
    let kept = match config.keep {
        Keep::Best => state.best,
        // The last look is at the last step.
        Keep::Last => state.held_out_curve.last().map(|(_, loss)| (state.step, *loss)),
    };
    Ok(Outcome {
        steps: state.step,
        best_step: kept.map_or(state.step, |(step, _)| step),
        held_out_loss: kept.map(|(_, loss)| loss),
        tokens: state.tokens,
        seconds: before + started.elapsed().as_secs_f64(),
        curve: state.curve,
        gradient_norms: state.gradient_norms,
        held_out_curve: state.held_out_curve,
    })
}

/// A step's loss and the norm of its gradient, from the parts' losses. This one read a step is what waits for a GPU: whatever the step
/// asked of it is done when the values are here, so that a clock looked at afterwards has seen all of it.
fn read(mut losses: Vec<Tensor>, norm: Norm) -> Result<(f64, f64)> {
    let parts = losses.len();
    let known = match norm {
        Norm::Known(norm) => Some(norm),
        Norm::Square(square) => {
            losses.push(square);
            None
        }
    };
    let values = Tensor::stack(&losses, 0)?.to_vec1::<f32>()?;
    let (losses, square) = values.split_at(parts);
    let loss = losses.iter().map(|loss| f64::from(*loss)).sum();
    let square = square.first().copied().unwrap_or(f32::NAN);
    Ok((rounded(loss), known.unwrap_or_else(|| Norm::of_square(square))))
}

/// Looks at the held-out examples. Where the best values are kept, they are if these are the best so far, and training stops if they
/// have not been for long.
fn look(fit: &Fit, state: &mut State, best: &mut Vec<Vec<f32>>) -> Result<()> {
    let loss = mean_loss(&(fit.model)(None)?, fit.held_out, fit.config.micro_batch_tokens)?;
    let loss = loss.unwrap_or(f64::NAN);
    if !loss.is_finite() {
        let what = format!("the loss on held-out examples is {loss}");
        return Err(failed(fit.config, state.step, &what));
    }
    state.held_out_curve.push((state.step as u64, loss));
    if fit.config.keep == Keep::Last {
        return Ok(());
    }
    if state.best.is_none_or(|(_, before)| loss < before) {
        state.best = Some((state.step, loss));
        state.looks_without_improvement = 0;
        *best = values_of(&fit.variables)?;
    } else {
        state.looks_without_improvement += 1;
        state.stopped = fit.config.patience > 0 && state.looks_without_improvement >= fit.config.patience;
    }
    Ok(())
}

/// Steps whose mean loss is compared with that of the first ones.
const WINDOW: usize = 20;

/// The mean losses of the first and of the last steps, where training has made things much worse: what no order of examples does.
pub(super) fn divergence(curve: &[(u64, f64)]) -> Option<(f64, f64)> {
    let mean = |steps: &[(u64, f64)]| steps.iter().map(|(_, loss)| loss).sum::<f64>() / WINDOW as f64;
    let (first, last) = (curve.first_chunk::<WINDOW>()?, curve.last_chunk::<WINDOW>()?);
    let (before, now) = (mean(first), mean(last));
    (now > 1.5 * before + 0.5).then_some((before, now))
}

fn failed(config: &TrainConfig, step: usize, what: &str) -> Error {
    Error::Training(format!(
        "at step {step} {what}; lower the learning rate (now {}) or the norm to clip at (now {})",
        config.learning_rate, config.clip
    ))
}

fn summed_loss(decoder: &Decoder, part: &MicroBatch) -> Result<Tensor> {
    let hidden = decoder.hidden_of(&part.pass, &part.rows, None)?;
    Ok(cross_entropy(&hidden, decoder.head(), &part.targets)?)
}

/// Mean loss a target token over `examples`, in nats; none where no token is a target.
pub fn mean_loss(decoder: &Decoder, examples: &[Example], micro_batch_tokens: usize) -> Result<Option<f64>> {
    let (mut losses, mut targets) = (Vec::new(), 0);
    for part in pack(examples, micro_batch_tokens) {
        losses.push(summed_loss(decoder, &part)?.detach());
        targets += part.targets.len();
    }
    if targets == 0 {
        return Ok(None);
    }
    // Read in one go, for a GPU to work on the next part meanwhile.
    let losses = Tensor::stack(&losses, 0)?.to_vec1::<f32>()?;
    let sum: f64 = losses.iter().map(|loss| f64::from(*loss)).sum();
    Ok(Some(rounded(sum / targets as f64)))
}

/// A loss to the precision it is computed in.
pub(super) fn rounded(loss: f64) -> f64 {
    f64::from(loss as f32)
}

/// A key of everything that decides a training's outcome, so that a checkpoint of another one is never taken up.
fn request_key(fit: &Fit) -> u64 {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    let config = TrainConfig {
        activation_memory: 0,
        ..fit.config.clone()
    };
    let base = fit.checkpoint.map_or("", Checkpoint::base);
    hash.update(format!("{config:?} {} {} {base}", fit.seed, fit.identity).as_bytes());
    for examples in [fit.examples, fit.held_out] {
        hash.update(&(examples.len() as u64).to_le_bytes());
        for example in examples {
            hash.update(&(example.loss_from as u64).to_le_bytes());
            hash.update(&(example.tokens.len() as u64).to_le_bytes());
            example.tokens.iter().for_each(|t| hash.update(&t.to_le_bytes()));
        }
    }
    for variable in &fit.variables {
        hash.update(format!("{:?}", variable.shape()).as_bytes());
    }
    hash.digest()
}
