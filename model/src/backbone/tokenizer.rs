//! Text to token ids and back: byte-level BPE from `tokenizer.json`, rebuilt from GGUF metadata, or trained here.

mod gguf;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::{ModelWrapper, TrainerWrapper};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{AddedToken, PreTokenizerWrapper};

use super::weights::{gguf_file, persist};
use crate::{Error, Result};

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
    /// System turn that the template puts before a conversation that has none.
    default_system: Option<String>,
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
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        let inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(|e| failure(path, e))?;
        let beside = path.with_file_name("tokenizer_config.json");
        let config: Value = match std::fs::read(&beside) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| failure(&beside, e))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Value::Null,
            Err(e) => return Err(Error::io(&beside, e)),
        };
        let special = |key: &str| {
            let value = config.get(key)?;
            inner.token_to_id(value.as_str().or_else(|| value.get("content")?.as_str())?)
        };
        let known = |token: &str| inner.token_to_id(token);
        let bos = special("bos_token").or_else(|| known(TURN_START));
        let eos = special("eos_token")
            .or_else(|| known(TURN_END))
            .or_else(|| known(END_OF_TEXT));
        let default_system = config
            .get("chat_template")
            .and_then(Value::as_str)
            .and_then(default_system);
        Ok(Tokenizer {
            inner,
            source: path.to_path_buf(),
            bos,
            eos,
            default_system,
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
        Ok(Tokenizer {
            inner,
            source,
            bos,
            eos,
            default_system: None,
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

    /// A conversation of (role, content) turns as ChatML text, which SmolLM2 and the tokenizers trained here use.
    ///
    /// As in the model's own template, a conversation that does not start with a system turn gets the model's default one, if it
    /// has any. With `add_generation_prompt` the text ends where the assistant's answer begins.
    pub fn chat(&self, messages: &[(&str, &str)], add_generation_prompt: bool) -> String {
        let mut text = String::new();
        let mut turn = |role: &str, content: &str| {
            text.push_str(&format!("{TURN_START}{role}\n{content}{TURN_END}\n"));
        };
        if let (Some((role, _)), Some(system)) = (messages.first(), &self.default_system)
            && *role != "system"
        {
            turn("system", system);
        }
        for (role, content) in messages {
            turn(role, content);
        }
        if add_generation_prompt {
            text.push_str(&format!("{TURN_START}assistant\n"));
        }
        text
    }

    /// Writes `tokenizer.json` and `tokenizer_config.json` into a folder, each whole or not at all.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join("tokenizer.json");
        let json = self.inner.to_string(false).map_err(|e| failure(&path, e))?;
        let text = |id: Option<u32>| id.and_then(|id| self.inner.id_to_token(id));
        let config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": text(self.bos),
            "eos_token": text(self.eos),
            "pad_token": text(self.eos),
            "clean_up_tokenization_spaces": false,
            "chat_template": self.template(),
        });
        persist::write_file(
            &folder.join("tokenizer_config.json"),
            format!("{config:#}\n").as_bytes(),
        )?;
        persist::write_file(&path, json.as_bytes())
    }

    /// The Jinja template that [`Tokenizer::chat`] follows.
    fn template(&self) -> String {
        let system = self.default_system.as_ref().map_or(String::new(), |system| {
            let turn = format!("{TURN_START}system\n{system}{TURN_END}\n")
                .replace('\n', "\\n")
                .replace('\'', "\\'");
            format!(
                "{{% if loop.first and messages[0]['role'] != 'system' %}}{{{{ '{turn}' }}}}{{% endif %}}"
            )
        });
        format!(
            "{{% for message in messages %}}{system}{{{{'{TURN_START}' + message['role'] + '\\n' + message['content'] + \
             '{TURN_END}' + '\\n'}}}}{{% endfor %}}{{% if add_generation_prompt %}}{{{{ '{TURN_START}assistant\\n' }}}}\
             {{% endif %}}"
        )
    }
}

/// The system turn that a ChatML template holds as a constant.
fn default_system(template: &str) -> Option<String> {
    let unescaped = template.replace("\\n", "\n").replace("\\'", "'");
    let after = unescaped.split_once("<|im_start|>system\n")?.1;
    let system = after.split_once(TURN_END)?.0;
    // A quote means that the template computes what follows instead of stating it.
    (!system.contains("' +") && !system.contains("{{")).then(|| system.to_string())
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
