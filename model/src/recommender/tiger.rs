//! TIGER-like: a small decoder over the codes of items, which ranks the whole catalogue by likelihood.
//!
//! After Rajput et al. 2023 (arXiv 2305.05065), with these differences: a decoder alone in place of encoder and decoder, codes by k-means in
//! place of an RQ-VAE, no token for the user, every item of a sequence is learnt in one pass, and items are ranked exactly where TIGER keeps a
//! beam.

mod task;

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use self::task::{Sequence, Sequences};
use super::codes::{self, CodeReport, CodeSettings, ItemCodes, Layout, START, TOKENS};
use super::{Course, Data, Outcome, Recommender, System};
use crate::backbone::nano::NanoConfig;
use crate::backbone::{Decoder, DecoderConfig, Weights};
use crate::io::atomic;
use crate::rank::{Catalogue, Mass, Ranker};
use crate::train::pretrain::Nascent;
use crate::train::{Fit, Keep, TrainConfig, fit};
use crate::{Error, Result};
use candle_core::Device;

/// The system, its settings and the size of the catalogue.
const DESCRIPTION: &str = "recommender.json";
/// The items' codes.
const CODES: &str = "codes.json";

/// A decoder over items as tokens: its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tiger {
    /// How items become tokens.
    pub codes: CodeSettings,
    /// Width of the hidden states.
    pub width: usize,
    /// Width of the feed-forward.
    pub inner: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Number of heads.
    pub heads: usize,
    /// Most items of a history that are read, the newest.
    pub history: usize,
    /// Share of the items that are hidden in training, each time others: they are not learnt then, and what follows must do without them.
    pub item_dropout: f64,
    /// What the chance of a token is a share of when items are ranked.
    pub mass: Mass,
    /// Length and speed of training. With `evaluate_every = 0` validation users are looked at once an epoch.
    pub train: TrainConfig,
}

impl Default for Tiger {
    fn default() -> Self {
        Tiger {
            codes: CodeSettings::default(),
            width: 128,
            inner: 256,
            layers: 4,
            heads: 4,
            history: 20,
            item_dropout: 0.1,
            mass: Mass::Catalogue,
            train: TrainConfig {
                flat: None,
                learning_rate: 1e-3,
                epochs: 20,
                batch_size: 64,
                micro_batch_tokens: 4096,
                activation_memory: 512,
                warmup: 0.05,
                weight_decay: 0.05,
                clip: 1.0,
                evaluate_every: 0,
                patience: 3,
                keep: Keep::Best,
                checkpoint_every: 0,
            },
        }
    }
}

impl Tiger {
    /// Makes codes of the items' vectors and fits a decoder to them.
    ///
    /// # Errors
    /// Data without vectors or with some that do not fit, settings that make no decoder, and those of [`fit`](fit()).
    pub fn fit(&self, data: &Data, course: Course) -> Result<(Fitted, Outcome)> {
        let vectors = data.vectors.ok_or_else(|| {
            Error::Usage(
                "codes are made of the items' vectors, and there are none: give text vectors, or your own"
                    .into(),
            )
        })?;
        vectors.check(data.items)?;
        let (mut domains, report) = codes::encode(&[vectors], &self.codes)?;
        for (level, found) in (1..).zip(&report.levels) {
            tracing::info!(
                "codes, level {level}: {} of {} used (perplexity {:.0}), {:.1} % of the vectors left over",
                found.used,
                self.codes.size,
                found.perplexity,
                100.0 * found.error
            );
        }
        let (mut fitted, outcome) = self.fit_codes(domains.pop().unwrap_or_default(), data, course)?;
        fitted.report = Some(report);
        Ok((fitted, outcome))
    }

