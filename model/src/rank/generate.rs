//! Free greedy decoding, as the paper's inference does it.

use crate::Result;
use crate::backbone::Decoder;
use crate::rank::text::Text;

/// The likeliest continuation of `prompt`, token by token, until one of `stop` (not included) or `most` tokens.
///
/// # Errors
/// An empty prompt.
pub fn generate(decoder: &Decoder, prompt: &[u32], stop: &[u32], most: usize) -> Result<Vec<u32>> {
    let mut text = Text::new(decoder, prompt)?;
    let mut answer = Vec::new();
    while answer.len() < most {
        let token = text.likeliest(None)?;
        if stop.contains(&token) {
            break;
        }
        answer.push(token);
        text.push(&[token]);
    }
    Ok(answer)
}
