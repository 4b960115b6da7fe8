//! What stands beside the weights in a model's folder.

use std::path::Path;

use serde_json::{Map, Value};

use super::BaseModel;
use crate::backbone::Tokenizer;
use crate::backbone::weights::gguf_file;
use crate::{Error, Result, foreign};

const CONFIG: &str = "config.json";

/// Files of a tokenizer, in all the forms that there are.
const TOKENIZER: [&str; 10] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
];

/// Whether a file of this name is part of a model's folder as it is written here.
pub fn is_part(name: &str) -> bool {
    let is_shard = || {
        let number = name
            .strip_prefix("model-")
            .and_then(|rest| rest.strip_suffix(".safetensors"));
        number.is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit() || b"-of".contains(&b)))
    };
    [
        CONFIG,
        "generation_config.json",
        "model.safetensors",
        "model.safetensors.index.json",
    ]
    .contains(&name)
        || TOKENIZER.contains(&name)
        || is_shard()
}

impl BaseModel {
    /// Puts the configuration and the tokenizer into a folder, as they are; a configuration of a base whose head becomes a tensor of its
    /// own says so. Whether there is a tokenizer.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn copy_companions(&self, folder: &Path, parts_head: bool) -> Result<bool> {
        if gguf_file(self.path())?.is_some() {
            let mut config = self.config().clone();
            config.tie_word_embeddings &= !parts_head;
            let json = serde_json::to_string_pretty(&config).map_err(|e| self.error(e.to_string()))?;
            weaverec_output::write_file(&folder.join(CONFIG), format!("{json}\n").as_bytes())?;
            Tokenizer::open(self.path())?.save(folder)?;
            return Ok(true);
        }
        self.copy_config(folder, parts_head)?;
        self.copy("generation_config.json", folder)?;
        let mut copied = false;
        for name in TOKENIZER {
            copied |= self.copy(name, folder)?;
        }
        Ok(copied)
    }

    fn copy_config(&self, folder: &Path, parts_head: bool) -> Result<()> {
        if !parts_head {
            self.copy(CONFIG, folder)?;
            return Ok(());
        }
        let path = self.path().join(CONFIG);
        let failure = |message: String| Error::Config {
            path: path.clone(),
            message,
        };
        let mut config: Map<String, Value> = foreign::json(&foreign::read(&path)?).map_err(failure)?;
        config.insert("tie_word_embeddings".into(), false.into());
        let text = serde_json::to_string_pretty(&config).map_err(|e| failure(e.to_string()))?;
        weaverec_output::write_file(&folder.join(CONFIG), format!("{text}\n").as_bytes())?;
        Ok(())
    }

    /// Whether there was such a file.
    fn copy(&self, name: &str, folder: &Path) -> Result<bool> {
        let from = self.path().join(name);
        if !from.is_file() {
            return Ok(false);
        }
        let bytes = std::fs::read(&from).map_err(|e| Error::io(&from, e))?;
        weaverec_output::write_file(&folder.join(name), &bytes)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_result_are_known_by_name() {
        for (name, part) in [
            ("config.json", true),
            ("model.safetensors", true),
            ("model-00001-of-00012.safetensors", true),
            ("model.safetensors.index.json", true),
            ("merges.txt", true),
            ("model-final.safetensors", false),
            ("notes.txt", false),
        ] {
            assert_eq!(is_part(name), part, "{name}");
        }
    }
}
