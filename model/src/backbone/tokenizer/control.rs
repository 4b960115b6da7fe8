//! Control tokens: the ones by which templates give a text its structure, and which data must not be able to write.
//!
//! What a vocabulary adds to its model is found by its spelling, whoever wrote it. Here a text whose data spell no control token is
//! encoded just so. Any other one is encoded by a tokenizer of the same model that knows control tokens by aliases alone, which stand
//! where the template wrote a token; what data spell is text to it, cut into words and merged like all text around it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind};
use tokenizers::{AddedToken, Model};

use super::mixed::Mixed;

/// What begins aliases: the last private characters of Unicode. A text that holds one of them gets aliases that begin with another.
const LEADS: std::ops::RangeInclusive<u32> = 0x10_fff0..=0x10_fffd;

/// Control tokens of one vocabulary.
pub(super) struct Control {
    /// Spellings with their ids.
    tokens: Vec<(String, u32)>,
    /// A bit for every id: a prompt's ids are all looked up.
    bits: Vec<u64>,
    /// What stands for text that the model has no token for. Models give it themselves, so that it forges nothing.
    unknown: Option<u32>,
    /// Finds spellings as the tokenizer does: the first, and the longest of those that begin there.
    finder: AhoCorasick,
    /// Finds every spelling, overlapping ones too, in upper case or lower: a template may change the case of what it is given.
    suspects: AhoCorasick,
    /// The bytes that spellings begin and end with, and those that they have in between.
    first: [bool; 256],
    last: [bool; 256],
    inside: [bool; 256],
    /// Of the longest spelling, in bytes.
    longest: usize,
    /// The tokenizers that know aliases, by what these begin with; hardly ever more than one, and none before data ask for it.
    aliased: Mutex<HashMap<char, Arc<Aliased>>>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control")
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

impl Control {
    /// Those of a vocabulary: its special tokens, those that have a name or that the template writes, and those that look the part.
    /// Other added tokens (white space, HTML in Gemma's vocabulary, words of one's own) are words, in data as elsewhere.
    pub(super) fn of(
        inner: &tokenizers::Tokenizer,
        named: &HashSet<&str>,
        template: &str,
    ) -> Result<Self, String> {
        let is_control = |token: &AddedToken| {
            let spelling = token.content.as_str();
            !spelling.trim().is_empty()
                && (token.special
                    || named.contains(spelling)
                    || looks_like_control(spelling)
                    || (is_bracketed(spelling) && template.contains(spelling)))
        };
        let added = inner.get_added_tokens_decoder();
        let mut tokens: Vec<(String, u32)> = added
            .iter()
            .filter(|(_, token)| is_control(token))
            .map(|(id, token)| (token.content.clone(), *id))
            .collect();
        tokens.sort_by_key(|(_, id)| *id);
        let spellings: Vec<&str> = tokens.iter().map(|(spelling, _)| spelling.as_str()).collect();
        let build = |builder: &mut AhoCorasickBuilder| {
            // A table of all transitions would be large where there are thousands of tokens, and no faster on texts without any.
            let builder = builder.kind(Some(AhoCorasickKind::ContiguousNFA));
            builder.build(&spellings).map_err(|e| e.to_string())
        };
        let finder = build(AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest))?;
        let suspects = build(AhoCorasick::builder().ascii_case_insensitive(true))?;
        let (mut first, mut last, mut inside) = ([false; 256], [false; 256], [false; 256]);
        for bytes in spellings.iter().map(|spelling| spelling.as_bytes()) {
            if let [begin, between @ .., end] = bytes {
                first[usize::from(*begin)] = true;
                last[usize::from(*end)] = true;
                between.iter().for_each(|byte| inside[usize::from(*byte)] = true);
            }
        }
        let mut bits = vec![0u64; tokens.last().map_or(0, |(_, id)| *id as usize / 64 + 1)];
        tokens
            .iter()
            .for_each(|(_, id)| bits[*id as usize / 64] |= 1 << (id % 64));
        Ok(Control {
            bits,
            unknown: unknown(inner),
            longest: spellings.iter().map(|spelling| spelling.len()).max().unwrap_or(0),
            finder,
            suspects,
            first,
            last,
            inside,
            tokens,
            aliased: Mutex::default(),
        })
    }

    /// Whether data have a part in the spelling of a control token.
    pub(super) fn is_spelt_by_data(&self, text: &Mixed) -> bool {
        let mut found = self.finder.find_iter(text.text());
        found.any(|token| text.has_data_in(token.range()))
    }

    /// Ids of the control tokens that a text spells, as they stand in it.
    pub(super) fn spelt(&self, text: &str) -> Vec<u32> {
        let found = self.finder.find_iter(text);
        found
            .map(|token| self.tokens[token.pattern().as_usize()].1)
            .collect()
    }

