//! The training loop, over any [`Task`].

use std::time::Instant;

use candle_core::Tensor;

use super::checkpoint::{Checkpoint, State};
use super::optimizer::{AdamW, Norm, Optimizer, Sam};
use super::record::{Outcome, Progress, rounded};
use super::schedule::order;
use super::task::{Mode, Part, Room, Task};
use super::{Keep, TrainConfig};
use crate::op::{mix, on_pool};
use crate::{Error, Result};

/// What is fitted, to what, and how.
pub struct Fit<'a, T: Task> {
    /// What is trained, and its loss.
    pub task: &'a T,
    /// The training examples.
    pub examples: &'a [T::Example],
    /// Examples that choose the best step and stop training early, or are only looked at; may be empty.
    pub held_out: &'a [T::Example],
    /// Length and speed of training.
    pub config: &'a TrainConfig,
    /// Seed of the order and of what is drawn anew for every part, such as dropout.
    pub seed: u64,
    /// Where an interrupted training goes on from.
    pub checkpoint: Option<&'a Checkpoint>,
}

/// Fits the parameters with [`AdamW`], or with [`Sam`] over it where the settings ask for a [flat](super::Flat) minimum, and leaves those of the step to [keep](Keep) in them.
///
/// # Errors
/// No examples with a target, settings that cannot train, a loss that is not finite, or a checkpoint that cannot be read or written.
pub fn fit<T: Task>(fit: Fit<T>, progress: &mut dyn FnMut(Progress)) -> Result<Outcome> {
    fit.config.check().map_err(Error::Usage)?;
    if !fit.has_targets(fit.examples) {
        return Err(Error::Usage(format!(
            "{} examples, none of them with an answer: nothing to train on",
            fit.examples.len()
        )));
    }
    let parameters = fit.task.parameters();
    let mut adamw = AdamW::new(parameters, fit.config.weight_decay)?;
    match fit.config.flat {
        None => fit.steps(&mut adamw, progress),
        Some(flat) => fit.steps(&mut Sam::new(parameters, flat.rho, adamw), progress),
    }
}

