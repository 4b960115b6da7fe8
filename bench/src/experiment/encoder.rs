//! Prepared prompts as the model's plain values: tokens to train on, queries to rank.
//!
//! Titles, histories and answers are data: what spells one of the model's control tokens in them is text here, wherever it stands. A model
//! that reads items as codes is given the codes of the same items, in the same places.

mod bound;
mod codes;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use weaverec_model::backbone::{Mixed, Tokenizer, Turn};
use weaverec_model::rank::Query;
use weaverec_model::recommender::ItemCodes;
use weaverec_model::recommender::codes::Layout;
use weaverec_model::train::Example;
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::{Item, LETTERS, Prompt, PromptFormat, TITLE_SEPARATOR};

pub use self::bound::Bound;
use crate::protocol::union;

/// Turns prompts of one format into tokens of one tokenizer, or those of one domain into the codes of their items.
pub enum Encoder<'a> {
    /// Into tokens of a text.
    Text(TextEncoder<'a>),
    /// Into codes.
    Codes(CodeEncoder<'a>),
}

/// Turns prompts of one format into tokens of one tokenizer. Titles recur, so their tokens are remembered.
pub struct TextEncoder<'a> {
    tokenizer: &'a Tokenizer,
    format: PromptFormat,
    /// What prompts are held to; none where they may be of any length.
    bound: Option<Bound>,
    /// How often a prompt was encoded without some of its titles.
    shortened: AtomicUsize,
    lines: Mutex<HashMap<String, Vec<u32>>>,
}

/// Turns prompts of a domain, of the format that is a sequence, into the codes of their items.
#[derive(Clone, Copy, Debug)]
pub struct CodeEncoder<'a> {
    /// Which token says what.
    pub layout: Layout,
    /// The codes of the domain's items.
    pub codes: &'a ItemCodes,
}

impl<'a> Encoder<'a> {
    /// An encoder for prompts of `format`.
    pub fn new(tokenizer: &'a Tokenizer, format: PromptFormat) -> Self {
        Encoder::Text(TextEncoder {
            tokenizer,
            format,
            bound: None,
            shortened: AtomicUsize::new(0),
            lines: Mutex::default(),
        })
    }

    /// The same with prompts held to so many tokens. Codes are of one length an item, and their histories as long as they were prepared.
    #[must_use]
    pub fn held_to(self, bound: Bound) -> Self {
        match self {
            Encoder::Text(text) => Encoder::Text(TextEncoder {
                bound: Some(bound),
                ..text
            }),
            Encoder::Codes(codes) => Encoder::Codes(codes),
        }
    }

    /// The same for prompts that are worded with the titles of these items, in place of the folder's own.
    ///
    /// # Errors
    /// A wording that cannot be read.
    pub fn over(self, folder: &Prepared, items: &[Item]) -> Result<Self> {
        let bound = match &self {
            Encoder::Text(TextEncoder {
                bound: Some(bound), ..
            }) => bound.over(folder, items)?,
            Encoder::Text(_) | Encoder::Codes(_) => return Ok(self),
        };
        Ok(self.held_to(bound))
    }

    /// How often a prompt was encoded so far without the oldest titles of its history, since it would have been longer than it may be.
    pub fn shortened(&self) -> usize {
        match self {
            Encoder::Text(text) => text.shortened.load(Ordering::Relaxed),
            Encoder::Codes(_) => 0,
        }
    }

    /// An encoder of items as codes.
    pub fn of_codes(layout: Layout, codes: &'a ItemCodes) -> Self {
        Encoder::Codes(CodeEncoder { layout, codes })
    }

