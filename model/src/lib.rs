//! LoRA training, weaving, merging and ranking for sequential recommendation with language models, on candle.
//!
//! ```text
//! tokens ──► backbone (frozen) + lora (trained) ──► train ──► adapters ──► weave / merge ──► one adapter ──► rank
//! ```
//!
//! * [`backbone`]: the Llama-family decoder, its weights and tokenizer, and the sizes of the small `nano` decoder;
//! * [`op`]: the differentiable operations that training is made of;
//! * [`device`]: the CPU or a GPU, and the arithmetic there;
//! * [`nn`]: named parameters with first values of their own, and the layers of small models;
//! * [`lora`]: adapters as PEFT defines and stores them;
//! * [`train`]: tasks, optimiser, schedule, loop and checkpoints, and on them LoRA training and the pre-training of `nano`;
//! * [`weave`]: which adapters a scenario needs, what each is trained on and how they merge (arXiv 2510.26546);
//! * [`merge`]: the merge rules and folding into the base;
//! * [`recommender`]: sequential recommenders over items, fitted by gradients;
//! * [`rank`]: the likelihood of candidates given a prompt, and free greedy decoding.
//!
//! This crate reads tokens and text as plain values: it knows neither the raw logs nor the prepared folders.

pub mod backbone;
pub mod device;
pub mod error;
mod foreign;
mod io;
pub mod lora;
pub mod merge;
pub mod nn;
pub mod op;
pub mod rank;
pub mod recommender;
pub mod train;
pub mod weave;

pub use error::{Error, Result};
