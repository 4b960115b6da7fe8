//! SentencePiece's BPE (Llama 2, Gemma): a score for every piece in place of a list of merges, and bytes for what no piece covers.
//!
//! SentencePiece joins the two neighbours whose union has the highest score. As merges: every way to cut a piece into two others,
//! pieces by falling score. Cuts of one piece are ordered by the length of their left part, which is the order of the merges in
//! Gemma's own `tokenizer.json`.

use std::collections::HashSet;
use std::path::Path;

use candle_core::quantized::gguf_file::Value;
use tokenizers::NormalizerWrapper;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::replace::Replace;
use tokenizers::normalizers::{Prepend, Sequence as Normalizers};

use super::{NORMAL, failure};
use crate::Result;
use crate::backbone::weights::Gguf;

/// What stands for a space within pieces.
const SPACE: &str = "\u{2581}";

pub(super) fn rebuild(
    gguf: &Gguf,
    path: &Path,
    tokens: &[&str],
    types: &[u64],
) -> Result<tokenizers::Tokenizer> {
    let scores = scores(gguf, path, tokens.len())?;
    let vocabulary: Vocab = tokens
        .iter()
        .enumerate()
        .map(|(id, token)| (token.to_string(), id as u32))
        .collect();
    let unknown = gguf.integer("tokenizer.ggml.unknown_token_id").unwrap_or(0);
    let unknown = tokens.get(unknown as usize).ok_or_else(|| {
        failure(
            path,
            "unknown_token_id is outside the vocabulary; fetch the file again",
        )
    })?;
    let bpe = BPE::builder()
        .vocab_and_merges(vocabulary, merges(tokens, types, &scores))
        .unk_token(unknown.to_string())
        .fuse_unk(true)
        .byte_fallback(true)
        .build()
        .map_err(|e| failure(path, e))?;
    let mut inner = tokenizers::Tokenizer::new(bpe);
    let spaces = Replace::new(" ", SPACE).map_err(|e| failure(path, e))?;
    let spaces_back = Replace::new(SPACE, " ").map_err(|e| failure(path, e))?;
    let mut decoders = vec![spaces_back.into(), ByteFallback::new().into(), Fuse::new().into()];
    // Absent, the flag means yes.
    let flag = "tokenizer.ggml.add_space_prefix";
    let normalizer: NormalizerWrapper = if gguf.value(flag).is_none() || gguf.flag(flag) {
        decoders.push(Strip::new(' ', 1, 0).into());
        Normalizers::new(vec![Prepend::new(SPACE.into()).into(), spaces.into()]).into()
    } else {
        spaces.into()
    };
    inner
        .with_normalizer(Some(normalizer))
        .map_err(|e| failure(path, e))?;
    inner.with_decoder(Some(Decoders::new(decoders)));
    Ok(inner)
}

fn scores(gguf: &Gguf, path: &Path, tokens: usize) -> Result<Vec<f32>> {
    let Some(Value::Array(values)) = gguf.value("tokenizer.ggml.scores") else {
        return Err(failure(
            path,
            "no list tokenizer.ggml.scores in the metadata; fetch the file again",
        ));
    };
    let scores: Vec<f32> = values
        .iter()
        .filter_map(|value| match value {
            Value::F32(score) => Some(*score),
            _ => None,
        })
        .collect();
    match scores.len() {
        n if n == tokens => Ok(scores),
        n => Err(failure(
            path,
            format!("{n} scores for {tokens} tokens; fetch the file again"),
        )),
    }
}

/// All merges, the first to be applied first.
fn merges(tokens: &[&str], types: &[u64], scores: &[f32]) -> Vec<(String, String)> {
    let mut pieces: Vec<(&str, f32)> = tokens
        .iter()
        .zip(types)
        .zip(scores)
        .filter(|((_, kind), _)| **kind == NORMAL)
        .map(|((token, _), score)| (*token, *score))
        .collect();
    let known: HashSet<&str> = pieces.iter().map(|(piece, _)| *piece).collect();
    // Stable: pieces of one score stay in the order of their ids.
    pieces.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let mut merges = Vec::new();
    for (piece, _) in pieces {
        let cuts = piece.char_indices().map(|(at, _)| piece.split_at(at)).rev();
        for (left, right) in cuts {
            if known.contains(left) && known.contains(right) {
                merges.push((left.to_string(), right.to_string()));
            }
        }
    }
    merges
}
