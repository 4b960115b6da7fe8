//! `weaverec models`.

use std::path::Path;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use weaverec_model::backbone::{BertConfig, Precision};
use weaverec_model::device::Compute;
use weaverec_model::recommender::vectors::SentenceEncoder;
use weaverec_pipeline::fetch::{self, Hub, Model};

use crate::experiment::backbone;
use crate::experiment::item_vectors::minilm;
use crate::progress::{Stages, say};

/// Fetch language models, or the encoder of sentences, into the cache, or look at one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec models fetch smollm2-135m
  weaverec models fetch minilm                       for text vectors
  HF_TOKEN=… weaverec models fetch hub:meta-llama/Llama-3.2-1B
  weaverec models show models/llama")]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Fetch a model and print where it is.
    Fetch {
        /// `smollm2-135m`, `gemma3-270m`, `minilm` (all-MiniLM-L6-v2, which makes vectors of titles), or `hub:OWNER/NAME[@REVISION]` for a
        /// safetensors model on the Hugging Face hub, with the token in $HF_TOKEN where its terms must be accepted.
        model: String,
    },
    /// Print the sizes of a model: a known name, a Hugging Face folder (of a decoder or of an encoder of sentences) or a GGUF file.
    Show {
        /// Name or path.
        model: String,
    },
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    let (cache, stages) = (fetch::cache_root()?, Stages::default());
    match arguments.action {
        Action::Fetch { model } => {
            let path = match (Model::named(&model), model.strip_prefix("hub:")) {
                (None, None) if model == minilm::NAME => {
                    say(minilm::ABOUT);
                    minilm::fetch()?
                }
                (Some(known), _) => {
                    say(known.about);
                    known.fetch(&cache, &stages)?
                }
                (None, Some(name)) => {
                    let (repository, revision) = name.split_once('@').unwrap_or((name, "main"));
                    Hub::from_environment().model(repository, revision, &cache, &stages)?
                }
                (None, None) => bail!(
                    "{model} is not known: name {}, {}, or hub:OWNER/NAME[@REVISION]",
                    fetch::MODELS.map(|known| known.name).join(", "),
                    minilm::NAME
                ),
            };
            super::print(path.display().to_string())
        }
        Action::Show { model } if model == minilm::NAME => show_encoder(&minilm::fetch()?),
        Action::Show { model } if BertConfig::is_of(Path::new(&model)) => show_encoder(Path::new(&model)),
        Action::Show { model } => {
            let model = backbone::pretrained(&model, Precision::F32, Compute::default())?;
            super::print(serde_json::to_string_pretty(model.decoder.config())?)?;
            super::print(format!(
                "{} tokens in the vocabulary",
                model.words.tokenizer()?.vocab_size()
            ))?;
            super::print(format!("fingerprint {}", model.fingerprint))
        }
    }
}

/// Prints the sizes of an encoder of sentences.
fn show_encoder(folder: &Path) -> Result<()> {
    let encoder = SentenceEncoder::open(folder)?;
    super::print(serde_json::to_string_pretty(encoder.bert().config())?)?;
    super::print(format!(
        "{} tokens in the vocabulary; texts are cut to {} tokens",
        encoder.tokenizer().vocab_size(),
        encoder.longest()
    ))
}
