//! GenCDR, its core (Hu, Lu and Wang 2025, arXiv 2511.08006): a decoder over the codes of all domains, and beside it the same decoder with an
//! adapter of the target; a gate says at every token how much each counts.
//!
//! ```text
//!                      ┌──► universal decoder, frozen ──► p_universal ──┐
//! history as codes ──► │         its state ──► g = σ(w · state)         ├──► g p_adapted + (1 − g) p_universal
//!                      └──► the same with LoRA ─────────► p_adapted ────┘
//! ```
//!
//! The universal decoder is [`Tiger`] on the sequences of all domains; then the adapter and the gate are trained on the target's, by the
//! likelihood of the mixture. Where no epoch of that serves validation users as well as the universal decoder alone, a learnt gate is shut and
//! the adapter left out. Left out of the published system: the adapters of its tokeniser, for which codes by k-means of all domains
//! together stand, and a language model as the decoder. The released code (github.com/hupeiyu21/GenCDR) has settings of a router and nothing
//! that reads them: the form of this gate is ours.

mod learner;
mod mixture;

use std::path::Path;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use self::learner::Adapting;
use self::mixture::{Mixture, Weighing};
use super::codes::{self, CodeReport, CodeSettings, ItemCodes};
use super::tiger::learn::{Study, learn};
use super::tiger::tokens::Tokens;
use super::tiger::{self, MARKS, scores};
use super::{Course, Data, Outcome, Recommender, System, Tiger};
use crate::io::{atomic, safetensors};
use crate::lora::{Adapter, LoraConfig};
use crate::op::{Matrix, mix};
use crate::rank::{Mass, Ranker};
use crate::train::{Keep, Progress, TrainConfig};
use crate::{Error, Result};

/// The folder of the adapter in a saved recommender's, as PEFT has it.
const ADAPTER: &str = "adapter";
/// The file of the gate, where it was learnt.
const GATE: &str = "gate.safetensors";
/// Its one tensor.
const GATE_WEIGHT: &str = "gate.weight";

/// A decoder of all domains and an adapter of the target: its settings. Those that `tiger` has too mean what they do there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gencdr {
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
    /// Share of the items that are hidden in training.
    pub item_dropout: f64,
    /// What the chance of a token is a share of when items are ranked.
    pub mass: Mass,
    /// Length and speed of both trainings, each of which has so many epochs at most and stops by itself, but for the adapter's learning rate.
    pub train: TrainConfig,
    /// Peak learning rate of the adapter and the gate.
    pub adapter_rate: f64,
    /// Rank of the adapter.
    pub rank: usize,
    /// Numerator of its scale, alpha / rank.
    pub alpha: f64,
    /// How much it counts.
    pub gate: Gate,
}

/// How much the adapted decoder counts beside the universal one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// At every token what its state says; nowhere anything where validation users are served better without the adapter.
    #[default]
    Learned,
    /// Everywhere as much: with 0 the universal decoder alone, without an adapter, and with 1 the adapted one alone.
    Fixed(f64),
}

impl Default for Gencdr {
    /// Sizes and epochs as `tiger` has them and the adapter as the released code has it.
    fn default() -> Self {
        let tiger = Tiger::default();
        Gencdr {
            codes: tiger.codes,
            width: tiger.width,
            inner: tiger.inner,
            layers: tiger.layers,
            heads: tiger.heads,
            history: tiger.history,
            item_dropout: tiger.item_dropout,
            mass: tiger.mass,
            train: tiger.train,
            adapter_rate: 2e-3,
            rank: 8,
            alpha: 16.0,
            gate: Gate::Learned,
        }
    }
}

impl Gencdr {
    /// Makes codes of the vectors of the items of all domains, fits a decoder to the sequences of all, then adapter and gate to the target's.
    ///
    /// # Errors
    /// Data without sources, a domain without vectors or with some that do not fit, settings that make no decoder or adapter, and those of
    /// [`fit`](crate::train::fit()).
    pub fn fit(&self, data: &Data, course: Course) -> Result<(Fitted, Outcome)> {
        let (target, sources, report) = codes::of_target_and_sources(data, &self.codes)?;
        let domains: Vec<(&ItemCodes, &[Vec<u32>])> = sources
            .iter()
            .zip(data.sources)
            .map(|(codes, source)| (codes, source.train))
            .collect();
        let (mut fitted, outcome) = self.fit_codes(&target, &domains, data, course)?;
        fitted.universal.set_report(report);
        Ok((fitted, outcome))
    }

