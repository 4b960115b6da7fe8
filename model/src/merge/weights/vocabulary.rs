//! The entropy of the next token over the vocabulary, on prompts without answers: what WeaveRec's own option and AdaMerging make small.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::logits::{self, Sum};
use super::objective::{Case, Decoders, Differentiable, Objective};
use crate::backbone::{Decoder, Pass};
use crate::rank::generate;
use crate::train::task::Room;
use crate::{Error, Result};

/// The mean entropy, in nats, of the first tokens of the answer that the decoder itself writes greedily.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VocabularyEntropy {
    /// How many tokens of the answer; fewer where it ends before. Of one, nothing is written.
    pub tokens: usize,
}

impl Default for VocabularyEntropy {
    /// RecCocktail's on Beauty.
    fn default() -> Self {
        VocabularyEntropy { tokens: 5 }
    }
}

impl VocabularyEntropy {
    /// The entropies of cases, summed, under `decoder`; the answers are those of `frozen`, which has the same weights.
    fn over(
        &self,
        frozen: &Decoder,
        decoder: &Decoder,
        cases: &[Case],
        room: Room,
        each: &mut dyn FnMut(Sum) -> Result<()>,
    ) -> Result<f64> {
        if self.tokens == 0 {
            return Err(Error::Usage("entropy of 0 tokens; give at least 1".into()));
        }
        let mut total = 0.0;
        let (mut held, mut together) = (0, Vec::new());
        for (place, case) in cases.iter().enumerate() {
            let prompt = &case.query.prompt;
            if prompt.is_empty() {
                return Err(Error::Usage(format!(
                    "case {place} has an empty prompt: nothing predicts its answer"
                )));
            }
            let answer = match self.tokens {
                1 => Vec::new(),
                tokens => generate(frozen, prompt, &frozen.config().eos_token_ids, tokens - 1)?,
            };
            let text = Text {
                first: prompt.len() - 1,
                tokens: [prompt.as_slice(), &answer].concat(),
            };
            if !together.is_empty() && held + text.tokens.len() > room.tokens {
                total += pass(decoder, &together, room, each)?;
                together.clear();
                held = 0;
            }
            held += text.tokens.len();
            together.push(text);
        }
        if !together.is_empty() {
            total += pass(decoder, &together, room, each)?;
        }
        Ok(total)
    }
}

/// A prompt and the beginning of its answer.
struct Text {
    tokens: Vec<u32>,
    /// The row that predicts the answer's first token.
    first: usize,
}

/// The entropies of some texts in one pass, each text's mean over its tokens.
fn pass(
    decoder: &Decoder,
    texts: &[Text],
    room: Room,
    each: &mut dyn FnMut(Sum) -> Result<()>,
) -> Result<f64> {
    let (mut rows, mut weights, mut start) = (Vec::new(), Vec::new(), 0);
    for text in texts {
        let count = text.tokens.len() - text.first;
        rows.extend((text.first..text.tokens.len()).map(|row| (start + row) as u32));
        weights.extend(std::iter::repeat_n(1.0 / count as f32, count));
        start += text.tokens.len();
    }
    let mut pass = Pass::sequences(texts.iter().map(|text| text.tokens.as_slice()));
    pass.keep(room.activation_memory);
    let hidden = decoder.hidden_of(&pass, &rows, None)?;
    let sum = logits::entropy(&hidden, decoder.head(), &weights)?;
    let value = sum.value;
    each(sum)?;
    Ok(value)
}

impl Objective for VocabularyEntropy {
    fn name(&self) -> String {
        format!("entropy over the vocabulary, {} tokens", self.tokens)
    }

    fn value(&self, decoder: &Decoder, cases: &[Case], room: Room) -> Result<f64> {
        let sum = self.over(decoder, decoder, cases, room, &mut |_| Ok(()))?;
        Ok(sum / cases.len() as f64)
    }

    fn differentiable(&self) -> Option<&dyn Differentiable> {
        Some(self)
    }
}

impl Differentiable for VocabularyEntropy {
    fn tokens(&self, case: &Case) -> usize {
        case.query.prompt.len() + self.tokens.saturating_sub(1)
    }

    fn sum(
        &self,
        decoders: Decoders,
        cases: &[Case],
        room: Room,
        backward: &mut dyn FnMut(&Tensor) -> Result<()>,
    ) -> Result<f64> {
        let Decoders { frozen, tracked } = decoders;
        self.over(frozen, tracked, cases, room, &mut |sum| match &sum.gradient {
            Some(gradient) => backward(gradient),
            None => Err(Error::Usage("a decoder without variables has no gradient".into())),
        })
    }
}
