//! Candidates ranked by likelihood. The prompt is read once: its keys and values are shared by all its candidates, and the
//! prompts of several users go through the decoder together.

use serde::{Deserialize, Serialize};

use crate::backbone::{Decoder, Pass};
use crate::op::log_probabilities;
use crate::{Error, Result};

/// A prompt and the continuations to compare, as tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The prompt; not empty.
    pub prompt: Vec<u32>,
    /// The candidates, each with what ends it (a newline, or the end of the turn), so that a title that begins another one is
    /// judged as a whole; none empty.
    pub candidates: Vec<Vec<u32>>,
}

/// What a candidate's log-likelihood is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalisation {
    /// Nothing: the probability of the whole title.
    #[default]
    Sum,
    /// The number of its tokens, which takes away the advantage of short titles.
    Mean,
}

/// Scores of every query's candidates, higher is likelier, in the order given.
///
/// About `batch_tokens` prompt tokens go through the decoder at one time. The decoder should be plain or folded: an adapter
/// beside the weights costs extra work at every token.
///
/// # Errors
/// An empty prompt or candidate.
pub fn score(
    decoder: &Decoder,
    queries: &[Query],
    normalisation: Normalisation,
    batch_tokens: usize,
) -> Result<Vec<Vec<f32>>> {
    if let Some(i) = queries
        .iter()
        .position(|q| q.prompt.is_empty() || q.candidates.iter().any(Vec::is_empty))
    {
        return Err(Error::Usage(format!(
            "query {i} has an empty prompt or candidate: there is nothing to rank"
        )));
    }
    let mut scores = Vec::with_capacity(queries.len());
    let mut rest = queries;
    while !rest.is_empty() {
        let mut tokens = 0;
        let fitting = rest.iter().take_while(|q| {
            tokens += q.prompt.len();
            tokens <= batch_tokens
        });
        let count = fitting.count().max(1);
        let (batch, later) = rest.split_at(count);
        scores.extend(score_batch(decoder, batch, normalisation)?);
        rest = later;
    }
    Ok(scores)
}

fn score_batch(decoder: &Decoder, queries: &[Query], normalisation: Normalisation) -> Result<Vec<Vec<f32>>> {
    let prompts = Pass::sequences(queries.iter().map(|q| q.prompt.as_slice()));
    let (prompt_hidden, cache) = decoder.hidden_and_cache(&prompts, None)?;
    // A candidate's first token is predicted by the prompt's last row, the others by the candidate's own rows.
    let (mut first, mut later, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    let mut row = 0;
    for (query, segment) in queries.iter().zip(prompts.segments()) {
        for candidate in &query.candidates {
            first.push((segment.rows.end - 1, candidate[0]));
            later.extend(
                candidate[1..]
                    .iter()
                    .enumerate()
                    .map(|(i, token)| (row + i, *token)),
            );
            row += candidate.len() - 1;
            parts.push((&candidate[..candidate.len() - 1], segment.rows.clone()));
        }
    }
    let first = log_probabilities(&prompt_hidden, decoder.head(), &first)?;
    let later = match row {
        0 => Vec::new(),
        _ => {
            let hidden = decoder.hidden_after(&Pass::continuing(parts), &cache)?;
            log_probabilities(&hidden, decoder.head(), &later)?
        }
    };
    let (mut first, mut later) = (first.into_iter(), later.into_iter());
    let score_one = |candidate: &Vec<u32>| {
        let sum = first
            .by_ref()
            .take(1)
            .chain(later.by_ref().take(candidate.len() - 1))
            .sum::<f32>();
        match normalisation {
            Normalisation::Sum => sum,
            Normalisation::Mean => sum / candidate.len() as f32,
        }
    };
    let mut flat = queries
        .iter()
        .flat_map(|q| &q.candidates)
        .map(score_one)
        .collect::<Vec<_>>()
        .into_iter();
    Ok(queries
        .iter()
        .map(|q| flat.by_ref().take(q.candidates.len()).collect())
        .collect())
}
