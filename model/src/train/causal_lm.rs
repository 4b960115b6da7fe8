//! The task of every language model here: the next token, with loss on the answer only.

use std::hash::Hasher;

use candle_core::Tensor;

use super::task::{self, Mode, Part, Room, Task};
use crate::Result;
use crate::backbone::{Decoder, Pass};
use crate::nn::Parameters;
use crate::op::cross_entropy;

/// One training text: tokens, and from where on they are the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Example {
    /// All tokens, prompt and answer.
    pub tokens: Vec<u32>,
    /// The first token there is loss on; at least 1, since nothing predicts the first token.
    pub loss_from: usize,
}

impl Example {
    /// Number of tokens there is loss on.
    pub fn targets(&self) -> usize {
        self.tokens.len().saturating_sub(self.loss_from.max(1))
    }
}

/// Next tokens of a decoder that depends on parameters: a frozen one with an adapter, or one that is trained whole.
pub struct CausalLm<'a> {
    /// What is trained.
    pub parameters: &'a Parameters,
    /// The decoder for one pass, over the parameters' current values.
    pub decoder: &'a dyn Fn(Mode) -> Result<Decoder>,
    /// Everything besides settings, examples and shapes that decides the outcome: the base, the adapter's settings.
    pub fingerprint: String,
}

/// Packed sequences: the pass, the rows whose next token counts, and those tokens.
pub struct Rows {
    pass: Pass,
    rows: Vec<u32>,
    targets: Vec<u32>,
}

impl Task for CausalLm<'_> {
    type Example = Example;
    type Batch = Rows;

    fn parameters(&self) -> &Parameters {
        self.parameters
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn hash(&self, example: &Example, hasher: &mut dyn Hasher) {
        hasher.write(&(example.loss_from as u64).to_le_bytes());
        hasher.write(&(example.tokens.len() as u64).to_le_bytes());
        example.tokens.iter().for_each(|t| hasher.write(&t.to_le_bytes()));
    }

    fn targets(&self, example: &Example) -> usize {
        example.targets()
    }

    fn parts(&self, examples: &[&Example], room: Room) -> Result<Vec<Part<Rows>>> {
        let mut parts = pack(examples.iter().copied(), room.tokens);
        for part in &mut parts {
            part.batch.pass.keep(room.activation_memory);
        }
        Ok(parts)
    }

    fn summed_loss(&self, batch: &Rows, mode: Mode) -> Result<Tensor> {
        summed_loss(&(self.decoder)(mode)?, batch)
    }
}

/// Mean loss a target token over `examples`, in nats; none where no token is a target.
///
/// # Errors
/// Tokens that the decoder does not have.
pub fn mean_loss(decoder: &Decoder, examples: &[Example], micro_batch_tokens: usize) -> Result<Option<f64>> {
    task::mean_loss(&pack(examples, micro_batch_tokens), |batch| {
        summed_loss(decoder, batch)
    })
}

fn summed_loss(decoder: &Decoder, batch: &Rows) -> Result<Tensor> {
    let hidden = decoder.hidden_of(&batch.pass, &batch.rows, None)?;
    Ok(cross_entropy(&hidden, decoder.head(), &batch.targets)?)
}

/// Packs examples into passes of at most `tokens` rows (one example may be longer by itself).
///
/// The last token of an example is only predicted, never read, so it takes no row.
fn pack<'a>(examples: impl IntoIterator<Item = &'a Example>, tokens: usize) -> Vec<Part<Rows>> {
    let mut groups: Vec<(usize, Vec<&Example>)> = Vec::new();
    for example in examples.into_iter().filter(|e| e.targets() > 0) {
        let rows = example.tokens.len() - 1;
        match groups.last_mut() {
            Some((held, group)) if *held + rows <= tokens => {
                *held += rows;
                group.push(example);
            }
            _ => groups.push((rows, vec![example])),
        }
    }
    groups.into_iter().map(|(_, group)| pack_group(&group)).collect()
}

fn pack_group(examples: &[&Example]) -> Part<Rows> {
    let (mut rows, mut targets, mut start) = (Vec::new(), Vec::new(), 0);
    for example in examples {
        let first = example.loss_from.max(1);
        rows.extend((first..example.tokens.len()).map(|i| (start + i - 1) as u32));
        targets.extend_from_slice(&example.tokens[first..]);
        start += example.tokens.len() - 1;
    }
    let pass = Pass::sequences(examples.iter().map(|e| &e.tokens[..e.tokens.len() - 1]));
    Part {
        targets: targets.len(),
        tokens: pass.rows(),
        batch: Rows { pass, rows, targets },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(tokens: &[u32], loss_from: usize) -> Example {
        Example {
            tokens: tokens.to_vec(),
            loss_from,
        }
    }

    #[test]
    fn rows_point_at_the_token_before_each_target() {
        let batch = pack(&[example(&[5, 6, 7, 8], 2), example(&[9, 1], 1)], 100);
        assert_eq!(batch.len(), 1);
        assert_eq!(batch[0].batch.rows, [1, 2, 3]);
        assert_eq!(batch[0].batch.targets, [7, 8, 1]);
        assert_eq!(batch[0].batch.pass.rows(), 4);
    }

    #[test]
    fn the_token_budget_splits_a_step_and_examples_without_a_target_take_no_room() {
        let examples = [
            example(&[1, 2, 3], 1),
            example(&[1, 2, 3], 3),
            example(&[4, 5, 6], 1),
        ];
        let parts = pack(&examples, 3);
        assert_eq!(parts.iter().map(|p| p.targets).collect::<Vec<_>>(), [2, 2]);
    }
}
