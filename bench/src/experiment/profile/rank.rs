//! How a profile ranks candidates.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use weaverec_model::rank::Normalisation;

use crate::scoring::LEAST;

/// How candidates are ranked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rank {
    /// What log-likelihoods are divided by.
    pub normalisation: Normalisation,
    /// Prompt tokens that go through the decoder at one time.
    pub batch_tokens: usize,
    /// Users for whom an answer is decoded freely, to measure the invalid-output rate; 0 decodes none.
    pub free_decoding_users: usize,
    /// Most tokens of such an answer.
    pub free_decoding_tokens: usize,
    /// Histories of one title over which log p(title) is averaged, for the content score; 0: none, and titles are ranked by likelihood alone.
    #[serde(default = "four")]
    pub neutral_histories: usize,
    /// Most calibration users that rows of language models are scored on, to choose α, scales and weights. A domain with fewer than
    /// [300](crate::scoring::LEAST) of them, or a profile that asks for fewer, chooses nothing: α and the scale are 1 then, and no floor is added.
    #[serde(default)]
    pub calibration: usize,
    /// What merged updates are multiplied by, one of which calibration users choose.
    #[serde(default = "one_scale")]
    pub scales: Vec<f64>,
    /// Language models rank the whole catalogue of domains of at most so many items, by likelihood; 0: of none. Rows that count always do.
    #[serde(default)]
    pub catalogue: usize,
    /// Training sequences whose next title the untuned model is asked to recall to the letter; they are written one title a line, whatever the
    /// prompts of the study are.
    #[serde(default)]
    pub contamination: usize,
}

/// What of ranking a study has otherwise than its profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choosing {
    /// Most calibration users that rows of language models are scored on.
    pub calibration: usize,
}

fn four() -> usize {
    4
}

fn one_scale() -> Vec<f64> {
    vec![1.0]
}

impl Default for Rank {
    /// Likelihoods alone, by the size of pass that commands use.
    fn default() -> Self {
        Rank {
            normalisation: Normalisation::default(),
            batch_tokens: 4096,
            free_decoding_users: 0,
            free_decoding_tokens: 0,
            neutral_histories: 0,
            calibration: 0,
            scales: one_scale(),
            catalogue: 0,
            contamination: 0,
        }
    }
}

impl Rank {
    pub(super) fn check(&self) -> Result<()> {
        if !self.scales.contains(&1.0) {
            bail!(
                "[rank] scales = {:?}: 1 must be one of them, since every row is shown as it is, too",
                self.scales
            );
        }
        for (place, scale) in self.scales.iter().enumerate() {
            if !(scale.is_finite() && *scale > 0.0) {
                bail!("[rank] scales: {scale} is no scale: give numbers above 0");
            }
            if self.scales[..place].contains(scale) {
                bail!("[rank] scales: {scale} is there twice");
            }
        }
        if (1..LEAST).contains(&self.calibration) {
            bail!(
                "[rank] calibration = {}: fewer than {LEAST} users choose nothing; write 0, or at least that many",
                self.calibration
            );
        }
        if self.scales.len() > 1 && self.calibration == 0 {
            bail!(
                "[rank] `scales` has no effect without calibration users, who choose among them: set `calibration`, or leave it out"
            );
        }
        Ok(())
    }
}
