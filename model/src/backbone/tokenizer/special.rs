//! The special tokens of a model's folder: which names they have in templates, and which belong to the vocabulary though its own file
//! does not say so.
//!
//! What counts is transformers' order: where `tokenizer_config.json` lists its added tokens, the names it gives, otherwise first those of
//! `special_tokens_map.json`; and whatever one file leaves out is taken from the other. For the tokens that begin and end texts the ids in
//! `generation_config.json` and `config.json` speak last.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::{failure, optional};
use crate::{Result, foreign};

/// The files that names come from, the settings first.
const CONFIG: &str = "tokenizer_config.json";
const MAP: &str = "special_tokens_map.json";
const ADDED: &str = "added_tokens.json";
const WITH_IDS: [&str; 2] = ["generation_config.json", "config.json"];

/// Special tokens as templates know them.
#[derive(Clone, Debug, Default)]
pub(super) struct Special {
    /// By the names that templates have for them: `bos_token`, and whatever else the files name.
    pub named: BTreeMap<String, String>,
    /// Those that share a name.
    pub lists: BTreeMap<String, Vec<String>>,
    /// Names of which the files say that the model has no such token; templates find nothing under them.
    pub none: BTreeSet<String>,
    /// What was looked at, in words, and what to do about a name that is in none of it.
    pub sources: String,
    /// See `sources`.
    pub remedy: &'static str,
}

impl Special {
    /// Reads the files beside a `tokenizer.json` and adds to its vocabulary what they know of tokens that it does not.
    ///
    /// Gives the settings in `tokenizer_config.json` too, an empty table where there is none.
    ///
    /// # Errors
    /// A file that is no JSON object, or one that gives a token another id than the vocabulary does.
    pub(super) fn read(
        tokenizer_json: &Path,
        inner: &mut tokenizers::Tokenizer,
    ) -> Result<(Self, Map<String, Value>)> {
        let read = |name: &str| object(&tokenizer_json.with_file_name(name));
        let (config, map) = (read(CONFIG)?, read(MAP)?);
        let listed = config.get("added_tokens_decoder").and_then(Value::as_object);
        let mut special = Special {
            sources: format!("{CONFIG}, {MAP}, {} and {}", WITH_IDS[0], WITH_IDS[1]),
            remedy: "name it in the first of them, or say null there where the model has none",
            ..Special::default()
        };
        let mut tokens = Vec::new();
        let order = if listed.is_some() {
            [&config, &map]
        } else {
            [&map, &config]
        };
        for settings in order {
            special.take_names(settings, &mut tokens);
        }
        let named = &special.named;
        special.none.retain(|name| !named.contains_key(name));
        special.take_ids(inner, read)?;
        tokens.extend(
            special
                .named
                .values()
                .map(|token| AddedToken::from(token.as_str(), true)),
        );

        let stated = match listed {
            Some(listed) => (CONFIG, from_decoder(listed)),
            None => {
                let special: HashSet<&str> = tokens.iter().map(|token| token.content.as_str()).collect();
                (ADDED, from_encoder(&read(ADDED)?, &special))
            }
        };
        add(inner, stated, tokens).map_err(|message| failure(tokenizer_json, message))?;
        Ok((special, config))
    }

    fn take_names(&mut self, settings: &Map<String, Value>, tokens: &mut Vec<AddedToken>) {
        for (key, value) in settings {
            match value {
                Value::Object(entries)
                    if matches!(
                        key.as_str(),
                        "extra_special_tokens" | "model_specific_special_tokens"
                    ) =>
                {
                    entries
                        .iter()
                        .for_each(|(name, value)| self.take_name(name, value, tokens));
                }
                Value::Array(values)
                    if matches!(key.as_str(), "extra_special_tokens" | "additional_special_tokens") =>
                {
                    let found: Vec<AddedToken> =
                        values.iter().filter_map(|value| token(value, true)).collect();
                    let contents = found.iter().map(|token| token.content.clone()).collect();
                    self.lists.entry(key.clone()).or_insert(contents);
                    tokens.extend(found);
                }
                _ if is_name(key) => self.take_name(key, value, tokens),
                _ => {}
            }
        }
    }

    fn take_name(&mut self, name: &str, value: &Value, tokens: &mut Vec<AddedToken>) {
        if value.is_null() {
            self.none.insert(name.into());
        }
        if let Some(token) = token(value, true)
            && !self.named.contains_key(name)
        {
            self.named.insert(name.into(), token.content.clone());
            tokens.push(token);
        }
    }

