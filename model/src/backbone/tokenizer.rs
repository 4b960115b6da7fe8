//! Text to token ids and back: a tokenizer from `tokenizer.json`, rebuilt from GGUF metadata, or trained here.

mod chat;
mod control;
mod gguf;
mod mixed;
mod special;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::{ModelWrapper, TrainerWrapper};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{AddedToken, PreTokenizerWrapper};

use self::chat::{CHATML, Template, found_beside};
use self::control::Control;
use self::special::Special;
use super::weights::gguf_file;
use crate::io::atomic;
use crate::{Error, Result, foreign};

pub use self::chat::Turn;
pub use self::mixed::Mixed;

/// Largest id of a token: tables are as long.
const LARGEST: u32 = 1 << 24;

const END_OF_TEXT: &str = "<|endoftext|>";
const TURN_START: &str = "<|im_start|>";
const TURN_END: &str = "<|im_end|>";

/// A tokenizer with the special tokens a conversation needs.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    source: PathBuf,
    bos: Option<u32>,
    eos: Option<u32>,
    /// The token that the model expects before any text, if it does.
    start: Option<u32>,
    /// The special tokens by their names in templates.
    special: Special,
    template: Template,
    control: Arc<Control>,
}

impl Tokenizer {
    /// Opens the tokenizer of a model: a folder with `tokenizer.json`, that file itself, or a `.gguf` file.
    ///
    /// # Errors
    /// Files that are missing or damaged, or a kind of tokenizer that cannot be rebuilt from GGUF metadata.
    pub fn open(path: &Path) -> Result<Self> {
        if path.extension().is_some_and(|e| e == "json") {
            return Self::read_json(path);
        }
        match gguf_file(path)? {
            Some(file) => gguf::read(&file),
            None => Self::read_json(&path.join("tokenizer.json")),
        }
    }

    fn read_json(path: &Path) -> Result<Self> {
        let bytes = foreign::read(path)?;
        let mut inner =
            tokenizers::Tokenizer::from_bytes(&bytes).map_err(|e| match foreign::kind(&bytes) {
                Some(kind) => failure(path, kind),
                None => failure(path, e),
            })?;
        if let Some((token, id)) = inner.get_vocab(true).into_iter().find(|(_, id)| *id > LARGEST) {
            let message = format!(
                "the token {token:?} has the id {id}, which no model's vocabulary reaches; fetch the file again"
            );
            return Err(failure(path, message));
        }
        // What some program's last call cut or filled up to is stored too, and is no property of the model.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| failure(path, e))?;
        let (mut special, config) = Special::read(path, &mut inner)?;
        if !special.named.contains_key("bos_token") && !special.none.contains("bos_token") {
            let first = put_before_texts(&inner).and_then(|id| inner.id_to_token(id));
            special
                .named
                .extend(first.map(|token| ("bos_token".to_string(), token)));
        }
        let known = |token: &str| inner.token_to_id(token);
        let named = |name: &str| known(special.named.get(name)?);
        let bos = named("bos_token").or_else(|| known(TURN_START));
        let eos = named("eos_token")
            .or_else(|| known(TURN_END))
            .or_else(|| known(END_OF_TEXT));
        let before_nothing = inner.encode_fast("", true).map_err(|e| failure(path, e))?;
        let start = bos.filter(|bos| before_nothing.get_ids().first() == Some(bos));
        let template = found_beside(path, &config, start)?;
        Ok(Tokenizer {
            control: control(path, &inner, &special, &template)?,
            template,
            inner,
            source: path.to_path_buf(),
            bos,
            eos,
            start,
            special,
        })
    }