    /// Fits a decoder to given codes, whose sizes are those of the settings: of several domains together, or permuted ones.
    ///
    /// # Errors
    /// Codes that are not of these items, and the others of [`fit`](Self::fit).
    pub fn fit_codes(&self, codes: ItemCodes, data: &Data, course: Course) -> Result<(Fitted, Outcome)> {
        let layout = self.layout();
        codes.check(layout)?;
        if codes.codes.len() != data.items {
            return Err(Error::Usage(format!(
                "codes of {} items for a catalogue of {}",
                codes.codes.len(),
                data.items
            )));
        }
        if self.history == 0 || !(0.0..1.0).contains(&self.item_dropout) {
            return Err(Error::Usage(format!(
                "history {} and item_dropout {}: give a history of at least 1 item, and a share from 0 to below 1",
                self.history, self.item_dropout
            )));
        }
        let mut examples = Vec::with_capacity(data.train.len());
        for items in data.train {
            examples.extend(self.windows(&codes, items)?);
        }
        let held_out = data
            .validation
            .iter()
            .map(|(history, next)| {
                let mut tokens = self.prompt(&codes, history)?;
                let loss_from = tokens.len();
                tokens.extend(layout.tokens(codes.of(*next)?));
                Ok(Sequence { tokens, loss_from })
            })
            .collect::<Result<Vec<_>>>()?;
        let config = self.decoder();
        let nascent = Nascent::new(&config, course.seed)?;
        let catalogue = Catalogue::new(&layout.items(&codes))?;
        let task = Sequences {
            catalogue: &catalogue,
            mass: self.mass,
            nascent: &nascent,
            dropout: self.item_dropout,
            fingerprint: format!("tiger {config:?} {}", self.item_dropout),
        };
        let mut training = self.train.clone();
        if training.evaluate_every == 0 {
            training.evaluate_every = examples.len().div_ceil(training.batch_size.max(1));
        }
        let request = Fit {
            task: &task,
            examples: &examples,
            held_out: &held_out,
            config: &training,
            seed: course.seed,
            checkpoint: course.checkpoint,
        };
        let trained = fit(request, course.progress)?;
        let steps = examples.len().div_ceil(training.batch_size.max(1));
        let outcome = Outcome::new(trained, steps, training.epochs, nascent.parameters().count());
        let mut fitted = Fitted::new(self.clone(), codes, nascent.weights()?)?;
        if !held_out.is_empty() {
            fitted.validation_ndcg = Some(task.ndcg_at_10(&held_out)?);
        }
        Ok((fitted, outcome))
    }

    fn layout(&self) -> Layout {
        Layout {
            size: self.codes.size,
        }
    }

    fn decoder(&self) -> DecoderConfig {
        let sizes = NanoConfig {
            vocabulary: self.layout().vocabulary(),
            width: self.width,
            inner: self.inner,
            layers: self.layers,
            heads: self.heads,
            key_value_heads: self.heads,
        };
        sizes.llama(START)
    }

    /// What is read of a history: its newest items.
    fn prompt(&self, codes: &ItemCodes, items: &[u32]) -> Result<Vec<u32>> {
        let newest = &items[items.len().saturating_sub(self.history)..];
        self.layout().history(codes, newest)
    }

    /// A user's sequence as runs of as many items as are read, in which every item is learnt once: of a later run, which begins half a run
    /// before the last one's end, what is new.
    fn windows(&self, codes: &ItemCodes, items: &[u32]) -> Result<Vec<Sequence>> {
        // One more than is read, since the last is only predicted.
        let length = self.history + 1;
        let mut windows = Vec::new();
        let mut learnt = 0;
        while learnt < items.len() {
            let end = match learnt {
                0 => length.min(items.len()),
                _ => (learnt + length.div_ceil(2)).min(items.len()),
            };
            let start = end.saturating_sub(length);
            windows.push(Sequence {
                tokens: self.layout().history(codes, &items[start..end])?,
                loss_from: 1 + TOKENS * (learnt - start),
            });
            learnt = end;
        }
        Ok(windows)
    }
}

/// A fitted decoder over items as tokens.
#[derive(Debug)]
pub struct Fitted {
    tiger: Tiger,
    codes: ItemCodes,
    /// What the codes came to, where they were made in the fit.
    report: Option<CodeReport>,
    /// NDCG@10 of validation users with the values that were kept; none where it was not looked at.
    validation_ndcg: Option<f64>,
    weights: Weights,
    decoder: Decoder,
    catalogue: Catalogue,
}