    /// Whether ids hold more control tokens than a text spells: a normalizer, or merges, made one of something else.
    pub(super) fn has_more_than_spelt(&self, ids: &[u32], text: &str) -> bool {
        let there = ids.iter().filter(|id| self.is_control(**id)).count();
        there > 0 && there > self.finder.find_iter(text).count()
    }

    fn is_control(&self, id: u32) -> bool {
        let bits = self.bits.get(id as usize / 64).copied().unwrap_or(0);
        bits & (1 << (id % 64)) != 0 && self.unknown != Some(id)
    }

    /// Bytes of a turn's content that spell a control token, in whatever case, or that could with what a template writes beside them.
    /// The second value tells whether there is a spelling that needs no such help.
    pub(super) fn suspicious(&self, content: &str) -> (Vec<std::ops::Range<usize>>, bool) {
        let mut found = Vec::new();
        let mut is_spelt = false;
        if self.suspects.is_match(content) {
            found.extend(
                self.suspects
                    .find_overlapping_iter(content)
                    .map(|token| token.range()),
            );
            is_spelt = self.finder.is_match(content);
        }
        // And some take words out of the middle of it (`/no_think`), which may join what is no spelling as it stands.
        found.extend(content.char_indices().filter_map(|(at, sign)| {
            let begins = self.first[usize::from(content.as_bytes()[at])];
            (begins && !sign.is_alphanumeric() && !sign.is_whitespace()).then(|| at..at + sign.len_utf8())
        }));
        // Templates trim what they are given.
        let (start, trimmed) = (content.len() - content.trim_start().len(), content.trim());
        let end = start + trimmed.len();
        let bytes = trimmed.as_bytes();
        let spellings = || self.tokens.iter().map(|(spelling, _)| spelling.as_str());
        let is_inside = |byte: &u8| self.inside[usize::from(*byte)];
        if (1..self.longest).contains(&bytes.len())
            && bytes.iter().all(is_inside)
            && spellings().any(|spelling| spelling.contains(trimmed))
        {
            found.push(start..end);
        }
        let near = bytes.len().min(self.longest);
        if bytes[..near].iter().any(|byte| self.last[usize::from(*byte)]) {
            let shared = spellings()
                .filter_map(|spelling| begins_with_an_end_of(trimmed, spelling))
                .max();
            found.extend(shared.map(|length| start..start + length));
        }
        if bytes[bytes.len() - near..]
            .iter()
            .any(|byte| self.first[usize::from(*byte)])
        {
            let shared = spellings()
                .filter_map(|spelling| ends_with_a_beginning_of(trimmed, spelling))
                .max();
            found.extend(shared.map(|length| end - length..end));
        }
        (found, is_spelt)
    }

    /// Ids of a text in which no control token is spelt with data.
    pub(super) fn encode(&self, inner: &tokenizers::Tokenizer, text: &Mixed) -> Result<Vec<u32>, String> {
        let lead = LEADS
            .rev()
            .filter_map(char::from_u32)
            .find(|lead| !text.text().contains(*lead));
        let lead = lead.ok_or(
            "a text with all of the last private characters of Unicode cannot be encoded; remove them",
        )?;
        let aliased = self.aliased(inner, lead)?;
        let mut written = String::with_capacity(text.text().len());
        for (part, is_data) in text.parts() {
            if is_data {
                written.push_str(part);
                continue;
            }
            let mut copied = 0;
            for token in self.finder.find_iter(part) {
                written.push_str(&part[copied..token.start()]);
                written.push_str(&alias(lead, token.pattern().as_usize()));
                copied = token.end();
            }
            written.push_str(&part[copied..]);
        }
        let encoding = aliased
            .tokenizer
            .encode_fast(written, false)
            .map_err(|e| e.to_string())?;
        let mut ids = Vec::with_capacity(encoding.get_ids().len());
        for id in encoding.get_ids() {
            match aliased.original.get(id) {
                Some(original) => ids.push(*original),
                None if self.is_control(*id) => self.spell_out(inner, *id, &mut ids)?,
                None => ids.push(*id),
            }
        }
        Ok(ids)
    }

    /// The tokens of a control token's spelling, for models whose merges make it of its characters.
    fn spell_out(&self, inner: &tokenizers::Tokenizer, id: u32, ids: &mut Vec<u32>) -> Result<(), String> {
        let spelling = inner.get_model().id_to_token(id).unwrap_or_default();
        for character in spelling.chars() {
            let tokens = inner
                .get_model()
                .tokenize(&character.to_string())
                .map_err(|e| e.to_string())?;
            if tokens.iter().any(|token| self.is_control(token.id)) {
                return Err(format!(
                    "data hold {spelling:?}, which the vocabulary knows as a control token alone; remove it"
                ));
            }
            ids.extend(tokens.into_iter().map(|token| token.id));
        }
        Ok(())
    }