    /// The same with given codes of the target's items and of each source's. Of the data the target alone is read.
    ///
    /// # Errors
    /// Codes that are not of these items, a target without users, and the others of [`fit`](Self::fit).
    pub fn fit_codes(
        &self,
        target: &ItemCodes,
        sources: &[(&ItemCodes, &[Vec<u32>])],
        data: &Data,
        course: Course,
    ) -> Result<(Fitted, Outcome)> {
        self.check()?;
        let two = self.gate != Gate::Fixed(0.0);
        // Before all domains are gone through.
        if two && data.train.iter().all(Vec::is_empty) {
            return Err(Error::Usage(format!(
                "{} users, none of them with an item in the training part of the target: there is nothing to fit an adapter to (recbase learns \
                 from other domains alone)",
                data.train.len()
            )));
        }
        let Course {
            seed,
            checkpoint,
            progress,
        } = course;
        let learnt: Vec<(&ItemCodes, &[Vec<u32>])> = std::iter::once((target, data.train))
            .chain(sources.iter().copied())
            .collect();
        let part = checkpoint.map(|checkpoint| checkpoint.part("universal"));
        let later = if two { self.adapting_steps(data.train) } else { 0 };
        let first = Course {
            seed,
            checkpoint: part.as_ref(),
            progress: &mut |p: Progress| {
                progress(Progress {
                    total: p.total + later,
                    ..p
                });
            },
        };
        let (mut universal, alone) =
            self.tiger()
                .fit_domains(data.items, target, &learnt, data.validation, first)?;
        universal.set_system(System::Gencdr(self.clone()));
        if !two {
            return Ok((Fitted::new(universal, None)?, alone));
        }
        let learner = Adapting::new(universal.decoder(), self, seed)?;
        let study = Study {
            learnt: &[(universal.tokens().clone(), data.train)],
            target: universal.tokens(),
            validation: data.validation,
        };
        let config = TrainConfig {
            learning_rate: self.adapter_rate,
            ..self.train.clone()
        };
        let second = Course {
            // Not the order that the universal decoder saw.
            seed: mix(seed),
            checkpoint,
            progress: &mut |p: Progress| {
                progress(Progress {
                    step: alone.steps + p.step,
                    total: alone.steps + p.total,
                    tokens: alone.tokens + p.tokens,
                    seconds: alone.seconds + p.seconds,
                    ..p
                });
            },
        };
        let fingerprint = format!(
            "gencdr {:?} rank {} alpha {} gate {:?}, seed {seed}, over values {}",
            universal.sizes(),
            self.rank,
            self.alpha,
            self.gate,
            universal.fingerprint()?
        );
        let (adapting, ndcg) = learn(&learner, &study, universal.sizes(), &config, fingerprint, second)?;
        let adapted = learner.adapted()?;
        drop(learner);
        self.chosen(universal, (adapted, ndcg), alone, adapting)
    }

    /// What is kept of both trainings: the universal decoder with what was adapted to the target and what it was found to be worth, or, where
    /// validation users were served better by the universal decoder alone than by any epoch with a learnt gate, that with its gate shut.
    fn chosen(
        &self,
        mut universal: tiger::Fitted,
        (adapted, ndcg): (Adapted, Option<f64>),
        alone: Outcome,
        adapting: Outcome,
    ) -> Result<(Fitted, Outcome)> {
        let Some((without, with)) = self.adapter_loses(&alone, &adapting) else {
            universal.set_validation_ndcg(ndcg);
            return Ok((Fitted::new(universal, Some(adapted))?, alone.then(adapting)));
        };
        tracing::info!(
            "without its adapter NDCG@10 of validation users is {without:.4}, with it {with:.4} at best: it is left out"
        );
        universal.set_system(System::Gencdr(Gencdr {
            gate: Gate::Fixed(0.0),
            ..self.clone()
        }));
        let best_epoch = alone.best_epoch;
        let outcome = Outcome {
            best_epoch,
            ..alone.then(adapting)
        };
        Ok((Fitted::new(universal, None)?, outcome))
    }

    /// What validation users found of the universal decoder by itself and of the best epoch with the adapter, where the first is more. They are
    /// the same users, asked in the same way, and so they choose between all epochs of both trainings; not where the gate is said, or the last
    /// values are kept.
    fn adapter_loses(&self, alone: &Outcome, adapting: &Outcome) -> Option<(f64, f64)> {
        let (without, with) = (alone.best_ndcg()?, adapting.best_ndcg()?);
        let chooses = self.gate == Gate::Learned && self.train.keep == Keep::Best;
        (chooses && without > with).then_some((without, with))
    }

    /// Most steps of the second training.
    fn adapting_steps(&self, train: &[Vec<u32>]) -> usize {
        let windows = train
            .iter()
            .map(|items| Tokens::count_windows(items.len(), self.history));
        let windows: usize = windows.sum();
        windows.div_ceil(self.train.batch_size.max(1)) * self.train.epochs
    }

    fn check(&self) -> Result<()> {
        if let Gate::Fixed(share) = self.gate
            && !(0.0..=1.0).contains(&share)
        {
            return Err(Error::Usage(format!(
                "gate fixed at {share}: give a share from 0 (the universal decoder) to 1 (the adapted one)"
            )));
        }
        Ok(())
    }

