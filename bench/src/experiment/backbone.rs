//! The language models of a study: one that is fetched, or those that its replicates have pre-trained.

use std::path::{Path, PathBuf};

use anyhow::Result;
use weaverec_model::backbone::{Decoder, Precision, Weights};
use weaverec_model::device::{Arithmetic, Compute};
use weaverec_model::lora::Base;
use weaverec_pipeline::fetch::{self, Model};

use super::words::Words;
use crate::progress::Stages;

/// A loaded language model.
pub struct LanguageModel {
    /// The decoder over its frozen weights.
    pub decoder: Decoder,
    /// What it reads.
    pub words: Words,
    /// Hash of the weights and of what it reads.
    pub fingerprint: String,
    /// What tells the weights from others, for adapters. Its name is one that is known, or the absolute path, so that it means the same
    /// in another folder.
    pub base: Base,
    /// Where it lies.
    pub path: PathBuf,
}

/// Loads a known model, or one from a local folder or GGUF file.
///
/// The device is opened first: a wrong name should cost no download.
pub fn pretrained(model: &str, precision: Precision, compute: Compute) -> Result<LanguageModel> {
    compute.device.open()?;
    match Model::named(model) {
        Some(known) => {
            let path = known.fetch(&fetch::cache_root()?, &Stages::default())?;
            open(&path, Some(model), precision, compute)
        }
        None => open(Path::new(model), None, precision, compute),
    }
}

/// Opens a model that is known by `name`, or by its path.
fn open(path: &Path, name: Option<&str>, precision: Precision, compute: Compute) -> Result<LanguageModel> {
    let (weights, config) = Weights::open_as(path, precision)?;
    let words = Words::open(path)?;
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let name = name.map_or_else(|| path.display().to_string(), str::to_string);
    let base = weights.base(&name, precision)?;
    // Other words or another chat template make other examples of the same prompts.
    let mut fingerprint = format!("{}-{}", base.weights, words.fingerprint()?);
    if compute.arithmetic != Arithmetic::default() {
        // Other numbers come of it, as of other weights.
        fingerprint.push_str(&format!("-{}", compute.arithmetic));
    }
    let device = compute.device.open()?;
    let decoder = Decoder::placed(&weights, &config, &device, compute.arithmetic)?;
    Ok(LanguageModel {
        decoder,
        words,
        fingerprint,
        base,
        path,
    })
}

/// Opens a backbone that was pre-trained here.
///
/// # Errors
/// A folder that cannot be read, or a device that cannot be opened.
pub fn pretrained_here(folder: &Path, compute: Compute) -> Result<LanguageModel> {
    open(folder, None, Precision::F32, compute)
}