    fn aliased(&self, inner: &tokenizers::Tokenizer, lead: char) -> Result<Arc<Aliased>, String> {
        let mut known = self.aliased.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(aliased) = known.get(&lead) {
            return Ok(aliased.clone());
        }
        let made = Arc::new(Aliased::new(inner, &self.tokens, lead)?);
        known.insert(lead, made.clone());
        Ok(made)
    }
}

/// A tokenizer of the same model that finds control tokens by their aliases.
struct Aliased {
    tokenizer: tokenizers::Tokenizer,
    /// Ids of added tokens, aliases among them, and those that they have in the original.
    original: HashMap<u32, u32>,
}

impl Aliased {
    fn new(inner: &tokenizers::Tokenizer, control: &[(String, u32)], lead: char) -> Result<Self, String> {
        let mut tokenizer = tokenizers::Tokenizer::new(inner.get_model().clone());
        tokenizer
            .with_normalizer(inner.get_normalizer().cloned())
            .map_err(|e| e.to_string())?
            .with_pre_tokenizer(inner.get_pre_tokenizer().cloned());
        // A new token gets the id after as many as the model has; where its ids have gaps, that one may be taken.
        let vocabulary = inner.get_model().get_vocab();
        let gaps = vocabulary
            .values()
            .max()
            .map_or(0, |most| (*most as usize + 1).saturating_sub(vocabulary.len()));
        drop(vocabulary);
        let fillers =
            (0..gaps).map(|gap| AddedToken::from(format!("{lead}{lead}{gap}"), false).normalized(false));
        let places: HashMap<u32, usize> = control.iter().map(|(_, id)| *id).zip(0..).collect();
        let mut added: Vec<(u32, AddedToken)> = inner.get_added_tokens_decoder().into_iter().collect();
        added.sort_by_key(|(id, _)| *id);
        let added: Vec<(u32, AddedToken)> = added
            .into_iter()
            .map(|(id, token)| match places.get(&id) {
                Some(place) => (
                    id,
                    AddedToken {
                        content: alias(lead, *place),
                        normalized: false,
                        ..token
                    },
                ),
                None => (id, token),
            })
            .collect();
        let tokens = fillers.chain(added.iter().map(|(_, token)| token.clone()));
        tokenizer.add_tokens(tokens).map_err(|e| e.to_string())?;
        let original = added
            .into_iter()
            .filter_map(|(id, token)| Some((tokenizer.token_to_id(&token.content)?, id)))
            .collect();
        Ok(Aliased { tokenizer, original })
    }
}

/// What stands for a control token: two private characters.
fn alias(lead: char, place: usize) -> String {
    let mut alias = String::from(lead);
    // Planes 15 and 16 less the leads have room for over a hundred thousand tokens; numbers serve those beyond.
    match char::from_u32(0xf_0000 + place as u32).filter(|_| place < 0xfffd) {
        Some(character) => alias.push(character),
        None => alias.push_str(&format!("{place}{lead}")),
    }
    alias
}

fn unknown(inner: &tokenizers::Tokenizer) -> Option<u32> {
    use tokenizers::models::ModelWrapper;
    let model = inner.get_model();
    let token = match model {
        ModelWrapper::BPE(bpe) => bpe.get_unk_token().clone(),
        ModelWrapper::WordPiece(pieces) => Some(pieces.unk_token.clone()),
        ModelWrapper::WordLevel(words) => Some(words.unk_token.clone()),
        // Its unknown token is an id of its own, and text that is in the vocabulary's pieces never becomes it.
        ModelWrapper::Unigram(_) => Some("<unk>".into()),
    };
    model.token_to_id(&token?)
}

/// Spellings that have no other use: those of ChatML and Llama 3, DeepSeek's, and what Gemma keeps for later.
fn looks_like_control(spelling: &str) -> bool {
    let between = |begin: &str, end: &str| {
        spelling.len() >= begin.len() + end.len() && spelling.starts_with(begin) && spelling.ends_with(end)
    };
    between("<|", "|>") || between("<\u{ff5c}", "\u{ff5c}>") || between("<unused", ">")
}

fn is_bracketed(spelling: &str) -> bool {
    let between = |begin: char, end: char| {
        spelling.chars().count() > 2 && spelling.starts_with(begin) && spelling.ends_with(end)
    };
    between('<', '>') || between('[', ']')
}

/// How many bytes of a text's beginning are the end of a spelling that begins before it.
fn begins_with_an_end_of(text: &str, spelling: &str) -> Option<usize> {
    let cuts = spelling.char_indices().skip(1);
    cuts.map(|(at, _)| &spelling[at..])
        .find(|end| text.starts_with(end))
        .map(str::len)
}

/// How many bytes of a text's end are the beginning of a spelling that ends after it.
fn ends_with_a_beginning_of(text: &str, spelling: &str) -> Option<usize> {
    let cuts = spelling.char_indices().rev().filter(|(at, _)| *at > 0);
    cuts.map(|(at, _)| &spelling[..at])
        .find(|begin| text.ends_with(begin))
        .map(str::len)
}
