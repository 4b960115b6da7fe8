//! Training: a task's examples, its summed loss and its parameters; AdamW, cosine with warm-up, early stopping, checkpoints and exact
//! resume.
//!
//! ```text
//! task: examples ──► parts that fit a pass ──► summed loss ──► gradients ──► optimizer ──► parameters
//! ```
//!
//! * [`Task`]: what a model learns from, and its loss; [`fit`](fit()): the loop over any task;
//! * [`Optimizer`]: what gradients do to parameters ([`AdamW`], or [`Sam`] over it);
//! * [`Checkpoint`]: where an interrupted training goes on from; [`Outcome`]: what it came to;
//! * [`CausalLm`]: next tokens of a decoder, on which [`train_lora`] and [`pretrain`](pretrain()) stand.

mod causal_lm;
mod checkpoint;
mod config;
mod fit;
mod flops;
mod lora;
pub mod optimizer;
pub mod pretrain;
mod record;
mod schedule;
pub mod task;

pub use causal_lm::{CausalLm, Example, mean_loss};
pub use checkpoint::Checkpoint;
pub use config::{Flat, Keep, TrainConfig};
pub use fit::{Fit, fit};
pub use flops::training_flops;
pub use lora::{Seeds, train_lora};
pub use optimizer::{AdamW, Optimizer, Sam};
pub use pretrain::pretrain;
pub use record::{Outcome, Progress};
pub use task::Task;

#[cfg(test)]
mod tests;
