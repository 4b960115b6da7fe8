//! `weaverec models`.

use anyhow::Result;
use clap::{Args, Subcommand};
use weaverec_model::backbone::Precision;
use weaverec_model::device::Compute;
use weaverec_pipeline::fetch;

use crate::experiment::backbone;
use crate::progress::Stages;

/// Fetch language models into the cache, or look at one.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Fetch a model and print where it is.
    Fetch {
        /// `smollm2-135m`, or `hub:OWNER/NAME` for a safetensors model on the Hugging Face hub.
        model: String,
    },
    /// Print the sizes of a model: `smollm2-135m`, a Hugging Face folder or a GGUF file.
    Show {
        /// Name or path.
        model: String,
    },
}

/// The files of a model on the hub that are read here.
const HUB_FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    let (cache, stages) = (fetch::cache_root()?, Stages::default());
    match arguments.action {
        Action::Fetch { model } => {
            let path = match model.strip_prefix("hub:") {
                None if model == "smollm2-135m" => fetch::smollm2(&cache, &stages)?,
                None => anyhow::bail!("{model} is not known: name smollm2-135m, or hub:OWNER/NAME"),
                Some(repository) => {
                    let mut folder = cache.clone();
                    for file in HUB_FILES {
                        let path = fetch::hub_file(repository, file, "main", &cache, &stages)?;
                        folder = path.parent().map(Into::into).unwrap_or(folder);
                    }
                    folder
                }
            };
            super::print(path.display().to_string())
        }
        Action::Show { model } => {
            let model = backbone::pretrained(&model, Precision::F32, Compute::default())?;
            super::print(serde_json::to_string_pretty(model.decoder.config())?)?;
            super::print(format!(
                "{} tokens in the vocabulary",
                model.tokenizer.vocab_size()
            ))?;
            super::print(format!("fingerprint {}", model.fingerprint))
        }
    }
}
