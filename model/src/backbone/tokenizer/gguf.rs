//! Byte-level BPE tokenizers rebuilt from GGUF metadata, with the ids llama.cpp gives.

use std::path::Path;

use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{AddedToken, PreTokenizerWrapper};

use super::{Tokenizer, byte_level, default_system, digits_apart, failure};
use crate::Result;
use crate::backbone::weights::{Gguf, whole};
use candle_core::quantized::gguf_file::Value;

/// `tokenizer.ggml.token_type` of special tokens such as `<|im_start|>`.
const CONTROL: u64 = 3;
/// `tokenizer.ggml.token_type` of words that are matched whole before BPE runs.
const USER_DEFINED: u64 = 4;

const LLAMA3_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

pub(super) fn read(path: &Path) -> Result<Tokenizer> {
    let gguf = Gguf::open(path)?;
    let kind = gguf.text("tokenizer.ggml.model").unwrap_or("none");
    if kind != "gpt2" {
        return Err(failure(
            path,
            format!(
                "a \"{kind}\" tokenizer cannot be rebuilt from GGUF; take the model's Hugging Face folder"
            ),
        ));
    }
    let words = gguf.text("tokenizer.ggml.pre").unwrap_or("default");
    let pre_tokenizer = pre_tokenizer(words).map_err(|message| failure(path, message))?;

    let tokens = gguf.texts("tokenizer.ggml.tokens")?;
    let vocabulary: Vec<(String, u32)> = tokens
        .iter()
        .enumerate()
        .map(|(id, token)| (token.to_string(), id as u32))
        .collect();
    let merges = gguf
        .texts("tokenizer.ggml.merges")?
        .into_iter()
        .map(|merge| {
            // A token may be a space-like byte, never a plain space, so the first one parts the two.
            let (left, right) = merge
                .split_once(' ')
                .ok_or_else(|| failure(path, format!("merge \"{merge}\" is not a pair")))?;
            Ok((left.to_string(), right.to_string()))
        })
        .collect::<Result<Vec<_>>>()?;
    let bpe = BPE::builder()
        .vocab_and_merges(
            vocabulary.into_iter().collect::<tokenizers::models::bpe::Vocab>(),
            merges,
        )
        .ignore_merges(words == "llama-bpe")
        .build()
        .map_err(|e| failure(path, e))?;
    let mut inner = tokenizers::Tokenizer::new(bpe);
    byte_level(&mut inner, pre_tokenizer);

    if let Some(Value::Array(types)) = gguf.value("tokenizer.ggml.token_type") {
        let added = |wanted: u64, special: bool| {
            let of_type = move |(token, kind): (&&str, &Value)| {
                (whole(kind) == Some(wanted)).then(|| AddedToken::from(*token, special).normalized(false))
            };
            tokens.iter().zip(types).filter_map(of_type).collect::<Vec<_>>()
        };
        inner
            .add_special_tokens(added(CONTROL, true))
            .map_err(|e| failure(path, e))?;
        inner
            .add_tokens(added(USER_DEFINED, false))
            .map_err(|e| failure(path, e))?;
    }
    let id = |key: &str| gguf.integer(key).map(|id| id as u32);
    Ok(Tokenizer {
        inner,
        source: path.to_path_buf(),
        bos: id("tokenizer.ggml.bos_token_id"),
        eos: id("tokenizer.ggml.eos_token_id"),
        default_system: gguf.text("tokenizer.chat_template").and_then(default_system),
    })
}

/// How the named family splits text into words before BPE runs.
fn pre_tokenizer(name: &str) -> std::result::Result<PreTokenizerWrapper, String> {
    match name {
        "smollm" => Ok(digits_apart()),
        "gpt-2" | "gpt2" | "default" => Ok(ByteLevel::new(false, true, true).into()),
        "llama-bpe" => {
            let pattern = SplitPattern::Regex(LLAMA3_WORDS.into());
            let split =
                Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(|e| e.to_string())?;
            Ok(Sequence::new(vec![split.into(), ByteLevel::new(false, true, false).into()]).into())
        }
        other => Err(format!(
            "pre-tokenizer \"{other}\" is not known (smollm, gpt-2 and llama-bpe are); \
             take the model's Hugging Face folder"
        )),
    }
}
