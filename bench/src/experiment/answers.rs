//! Candidates by their likelihood under the language model, and how often its free answers are no title.

use std::collections::HashSet;

use anyhow::Result;
use weaverec_model::backbone::Decoder;
use weaverec_model::rank::{Query, generate, score_with_progress};
use weaverec_model::recommender::codes::TOKENS;
use weaverec_pipeline::schema::{Item, LETTERS, Prompt, PromptFormat};

use super::encoder::Encoder;
use super::profile::Rank;
use crate::progress::Meter;

/// Log-likelihoods of every candidate of every query.
///
/// # Errors
/// A device that fails.
pub fn scores(decoder: &Decoder, queries: &[Query], config: &Rank, meter: &Meter) -> Result<Vec<Vec<f32>>> {
    let mut progress = |done: usize| {
        meter.update(done as u64, queries.len() as u64, || "users ranked".into());
    };
    let (normalisation, batch_tokens) = (config.normalisation, config.batch_tokens);
    Ok(score_with_progress(
        decoder,
        queries,
        normalisation,
        batch_tokens,
        &mut progress,
    )?)
}

/// The share of freely decoded answers whose first title is none that could be meant: none of the candidates where the prompt
/// lists them, none of the domain's where it does not. `None` where the profile decodes nothing.
pub fn invalid_output_rate(
    decoder: &Decoder,
    encoder: &Encoder,
    test: &[Prompt],
    items: &[Item],
    config: &Rank,
    format: PromptFormat,
) -> Result<Option<f64>> {
    let asked = &test[..test.len().min(config.free_decoding_users)];
    if asked.is_empty() {
        return Ok(None);
    }
    if let Some(codes) = encoder.codes() {
        let mut invalid = 0;
        for prompt in asked {
            let answer = generate(decoder, &encoder.prompt(prompt)?, &[], TOKENS)?;
            invalid += usize::from(!codes.is_item(&answer));
        }
        return Ok(Some(invalid as f64 / asked.len() as f64));
    }
    let all: HashSet<&str> = items.iter().map(|i| i.title.as_str()).collect();
    let stops = encoder.stops()?;
    let mut invalid = 0;
    for prompt in asked {
        let answer = generate(
            decoder,
            &encoder.prompt(prompt)?,
            &stops,
            config.free_decoding_tokens,
        )?;
        let title = encoder.first_title(&answer)?;
        let valid = match format {
            PromptFormat::Sequence => all.contains(title.as_str()),
            PromptFormat::Letter => LETTERS[..prompt.candidates.len()].contains(&title.as_str()),
            PromptFormat::Top5 | PromptFormat::TargetOnly => prompt
                .candidates
                .iter()
                .any(|c| items.get(*c as usize - 1).is_some_and(|item| item.title == title)),
        };
        invalid += usize::from(!valid);
    }
    Ok(Some(invalid as f64 / asked.len() as f64))
}
