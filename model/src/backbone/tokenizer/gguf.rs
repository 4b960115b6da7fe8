//! Tokenizers rebuilt from GGUF metadata, with the ids llama.cpp gives: byte-level BPE (`gpt2`) and SentencePiece's BPE (`llama`).

mod sentencepiece;

use std::path::Path;

use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{AddedToken, PreTokenizerWrapper};

use super::chat::or_chatml;
use super::special::Special;
use super::{Tokenizer, byte_level, control, digits_apart, failure};
use crate::Result;
use crate::backbone::weights::{Gguf, whole};
use candle_core::quantized::gguf_file::Value;

/// `tokenizer.ggml.token_type` of a piece of text.
const NORMAL: u64 = 1;
/// That of special tokens such as `<|im_start|>`.
const CONTROL: u64 = 3;
/// That of words that are matched whole before BPE runs.
const USER_DEFINED: u64 = 4;

const LLAMA3_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same with every digit apart.
const QWEN2_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

pub(super) fn read(path: &Path) -> Result<Tokenizer> {
    let gguf = Gguf::open(path)?;
    let tokens = gguf.texts("tokenizer.ggml.tokens")?;
    let types = types(&gguf, tokens.len());
    let kind = gguf.text("tokenizer.ggml.model").unwrap_or("none");
    let mut inner = match kind {
        "gpt2" => byte_level_bpe(&gguf, path, &tokens)?,
        "llama" => sentencepiece::rebuild(&gguf, path, &tokens, &types)?,
        _ => {
            return Err(failure(
                path,
                format!(
                    "a \"{kind}\" tokenizer cannot be rebuilt from GGUF; take the model's Hugging Face folder"
                ),
            ));
        }
    };
    let added = |wanted: u64, special: bool| -> Vec<AddedToken> {
        let of_type = |(token, kind): (&&str, &u64)| {
            (*kind == wanted).then(|| AddedToken::from(*token, special).normalized(false))
        };
        tokens.iter().zip(&types).filter_map(of_type).collect()
    };
    inner
        .add_special_tokens(added(CONTROL, true))
        .map_err(|e| failure(path, e))?;
    inner
        .add_tokens(added(USER_DEFINED, false))
        .map_err(|e| failure(path, e))?;

    let id = |key: &str| {
        let id = gguf.integer(&format!("tokenizer.ggml.{key}_token_id"))?;
        (id < tokens.len() as u64).then_some(id as u32)
    };
    let bos = id("bos");
    // Where the file does not say, llama.cpp decides by the kind of the tokenizer.
    let starts = match gguf.value("tokenizer.ggml.add_bos_token") {
        Some(Value::Bool(says)) => *says,
        _ => kind == "llama" || gguf.text("tokenizer.ggml.pre") == Some("llama-bpe"),
    };
    let start = bos.filter(|_| starts);
    if let Some(start) = start {
        let token = tokens[start as usize];
        let before = TemplateProcessing::builder()
            .try_single(format!("{token} $A"))
            .map_err(|e| failure(path, e))?
            .special_tokens(vec![(token, start)])
            .build()
            .map_err(|e| failure(path, e))?;
        inner.with_post_processor(Some(before));
    }
    let eos = id("eos");
    let names = [
        ("bos_token", bos),
        ("eos_token", eos),
        ("unk_token", id("unknown")),
        ("pad_token", id("padding")),
        ("sep_token", id("seperator")),
        ("cls_token", id("cls")),
        ("mask_token", id("mask")),
    ];
    let special = Special {
        named: names
            .into_iter()
            .filter_map(|(name, id)| Some((name.to_string(), tokens[id? as usize].to_string())))
            .collect(),
        sources: "the metadata".into(),
        remedy: "take the model's Hugging Face folder, and name it in tokenizer_config.json",
        ..Special::default()
    };
    let template = gguf.text("tokenizer.chat_template").map(str::to_string);
    let template = or_chatml(template, start, path);
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

/// The type of every token; a file that states none has nothing but normal ones.
fn types(gguf: &Gguf, tokens: usize) -> Vec<u64> {
    let mut types: Vec<u64> = match gguf.value("tokenizer.ggml.token_type") {
        Some(Value::Array(types)) => types.iter().map(|kind| whole(kind).unwrap_or(NORMAL)).collect(),
        _ => Vec::new(),
    };
    types.resize(tokens, NORMAL);
    types
}

fn byte_level_bpe(gguf: &Gguf, path: &Path, tokens: &[&str]) -> Result<tokenizers::Tokenizer> {
    let family = gguf.text("tokenizer.ggml.pre").unwrap_or("default");
    let pre_tokenizer = pre_tokenizer(family).map_err(|message| failure(path, message))?;
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
        .ignore_merges(family == "llama-bpe")
        .build()
        .map_err(|e| failure(path, e))?;
    let mut inner = tokenizers::Tokenizer::new(bpe);
    byte_level(&mut inner, pre_tokenizer);
    if family == "qwen2" {
        inner.with_normalizer(Some(NFC)).map_err(|e| failure(path, e))?;
    }
    Ok(inner)
}

/// How the named family splits text into words before BPE runs.
fn pre_tokenizer(name: &str) -> std::result::Result<PreTokenizerWrapper, String> {
    match name {
        "smollm" => Ok(digits_apart()),
        "gpt-2" | "gpt2" | "default" => Ok(ByteLevel::new(false, true, true).into()),
        "llama-bpe" => words(LLAMA3_WORDS),
        "qwen2" => words(QWEN2_WORDS),
        other => Err(format!(
            "pre-tokenizer \"{other}\" is not known (smollm, gpt-2, llama-bpe and qwen2 are); \
             take the model's Hugging Face folder"
        )),
    }
}

fn words(pattern: &str) -> std::result::Result<PreTokenizerWrapper, String> {
    let pattern = SplitPattern::Regex(pattern.into());
    let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(|e| e.to_string())?;
    Ok(Sequence::new(vec![split.into(), ByteLevel::new(false, true, false).into()]).into())
}
