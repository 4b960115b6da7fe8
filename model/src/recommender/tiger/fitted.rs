//! A fitted decoder over items as tokens, and its folder.

use std::path::Path;

use candle_core::Device;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::codes::{CodeReport, ItemCodes, Layout};
use super::super::{Recommender, System};
use super::learn::Sizes;
use super::tokens::Tokens;
use crate::backbone::{Decoder, Weights};
use crate::io::atomic;
use crate::rank::{Catalogue, NextTokens, Ranker};
use crate::{Error, Result};

/// The system, its settings and the size of the catalogue.
pub(in crate::recommender) const DESCRIPTION: &str = "recommender.json";
/// The items' codes.
pub(in crate::recommender) const CODES: &str = "codes.json";

/// What a folder says of its recommender.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    items: usize,
    system: System,
}

/// The items as tokens, and how they came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::recommender) struct Coded {
    items: ItemCodes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    report: Option<CodeReport>,
}

impl Coded {
    /// Codes that were given.
    pub fn of(items: ItemCodes) -> Self {
        Coded { items, report: None }
    }
}

/// A file of JSON.
pub(in crate::recommender) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Config {
        path: path.to_path_buf(),
        message: format!("{error}; fit and save the recommender again"),
    })
}

pub(in crate::recommender) fn write<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let json = serde_json::to_string(value).map_err(|error| Error::Config {
        path: path.to_path_buf(),
        message: error.to_string(),
    })?;
    atomic::write_file(path, format!("{json}\n").as_bytes())
}

/// Log-probabilities of all items after each history; `out` is histories × items.
///
/// # Errors
/// An item that has no tokens, and an `out` of another size.
pub(in crate::recommender) fn scores<M: NextTokens>(
    ranker: Ranker<M>,
    tokens: &Tokens,
    history: usize,
    histories: &[&[u32]],
    out: &mut [f32],
) -> Result<()> {
    let prompts = histories
        .iter()
        .map(|items| tokens.prompt(items, history))
        .collect::<Result<Vec<_>>>()?;
    let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
    ranker.scores(&prompts, out, &mut |_| ())?;
    // Who has done nothing yet is told nothing, as by the other systems.
    let users = out.chunks_exact_mut(tokens.items()).zip(histories);
    users
        .filter(|(_, history)| history.is_empty())
        .for_each(|(out, _)| out.fill(0.0));
    Ok(())
}

/// A fitted decoder over items as tokens.
#[derive(Debug)]
pub struct Fitted {
    system: System,
    sizes: Sizes,
    tokens: Tokens,
    /// The codes that the tokens are of; none where every item is a token.
    coded: Option<Coded>,
    /// NDCG@10 of validation users with the values that were kept; none where it was not looked at.
    validation_ndcg: Option<f64>,
    weights: Weights,
    decoder: Decoder,
    catalogue: Catalogue,
}

impl Fitted {
    pub(in crate::recommender) fn new(
        system: System,
        tokens: Tokens,
        coded: Option<Coded>,
        weights: Weights,
    ) -> Result<Self> {
        let sizes = Sizes::of(&system, tokens.items())?;
        let decoder = Decoder::new(&weights, &sizes.decoder(), &Device::Cpu)?;
        let catalogue = tokens.catalogue()?;
        Ok(Fitted {
            system,
            sizes,
            tokens,
            coded,
            validation_ndcg: None,
            weights,
            decoder,
            catalogue,
        })
    }

