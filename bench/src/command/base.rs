//! The language model that a command works with.

use anyhow::Result;
use clap::Args;
use weaverec_model::backbone::Precision;
use weaverec_model::device::{Arithmetic, Compute, DeviceName};
use weaverec_output::Input;
use weaverec_pipeline::fetch::Model;

use crate::experiment::backbone::{LanguageModel, pretrained};

/// Which model, and how it lies in memory.
#[derive(Debug, Args)]
pub struct Base {
    /// `smollm2-135m`, `gemma3-270m`, a Hugging Face folder or a GGUF file.
    #[arg(long, default_value = "smollm2-135m")]
    pub model: String,
    /// What the projections of the frozen model are kept in. With q4 they take a sixth of the memory.
    #[arg(long, default_value = "f32", value_parser = super::choice::<Precision>(&Precision::NAMES))]
    pub precision: Precision,
    /// `cpu`, `cuda`, `cuda:1` (the second GPU) or `metal`; a GPU needs a program built for it.
    #[arg(long, default_value_t)]
    pub device: DeviceName,
    /// Type of activations and products: f32, or on a GPU bf16.
    #[arg(long, default_value = "f32", value_parser = super::choice::<Arithmetic>(&Arithmetic::NAMES))]
    pub arithmetic: Arithmetic,
}

impl Base {
    /// The model as an input, where it is a file or folder of the user's.
    pub fn input(&self) -> Option<Input> {
        match Model::named(&self.model) {
            Some(_) => None,
            None => Some(Input::new(&self.model, "the base model")),
        }
    }

    /// Loads the model.
    pub fn load(&self) -> Result<LanguageModel> {
        let compute = Compute {
            device: self.device,
            arithmetic: self.arithmetic,
        };
        pretrained(&self.model, self.precision, compute)
    }
}
