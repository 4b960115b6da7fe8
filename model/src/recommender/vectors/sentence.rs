//! Vectors of texts from an encoder of sentences, such as all-MiniLM-L6-v2.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::pooled::{Read, Told, pooled};
use super::{Vectors, adjust};
use crate::backbone::{Bert, Tokenizer};
use crate::{Error, Result, foreign};

/// Most tokens of a text, those around it included, where a model does not say: what all-MiniLM-L6-v2 was trained for.
const LONGEST: usize = 256;

/// How sentence-transformers cuts texts.
const CUTTING: &str = "sentence_bert_config.json";

/// How it makes one vector of a text's states.
const POOLING: &str = "1_Pooling/config.json";

/// What stands before and after every text.
const AROUND: [&str; 2] = ["[CLS]", "[SEP]"];

/// A BERT that was trained so that the mean of its states says what a sentence is about (Reimers and Gurevych 2019).
#[derive(Clone, Debug)]
pub struct SentenceEncoder {
    bert: Bert,
    tokenizer: Tokenizer,
    start: u32,
    end: u32,
    longest: usize,
}

#[derive(Deserialize)]
struct Cutting {
    max_seq_length: Option<usize>,
}

#[derive(Deserialize)]
struct Pooling {
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
}

impl SentenceEncoder {
    /// Opens a folder as sentence-transformers writes them: `config.json`, `model.safetensors` and `tokenizer.json`; how long texts are cut
    /// is read where it is said, as is how states become vectors.
    ///
    /// # Errors
    /// Files that are missing or damaged, another kind of model, or one whose vectors are no means of its states.
    pub fn open(folder: &Path) -> Result<Self> {
        let bert = Bert::open(folder)?;
        let pooling: Option<Pooling> = read(&folder.join(POOLING))?;
        if pooling.is_some_and(|pooling| !pooling.pooling_mode_mean_tokens) {
            return Err(Error::Config {
                path: folder.join(POOLING),
                message:
                    "its vectors are no means over tokens, and these alone are made here; take another model"
                        .into(),
            });
        }
        let cutting: Option<Cutting> = read(&folder.join(CUTTING))?;
        let longest = cutting
            .and_then(|cutting| cutting.max_seq_length)
            .unwrap_or(LONGEST)
            .min(bert.config().max_position_embeddings);
        if longest <= AROUND.len() {
            return Err(Error::Config {
                path: folder.join(CUTTING),
                message: format!(
                    "texts are cut to {longest} tokens, of which {} stand around them: nothing would be read; fetch the file again",
                    AROUND.len()
                ),
            });
        }
        let tokenizer = Tokenizer::open(folder)?;
        let token = |name: &str| {
            tokenizer.token_id(name).ok_or_else(|| Error::Tokenizer {
                path: folder.join("tokenizer.json"),
                message: format!("no token {name}, which stands around every text; take the file from the model's own folder"),
            })
        };
        Ok(SentenceEncoder {
            start: token(AROUND[0])?,
            end: token(AROUND[1])?,
            bert,
            tokenizer,
            longest,
        })
    }

    /// The encoder without its words.
    pub fn bert(&self) -> &Bert {
        &self.bert
    }

    /// What it reads.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Most tokens of a text, the one before and the one after it included.
    pub fn longest(&self) -> usize {
        self.longest
    }
}

/// The mean, over all tokens of each text and those around it, of an encoder's last states, brought to length 1; zeros for a text without
/// tokens. Texts are data: what spells a control token in them is text.
///
/// # Errors
/// A tokenizer of another model, and states that are no numbers.
pub fn of_sentences<S: AsRef<str>>(
    texts: &[S],
    encoder: &SentenceEncoder,
    told: &mut Told,
) -> Result<Vectors> {
    let read = |text: &str| {
        let own = encoder.tokenizer.encode_data(text)?;
        let mut tokens = Vec::with_capacity(own.len() + AROUND.len());
        if !own.is_empty() {
            tokens.push(encoder.start);
            tokens.extend(own.into_iter().take(encoder.longest - AROUND.len()));
            tokens.push(encoder.end);
        }
        Ok(Read { tokens, before: 0 })
    };
    let hidden = |texts: &[&[u32]]| encoder.bert.hidden(texts);
    let width = encoder.bert.config().hidden_size;
    let mut vectors = pooled(texts, width, read, hidden, told)?;
    adjust(&mut vectors, false, true);
    Ok(vectors)
}