impl<T: Task> Fit<'_, T> {
    /// Takes the steps that are left, and the outcome of all.
    fn steps(&self, optimizer: &mut dyn Optimizer, progress: &mut dyn FnMut(Progress)) -> Result<Outcome> {
        let (config, parameters) = (self.config, self.task.parameters());
        let looks = self.has_targets(self.held_out);
        let total = self.steps_an_epoch() * config.epochs;
        let request = self.request();
        let (mut state, mut best) = match self.checkpoint {
            Some(checkpoint) => checkpoint
                .load(request, parameters, optimizer)?
                .unwrap_or_default(),
            None => Default::default(),
        };
        state.request = request;
        let (before, started) = (state.seconds, Instant::now());
        while state.step < total && !state.stopped {
            let parts = self.parts_of(state.step)?;
            let losses = self.gather_gradients(&parts, state.step, optimizer)?;
            let tokens = parts.iter().map(|part| part.tokens as u64).sum::<u64>();
            state.tokens += tokens;
            if optimizer.ascend()? {
                // The same masks are drawn again, and the loss that is told is that of the values themselves.
                self.gather_gradients(&parts, state.step, optimizer)?;
                state.tokens += tokens;
            }
            let rate = config.learning_rate * self.task.rate(state.step, total, config.warmup);
            let norm = optimizer.step(rate, config.clip)?;
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
                self.look(&mut state, &mut best)?;
            }
            if let Some(checkpoint) = self.checkpoint
                && config.checkpoint_every > 0
                && step.is_multiple_of(config.checkpoint_every)
                && step < total
            {
                checkpoint.save(&state, parameters, optimizer, &best)?;
            }
        }
        if !best.is_empty() {
            parameters.set(best)?;
        }
        let kept = match config.keep {
            Keep::Best => state.best,
            // The last look is at the last step.
            Keep::Last => state.held_out_curve.last().map(|(_, found)| (state.step, *found)),
        };
        Ok(Outcome {
            steps: state.step,
            best_step: kept.map_or(state.step, |(step, _)| step),
            held_out_loss: kept.map(|(_, found)| found),
            tokens: state.tokens,
            seconds: before + started.elapsed().as_secs_f64(),
            curve: state.curve,
            gradient_norms: state.gradient_norms,
            held_out_curve: state.held_out_curve,
        })
    }

    fn has_targets(&self, examples: &[T::Example]) -> bool {
        examples.iter().any(|example| self.task.targets(example) > 0)
    }

    fn steps_an_epoch(&self) -> usize {
        self.examples.len().div_ceil(self.config.batch_size)
    }

    /// The examples of a step, as parts that fit a pass.
    fn parts_of(&self, step: usize) -> Result<Vec<Part<T::Batch>>> {
        let (epoch, within) = (step / self.steps_an_epoch(), step % self.steps_an_epoch());
        let order = order(self.examples.len(), self.seed, epoch);
        let chosen: Vec<&T::Example> = order
            .iter()
            .skip(within * self.config.batch_size)
            .take(self.config.batch_size)
            .map(|i| &self.examples[*i])
            .collect();
        let room = Room {
            tokens: self.config.micro_batch_tokens,
            activation_memory: self.config.activation_memory << 20,
        };
        self.task.parts(&chosen, room)
    }

    /// Hands the optimiser the gradients of a step's mean loss, part by part, and gives the parts' shares of that loss.
    fn gather_gradients(
        &self,
        parts: &[Part<T::Batch>],
        step: usize,
        optimizer: &mut dyn Optimizer,
    ) -> Result<Vec<Tensor>> {
        let targets: usize = parts.iter().map(|part| part.targets).sum();
        let mut losses = Vec::with_capacity(parts.len());
        for (i, part) in parts.iter().enumerate() {
            let key = mix(self.seed ^ mix((step as u64) << 20 | i as u64));
            let summed = self.task.summed_loss(&part.batch, Mode::Training { key })?;
            let loss = (summed / targets.max(1) as f64)?;
            optimizer.accumulate(&on_pool(loss.device(), || loss.backward())?)?;
            losses.push(loss.detach());
        }
        Ok(losses)
    }

    /// Looks at the held-out examples. Where the best values are kept, they are if these are the best so far, and training stops if they
    /// have not been for long.
    fn look(&self, state: &mut State, best: &mut Vec<Vec<f32>>) -> Result<()> {
        let held_out: Vec<&T::Example> = self.held_out.iter().collect();
        let room = Room {
            tokens: self.config.micro_batch_tokens,
            activation_memory: 0,
        };
        let found = rounded(self.task.look(&held_out, room)?);
        let better = self.task.better();
        if !found.is_finite() {
            let what = format!("{} is {found}", better.what());
            return Err(failed(self.config, state.step, &what));
        }
        state.held_out_curve.push((state.step as u64, found));
        if self.config.keep == Keep::Last {
            return Ok(());
        }
        if state
            .best
            .is_none_or(|(_, before)| better.improved(found, before))
        {
            state.best = Some((state.step, found));
            state.looks_without_improvement = 0;
            *best = self.task.parameters().values()?;
        } else {
            state.looks_without_improvement += 1;
            let patience = self.config.patience;
            state.stopped = patience > 0 && state.looks_without_improvement >= patience;
        }
        Ok(())
    }

    /// A key of everything that decides a training's outcome, so that a checkpoint of another one is never taken up.
    fn request(&self) -> u64 {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        let config = TrainConfig {
            activation_memory: 0,
            ..self.config.clone()
        };
        let base = self.checkpoint.map_or("", Checkpoint::base);
        let fingerprint = self.task.fingerprint();
        hash.update(format!("{config:?} {} {fingerprint} {base}", self.seed).as_bytes());
        for examples in [self.examples, self.held_out] {
            hash.update(&(examples.len() as u64).to_le_bytes());
            for example in examples {
                self.task.hash(example, &mut hash);
            }
        }
        for variable in self.task.parameters().variables() {
            hash.update(format!("{:?}", variable.shape()).as_bytes());
        }
        hash.digest()
    }
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
