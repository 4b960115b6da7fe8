//! Text to token ids and back: a tokenizer from `tokenizer.json`, rebuilt from GGUF metadata, or trained here.

mod chat;
mod gguf;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::{ModelWrapper, TrainerWrapper};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{AddedToken, PreTokenizerWrapper};

use self::chat::{CHATML, Template};
use super::weights::{gguf_file, persist};
use crate::{Error, Result, foreign};

pub use self::chat::Turn;

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
    /// The special tokens that the metadata name, by their names in templates.
    named: BTreeMap<String, String>,
    template: Template,
}

/// The special tokens that templates may ask for.
const NAMED: [&str; 4] = ["bos_token", "eos_token", "unk_token", "pad_token"];

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
        // What some program's last call cut or filled up to is stored too, and is no property of the model.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| failure(path, e))?;
        let beside = path.with_file_name("tokenizer_config.json");
        let config: Value = match optional(&beside)? {
            Some(text) => foreign::json(text.as_bytes()).map_err(|e| failure(&beside, e))?,
            None => Value::Null,
        };
        let text = |value: &Value| {
            Some(
                value
                    .as_str()
                    .or_else(|| value.get("content")?.as_str())?
                    .to_string(),
            )
        };
        let named: BTreeMap<String, String> = NAMED
            .into_iter()
            .filter_map(|name| Some((name.to_string(), text(config.get(name)?)?)))
            .collect();
        let known = |token: &str| inner.token_to_id(token);
        let special = |name: &str| known(named.get(name)?);
        let bos = special("bos_token").or_else(|| known(TURN_START));
        let eos = special("eos_token")
            .or_else(|| known(TURN_END))
            .or_else(|| known(END_OF_TEXT));
        let before_nothing = inner.encode_fast("", true).map_err(|e| failure(path, e))?;
        let start = bos.filter(|bos| before_nothing.get_ids().first() == Some(bos));
        // As in transformers, a file of its own counts before the one among the settings.
        let template = match optional(&path.with_file_name("chat_template.jinja"))? {
            Some(text) => Some(text),
            None => config.get("chat_template").and_then(stated),
        };
        Ok(Tokenizer {
            template: template_or_chatml(template, start),
            inner,
            source: path.to_path_buf(),
            bos,
            eos,
            start,
            named,
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
        Ok(Tokenizer {
            inner,
            source,
            bos,
            eos,
            start: None,
            named: named.map(|(name, token)| (name.into(), token.into())).into(),
            template: Template::new(CHATML.into()),
        })
    }

    /// Ids of a text; special tokens written in the text become their ids, none are added.
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

    /// A conversation of (role, content) turns as text, by the model's own template, or as ChatML where it brings none.
    ///
    /// With `add_generation_prompt` the text ends where the assistant's answer begins.
    ///
    /// # Errors
    /// A template that cannot be rendered, or that refuses the conversation.
    pub fn chat(&self, messages: &[(&str, &str)], add_generation_prompt: bool) -> Result<String> {
        self.template
            .render(messages, add_generation_prompt, &self.named)
            .map_err(|message| failure(&self.source, message))
    }

    /// Where the last turn of a conversation, the answer, stands in its text.
    ///
    /// # Errors
    /// Those of [`chat`](Self::chat), and a template that writes what comes before the answer differently once it is there.
    pub fn turn(&self, messages: &[(&str, &str)]) -> Result<Turn> {
        self.template
            .turn(messages, &self.named)
            .map_err(|message| failure(&self.source, message))
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
        for (name, token) in &self.named {
            hash.update(format!("{name}={token}\n").as_bytes());
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
            "chat_template": self.template.source(),
        });
        for (name, token) in &self.named {
            config[name] = token.as_str().into();
        }
        persist::write_file(
            &folder.join("tokenizer_config.json"),
            format!("{config:#}\n").as_bytes(),
        )?;
        persist::write_file(&path, json.as_bytes())
    }
}

/// The default template among the settings: a text, or a list of named ones.
fn stated(setting: &Value) -> Option<String> {
    let default = |entries: &Vec<Value>| {
        let mut entries = entries.iter();
        let entry = entries.find(|entry| entry.get("name").and_then(Value::as_str) == Some("default"))?;
        Some(entry.get("template")?.as_str()?.to_string())
    };
    match setting {
        Value::String(text) => Some(text.clone()),
        Value::Array(entries) => default(entries),
        _ => None,
    }
}

/// The model's template or, without one, ChatML after whatever starts any text.
fn template_or_chatml(template: Option<String>, start: Option<u32>) -> Template {
    Template::new(template.unwrap_or_else(|| match start {
        Some(_) => format!("{{{{ bos_token }}}}{CHATML}"),
        None => CHATML.into(),
    }))
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
