//! Free greedy decoding, as the paper's inference does it.

use candle_core::Tensor;

use crate::backbone::{Decoder, KvCache, Pass};
use crate::op::linear;
use crate::{Error, Result};

/// The likeliest continuation of `prompt`, token by token, until one of `stop` (not included) or `most` tokens.
///
/// # Errors
/// An empty prompt.
pub fn generate(decoder: &Decoder, prompt: &[u32], stop: &[u32], most: usize) -> Result<Vec<u32>> {
    if prompt.is_empty() {
        return Err(Error::Usage("an empty prompt has no continuation".into()));
    }
    let mut cache = KvCache::default();
    let mut next = prompt.to_vec();
    let mut answer = Vec::new();
    while answer.len() < most {
        let pass = Pass::continuing([(next.as_slice(), 0..cache.rows())]);
        let (hidden, rows) = decoder.hidden_and_cache(&pass, Some(&cache))?;
        cache.append(rows)?;
        let token = likeliest(&hidden.narrow(0, pass.rows() - 1, 1)?, decoder.head())?;
        if stop.contains(&token) {
            break;
        }
        answer.push(token);
        next = vec![token];
    }
    Ok(answer)
}

fn likeliest(hidden: &Tensor, head: &Tensor) -> Result<u32> {
    Ok(linear(&hidden.contiguous()?, head, None)?
        .argmax(1)?
        .to_vec1::<u32>()?[0])
}
