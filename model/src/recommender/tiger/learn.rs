//! How decoders over items learn: the sizes they have in common, what they learn from, and the loop.

use super::super::codes::START;
use super::super::{Course, Outcome, System};
use super::task::{Learner, Sequences};
use super::tokens::{Sequence, Tokens};
use crate::backbone::DecoderConfig;
use crate::backbone::nano::NanoConfig;
use crate::rank::Mass;
use crate::train::{Fit, TrainConfig, fit};
use crate::{Error, Result};

/// Sizes of a decoder over items, and how it reads them.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::recommender) struct Sizes {
    /// Tokens that there are.
    pub vocabulary: usize,
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
}

impl Sizes {
    /// Those of a system over a catalogue of so many items.
    ///
    /// # Errors
    /// A system that is no decoder over items.
    pub fn of(system: &System, items: usize) -> Result<Self> {
        match system {
            System::Tiger(settings) => Ok(settings.sizes()),
            System::Recbase(settings) => Ok(settings.tiger().sizes()),
            System::Gencdr(settings) => Ok(settings.tiger().sizes()),
            System::ItemDecoder(settings) => Ok(settings.sizes(items)),
            _ => Err(Error::Usage(
                "another system than a decoder over items as tokens; load it by its own name".into(),
            )),
        }
    }

    /// The decoder.
    pub fn decoder(&self) -> DecoderConfig {
        let sizes = NanoConfig {
            vocabulary: self.vocabulary,
            width: self.width,
            inner: self.inner,
            layers: self.layers,
            heads: self.heads,
            key_value_heads: self.heads,
        };
        sizes.llama(START)
    }

    /// Refuses to read nothing, and to hide everything.
    ///
    /// # Errors
    /// The setting.
    pub fn check(&self) -> Result<()> {
        if self.history == 0 || !(0.0..1.0).contains(&self.item_dropout) {
            return Err(Error::Usage(format!(
                "history {} and item_dropout {}: give a history of at least 1 item, and a share from 0 to below 1",
                self.history, self.item_dropout
            )));
        }
        Ok(())
    }
}

/// What a decoder over items learns from.
pub(in crate::recommender) struct Study<'a> {
    /// The sequences of each domain that is learnt, and the tokens of its items.
    pub learnt: &'a [(Tokens, &'a [Vec<u32>])],
    /// The tokens of the items that are ranked.
    pub target: &'a Tokens,
    /// Users of the target who choose the epoch: history and the item that came next.
    pub validation: &'a [(Vec<u32>, u32)],
}

/// Trains a model on sequences of items; what it came to, and NDCG@10 of the first thousand validation users by the values that were kept.
///
/// # Errors
/// Users without items, items that have no tokens, and those of [`fit`](fit()).
pub(in crate::recommender) fn learn<L: Learner>(
    learner: &L,
    study: &Study,
    sizes: &Sizes,
    train: &TrainConfig,
    fingerprint: String,
    course: Course,
) -> Result<(Outcome, Option<f64>)> {
    sizes.check()?;
    let mut examples = Vec::new();
    for (tokens, sequences) in study.learnt {
        for items in *sequences {
            examples.extend(tokens.windows(items, sizes.history)?);
        }
    }
    if examples.is_empty() {
        let users: usize = study.learnt.iter().map(|(_, sequences)| sequences.len()).sum();
        return Err(Error::Usage(format!(
            "{users} users, none of them with an item in the training part: there is nothing to train on"
        )));
    }
    // A user without a history is told nothing by a recommender, and so chooses nothing.
    let validation = study.validation.iter().filter(|(history, _)| !history.is_empty());
    let held_out = validation
        .map(|(history, next)| study.target.held_out(history, *next, sizes.history))
        .collect::<Result<Vec<Sequence>>>()?;
    let catalogue = study.target.catalogue()?;
    let task = Sequences {
        learner,
        each: study.target.each(),
        dropout: sizes.item_dropout,
        fingerprint,
        catalogue: &catalogue,
        mass: sizes.mass,
    };
    let an_epoch = examples.len().div_ceil(train.batch_size.max(1));
    let mut config = train.clone();
    for every in [&mut config.evaluate_every, &mut config.checkpoint_every] {
        if *every == 0 {
            *every = an_epoch;
        }
    }
    let request = Fit {
        task: &task,
        examples: &examples,
        held_out: &held_out,
        config: &config,
        seed: course.seed,
        checkpoint: course.checkpoint,
    };
    let trained = fit(request, course.progress)?;
    let outcome = Outcome::new(trained, an_epoch, config.epochs, learner.parameters().count());
    let ndcg = match held_out.is_empty() {
        true => None,
        false => Some(task.ndcg_at_10(&held_out)?),
    };
    Ok((outcome, ndcg))
}
