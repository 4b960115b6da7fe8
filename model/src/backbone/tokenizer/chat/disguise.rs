//! Conversations whose contents spell control tokens, so written that a template passes them on and cannot put any of them together.
//!
//! Every character that has a part in such a spelling becomes a private one of Unicode before the template is rendered, and is put back in
//! what it wrote. Where private characters stood, data stand.

use std::collections::{HashMap, HashSet};

use super::super::control::Control;
use super::super::mixed::Mixed;

/// A conversation of (role, content) turns.
pub(super) type Messages<'a> = [(&'a str, &'a str)];

/// The two planes of private characters, less what aliases begin with.
const PRIVATE: [std::ops::RangeInclusive<u32>; 2] = [0xf_0000..=0xf_fffd, 0x10_0000..=0x10_ff00];

/// A conversation in disguise.
pub(super) struct Disguise {
    contents: Vec<String>,
    real: HashMap<char, char>,
    /// Whether a control token is spelt in one of the contents, rather than a part of one, or one in another case.
    pub is_spelt: bool,
}

impl Disguise {
    /// `None` where no content could have a part in the spelling of a control token; `template` is what writes around them.
    ///
    /// # Errors
    /// Contents that use up all private characters.
    pub(super) fn of(messages: &Messages, control: &Control, template: &str) -> Result<Option<Self>, String> {
        let found: Vec<_> = messages
            .iter()
            .map(|(_, content)| control.suspicious(content))
            .collect();
        if found.iter().all(|(suspicious, _)| suspicious.is_empty()) {
            return Ok(None);
        }
        let taken: HashSet<char> = messages
            .iter()
            .flat_map(|(_, content)| content.chars())
            .chain(template.chars())
            .filter(|character| *character >= '\u{f0000}')
            .collect();
        let mut free = PRIVATE
            .into_iter()
            .flatten()
            .filter_map(char::from_u32)
            .filter(|private| !taken.contains(private));
        let mut private: HashMap<char, char> = HashMap::new();
        let mut contents = Vec::with_capacity(messages.len());
        for ((_, content), (suspicious, _)) in messages.iter().zip(&found) {
            let mut disguised = String::with_capacity(content.len());
            for (at, character) in content.char_indices() {
                let is_suspicious = suspicious.iter().any(|bytes| bytes.contains(&at));
                // White space stays what templates trim.
                if !is_suspicious || character.is_whitespace() {
                    disguised.push(character);
                    continue;
                }
                let known = match private.get(&character) {
                    Some(known) => *known,
                    None => free.next().ok_or(
                        "the turns of a conversation use all private characters of Unicode; remove them",
                    )?,
                };
                private.insert(character, known);
                disguised.push(known);
            }
            contents.push(disguised);
        }
        Ok(Some(Disguise {
            contents,
            real: private
                .into_iter()
                .map(|(real, private)| (private, real))
                .collect(),
            is_spelt: found.iter().any(|(_, is_spelt)| *is_spelt),
        }))
    }

    /// The conversation as the template is to see it.
    pub(super) fn messages<'a>(&'a self, messages: &Messages<'a>) -> Vec<(&'a str, &'a str)> {
        let pairs = messages.iter().zip(&self.contents);
        pairs
            .map(|((role, _), content)| (*role, content.as_str()))
            .collect()
    }

    /// What a template wrote, with the characters that belong there; those are data.
    pub(super) fn lift(&self, written: &str) -> Mixed {
        let mut mixed = Mixed::default();
        let mut copied = 0;
        for (at, character) in written.char_indices() {
            if let Some(real) = self.real.get(&character) {
                mixed.push_template(&written[copied..at]);
                mixed.push_data(real.encode_utf8(&mut [0; 4]));
                copied = at + character.len_utf8();
            }
        }
        mixed.push_template(&written[copied..]);
        mixed
    }
}
