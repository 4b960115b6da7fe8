//! What adapters weigh in a ranking: chosen by calibration users, and what these are asked; or learnt on training prompts or pseudo-users.

use anyhow::{Context, Result};
use weaverec_model::lora::Adapter;
use weaverec_model::merge::align::{Member, WEIGHT};
use weaverec_model::merge::recipe::Recipe;
use weaverec_model::merge::weights::{
    Case, Chosen, Content, Distillation, Goal, Objective, Stacked, Start, VocabularyEntropy, Weights, along,
    choose, taught,
};
use weaverec_model::train::task::Room;
use weaverec_model::weave::Domains;
use weaverec_pipeline::schema::{Item, Prompt, PromptFormat};

use super::backbone::LanguageModel;
use super::cell::Choice;
use super::domain::DomainData;
use super::encoder::Encoder;
use super::materials::Materials;
use super::merged::Merged;
use super::plan::AdapterKey;
use super::profile::Profile;
use super::pseudo;
use crate::choice::LAMBDA;
use crate::cut::Cut;
use crate::experiment::calibration::neutral_items;
use crate::progress::Meter;
use crate::scoring::LEAST;
use crate::weight_curve::{WeightCurve, WeightPoint};

/// Calibration users on whose prompts entropy is made small: no more than must be there for any choice, since every step goes through them.
const WITHOUT_ANSWERS: usize = LEAST;
/// Calibration users on whose prompts entropy is shown along weights that were tried on a grid, at most.
const ENTROPY_SHOWN: usize = 100;
/// Calibration users who show what lies along the weights of a grid, at least. So few choose nothing.
const SHOWING: usize = 100;
/// Tokens of an answer whose entropy is shown along weights that were tried on a grid: as many as the rows have that choose by it.
const ENTROPY_TOKENS: usize = 3;
/// Training prompts of the target on which weights are learnt, at most.
pub const TRAINING: usize = 400;
/// Pseudo-users of each member, at most.
pub const PSEUDO_USERS: usize = 100;
/// What gradients may keep of what their backward could compute again.
const ACTIVATIONS: usize = 512 << 20;

/// What weights are chosen with.
pub(super) struct Weighing<'a> {
    pub profile: &'a Profile,
    pub model: &'a LanguageModel,
    pub encoder: &'a Encoder<'a>,
    pub target: &'a DomainData,
    /// The domains of the members.
    pub materials: &'a Materials,
    /// What the adapters were trained on, in their order.
    pub members: &'a [AdapterKey],
    pub meter: &'a Meter,
}

/// A merge by weights.
pub(super) struct Weighed<'a> {
    pub merged: Merged<'a>,
    /// The weights, where some were chosen.
    pub choice: Option<Choice>,
    /// What was found along those that were tried on a grid.
    pub curve: Option<WeightCurve>,
}

/// Whom weights are chosen by.
struct Asked {
    cases: Vec<Case>,
    /// Calibration users among them.
    users: usize,
    /// Who else they are, in words.
    others: Option<String>,
    /// Whether they are enough to choose; else they only show what lies along the weights.
    choose: bool,
}

/// The place of the target's own adapter among the members of a merge.
pub(super) fn own(members: &[AdapterKey], target: &DomainData) -> Result<usize> {
    let alone = Domains::of([target.name.as_str()]);
    let own = |(diet, _): &AdapterKey| diet.is_plain() && diet.domains() == alone;
    members.iter().position(own).with_context(|| {
        format!(
            "no adapter of {} alone is among those merged, which begin at it",
            target.name
        )
    })
}