    /// The codes, where it is of items as codes.
    pub fn codes(&self) -> Option<&CodeEncoder<'a>> {
        match self {
            Encoder::Text(_) => None,
            Encoder::Codes(codes) => Some(codes),
        }
    }

    fn text(&self) -> Result<&TextEncoder<'a>> {
        match self {
            Encoder::Text(text) => Ok(text),
            Encoder::Codes(_) => bail!("this model reads items as codes: no text has tokens there"),
        }
    }

    /// A prompt and its answer, with the loss on the answer.
    ///
    /// # Errors
    /// A prompt that is longer than it may be, however few titles its history has, or that cannot be encoded.
    pub fn example(&self, prompt: &Prompt) -> Result<Example> {
        match self {
            Encoder::Text(text) => text.example(prompt),
            Encoder::Codes(codes) => codes.example(prompt),
        }
    }

    /// Examples of many prompts.
    pub fn examples<'p>(&self, prompts: impl IntoIterator<Item = &'p Prompt>) -> Result<Vec<Example>> {
        prompts.into_iter().map(|p| self.example(p)).collect()
    }

    /// A prompt and candidates, to be ranked. Formats that list candidates can be asked about those that they list alone.
    ///
    /// # Errors
    /// A candidate without anything to read: its likelihood would be that of what follows a title, and it would win. A prompt that is longer
    /// than it may be with the longest of the candidates, however few titles its history has.
    pub fn query(&self, prompt: &Prompt, candidates: &[u32], items: &[Item]) -> Result<Query> {
        match self {
            Encoder::Text(text) => text.query(prompt, candidates, items),
            Encoder::Codes(codes) => codes.query(prompt, candidates),
        }
    }

    /// The tokens of everything before the answer.
    pub fn prompt(&self, prompt: &Prompt) -> Result<Vec<u32>> {
        match self {
            Encoder::Text(text) => text.prompt(prompt),
            Encoder::Codes(codes) => codes.history(&prompt.history),
        }
    }

    /// What the model reads of somebody who had these items, as the sequence format writes it.
    ///
    /// # Errors
    /// Items that are not among `all`.
    pub fn had(&self, items: &[u32], all: &[Item]) -> Result<Vec<u32>> {
        let title = |item: &u32| {
            let found = (*item as usize).checked_sub(1).and_then(|place| all.get(place));
            let found = found.with_context(|| format!("item {item} is no item of the domain"))?;
            Ok(found.title.as_str())
        };
        match self {
            Encoder::Text(text) => text.titles(&items.iter().map(title).collect::<Result<Vec<_>>>()?),
            Encoder::Codes(codes) => codes.history(items),
        }
    }

    /// The tokens of an item in a sequence.
    ///
    /// # Errors
    /// An item without any.
    pub fn title(&self, item: &Item) -> Result<Vec<u32>> {
        match self {
            Encoder::Text(text) => text.lines(&format!("{}\n", item.title)),
            Encoder::Codes(codes) => codes.item(item.item),
        }
    }

    /// What the model reads of somebody who had items with these titles, as the sequence format writes it.
    ///
    /// # Errors
    /// A model that reads items as codes.
    pub fn titles<S: AsRef<str>>(&self, titles: &[S]) -> Result<Vec<u32>> {
        self.text()?.titles(titles)
    }

    /// Tokens of any text of lines, as the sequence format writes titles.
    ///
    /// # Errors
    /// A model that reads items as codes.
    pub fn lines(&self, text: &str) -> Result<Vec<u32>> {
        self.text()?.lines(text)
    }

    /// The tokens that end a freely decoded answer.
    ///
    /// # Errors
    /// A template that cannot be filled.
    pub fn stops(&self) -> Result<Vec<u32>> {
        match self {
            Encoder::Text(text) => text.stops(),
            Encoder::Codes(_) => Ok(Vec::new()),
        }
    }

    /// The first title, or the letter, of a freely decoded answer.
    ///
    /// # Errors
    /// A model that reads items as codes.
    pub fn first_title(&self, answer: &[u32]) -> Result<String> {
        self.text()?.first_title(answer)
    }

    /// Whether the model has tokens for a title.
    ///
    /// # Errors
    /// A title that cannot be encoded.
    pub fn is_readable(&self, title: &str) -> Result<bool> {
        match self {
            Encoder::Text(text) => text.is_readable(title),
            Encoder::Codes(_) => Ok(true),
        }
    }
}

