//! What the adapters of a ranking come to: their mean, what a rule makes of them, or their sum by weights that calibration users choose.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use weaverec_model::lora::Adapter;
use weaverec_model::merge::align::{Aligned, Member, WEIGHT};
use weaverec_model::merge::draw::Seeded;
use weaverec_model::merge::rule::Rule;
use weaverec_model::merge::run::Run;
use weaverec_model::merge::weights::{Case, Content, Goal, Weights, choose};
use weaverec_model::merge::{self, recipe};
use weaverec_model::train::task::Room;
use weaverec_pipeline::schema::{Prompt, PromptFormat};

use super::backbone::LanguageModel;
use super::cell::Choice;
use super::cut::Cut;
use super::domain::DomainData;
use super::encoder::Encoder;
use super::profile::Profile;
use super::replicate::{self, Replicate};
use crate::calibration::neutral_items;
use crate::method::MergeRule;
use crate::progress::Meter;
use crate::scoring::LEAST;

/// Calibration users on whose prompts entropy is made small, at most: they give no answers, so that few are enough.
const WITHOUT_ANSWERS: usize = 100;
/// What gradients may keep of what their backward could compute again.
const ACTIVATIONS: usize = 512 << 20;

/// What the choice of weights is called in records.
pub const LAMBDA: &str = "λ";

/// What the adapters of a ranking come to.
pub(super) enum Merged<'a> {
    /// The uniform mean, nothing for none of them.
    Mean(&'a [Adapter]),
    /// Something else.
    One(Box<Adapter>),
}

impl<'a> Merged<'a> {
    /// The merge by a rule. `replicate` draws the masks, where there are any.
    pub fn by_rule(adapters: &'a [Adapter], rule: MergeRule, replicate: Replicate) -> Result<Self> {
        let members = adapters.iter().map(|adapter| match rule.adds {
            true => Member::weighing(adapter, 1.0),
            // They weigh what the rule gives them where nothing is set.
            false => Member {
                adapter,
                settings: BTreeMap::new(),
            },
        });
        let read = rule.read(adapters.len())?;
        Self::of(members.collect(), &read, replicate)
            .with_context(|| format!("cannot merge by {}", rule.name))
    }

    fn of(members: Vec<Member>, rule: &Rule, replicate: Replicate) -> Result<Self> {
        let run = Run {
            rule,
            rank: None,
            draws: &Seeded(replicate::merge_seed(replicate)),
        };
        let (adapter, _) = run.adapter(&Aligned::new(members)?)?;
        Ok(Merged::One(Box::new(adapter)))
    }

    /// So much of the update; none where there is none.
    pub fn times(&self, scale: f64) -> Result<Option<Adapter>> {
        Ok(match self {
            Merged::Mean([]) => None,
            Merged::Mean(some) => Some(merge::uniform_scaled(&some.iter().collect::<Vec<_>>(), scale)?),
            Merged::One(adapter) => Some(merge::weighted(&[(adapter, scale)])?),
        })
    }

    /// Whether the model stays as it is.
    pub fn is_none(&self) -> bool {
        matches!(self, Merged::Mean([]))
    }
}

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
        if let Weights::Grid(grid) = &mut weights
            && let Goal::Ndcg(ndcg) = &mut grid.objective
        {
            ndcg.normalisation = self.profile.rank.normalisation;
            ndcg.content = self.content()?;
        }
        let cases: Vec<Case> = users
            .iter()
            .map(|prompt| self.case(prompt))
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
        let sum = recipe::Recipe::rule("cat", serde_json::Map::new())?;
        // Nothing is drawn in a sum.
        Ok((Merged::of(weighed.collect(), &sum, 0)?, Some(choice)))
    }

    /// Candidates as the primary reading ranks them.
    fn case(&self, prompt: &Prompt) -> Result<Case> {
        let format = self.profile.prepare.format;
        let candidates = match format.lists_candidates() || prompt.binned.is_empty() {
            true => &prompt.candidates,
            false => &prompt.binned,
        };
        Ok(Case {
            query: self.encoder.query(prompt, candidates, &self.target.items)?,
            target: candidates.iter().position(|item| *item == prompt.target),
        })
    }

    /// λ is chosen by what planned comparisons rank by, at α = 1; α itself is chosen after it.
    fn content(&self) -> Result<Option<Content>> {
        let neutral = self.profile.rank.neutral_histories;
        if neutral == 0 || self.profile.prepare.format != PromptFormat::Sequence {
            return Ok(None);
        }
        let items = &self.target.items;
        let histories = neutral_items(items, &self.target.fingerprint, neutral)
            .into_iter()
            .map(|item| self.encoder.had(&[item.item], items));
        Ok(Some(Content {
            alpha: 1.0,
            histories: histories.collect::<Result<_>>()?,
        }))
    }
}
