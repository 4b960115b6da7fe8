//! Prompts of at most so many tokens: of a longer one the oldest titles of the history are left out, and nothing else.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::{Item, Prompt, PromptFormat, Split};
use weaverec_pipeline::stage::PromptStyle;

/// What holds the prompts of a domain to so many tokens.
#[derive(Clone, Debug)]
pub struct Bound {
    /// Most tokens of a prompt and of what is read after it: its answer, or the longest of its candidates.
    max_tokens: usize,
    /// Words what is left of a prompt.
    style: PromptStyle,
    /// What the style's titles are of.
    items: Arc<[Item]>,
}

impl Bound {
    /// Of a prepared folder, whose prompts are worded with the titles of these items.
    ///
    /// # Errors
    /// A wording that cannot be read.
    pub fn new(max_tokens: usize, folder: &Prepared, items: &[Item]) -> Result<Self> {
        Ok(Self::of(max_tokens, folder.style(items)?, items))
    }

    pub(super) fn of(max_tokens: usize, style: PromptStyle, items: &[Item]) -> Self {
        Bound {
            max_tokens,
            style,
            items: items.into(),
        }
    }

    /// The same number of tokens for prompts that are worded with the titles of other items.
    pub(super) fn over(&self, folder: &Prepared, items: &[Item]) -> Result<Self> {
        Self::new(self.max_tokens, folder, items)
    }

    /// The items whose titles it words prompts with.
    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    /// What `encode` makes of the prompt, with the tokens that it comes to, once as few of the oldest titles as may be are left out; and
    /// whether some were. A prompt that fits is encoded as it is.
    ///
    /// # Errors
    /// A prompt that is too long without them all.
    pub(super) fn fitted<T>(
        &self,
        prompt: &Prompt,
        format: PromptFormat,
        encode: impl Fn(&Prompt) -> Result<(T, usize)>,
    ) -> Result<(T, bool)> {
        let (encoded, mut tokens) = encode(prompt)?;
        if tokens <= self.max_tokens {
            return Ok((encoded, false));
        }
        let who = || {
            format!(
                "the prompt of user {} at position {}",
                prompt.user_id, prompt.position
            )
        };
        let split = split(prompt);
        ensure!(
            self.style.messages(split, prompt).with_context(who)? == prompt.messages,
            "{} is too long, and its words are not those of its history and candidates, so that nothing can be left out of it: prepare the \
             domain again",
            who()
        );
        // A sequence is continued: something has to come before. A question can be asked about somebody who had nothing.
        let least = usize::from(!format.lists_candidates());
        let mut shorter = prompt.clone();
        while shorter.history.len() > least {
            shorter.history.remove(0);
            shorter.messages = self.style.messages(split, &shorter).with_context(|| {
                format!("{} with the newest {} titles alone", who(), shorter.history.len())
            })?;
            let (encoded, left) = encode(&shorter)?;
            if left <= self.max_tokens {
                return Ok((encoded, true));
            }
            tokens = left;
        }
        bail!(
            "{} has {tokens} tokens with {} of its history, where {} are allowed ([prepare] max_tokens): allow more, or prepare shorter titles \
             (max_title_chars) or fewer candidates",
            who(),
            match least {
                0 => "no title",
                _ => "the newest title alone",
            },
            self.max_tokens
        )
    }
}

/// What a prompt is worded for. It makes a difference to sequences alone, of which all titles after the first are learnt in training, and
/// none to those of two titles.
fn split(prompt: &Prompt) -> Split {
    let answer = prompt
        .messages
        .last()
        .map_or("", |answer| answer.content.as_str());
    match answer.lines().count() {
        0 | 1 => Split::Test,
        _ => Split::Train,
    }
}

#[cfg(test)]
mod tests;
