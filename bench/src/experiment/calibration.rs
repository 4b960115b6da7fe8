//! The calibration of an adapter: what users who are not reported on chose after training, kept beside it, so that a ranking elsewhere is the
//! one that was measured.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use weaverec_model::backbone::Decoder;
use weaverec_model::rank::{Normalisation, Query, neutral};
use weaverec_output::write_file;
use weaverec_pipeline::schema::Item;
use weaverec_pipeline::seed;

use super::backbone::LanguageModel;
use super::encoder::Encoder;
use crate::progress::Meter;

/// Its file in an adapter's folder.
pub const CALIBRATION: &str = "calibration.json";

/// How an adapter's likelihoods become scores: log p(title | history) − α log p(title | neutral), with the update times a scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// The layout of this file.
    pub version: u32,
    /// α.
    pub alpha: f32,
    /// What the update is multiplied by.
    pub scale: f64,
    /// Whether users chose them; else there were too few, and both are 1.
    pub chosen: bool,
    /// How many calibration users there were.
    pub users: usize,
    /// Key of the cut that says who they are; not written where it is the usual one, 0.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub cut_seed: u64,
    /// The titles of the neutral histories, one each.
    pub histories: Vec<String>,
    /// What log-likelihoods are divided by.
    pub normalisation: Normalisation,
    /// The domain whose users chose.
    pub domain: String,
    /// Hash of that prepared folder.
    pub prepared: String,
    /// Hash of the adapter's files; none for the plain model.
    pub adapter: Option<String>,
    /// Hash of the language model.
    pub base: String,
}

fn is_usual(cut_seed: &u64) -> bool {
    *cut_seed == 0
}

/// The layout that this program writes.
pub const VERSION: u32 = 1;

impl Calibration {
    /// Reads the calibration that is to be used with an adapter on a model: from `file`, or from the adapter's folder.
    ///
    /// # Errors
    /// One that is not there, cannot be read, or was made for another adapter or model.
    pub fn read(file: Option<&Path>, adapter: Option<&Path>, model: &LanguageModel) -> Result<Self> {
        let path = match (file, adapter) {
            (Some(file), _) => file.to_path_buf(),
            (None, Some(folder)) => folder.join(CALIBRATION),
            (None, None) => {
                bail!("the plain model has no folder that a calibration could lie in: name its file")
            }
        };
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "cannot read {}: `weaverec calibrate <prepared> --adapter <folder>` makes one",
                path.display()
            )
        })?;
        let read: Calibration =
            serde_json::from_str(&text).with_context(|| format!("{} is no calibration", path.display()))?;
        if read.version != VERSION {
            bail!(
                "{} has version {}, this program reads {VERSION}: calibrate again",
                path.display(),
                read.version
            );
        }
        if !read.alpha.is_finite() || !read.scale.is_finite() || read.scale <= 0.0 {
            bail!(
                "{}: alpha {} and scale {} are no numbers to rank by: calibrate again",
                path.display(),
                read.alpha,
                read.scale
            );
        }
        if read.adapter != adapter.map(fingerprint).transpose()? {
            bail!(
                "{} is the calibration of another adapter: its scores would not be those that were calibrated; calibrate this one",
                path.display()
            );
        }
        if read.base != model.fingerprint {
            bail!(
                "{} is a calibration on another language model ({}, this is {}): calibrate on this one",
                path.display(),
                read.base,
                model.fingerprint
            );
        }
        Ok(read)
    }

    /// Writes it.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = format!("{}\n", serde_json::to_string_pretty(self)?);
        Ok(write_file(path, text.as_bytes())?)
    }

    /// Takes from each query's scores what its titles have without a history.
    ///
    /// # Errors
    /// A device that fails.
    pub fn apply(
        &self,
        decoder: &Decoder,
        encoder: &Encoder,
        queries: &[Query],
        scores: &mut [Vec<f32>],
        meter: &Meter,
    ) -> Result<()> {
        if self.alpha == 0.0 {
            return Ok(());
        }
        let all: Vec<Vec<u32>> = queries
            .iter()
            .flat_map(|query| query.candidates.iter().cloned())
            .collect();
        let mut found = self.neutral(decoder, encoder, &all, meter)?.into_iter();
        for scores in scores {
            for (score, neutral) in scores.iter_mut().zip(found.by_ref()) {
                *score -= self.alpha * neutral;
            }
        }
        Ok(())
    }
}

impl Calibration {
    /// What titles have without a history.
    ///
    /// # Errors
    /// A device that fails.
    pub fn neutral(
        &self,
        decoder: &Decoder,
        encoder: &Encoder,
        titles: &[Vec<u32>],
        meter: &Meter,
    ) -> Result<Vec<f32>> {
        let histories = histories(encoder, &self.histories)?;
        let count = (titles.len() * histories.len()) as u64;
        let mut progress =
            |done: usize| meter.update(done as u64, count, || "titles after neutral histories".into());
        Ok(neutral(
            decoder,
            &histories,
            titles,
            self.normalisation,
            &mut progress,
        )?)
    }
}

/// What the model reads of histories of one title each.
///
/// # Errors
/// A title that cannot be encoded.
pub fn histories(encoder: &Encoder, titles: &[String]) -> Result<Vec<Vec<u32>>> {
    titles.iter().map(|title| encoder.titles(&[title])).collect()
}

/// Titles for neutral histories: items that are trained on, drawn by a key of the prepared folder alone, so that they are the same whichever
/// row is asked.
pub fn neutral_titles(items: &[Item], prepared: &str, count: usize) -> Vec<String> {
    let title = |item: &Item| item.title.clone();
    neutral_items(items, prepared, count)
        .into_iter()
        .map(title)
        .collect()
}

/// The items of [`neutral_titles`].
pub fn neutral_items<'i>(items: &'i [Item], prepared: &str, count: usize) -> Vec<&'i Item> {
    let mut known: Vec<&Item> = items.iter().filter(|item| item.train_count > 0).collect();
    known.sort_by_cached_key(|item| {
        let key = seed::key(&[b"neutral", prepared.as_bytes(), item.item_id.as_bytes()]);
        (key, item.item)
    });
    known.truncate(count);
    known
}

/// A hash of an adapter's settings and factors.
///
/// # Errors
/// A folder that lacks them.
pub fn fingerprint(adapter: &Path) -> Result<String> {
    let mut hash = blake3::Hasher::new();
    let (settings, factors) = (adapter.join("adapter_config.json"), weights(adapter));
    for path in [settings, factors] {
        let mut file =
            std::fs::File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        std::io::copy(&mut file, &mut hash).with_context(|| format!("cannot read {}", path.display()))?;
    }
    Ok(hash.finalize().to_hex()[..32].to_string())
}

/// Of the two names that PEFT gives to factors, the one that is there.
fn weights(adapter: &Path) -> PathBuf {
    let names = ["adapter_model.safetensors", "adapter_model.bin"].map(|name| adapter.join(name));
    names
        .iter()
        .find(|path| path.is_file())
        .unwrap_or(&names[0])
        .clone()
}
