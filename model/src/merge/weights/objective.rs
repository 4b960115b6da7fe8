//! What λ is chosen by: a mean over cases that is to be small.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Answer, CandidateEntropy, Distillation, Likelihood, Ndcg, VocabularyEntropy};
use crate::Result;
use crate::backbone::Decoder;
use crate::rank::Query;
use crate::train::task::Room;

/// A prompt with candidates, and where it is known which of them came next, or what somebody says of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The prompt and the candidates; objectives that read no candidates need none.
    pub query: Query,
    /// The place of the target among the candidates; objectives of unlabelled prompts do not look at it.
    pub target: Option<usize>,
    /// The candidates' scores by who is to be followed ([`taught`](super::taught)); objectives that follow nobody do not look at them.
    pub teacher: Option<Vec<f32>>,
}

impl Case {
    /// A case without a teacher.
    pub fn new(query: Query, target: Option<usize>) -> Self {
        Case {
            query,
            target,
            teacher: None,
        }
    }
}

/// A mean over cases; the less, the better.
pub trait Objective {
    /// What it is, for plots and receipts.
    fn name(&self) -> String;

    /// The mean over cases under a decoder.
    ///
    /// # Errors
    /// Cases that lack what it reads.
    fn value(&self, decoder: &Decoder, cases: &[Case], room: Room) -> Result<f64>;

    /// The same with its gradient, where it has one.
    fn differentiable(&self) -> Option<&dyn Differentiable> {
        None
    }
}

/// An objective whose gradient is known.
pub trait Differentiable: Objective {
    /// Tokens that go through the decoder for a case's gradient.
    fn tokens(&self, case: &Case) -> usize;

    /// The sum over cases; `backward` is given scalars whose gradients add up to that of the sum, one after another, so that no more is in
    /// memory than one pass needs.
    ///
    /// # Errors
    /// As [`value`](Objective::value).
    fn sum(
        &self,
        decoders: Decoders,
        cases: &[Case],
        room: Room,
        backward: &mut dyn FnMut(&Tensor) -> Result<()>,
    ) -> Result<f64>;
}

/// The same decoder twice.
#[derive(Clone, Copy)]
pub struct Decoders<'a> {
    /// Without gradients.
    pub frozen: &'a Decoder,
    /// With variables.
    pub tracked: &'a Decoder,
}

/// The objectives that settings can name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Goal {
    /// Entropy over the candidates, of prompts without answers.
    CandidateEntropy(CandidateEntropy),
    /// Entropy over the vocabulary, of prompts without answers.
    VocabularyEntropy(VocabularyEntropy),
    /// Likelihood of what came next among the candidates.
    Likelihood(Likelihood),
    /// How high what came next is ranked.
    Ndcg(Ndcg),
    /// Likelihood of what came next, by itself.
    Answer(Answer),
    /// What members say of pseudo-users of their own domains.
    Distillation(Distillation),
}

impl Goal {
    /// The objective.
    pub fn objective(&self) -> &dyn Objective {
        match self {
            Goal::CandidateEntropy(objective) => objective,
            Goal::VocabularyEntropy(objective) => objective,
            Goal::Likelihood(objective) => objective,
            Goal::Ndcg(objective) => objective,
            Goal::Answer(objective) => objective,
            Goal::Distillation(objective) => objective,
        }
    }

    /// Whether it looks at what came next.
    pub fn is_supervised(&self) -> bool {
        matches!(self, Goal::Likelihood(_) | Goal::Ndcg(_) | Goal::Answer(_))
    }
}
