//! Candidates ranked by likelihood. Nothing is read twice: what all prompts begin with, a prompt before its candidates and the
//! beginning of several titles are rows that others come after, and several users go through the decoder in one pass.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::backbone::{Decoder, KvCache, Pass};
use crate::op::log_probabilities;
use crate::rank::trie::Trie;
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

impl Query {
    fn candidate_tokens(&self) -> usize {
        self.candidates.iter().map(Vec::len).sum()
    }
}

/// Candidate tokens in one pass: the activations of one are a few tens of kilobytes in models of a hundred million parameters.
const MOST_CANDIDATE_TOKENS: usize = 4096;

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
    let beginning = Beginning::of(decoder, queries)?;
    let mut scores = Vec::with_capacity(queries.len());
    let mut rest = queries;
    while let Some(first) = rest.first() {
        if first.candidate_tokens() > MOST_CANDIDATE_TOKENS {
            scores.push(score_in_parts(decoder, &beginning, first, normalisation)?);
            rest = &rest[1..];
            continue;
        }
        let mut tokens = 0;
        let fitting = rest.iter().take_while(|q| {
            tokens += q.prompt.len() - beginning.tokens();
            tokens <= batch_tokens && q.candidate_tokens() <= MOST_CANDIDATE_TOKENS
        });
        let count = fitting.count().max(1);
        let (batch, later) = rest.split_at(count);
        scores.extend(score_batch(decoder, &beginning, batch, normalisation)?);
        rest = later;
    }
    Ok(scores)
}

/// A whole catalogue of candidates, as many at a time as memory is meant for; the prompt is read again for each part.
fn score_in_parts(
    decoder: &Decoder,
    beginning: &Beginning,
    query: &Query,
    normalisation: Normalisation,
) -> Result<Vec<f32>> {
    let mut scores = Vec::with_capacity(query.candidates.len());
    let mut rest = query.candidates.as_slice();
    while !rest.is_empty() {
        let mut tokens = 0;
        let fitting = rest.iter().take_while(|candidate| {
            tokens += candidate.len();
            tokens <= MOST_CANDIDATE_TOKENS
        });
        let (part, later) = rest.split_at(fitting.count().max(1));
        let part = Query {
            prompt: query.prompt.clone(),
            candidates: part.to_vec(),
        };
        scores.extend(
            score_batch(decoder, beginning, &[part], normalisation)?
                .into_iter()
                .flatten(),
        );
        rest = later;
    }
    Ok(scores)
}

/// What all prompts begin with (a system message, an instruction), read once for all batches.
struct Beginning {
    cache: KvCache,
}

impl Beginning {
    /// Each prompt keeps at least one token of its own, which predicts its candidates.
    fn of(decoder: &Decoder, queries: &[Query]) -> Result<Self> {
        let shared = common_beginning(queries);
        let cache = match shared {
            0 => KvCache::default(),
            _ => {
                let pass = Pass::sequences([&queries[0].prompt[..shared]]);
                decoder.hidden_and_cache(&pass, None)?.1
            }
        };
        Ok(Self { cache })
    }

    fn tokens(&self) -> usize {
        self.cache.rows()
    }
}

/// One pass for each prompt's rest and the tree of its candidates.
fn score_batch(
    decoder: &Decoder,
    beginning: &Beginning,
    queries: &[Query],
    normalisation: Normalisation,
) -> Result<Vec<Vec<f32>>> {
    let read = 0..beginning.tokens();
    let mut pass = Pass::default();
    let mut asked = Vec::new();
    let tries: Vec<Trie> = queries.iter().map(|query| Trie::of(&query.candidates)).collect();
    for (query, trie) in queries.iter().zip(&tries) {
        let rest = pass.push(&query.prompt[read.end..], read.clone(), Vec::new());
        lay_out(trie, &read, rest, &mut pass, &mut asked);
    }
    let mut rows: Vec<u32> = asked.iter().map(|(row, _)| *row as u32).collect();
    rows.sort_unstable();
    rows.dedup();
    for (row, _) in &mut asked {
        *row = rows.partition_point(|wanted| (*wanted as usize) < *row);
    }
    let hidden = decoder.hidden_of(&pass, &rows, Some(&beginning.cache))?;
    let mut answers = log_probabilities(&hidden, decoder.head(), &asked)?.into_iter();
    let score_query = |(query, trie): (&Query, &Trie)| {
        let mut sums: Vec<f32> = Vec::with_capacity(trie.runs.len());
        for run in &trie.runs {
            let before = run.parent.map_or(0.0, |parent| sums[parent]);
            let own = answers.by_ref().take(run.tokens.len());
            sums.push(own.fold(before, |sum, answer| sum + answer));
        }
        let score_one = |(candidate, end): (&Vec<u32>, &usize)| match normalisation {
            Normalisation::Sum => sums[*end],
            Normalisation::Mean => sums[*end] / candidate.len() as f32,
        };
        query.candidates.iter().zip(&trie.ends).map(score_one).collect()
    };
    Ok(queries.iter().zip(&tries).map(score_query).collect())
}

/// How many tokens all prompts begin with, less what each keeps.
fn common_beginning(queries: &[Query]) -> usize {
    let [first, others @ ..] = queries else {
        return 0;
    };
    let shared = |other: &Query| {
        let pairs = first.prompt.iter().zip(&other.prompt);
        pairs.take_while(|(a, b)| a == b).count()
    };
    let shortest = queries.iter().map(|query| query.prompt.len()).min().unwrap_or(0);
    // A single prompt has nothing to share.
    let shared = others.iter().map(shared).min().unwrap_or(0);
    shared.min(shortest.saturating_sub(1))
}

/// Adds the rows of a prompt's candidates to a pass, and to `asked` where the probability of each of their tokens is found: run by
/// run, token by token. The prompt is what was `read` before and its `rest` in this pass.
fn lay_out(
    trie: &Trie,
    read: &Range<usize>,
    rest: Range<usize>,
    pass: &mut Pass,
    asked: &mut Vec<(usize, u32)>,
) {
    let mut rows: Vec<Range<usize>> = Vec::with_capacity(trie.runs.len());
    for (i, run) in trie.runs.iter().enumerate() {
        // What a candidate's last token is followed by is not asked.
        let needed = run.tokens.len() - usize::from(!run.branches);
        let ancestors = trie.ancestors(i).into_iter().map(|above| rows[above].clone());
        let after = std::iter::once(rest.clone()).chain(ancestors).collect();
        let own = pass.push(&run.tokens[..needed], read.clone(), after);
        let predicts_first = run.parent.map_or(rest.end, |parent| rows[parent].end) - 1;
        let predictors = std::iter::once(predicts_first).chain(own.clone());
        asked.extend(predictors.zip(run.tokens.iter().copied()));
        rows.push(own);
    }
}
