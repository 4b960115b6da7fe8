//! Prepared prompts as the model's plain values: tokens to train on, queries to rank.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use weaverec_model::backbone::Tokenizer;
use weaverec_model::rank::Query;
use weaverec_model::train::Example;
use weaverec_pipeline::schema::{Item, LETTERS, Prompt, PromptFormat, TITLE_SEPARATOR};

/// Turns prompts of one format into tokens of one tokenizer. Titles recur, so their tokens are remembered.
pub struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    format: PromptFormat,
    lines: Mutex<HashMap<String, Vec<u32>>>,
}

impl<'a> Encoder<'a> {
    /// An encoder for prompts of `format`.
    pub fn new(tokenizer: &'a Tokenizer, format: PromptFormat) -> Self {
        Encoder {
            tokenizer,
            format,
            lines: Mutex::default(),
        }
    }

    /// A prompt and its answer, with the loss on the answer.
    pub fn example(&self, prompt: &Prompt) -> Result<Example> {
        let mut tokens = self.prompt(prompt)?;
        let loss_from = tokens.len();
        let answer = prompt
            .messages
            .last()
            .map(|m| m.content.as_str())
            .unwrap_or_default();
        match self.format {
            PromptFormat::Sequence => tokens.extend(self.lines(answer)?),
            PromptFormat::Top5 | PromptFormat::TargetOnly | PromptFormat::Letter => {
                tokens.extend(
                    self.tokenizer
                        .encode(&format!("{answer}{}", self.end_of_turn()))?,
                );
            }
        }
        Ok(Example { tokens, loss_from })
    }

    /// Examples of many prompts.
    pub fn examples<'p>(&self, prompts: impl IntoIterator<Item = &'p Prompt>) -> Result<Vec<Example>> {
        prompts.into_iter().map(|p| self.example(p)).collect()
    }

    /// A prompt and its candidates, to be ranked.
    pub fn query(&self, prompt: &Prompt, items: &[Item]) -> Result<Query> {
        let candidate = |(place, id): (usize, &u32)| -> Result<Vec<u32>> {
            let item = items
                .get(*id as usize - 1)
                .with_context(|| format!("candidate {id} is no item of the domain"))?;
            match self.format {
                PromptFormat::Sequence => self.lines(&format!("{}\n", item.title)),
                // In an answer the first title is followed by the separator, which may share a token with its end.
                PromptFormat::Top5 => self.line(&format!("{}{TITLE_SEPARATOR}", item.title)),
                PromptFormat::TargetOnly => self.line(&format!("{}{}", item.title, self.end_of_turn())),
                PromptFormat::Letter => {
                    let letter = LETTERS.get(place);
                    self.line(letter.with_context(|| format!("no letter names candidate {id}"))?)
                }
            }
        };
        let candidates = prompt.candidates.iter().enumerate();
        let candidates = candidates.map(candidate).collect::<Result<_>>()?;
        Ok(Query {
            prompt: self.prompt(prompt)?,
            candidates,
        })
    }

    /// The tokens of everything before the answer.
    pub fn prompt(&self, prompt: &Prompt) -> Result<Vec<u32>> {
        let turns = &prompt.messages[..prompt.messages.len().saturating_sub(1)];
        match self.format {
            PromptFormat::Sequence => {
                let text: String = turns.iter().map(|m| m.content.as_str()).collect();
                self.lines(&text)
            }
            PromptFormat::Top5 | PromptFormat::TargetOnly | PromptFormat::Letter => {
                let turns: Vec<(&str, &str)> = turns
                    .iter()
                    .map(|m| (m.role.as_str(), m.content.as_str()))
                    .collect();
                Ok(self.tokenizer.encode(&self.tokenizer.chat(&turns, true))?)
            }
        }
    }

    /// Tokens of any text of lines, as the sequence format writes titles.
    pub fn lines(&self, text: &str) -> Result<Vec<u32>> {
        let mut tokens = Vec::new();
        for line in text.split_inclusive('\n') {
            tokens.extend(self.line(line.trim_end_matches('\n'))?);
            if line.ends_with('\n') {
                tokens.extend(self.line("\n")?);
            }
        }
        Ok(tokens)
    }

    /// The tokens that end a freely decoded answer.
    pub fn stops(&self) -> Result<Vec<u32>> {
        let mut stops: Vec<u32> = self.tokenizer.eos().into_iter().collect();
        match self.format {
            PromptFormat::Sequence => stops.extend(self.line("\n")?),
            PromptFormat::Top5 | PromptFormat::TargetOnly | PromptFormat::Letter => {
                stops.extend(self.tokenizer.token_id(self.end_of_turn()))
            }
        }
        Ok(stops)
    }

    /// The first title, or the letter, of a freely decoded answer.
    pub fn first_title(&self, answer: &[u32]) -> Result<String> {
        let text = self.tokenizer.decode(answer)?;
        let first = match self.format {
            PromptFormat::Sequence => text.lines().next(),
            PromptFormat::Top5 => text.split(TITLE_SEPARATOR).next(),
            PromptFormat::TargetOnly | PromptFormat::Letter => Some(text.as_str()),
        };
        Ok(first.unwrap_or_default().trim().to_string())
    }

    fn end_of_turn(&self) -> &'static str {
        "<|im_end|>"
    }

    fn line(&self, text: &str) -> Result<Vec<u32>> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let known = self
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(text)
            .cloned();
        if let Some(tokens) = known {
            return Ok(tokens);
        }
        let tokens = self.tokenizer.encode(text)?;
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(text.to_string(), tokens.clone());
        Ok(tokens)
    }
}