/// What a folder says of its recommender.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    items: usize,
    system: System,
}

/// The items as tokens, and how they came about.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Coded {
    items: ItemCodes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    report: Option<CodeReport>,
}

/// A file of JSON.
fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Config {
        path: path.to_path_buf(),
        message: format!("{error}; fit and save the recommender again"),
    })
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let json = serde_json::to_string(value).map_err(|error| Error::Config {
        path: path.to_path_buf(),
        message: error.to_string(),
    })?;
    atomic::write_file(path, format!("{json}\n").as_bytes())
}

impl Fitted {
    fn new(tiger: Tiger, codes: ItemCodes, weights: Weights) -> Result<Self> {
        let decoder = Decoder::new(&weights, &tiger.decoder(), &Device::Cpu)?;
        let catalogue = Catalogue::new(&tiger.layout().items(&codes))?;
        Ok(Fitted {
            tiger,
            codes,
            report: None,
            validation_ndcg: None,
            weights,
            decoder,
            catalogue,
        })
    }

    /// Reads what [`save`](Recommender::save) wrote.
    ///
    /// # Errors
    /// A folder that is none of a TIGER-like recommender, or whose files do not belong together.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(DESCRIPTION);
        let description: Description = read(&path)?;
        let System::Tiger(settings) = description.system else {
            return Err(Error::Config {
                path,
                message: "another system than tiger; load it by its own name".into(),
            });
        };
        let coded: Coded = read(&folder.join(CODES))?;
        let wrong = |message: String| Error::Config {
            path: folder.join(CODES),
            message: format!("{message}; fit and save the recommender again"),
        };
        coded
            .items
            .check(settings.layout())
            .map_err(|error| wrong(error.to_string()))?;
        if coded.items.codes.len() != description.items {
            return Err(wrong(format!(
                "codes of {} items where {DESCRIPTION} speaks of {}",
                coded.items.codes.len(),
                description.items
            )));
        }
        let (weights, _) = Weights::open(folder)?;
        let mut fitted = Self::new(settings, coded.items, weights)?;
        fitted.report = coded.report;
        Ok(fitted)
    }

    /// The items' codes.
    pub fn codes(&self) -> &ItemCodes {
        &self.codes
    }

    /// NDCG@10 of the first thousand validation users over the whole catalogue, what they had left out, by the values that the fit kept; none
    /// in one that was read from a folder, or fitted without validation users.
    pub fn validation_ndcg(&self) -> Option<f64> {
        self.validation_ndcg
    }

    /// What the codes came to, where they were made in the fit.
    pub fn report(&self) -> Option<&CodeReport> {
        self.report.as_ref()
    }
}

impl Recommender for Fitted {
    fn scores(&self, histories: &[&[u32]], out: &mut [f32]) -> Result<()> {
        let prompts = histories
            .iter()
            .map(|items| self.tiger.prompt(&self.codes, items))
            .collect::<Result<Vec<_>>>()?;
        let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        let ranker = Ranker {
            decoder: &self.decoder,
            catalogue: &self.catalogue,
            mass: self.tiger.mass,
        };
        ranker.scores(&prompts, out, &mut |_| ())?;
        // Who has done nothing yet is told nothing, as by the other systems.
        let users = out.chunks_exact_mut(self.catalogue.items()).zip(histories);
        users
            .filter(|(_, history)| history.is_empty())
            .for_each(|(out, _)| out.fill(0.0));
        Ok(())
    }

    fn save(&self, folder: &Path) -> Result<()> {
        let description = Description {
            items: self.codes.codes.len(),
            system: System::Tiger(self.tiger.clone()),
        };
        let coded = Coded {
            items: self.codes.clone(),
            report: self.report.clone(),
        };
        let marks = (
            "a recommender",
            ["recommender.json", "model.safetensors"].as_slice(),
        );
        atomic::write_folder(folder, marks, |folder| {
            self.weights.save(folder, &self.tiger.decoder())?;
            write(&folder.join(CODES), &coded)?;
            write(&folder.join(DESCRIPTION), &description)
        })
    }
}

#[cfg(test)]
mod tests;
