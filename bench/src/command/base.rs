//! The language model that a command works with.

use anyhow::Result;
use clap::Args;
use weaverec_model::backbone::Precision;

use crate::experiment::backbone::{LanguageModel, pretrained};

/// Which model, and how it lies in memory.
#[derive(Debug, Args)]
pub struct Base {
    /// `smollm2-135m`, `gemma3-270m`, a Hugging Face folder or a GGUF file.
    #[arg(long, default_value = "smollm2-135m")]
    pub model: String,
    /// What the projections of the frozen model are kept in; all arithmetic is in f32. With q4 they take a sixth of the memory.
    #[arg(long, default_value = "f32", value_parser = super::choice::<Precision>(&Precision::NAMES))]
    pub precision: Precision,
}

impl Base {
    /// Loads the model.
    pub fn load(&self) -> Result<LanguageModel> {
        pretrained(&self.model, self.precision)
    }
}