/// A file of settings, where it is there.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if !path.is_file() {
        return Ok(None);
    }
    let settings = foreign::json(&foreign::read(path)?).map_err(|message| Error::Config {
        path: path.to_path_buf(),
        message,
    })?;
    Ok(Some(settings))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::path::PathBuf;

    use serde_json::{Value, json};

    use super::*;

    #[derive(Deserialize)]
    struct Case {
        text: String,
        vector: Vec<f32>,
    }

    fn fixtures() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
    }

    fn of<S: AsRef<str>>(texts: &[S], encoder: &SentenceEncoder) -> Vectors {
        of_sentences(texts, encoder, &mut |_, _| {}).unwrap()
    }

    /// A copy of the tiny encoder, with one file changed.
    fn changed(file: &str, change: impl FnOnce(&mut Value)) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(fixtures().join("sentence")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        let path = copy.path().join(file);
        let mut settings: Value = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap(),
            Err(_) => json!({}),
        };
        change(&mut settings);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, settings.to_string()).unwrap();
        copy
    }

    fn refused(file: &str, change: impl FnOnce(&mut Value)) -> String {
        let copy = changed(file, change);
        SentenceEncoder::open(copy.path()).unwrap_err().to_string()
    }

    #[test]
    fn vectors_are_those_of_pytorch() {
        let folder = fixtures().join("sentence");
        let encoder = SentenceEncoder::open(&folder).unwrap();
        assert_eq!(encoder.longest(), 12);
        let cases: Vec<Case> =
            serde_json::from_slice(&fs::read(folder.join("vectors.json")).unwrap()).unwrap();
        assert_eq!(cases.len(), 6);
        let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
        let found = of(&texts, &encoder);
        for (case, vector) in cases.iter().zip(found.rows()) {
            assert_eq!(case.vector.len(), vector.len());
            for (theirs, ours) in case.vector.iter().zip(vector) {
                assert!(
                    (theirs - ours).abs() < 1e-5,
                    "{}: {ours} is not {theirs}",
                    case.text
                );
            }
        }
        for (text, vector) in texts.iter().zip(found.rows()) {
            let alone = of(&[text], &encoder);
            for (one, other) in alone.values.iter().zip(vector) {
                assert!(
                    (one - other).abs() < 1e-5,
                    "{text} depends on what is read beside it"
                );
            }
        }
    }

    #[test]
    fn what_spells_a_control_token_is_text_and_what_is_beyond_the_cut_says_nothing() {
        let encoder = SentenceEncoder::open(&fixtures().join("sentence")).unwrap();
        let long = ["oil"; 10].join(" ");
        let longer = format!("{long} red helmet");
        let texts = ["oil [SEP] red", "oil [sep] red", "", &long, &longer];
        let found = of(&texts, &encoder);
        let rows: Vec<&[f32]> = found.rows().collect();
        assert_eq!(rows[0], rows[1]);
        assert_eq!(rows[2], [0.0; 16]);
        for (one, other) in rows[3].iter().zip(rows[4]) {
            assert!((one - other).abs() < 1e-6);
        }
        let length: f32 = rows[3].iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
    }

    #[test]
    fn a_checkpoint_of_a_model_around_the_encoder_is_read_by_its_names() {
        let copy = changed("config.json", |_| {});
        let path = copy.path().join("model.safetensors");
        let wanted = |name: &str| !name.ends_with("position_ids");
        let tensors = crate::io::safetensors::read_some(&path, wanted, |_, tensor| Ok(tensor)).unwrap();
        let around = tensors
            .into_iter()
            .map(|(name, tensor)| (format!("bert.{name}"), tensor.into()));
        crate::io::safetensors::write(&path, around).unwrap();
        let (one, other) = (copy.path().to_path_buf(), fixtures().join("sentence"));
        let texts = ["argan oil", "a bicycle"];
        let [one, other] = [one, other].map(|folder| of(&texts, &SentenceEncoder::open(&folder).unwrap()));
        assert_eq!(one, other);
    }

    #[test]
    fn other_models_and_settings_are_refused_with_the_file() {
        let error = refused("config.json", |settings| settings["model_type"] = json!("llama"));
        assert!(
            error.contains("config.json") && error.contains("\"llama\""),
            "{error}"
        );
        let error = refused("config.json", |settings| {
            settings["hidden_act"] = json!("gelu_new")
        });
        assert!(error.contains("gelu_new"), "{error}");
        let error = refused("config.json", |settings| {
            settings["num_attention_heads"] = json!(3)
        });
        assert!(error.contains("no multiple of num_attention_heads 3"), "{error}");
        let error = refused("config.json", |settings| settings["num_hidden_layers"] = json!(3));
        assert!(error.contains("no tensor encoder.layer.2."), "{error}");
        let error = refused("config.json", |settings| settings["vocab_size"] = json!(7));
        assert!(
            error.contains("word_embeddings") && error.contains("[7, 16]"),
            "{error}"
        );
        let error = refused(CUTTING, |settings| settings["max_seq_length"] = json!(2));
        assert!(error.contains(CUTTING) && error.contains("2 tokens"), "{error}");
        let error = refused(POOLING, |settings| {
            *settings = json!({ "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false });
        });
        assert!(error.contains("no means over tokens"), "{error}");
        let mean = changed(POOLING, |settings| {
            settings["pooling_mode_mean_tokens"] = json!(true)
        });
        assert!(SentenceEncoder::open(mean.path()).is_ok());
        let empty = tempfile::tempdir().unwrap();
        let error = SentenceEncoder::open(empty.path()).unwrap_err().to_string();
        assert!(error.contains("config.json"), "{error}");
    }
}