impl TextEncoder<'_> {
    fn example(&self, prompt: &Prompt) -> Result<Example> {
        self.fitted(prompt, |prompt| {
            let example = self.whole_example(prompt)?;
            let tokens = example.tokens.len();
            Ok((example, tokens))
        })
    }

    /// The answer is not looked at: how much of a history is read says nothing of it.
    fn query(&self, prompt: &Prompt, candidates: &[u32], items: &[Item]) -> Result<Query> {
        self.fitted(prompt, |prompt| {
            let query = self.whole_query(prompt, candidates, items)?;
            let longest = query.candidates.iter().map(Vec::len).max().unwrap_or(0);
            let tokens = query.prompt.len() + longest;
            Ok((query, tokens))
        })
    }

    fn prompt(&self, prompt: &Prompt) -> Result<Vec<u32>> {
        match &self.bound {
            // What is continued freely is what candidates are ranked after.
            Some(bound) => {
                let (candidates, _) = union(prompt, self.format);
                Ok(self.query(prompt, &candidates, bound.items())?.prompt)
            }
            None => self.whole_prompt(prompt),
        }
    }

    /// What is made of a prompt that is as long as it may be.
    fn fitted<T>(&self, prompt: &Prompt, encode: impl Fn(&Prompt) -> Result<(T, usize)>) -> Result<T> {
        let Some(bound) = &self.bound else {
            return Ok(encode(prompt)?.0);
        };
        let (encoded, is_shorter) = bound.fitted(prompt, self.format, encode)?;
        self.shortened
            .fetch_add(usize::from(is_shorter), Ordering::Relaxed);
        Ok(encoded)
    }

    fn whole_example(&self, prompt: &Prompt) -> Result<Example> {
        let answer = prompt.messages.last().map_or("", |m| m.content.as_str());
        let (mut tokens, answer) = match self.format {
            PromptFormat::Sequence => (self.history(prompt)?, self.lines(answer)?),
            PromptFormat::Top5 | PromptFormat::TargetOnly | PromptFormat::Letter => {
                let Turn { prompt, lead, end } = self.turn(prompt)?;
                let answer = self.tokenizer.encode_mixed(&between(&lead, &[answer], &end))?;
                (self.tokenizer.encode_mixed(&prompt)?, answer)
            }
        };
        let loss_from = tokens.len();
        tokens.extend(answer);
        Ok(Example { tokens, loss_from })
    }

    fn whole_query(&self, prompt: &Prompt, candidates: &[u32], items: &[Item]) -> Result<Query> {
        let (tokens, lead, end) = match self.format {
            PromptFormat::Sequence => (self.history(prompt)?, String::new(), String::new()),
            PromptFormat::Top5 | PromptFormat::TargetOnly | PromptFormat::Letter => {
                let Turn { prompt, lead, end } = self.turn(prompt)?;
                (self.tokenizer.encode_mixed(&prompt)?, lead, end)
            }
        };
        let candidate = |(place, id): (usize, &u32)| -> Result<Vec<u32>> {
            let item = items
                .get(*id as usize - 1)
                .with_context(|| format!("candidate {id} is no item of the domain"))?;
            let title = item.title.as_str();
            if !self.is_readable(title)? {
                bail!(
                    "candidate {} has the title {title:?}, which is no text to this model: every candidate needs a title",
                    place + 1
                );
            }
            match self.format {
                PromptFormat::Sequence => self.lines(&format!("{title}\n")),
                // In an answer the first title is followed by the separator, which may share a token with its end.
                PromptFormat::Top5 => self.line(&between(&lead, &[title, TITLE_SEPARATOR], "")),
                PromptFormat::TargetOnly => self.line(&between(&lead, &[title], &end)),
                PromptFormat::Letter => {
                    let letter = LETTERS.get(place);
                    let letter = letter.with_context(|| format!("no letter names candidate {id}"))?;
                    self.line(&between(&lead, &[letter], ""))
                }
            }
        };
        let candidates = candidates.iter().enumerate();
        Ok(Query {
            candidates: candidates.map(candidate).collect::<Result<_>>()?,
            prompt: tokens,
        })
    }

    fn whole_prompt(&self, prompt: &Prompt) -> Result<Vec<u32>> {
        match self.format {
            PromptFormat::Sequence => self.history(prompt),
            PromptFormat::Top5 | PromptFormat::TargetOnly | PromptFormat::Letter => {
                Ok(self.tokenizer.encode_mixed(&self.turn(prompt)?.prompt)?)
            }
        }
    }

    /// The titles before the answer, after the token that the model expects before any text.
    fn history(&self, prompt: &Prompt) -> Result<Vec<u32>> {
        let turns = &prompt.messages[..prompt.messages.len().saturating_sub(1)];
        let text: String = turns.iter().map(|m| m.content.as_str()).collect();
        let mut tokens: Vec<u32> = self.tokenizer.start().into_iter().collect();
        tokens.extend(self.lines(&text)?);
        Ok(tokens)
    }

    /// The conversation as the model's template writes it.
    fn turn(&self, prompt: &Prompt) -> Result<Turn> {
        let turns: Vec<(&str, &str)> = prompt
            .messages
            .iter()
            .map(|m| (m.role.as_str(), m.content.as_str()))
            .collect();
        Ok(self.tokenizer.turn(&turns)?)
    }

    fn titles<S: AsRef<str>>(&self, titles: &[S]) -> Result<Vec<u32>> {
        let mut tokens: Vec<u32> = self.tokenizer.start().into_iter().collect();
        for title in titles {
            tokens.extend(self.lines(&format!("{}\n", title.as_ref()))?);
        }
        Ok(tokens)
    }

    fn lines(&self, text: &str) -> Result<Vec<u32>> {
        let mut tokens = Vec::new();
        for line in text.split_inclusive('\n') {
            tokens.extend(self.line(&Mixed::of_data(line.trim_end_matches('\n')))?);
            if line.ends_with('\n') {
                tokens.extend(self.line(&Mixed::of_data("\n"))?);
            }
        }
        Ok(tokens)
    }

    fn stops(&self) -> Result<Vec<u32>> {
        let mut stops: Vec<u32> = self.tokenizer.eos().into_iter().collect();
        match self.format {
            PromptFormat::Sequence => stops.extend(self.line(&Mixed::of_data("\n"))?),
            PromptFormat::Top5 | PromptFormat::TargetOnly | PromptFormat::Letter => {
                let end = self.tokenizer.turn(&[("user", "?"), ("assistant", "!")])?.end;
                stops.extend(self.tokenizer.token_id(end.trim_start()));
            }
        }
        Ok(stops)
    }

    fn first_title(&self, answer: &[u32]) -> Result<String> {
        let text = self.tokenizer.decode(answer)?;
        let first = match self.format {
            PromptFormat::Sequence => text.lines().next(),
            PromptFormat::Top5 => text.split(TITLE_SEPARATOR).next(),
            PromptFormat::TargetOnly | PromptFormat::Letter => Some(text.as_str()),
        };
        Ok(first.unwrap_or_default().trim().to_string())
    }

    fn is_readable(&self, title: &str) -> Result<bool> {
        // No normalizer takes letters away.
        let is_plain = title.bytes().any(|byte| byte.is_ascii_alphanumeric());
        Ok(is_plain || !title.trim().is_empty() && !self.line(&Mixed::of_data(title))?.is_empty())
    }

    fn line(&self, text: &Mixed) -> Result<Vec<u32>> {
        if text.text().is_empty() {
            return Ok(Vec::new());
        }
        // Of these the tokens depend on who wrote what.
        if self.tokenizer.is_control_spelt_by_data(text) {
            return Ok(self.tokenizer.encode_mixed(text)?);
        }
        let known = self
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(text.text())
            .cloned();
        if let Some(tokens) = known {
            return Ok(tokens);
        }
        let tokens = self.tokenizer.encode_mixed(text)?;
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(text.text().to_string(), tokens.clone());
        Ok(tokens)
    }
}

/// Data between what a template writes before and after an answer.
fn between(lead: &str, data: &[&str], end: &str) -> Mixed {
    let mut text = Mixed::of_template(lead);
    data.iter().for_each(|data| text.push_data(data));
    text.push_template(end);
    text
}

#[cfg(test)]
mod tests;
