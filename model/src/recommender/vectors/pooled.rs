//! Vectors of texts from the states that a model has after reading them.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};

use super::Vectors;
use crate::Result;

/// Tokens that go through a model at one time: the activations of one are a few tens of kilobytes in models of a hundred million
/// parameters.
const BATCH_TOKENS: usize = 4096;

/// Told how many different texts are read, and of how many.
pub type Told<'a> = dyn FnMut(usize, usize) + 'a;

/// A text as a model reads it.
pub(super) struct Read {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// How many of them, at the beginning, are not the text's, and have no part in its vector.
    pub before: usize,
}

/// One vector a text: the mean of the states of its tokens, zeros where it has none. Texts that are the same are read once.
///
/// `hidden` gives the states of packed tokens, `(tokens of all, width)`.
pub(super) fn pooled<S: AsRef<str>>(
    texts: &[S],
    width: usize,
    read: impl Fn(&str) -> Result<Read>,
    hidden: impl Fn(&[&[u32]]) -> Result<Tensor>,
    told: &mut Told,
) -> Result<Vectors> {
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(texts.len());
    let mut different = Vec::new();
    let place_of: Vec<usize> = texts
        .iter()
        .map(|text| {
            *places.entry(text.as_ref()).or_insert_with(|| {
                different.push(text.as_ref());
                different.len() - 1
            })
        })
        .collect();
    let read = different
        .iter()
        .map(|text| read(text))
        .collect::<Result<Vec<Read>>>()?;
    let mut means = vec![0.0f32; read.len() * width];
    let mut done = 0;
    while done < read.len() {
        told(done, read.len());
        let mut tokens = 0;
        let fitting = read[done..].iter().take_while(|text| {
            tokens += text.tokens.len();
            tokens <= BATCH_TOKENS
        });
        let count = fitting.count().max(1);
        let batch = &read[done..done + count];
        write_means(batch, width, &hidden, &mut means[done * width..])?;
        done += count;
    }
    told(done, read.len());
    let mut values = Vec::with_capacity(texts.len() * width);
    for place in place_of {
        values.extend_from_slice(&means[place * width..][..width]);
    }
    let vectors = Vectors { width, values };
    vectors.check(texts.len())?;
    Ok(vectors)
}

/// The means of some texts, one after another.
fn write_means(
    batch: &[Read],
    width: usize,
    hidden: &impl Fn(&[&[u32]]) -> Result<Tensor>,
    means: &mut [f32],
) -> Result<()> {
    // Of a text without tokens nothing is read, not even what comes before all texts.
    let has_some = |text: &&Read| text.tokens.len() > text.before;
    let tokens: Vec<&[u32]> = batch.iter().filter(has_some).map(|text| &*text.tokens).collect();
    if tokens.is_empty() {
        return Ok(());
    }
    let states = hidden(&tokens)?
        .to_device(&Device::Cpu)?
        .to_dtype(DType::F32)?
        .flatten_all()?
        .to_vec1::<f32>()?;
    let mut rest = states.as_slice();
    for (text, mean) in batch.iter().zip(means.chunks_exact_mut(width)) {
        if !has_some(&text) {
            continue;
        }
        let (own, later) = rest.split_at(text.tokens.len() * width);
        rest = later;
        let own = &own[text.before * width..];
        let mut sums = vec![0.0f64; width];
        for row in own.chunks_exact(width) {
            sums.iter_mut()
                .zip(row)
                .for_each(|(sum, value)| *sum += f64::from(*value));
        }
        let count = (own.len() / width) as f64;
        mean.iter_mut()
            .zip(sums)
            .for_each(|(mean, sum)| *mean = (sum / count) as f32);
    }
    Ok(())
}