    /// Reads what [`save`](Recommender::save) wrote.
    ///
    /// # Errors
    /// A folder that is none of a decoder over items as tokens, or whose files do not belong together.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(DESCRIPTION);
        let description: Description = read(&path)?;
        let (system, items) = (description.system, description.items);
        let wrong = |path: &Path, message: String| Error::Config {
            path: path.to_path_buf(),
            message,
        };
        Sizes::of(&system, items).map_err(|error| wrong(&path, error.to_string()))?;
        let (tokens, coded) = match code_layout(&system) {
            None => (Tokens::one_each(items), None),
            Some(layout) => {
                let path = folder.join(CODES);
                let again =
                    |message: String| wrong(&path, format!("{message}; fit and save the recommender again"));
                let coded: Coded = read(&path)?;
                coded
                    .items
                    .check(layout)
                    .map_err(|error| again(error.to_string()))?;
                let found = coded.items.codes.len();
                if found != items {
                    return Err(again(format!(
                        "codes of {found} items where {DESCRIPTION} speaks of {items}"
                    )));
                }
                (Tokens::of_codes(layout, &coded.items), Some(coded))
            }
        };
        let (weights, _) = Weights::open(folder)?;
        Self::new(system, tokens, coded, weights)
    }

    /// Writes its files into a folder that is there.
    pub(in crate::recommender) fn save_into(&self, folder: &Path) -> Result<()> {
        self.weights.save(folder, &self.sizes.decoder())?;
        if let Some(coded) = &self.coded {
            write(&folder.join(CODES), coded)?;
        }
        let description = Description {
            items: self.tokens.items(),
            system: self.system.clone(),
        };
        write(&folder.join(DESCRIPTION), &description)
    }

    /// The items' codes; none where every item is a token.
    pub fn codes(&self) -> Option<&ItemCodes> {
        self.coded.as_ref().map(|coded| &coded.items)
    }

    /// NDCG@10 of the first thousand validation users over the whole catalogue, what they had left out, by the values that the fit kept; none
    /// in one that was read from a folder, or fitted without validation users.
    pub fn validation_ndcg(&self) -> Option<f64> {
        self.validation_ndcg
    }

    /// What the codes came to, where they were made in the fit.
    pub fn report(&self) -> Option<&CodeReport> {
        self.coded.as_ref().and_then(|coded| coded.report.as_ref())
    }

    /// The system that it was fitted as.
    pub fn system(&self) -> &System {
        &self.system
    }

    pub(in crate::recommender) fn set_system(&mut self, system: System) {
        self.system = system;
    }

    pub(in crate::recommender) fn set_report(&mut self, report: CodeReport) {
        if let Some(coded) = &mut self.coded {
            coded.report = Some(report);
        }
    }

    pub(in crate::recommender) fn set_validation_ndcg(&mut self, ndcg: Option<f64>) {
        self.validation_ndcg = ndcg;
    }

    /// What tells its decoder's values from others.
    pub(in crate::recommender) fn fingerprint(&self) -> Result<String> {
        self.weights.fingerprint()
    }

    pub(in crate::recommender) fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    pub(in crate::recommender) fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    pub(in crate::recommender) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    pub(in crate::recommender) fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }
}

/// What files mark a saved recommender's folder.
pub(in crate::recommender) const MARKS: (&str, &[&str]) =
    ("a recommender", &[DESCRIPTION, "model.safetensors"]);

/// How codes are laid out in a system that has some.
fn code_layout(system: &System) -> Option<Layout> {
    match system {
        System::Tiger(settings) => Some(settings.layout()),
        System::Recbase(settings) => Some(settings.tiger().layout()),
        System::Gencdr(settings) => Some(settings.tiger().layout()),
        _ => None,
    }
}

impl Recommender for Fitted {
    fn scores(&self, histories: &[&[u32]], out: &mut [f32]) -> Result<()> {
        let ranker = Ranker {
            decoder: &self.decoder,
            catalogue: &self.catalogue,
            mass: self.sizes.mass,
        };
        scores(ranker, &self.tokens, self.sizes.history, histories, out)
    }

    fn code_report(&self) -> Option<&CodeReport> {
        self.report()
    }

    fn save(&self, folder: &Path) -> Result<()> {
        atomic::write_folder(folder, MARKS, |folder| self.save_into(folder))
    }
}