    /// Names what has an id alone.
    fn take_ids(
        &mut self,
        inner: &tokenizers::Tokenizer,
        read: impl Fn(&str) -> Result<Map<String, Value>>,
    ) -> Result<()> {
        let wanted = ["bos_token", "eos_token", "pad_token"];
        let open =
            |special: &Self, name: &str| !special.named.contains_key(name) && !special.none.contains(name);
        for file in WITH_IDS {
            if !wanted.iter().any(|name| open(self, name)) {
                break;
            }
            let settings = read(file)?;
            for name in wanted {
                let id = match settings.get(&format!("{name}_id")) {
                    Some(Value::Array(ids)) => ids.first().and_then(Value::as_u64),
                    id => id.and_then(Value::as_u64),
                };
                let token = id.and_then(|id| inner.id_to_token(u32::try_from(id).ok()?));
                if let Some(token) = token.filter(|_| open(self, name)) {
                    self.named.insert(name.into(), token);
                }
            }
        }
        Ok(())
    }
}

/// Adds tokens to a vocabulary: those `stated` with an id by a file, and those of `special` that the model has an id for.
fn add(
    inner: &mut tokenizers::Tokenizer,
    (file, mut stated): (&str, Vec<(u32, AddedToken)>),
    special: Vec<AddedToken>,
) -> std::result::Result<(), String> {
    let known: HashSet<String> = inner
        .get_added_tokens_decoder()
        .into_values()
        .map(|token| token.content)
        .collect();
    stated.retain(|(_, token)| !known.contains(&token.content));
    stated.sort_by_key(|(id, _)| *id);
    inner
        .add_tokens(stated.iter().map(|(_, token)| token.clone()))
        .map_err(|e| e.to_string())?;
    for (id, token) in &stated {
        if let Some(other) = inner.token_to_id(&token.content).filter(|other| other != id) {
            return Err(format!(
                "{file} gives {:?} the id {id} where this vocabulary has {other} for it; take both files from one model",
                token.content
            ));
        }
    }
    let mut seen: HashSet<String> = stated
        .into_iter()
        .map(|(_, token)| token.content)
        .chain(known)
        .collect();
    // One that has no id anywhere is none that the model was trained on.
    let new: Vec<AddedToken> = special
        .into_iter()
        .filter(|token| inner.token_to_id(&token.content).is_some() && seen.insert(token.content.clone()))
        .collect();
    inner.add_special_tokens(new).map_err(|e| e.to_string())?;
    Ok(())
}

/// `added_tokens_decoder`: tokens by their ids.
fn from_decoder(listed: &Map<String, Value>) -> Vec<(u32, AddedToken)> {
    let entry = |(id, value): (&String, &Value)| Some((id.parse().ok()?, token(value, false)?));
    listed.iter().filter_map(entry).collect()
}

/// `added_tokens.json`: ids by their tokens.
fn from_encoder(listed: &Map<String, Value>, special: &HashSet<&str>) -> Vec<(u32, AddedToken)> {
    let entry = |(content, id): (&String, &Value)| {
        let id = u32::try_from(id.as_u64()?).ok()?;
        Some((
            id,
            AddedToken::from(content.as_str(), special.contains(content.as_str())),
        ))
    };
    listed.iter().filter_map(entry).collect()
}

/// A token as files spell it: its text, or a table with that and how it is found.
fn token(value: &Value, special: bool) -> Option<AddedToken> {
    let Value::Object(settings) = value else {
        return Some(AddedToken::from(value.as_str()?, special));
    };
    let flag = |name: &str| settings.get(name).and_then(Value::as_bool);
    let special = special || flag("special").unwrap_or(false);
    let token = AddedToken::from(settings.get("content")?.as_str()?, special);
    Some(
        token
            .lstrip(flag("lstrip").unwrap_or(false))
            .rstrip(flag("rstrip").unwrap_or(false))
            .single_word(flag("single_word").unwrap_or(false))
            .normalized(flag("normalized").unwrap_or(!special)),
    )
}

/// Whether a setting names a special token.
pub(super) fn is_name(key: &str) -> bool {
    key.ends_with("_token") && !key.starts_with("add_")
}

fn object(path: &Path) -> Result<Map<String, Value>> {
    let Some(text) = optional(path)? else {
        return Ok(Map::new());
    };
    match foreign::json(text.as_bytes()) {
        Ok(Value::Object(settings)) => Ok(settings),
        Ok(_) => Err(failure(
            path,
            "a table of settings is expected, and this is none; fetch the file again",
        )),
        Err(error) => Err(failure(path, error)),
    }
}