    /// Trains a byte-level BPE of at most `vocab_size` tokens; the first three are the special tokens of ChatML.
    ///
    /// The same texts give the same tokenizer, whatever the number of threads.
    ///
    /// # Errors
    /// A vocabulary too small for the 256 bytes and the special tokens.
    pub fn train_bpe<S: AsRef<str> + Send>(
        texts: impl IntoIterator<Item = S, IntoIter: Send>,
        vocab_size: usize,
    ) -> Result<Self> {
        let source = PathBuf::from("(trained here)");
        let special = [END_OF_TEXT, TURN_START, TURN_END].map(|token| AddedToken::from(token, true));
        let smallest = 256 + special.len();
        if vocab_size < smallest {
            return Err(Error::Usage(format!(
                "a byte-level vocabulary needs at least {smallest} tokens, not {vocab_size}"
            )));
        }
        let mut inner = tokenizers::Tokenizer::new(ModelWrapper::from(BPE::default()));
        byte_level(&mut inner, digits_apart());
        let mut trainer = TrainerWrapper::from(
            BpeTrainer::builder()
                .show_progress(false)
                .vocab_size(vocab_size)
                .min_frequency(2)
                .special_tokens(special.to_vec())
                .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
                .build(),
        );
        inner
            .train(&mut trainer, texts.into_iter())
            .map_err(|e| failure(&source, e))?;
        let (bos, eos) = (inner.token_to_id(TURN_START), inner.token_to_id(TURN_END));
        let named = [
            ("bos_token", TURN_START),
            ("eos_token", TURN_END),
            ("pad_token", TURN_END),
        ];
        let special = Special {
            named: named.map(|(name, token)| (name.into(), token.into())).into(),
            ..Special::default()
        };
        let template = Template::new(CHATML.into(), &source);
        Ok(Tokenizer {
            control: control(&source, &inner, &special, &template)?,
            template,
            inner,
            source,
            bos,
            eos,
            start: None,
            special,
        })
    }

    /// Ids of a text that is wholly a template's, or otherwise known: special tokens written in the text become their ids, none are
    /// added. What comes from data goes through [`encode_data`](Self::encode_data) or [`encode_mixed`](Self::encode_mixed).
    ///
    /// # Errors
    /// Only if the tokenizer's file is inconsistent.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self
            .inner
            .encode_fast(text, false)
            .map_err(|e| failure(&self.source, e))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Ids of a text that is data: those of [`encode`](Self::encode), but what spells a control token is text like any other.
    ///
    /// # Errors
    /// As [`encode`](Self::encode), and data that no other tokens than a control token can spell.
    pub fn encode_data(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_mixed(&Mixed::of_data(text))
    }

    /// Ids of a text that a template and data made: those of [`encode`](Self::encode), but what data have a part in the spelling of is
    /// text, whole or in part. Control tokens are special tokens, those that have a name, those written as `<|…|>`, and those in `<…>` or
    /// `[…]` that the template writes; all other added tokens are words.
    ///
    /// # Errors
    /// Those of [`encode_data`](Self::encode_data).
    pub fn encode_mixed(&self, text: &Mixed) -> Result<Vec<u32>> {
        if !self.control.is_spelt_by_data(text) {
            let ids = self.encode(text.text())?;
            if !self.control.has_more_than_spelt(&ids, text.text()) {
                return Ok(ids);
            }
        }
        self.control
            .encode(&self.inner, text)
            .map_err(|e| failure(&self.source, e))
    }

    /// Whether data have a part in the spelling of a control token, so that who wrote what decides about the text's ids.
    pub fn is_control_spelt_by_data(&self, text: &Mixed) -> bool {
        self.control.is_spelt_by_data(text)
    }

