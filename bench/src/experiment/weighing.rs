//! What adapters weigh in a ranking, chosen by calibration users, and what these are asked.

use anyhow::{Context, Result};
use weaverec_model::lora::Adapter;
use weaverec_model::merge::align::{Member, WEIGHT};
use weaverec_model::merge::recipe::Recipe;
use weaverec_model::merge::weights::{Case, Content, Goal, Weights, choose};
use weaverec_model::train::task::Room;
use weaverec_pipeline::schema::{Item, Prompt, PromptFormat};

use super::backbone::LanguageModel;
use super::cell::Choice;
use super::cut::Cut;
use super::domain::DomainData;
use super::encoder::Encoder;
use super::merged::Merged;
use super::profile::Profile;
use crate::calibration::neutral_items;
use crate::progress::Meter;
use crate::scoring::LEAST;

/// Calibration users on whose prompts entropy is made small, at most: they give no answers, so that few are enough.
const WITHOUT_ANSWERS: usize = 100;
/// What gradients may keep of what their backward could compute again.
const ACTIVATIONS: usize = 512 << 20;

/// What the choice of weights is called in records.
pub const LAMBDA: &str = "λ";

/// What weights are chosen with.
pub(super) struct Weighing<'a> {
    pub profile: &'a Profile,
    pub model: &'a LanguageModel,
    pub encoder: &'a Encoder<'a>,
    pub target: &'a DomainData,
    pub meter: &'a Meter,
}

impl Weighing<'_> {
    /// The sum of the adapters by the weights that calibration users choose, and the choice. Where answers are looked at and fewer than
    /// [`LEAST`] users give some, the weights are equal.
    pub fn merged<'a>(
        &self,
        adapters: &'a [Adapter],
        mut weights: Weights,
    ) -> Result<(Merged<'a>, Option<Choice>)> {
        let supervised = weights.goal().is_some_and(Goal::is_supervised);
        let most = match supervised {
            true => self.profile.rank.calibration,
            false => WITHOUT_ANSWERS,
        };
        let calibration = &self.target.calibration;
        let users = &calibration[..calibration.len().min(most)];
        if users.is_empty() || (supervised && users.len() < LEAST) {
            return Ok((Merged::Mean(adapters), None));
        }
        let format = self.profile.prepare.format;
        if let Weights::Grid(grid) = &mut weights
            && let Goal::Ndcg(ndcg) = &mut grid.objective
        {
            ndcg.normalisation = self.profile.rank.normalisation;
            ndcg.content = content(
                self.encoder,
                &self.target.items,
                &self.target.fingerprint,
                match format {
                    PromptFormat::Sequence => self.profile.rank.neutral_histories,
                    _ => 0,
                },
            )?;
        }
        let cases: Vec<Case> = users
            .iter()
            .map(|prompt| case(self.encoder, prompt, &self.target.items, format))
            .collect::<Result<_>>()?;
        let room = Room {
            tokens: self.profile.rank.batch_tokens,
            activation_memory: ACTIVATIONS,
        };
        let members: Vec<&Adapter> = adapters.iter().collect();
        let mut progress = |done: usize, total: usize| {
            self.meter
                .update(done as u64, total as u64, || "weights tried".into());
        };
        let chosen = choose(
            &self.model.decoder,
            &members,
            &weights,
            &cases,
            room,
            &mut progress,
        )
        .context("cannot choose weights")?;
        let shown: Vec<String> = chosen
            .lambda
            .mean()
            .iter()
            .map(|weight| format!("{weight:.3}"))
            .collect();
        let choice = Choice {
            what: LAMBDA.into(),
            value: shown.join(", ").into(),
            cut: Cut::Calibration,
            users: users.len(),
        };
        let weighed = adapters.iter().enumerate().map(|(place, adapter)| Member {
            adapter,
            settings: [(WEIGHT.to_string(), chosen.lambda.setting(place))].into(),
        });
        let sum = Recipe::rule("cat", serde_json::Map::new())?;
        // Nothing is drawn in a sum.
        Ok((Merged::of(weighed.collect(), &sum, 0)?, Some(choice)))
    }
}

/// What a user who chooses is asked: the candidates that the primary reading ranks, binned ones where there are some.
///
/// # Errors
/// A prompt that cannot be encoded.
pub fn case(encoder: &Encoder, prompt: &Prompt, items: &[Item], format: PromptFormat) -> Result<Case> {
    let candidates = match format.lists_candidates() || prompt.binned.is_empty() {
        true => &prompt.candidates,
        false => &prompt.binned,
    };
    Ok(Case {
        query: encoder.query(prompt, candidates, items)?,
        target: candidates.iter().position(|item| *item == prompt.target),
    })
}

/// λ is chosen by what planned comparisons rank by, at α = 1; α itself is chosen after it. None without neutral histories.
///
/// # Errors
/// An item that cannot be encoded.
pub fn content(
    encoder: &Encoder,
    items: &[Item],
    prepared: &str,
    histories: usize,
) -> Result<Option<Content>> {
    if histories == 0 {
        return Ok(None);
    }
    let histories = neutral_items(items, prepared, histories)
        .into_iter()
        .map(|item| encoder.had(&[item.item], items));
    Ok(Some(Content {
        alpha: 1.0,
        histories: histories.collect::<Result<_>>()?,
    }))
}