    /// The universal decoder.
    pub fn tiger(&self) -> Tiger {
        Tiger {
            codes: self.codes.clone(),
            width: self.width,
            inner: self.inner,
            layers: self.layers,
            heads: self.heads,
            history: self.history,
            item_dropout: self.item_dropout,
            mass: self.mass,
            train: self.train.clone(),
        }
    }

    fn lora(&self) -> LoraConfig {
        LoraConfig::new(self.rank, self.alpha)
    }
}

/// What is trained on the target.
#[derive(Clone, Debug)]
struct Adapted {
    adapter: Adapter,
    /// `w`, `(1, width)`, where it was learnt.
    gate: Option<Tensor>,
}

/// A fitted decoder of all domains with an adapter of the target.
#[derive(Debug)]
pub struct Fitted {
    /// The decoder of all domains, and the target's items as tokens.
    universal: tiger::Fitted,
    adapted: Option<Adapted>,
    mixture: Mixture,
}

impl Fitted {
    fn new(universal: tiger::Fitted, adapted: Option<Adapted>) -> Result<Self> {
        let System::Gencdr(settings) = universal.system() else {
            return Err(Error::Usage(
                "another system than gencdr; load it by its own name".into(),
            ));
        };
        let decoder = universal.decoder();
        let mixture = match &adapted {
            None => Mixture::alone(decoder.clone()),
            Some(Adapted { adapter, gate }) => {
                let folded = decoder.folded(adapter)?;
                Mixture::new(folded, decoder, Weighing::of(settings.gate, gate.as_ref())?)
            }
        };
        Ok(Fitted {
            universal,
            adapted,
            mixture,
        })
    }

    /// Reads what [`save`](Recommender::save) wrote.
    ///
    /// # Errors
    /// A folder that is none of this system, or whose files do not belong together.
    pub fn load(folder: &Path) -> Result<Self> {
        let universal = tiger::Fitted::load(folder)?;
        let gate = match universal.system() {
            System::Gencdr(settings) => settings.gate,
            _ => {
                return Err(Error::Usage(
                    "another system than gencdr; load it by its own name".into(),
                ));
            }
        };
        let adapted = match gate {
            Gate::Fixed(0.0) => None,
            Gate::Fixed(_) => Some(Adapted {
                adapter: Adapter::load(&folder.join(ADAPTER))?,
                gate: None,
            }),
            Gate::Learned => Some(Adapted {
                adapter: Adapter::load(&folder.join(ADAPTER))?,
                gate: Some(read_gate(&folder.join(GATE), universal.sizes().width)?),
            }),
        };
        Self::new(universal, adapted)
    }

    /// The codes of the target's items.
    pub fn codes(&self) -> Option<&ItemCodes> {
        self.universal.codes()
    }

    /// What the codes came to, where they were made in the fit.
    pub fn report(&self) -> Option<&CodeReport> {
        self.universal.report()
    }

    /// The adapter of the target; none where it counts for nothing, or was left out because validation users were served better without.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.adapted.as_ref().map(|adapted| &adapted.adapter)
    }

    /// NDCG@10 of the first thousand validation users, as in a fitted [`tiger`].
    pub fn validation_ndcg(&self) -> Option<f64> {
        self.universal.validation_ndcg()
    }
}

fn read_gate(path: &Path, width: usize) -> Result<Tensor> {
    let wrong = |message: &str| Error::Weights {
        path: path.to_path_buf(),
        message: format!("{message}; fit and save the recommender again"),
    };
    let gate = safetensors::read(path)?.remove(GATE_WEIGHT);
    let gate = gate.ok_or_else(|| wrong("gate.weight is missing"))?;
    match gate.dims() == [1, width] {
        true => Ok(gate),
        false => Err(wrong("gate.weight is not as wide as the decoder")),
    }
}

impl Recommender for Fitted {
    fn scores(&self, histories: &[&[u32]], out: &mut [f32]) -> Result<()> {
        let sizes = self.universal.sizes();
        let ranker = Ranker {
            decoder: &self.mixture,
            catalogue: self.universal.catalogue(),
            mass: sizes.mass,
        };
        scores(ranker, self.universal.tokens(), sizes.history, histories, out)
    }

    fn code_report(&self) -> Option<&CodeReport> {
        self.report()
    }

    fn save(&self, folder: &Path) -> Result<()> {
        atomic::write_folder(folder, MARKS, |folder| {
            self.universal.save_into(folder)?;
            if let Some(Adapted { adapter, gate }) = &self.adapted {
                let within = folder.join(ADAPTER);
                std::fs::create_dir(&within).map_err(|error| Error::io(&within, error))?;
                adapter.save_into(&within)?;
                if let Some(gate) = gate {
                    let named = [(GATE_WEIGHT.to_owned(), Matrix::from(gate.clone()))];
                    safetensors::write(&folder.join(GATE), named)?;
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