    /// The text of ids, special tokens included: `decode(encode(text))` is `text`.
    ///
    /// # Errors
    /// Only if the tokenizer's file is inconsistent.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner
            .decode(ids, false)
            .map_err(|e| failure(&self.source, e))
    }

    /// The id of a token written as in the vocabulary.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token that starts a sequence or turn.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that ends a turn.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// Number of tokens, the added ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The token that the model expects before any text, if it does. Templates write it themselves.
    pub fn start(&self) -> Option<u32> {
        self.start
    }

    /// A conversation of (role, content) turns as text, by the model's own template, or as ChatML where it brings none. Contents are data.
    ///
    /// With `add_generation_prompt` the text ends where the assistant's answer begins.
    ///
    /// # Errors
    /// A template that cannot be rendered, that refuses the conversation, or that writes a special token which nothing names.
    pub fn chat(&self, messages: &[(&str, &str)], add_generation_prompt: bool) -> Result<Mixed> {
        self.template
            .render(messages, add_generation_prompt, &self.special, &self.control)
            .map_err(|message| failure(self.template.origin(), message))
    }

    /// Where the last turn of a conversation, the answer, stands in its text.
    ///
    /// # Errors
    /// Those of [`chat`](Self::chat), and a template that writes what comes before the answer differently once it is there.
    pub fn turn(&self, messages: &[(&str, &str)]) -> Result<Turn> {
        self.template
            .turn(messages, &self.special, &self.control)
            .map_err(|message| failure(self.template.origin(), message))
    }

    /// A hash of everything that decides which tokens a text or a conversation becomes.
    ///
    /// # Errors
    /// A vocabulary that cannot be written as JSON.
    pub fn fingerprint(&self) -> Result<String> {
        let json = self.inner.to_string(false);
        let json = json.map_err(|e| failure(Path::new("tokenizer.json"), e))?;
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for part in [json.as_str(), self.template.source()] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        for (name, token) in &self.special.named {
            hash.update(format!("{name}={token}\n").as_bytes());
        }
        for (name, tokens) in &self.special.lists {
            hash.update(format!("{name}={tokens:?}\n").as_bytes());
        }
        Ok(format!("{:016x}", hash.digest()))
    }

    /// Writes `tokenizer.json` and `tokenizer_config.json` into a folder, each whole or not at all.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join("tokenizer.json");
        let json = self.inner.to_string(false).map_err(|e| failure(&path, e))?;
        let mut config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": false,
            "chat_template": self.template.setting(),
        });
        for name in &self.special.none {
            config[name] = Value::Null;
        }
        for (name, tokens) in &self.special.lists {
            config[name] = tokens.as_slice().into();
        }
        for (name, token) in &self.special.named {
            config[name] = token.as_str().into();
        }
        atomic::write_file(
            &folder.join("tokenizer_config.json"),
            format!("{config:#}\n").as_bytes(),
        )?;
        atomic::write_file(&path, json.as_bytes())
    }
}

/// The token that the vocabulary's own file puts before every text, if it does.
fn put_before_texts(inner: &tokenizers::Tokenizer) -> Option<u32> {
    let ids = |all: bool| Some(inner.encode_fast("a", all).ok()?.get_ids().to_vec());
    let (with, without) = (ids(true)?, ids(false)?);
    let first = with.first().filter(|first| without.first() != Some(first))?;
    (with.len() > without.len()).then_some(*first)
}

fn control(
    path: &Path,
    inner: &tokenizers::Tokenizer,
    special: &Special,
    template: &Template,
) -> Result<Arc<Control>> {
    let names = special.named.values().chain(special.lists.values().flatten());
    let named: HashSet<&str> = names.map(String::as_str).collect();
    let control = Control::of(inner, &named, template.source());
    control.map(Arc::new).map_err(|message| failure(path, message))
}

/// The text of a file that need not be there.
fn optional(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(path, e)),
    }
}

/// The splitting of SmolLM2: every digit apart, then GPT-2's words.
fn digits_apart() -> PreTokenizerWrapper {
    Sequence::new(vec![
        Digits::new(true).into(),
        ByteLevel::new(false, true, true).into(),
    ])
    .into()
}

fn byte_level(inner: &mut tokenizers::Tokenizer, pre_tokenizer: PreTokenizerWrapper) {
    inner.with_pre_tokenizer(Some(pre_tokenizer));
    inner.with_decoder(Some(ByteLevel::new(false, true, true)));
}

fn failure(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::Tokenizer {
        path: path.to_path_buf(),
        message: error.to_string(),
    }
}