impl Weighing<'_> {
    /// The sum of the adapters by the weights that are chosen, and the choice. Where calibration users choose, whether their answers are
    /// looked at or not, and there are fewer than [`LEAST`], the weights are equal; a grid is walked all the same by [`SHOWING`] of them or
    /// more, for what it shows.
    pub fn merged<'a>(&self, adapters: &'a [Adapter], mut weights: Weights) -> Result<Weighed<'a>> {
        if let Weights::Descent(descent) = &mut weights
            && let Start::Member(number) = &mut descent.start
        {
            // A row says "the first" of what has no order: it is the target's own.
            *number = own(self.members, self.target)? + 1;
        }
        let Some(asked) = self.asked(adapters, &mut weights)? else {
            return Ok(Weighed {
                merged: Merged::Mean(adapters),
                choice: None,
                curve: None,
            });
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
            &asked.cases,
            self.room(),
            &mut progress,
        )
        .context("cannot choose weights")?;
        let curve = match shows_a_curve(&weights) {
            true => Some(self.curve(&members, &chosen, &asked.cases)?),
            false => None,
        };
        if !asked.choose {
            return Ok(Weighed {
                merged: Merged::Mean(adapters),
                choice: None,
                curve,
            });
        }
        let weighed = adapters.iter().enumerate().map(|(place, adapter)| Member {
            adapter,
            settings: [(WEIGHT.to_string(), chosen.lambda.setting(place))].into(),
        });
        let sum = Recipe::rule("cat", serde_json::Map::new())?;
        Ok(Weighed {
            // Nothing is drawn in a sum.
            merged: Merged::of(weighed.collect(), &sum, 0)?,
            choice: Some(choice(&chosen, &asked)),
            curve,
        })
    }

    fn room(&self) -> Room {
        Room {
            tokens: self.profile.rank.batch_tokens,
            activation_memory: ACTIVATIONS,
        }
    }

    /// Whom the weights are chosen by, and what of the profile is part of how; none where they are too few.
    fn asked(&self, adapters: &[Adapter], weights: &mut Weights) -> Result<Option<Asked>> {
        if let Weights::Descent(descent) = weights {
            match &mut descent.objective {
                Goal::Answer(_) => {
                    let cases = pseudo::training(&self.target.folder, self.encoder, TRAINING)?;
                    let others = Some(format!("{} training prompts", cases.len()));
                    return Ok(Some(Asked {
                        cases,
                        users: 0,
                        others,
                        choose: true,
                    }));
                }
                Goal::Distillation(distillation) => {
                    distillation.normalisation = self.profile.rank.normalisation;
                    let cases = self.pseudo_users(adapters, *distillation)?;
                    let others = Some(format!("{} pseudo-users", cases.len()));
                    return Ok(Some(Asked {
                        cases,
                        users: 0,
                        others,
                        choose: true,
                    }));
                }
                _ => {}
            }
        }
        let supervised = weights.goal().is_some_and(Goal::is_supervised);
        let most = match supervised {
            true => self.profile.rank.calibration,
            false => WITHOUT_ANSWERS,
        };
        let calibration = &self.target.calibration;
        let users = &calibration[..calibration.len().min(most)];
        let choose = users.len() >= LEAST;
        let shows = shows_a_curve(weights) && users.len() >= SHOWING;
        if !(choose || shows) {
            return Ok(None);
        }
        let format = self.profile.prepare.format;
        if let Weights::Grid(grid) = weights
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
        Ok(Some(Asked {
            users: cases.len(),
            cases,
            others: None,
            choose,
        }))
    }

    /// Pseudo-users of the domains that each member was trained on, with what it says of them.
    fn pseudo_users(&self, adapters: &[Adapter], distillation: Distillation) -> Result<Vec<Case>> {
        let (candidates, format) = (self.profile.prepare.candidates, self.profile.prepare.format);
        let mut all = Vec::new();
        for ((diet, _), adapter) in self.members.iter().zip(adapters) {
            let domains = diet.domains();
            let each = PSEUDO_USERS / domains.iter().count().max(1);
            for name in domains.iter() {
                let domain = self.materials.domain(name)?;
                let encoder = self.model.words.encoder(name, format)?;
                let cases = pseudo::users(&domain.folder, &domain.items, &encoder, each, candidates)?;
                all.extend(taught(
                    &self.model.decoder,
                    adapter,
                    cases,
                    distillation.normalisation,
                    self.room(),
                )?);
            }
        }
        Ok(all)
    }

    /// What was chosen by along the weights of a grid, beside the entropy of prompts without answers under the same weights.
    fn curve(&self, members: &[&Adapter], chosen: &Chosen, cases: &[Case]) -> Result<WeightCurve> {
        let few = &cases[..cases.len().min(ENTROPY_SHOWN)];
        let entropy = VocabularyEntropy {
            tokens: ENTROPY_TOKENS,
        };
        let mut stacked = Stacked::new(&self.model.decoder, members)?;
        let entropies = along(&mut stacked, &chosen.tried, &entropy, few, self.room())
            .context("cannot find the entropy along the weights of the grid")?;
        let objective = chosen.objective.as_deref().unwrap_or_default();
        let mut curve = WeightCurve {
            members: self.members.iter().map(|(diet, _)| diet.to_string()).collect(),
            own: own(self.members, self.target)?,
            // What is made small is what it lacks to 1.
            metric: objective.strip_prefix(ONE_LESS).unwrap_or(objective).to_owned(),
            users: cases.len(),
            entropy: entropy.name(),
            entropy_users: few.len(),
            points: Vec::new(),
        };
        for (point, entropy) in chosen.curve.iter().zip(entropies) {
            curve.add(WeightPoint {
                weights: point.lambda.clone(),
                ndcg: 1.0 - point.value,
                entropy,
            });
        }
        Ok(curve)
    }
}

/// Whether what is tried is kept for the report: NDCG at every point of a grid.
fn shows_a_curve(weights: &Weights) -> bool {
    matches!(weights, Weights::Grid(grid) if matches!(grid.objective, Goal::Ndcg(_)))
}

/// What the name of the objective of a grid begins with.
const ONE_LESS: &str = "1 − ";

/// The choice as it is recorded.
fn choice(chosen: &Chosen, asked: &Asked) -> Choice {
    let shown: Vec<String> = chosen
        .lambda
        .mean()
        .iter()
        .map(|weight| format!("{weight:.3}"))
        .collect();
    let by = asked
        .others
        .as_ref()
        .map_or_else(String::new, |others| format!(" by {others}"));
    Choice {
        what: LAMBDA.into(),
        value: format!("{}{by}", shown.join(", ")).into(),
        cut: Cut::Calibration,
        users: asked.users,
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
    let target = candidates.iter().position(|item| *item == prompt.target);
    Ok(Case::new(encoder.query(prompt, candidates, items)?, target))
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
