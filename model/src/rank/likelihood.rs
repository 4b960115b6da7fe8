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
    /// judged as a whole; at least one, and none empty.
    pub candidates: Vec<Vec<u32>>,
}

impl Query {
    /// Whether there is something to rank, and something to rank it by.
    pub(super) fn is_whole(&self) -> bool {
        !self.prompt.is_empty() && !self.candidates.is_empty() && !self.candidates.iter().any(Vec::is_empty)
    }

    /// Whether all candidates go into one pass.
    pub(super) fn fits(&self) -> bool {
        self.candidate_tokens() <= MOST_CANDIDATE_TOKENS
    }

    fn candidate_tokens(&self) -> usize {
        self.candidates.iter().map(Vec::len).sum()
    }

    /// The prompt up to its last token, and that.
    pub(super) fn split(&self) -> (&[u32], &[u32]) {
        split(&self.prompt)
    }
}

/// A prompt up to its last token, and that, which predicts what comes next.
pub(super) fn split(prompt: &[u32]) -> (&[u32], &[u32]) {
    prompt.split_at(prompt.len().saturating_sub(1))
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

impl Normalisation {
    /// A candidate's score, or what it can reach at most where `sum` is of some of its first tokens.
    pub(super) fn of(self, sum: f32, candidate: &[u32]) -> f32 {
        match self {
            Normalisation::Sum => sum,
            Normalisation::Mean => sum / candidate.len() as f32,
        }
    }

    fn apply(self, sums: Vec<f32>, candidates: &[Vec<u32>]) -> Vec<f32> {
        let pairs = sums.into_iter().zip(candidates);
        pairs.map(|(sum, candidate)| self.of(sum, candidate)).collect()
    }
}

/// Scores of every query's candidates, higher is likelier, in the order given.
///
/// About `batch_tokens` prompt tokens go through the decoder at one time. The decoder should be plain or folded: an adapter
/// beside the weights costs extra work at every token.
///
/// # Errors
/// An empty prompt or candidate, no candidates, or a model whose answers are no numbers.
pub fn score(
    decoder: &Decoder,
    queries: &[Query],
    normalisation: Normalisation,
    batch_tokens: usize,
) -> Result<Vec<Vec<f32>>> {
    score_with_progress(decoder, queries, normalisation, batch_tokens, &mut |_| {})
}

/// As [`score`]; `progress` is told how many queries are done.
pub fn score_with_progress(
    decoder: &Decoder,
    queries: &[Query],
    normalisation: Normalisation,
    batch_tokens: usize,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Vec<f32>>> {
    if let Some(i) = queries.iter().position(|query| !query.is_whole()) {
        return Err(Error::Usage(format!(
            "query {i} has an empty prompt or candidate, or no candidates: there is nothing to rank"
        )));
    }
    let beginning = Beginning::read(decoder, common_beginning(queries))?;
    let mut scores = Vec::with_capacity(queries.len());
    let mut rest = queries;
    while let Some(first) = rest.first() {
        progress(scores.len());
        if !first.fits() {
            let (prompt, last) = first.split();
            let prompt = Beginning::read(decoder, prompt)?;
            let candidates: Vec<&[u32]> = first.candidates.iter().map(Vec::as_slice).collect();
            let sums = sums_in_parts(decoder, &prompt, last, &candidates, &mut |_| ())?;
            scores.push(normalisation.apply(sums, &first.candidates));
            rest = &rest[1..];
            continue;
        }
        let (mut tokens, mut candidates) = (0, 0);
        let fitting = rest.iter().take_while(|query| {
            tokens += query.prompt.len() - beginning.tokens();
            candidates += query.candidate_tokens();
            tokens <= batch_tokens && candidates <= MOST_CANDIDATE_TOKENS
        });
        let count = fitting.count().max(1);
        let (batch, later) = rest.split_at(count);
        let parts: Vec<Part> = batch
            .iter()
            .map(|query| Part {
                rest: &query.prompt[beginning.tokens()..],
                candidates: query.candidates.iter().map(Vec::as_slice).collect(),
            })
            .collect();
        let sums = sums(decoder, &beginning, &parts)?;
        let applied = sums.into_iter().zip(batch);
        scores.extend(applied.map(|(sums, query)| normalisation.apply(sums, &query.candidates)));
        rest = later;
    }
    progress(scores.len());
    Ok(scores)
}

/// What comes before the rest of every prompt, read once: what all begin with (a system message, an instruction), or nearly all of one
/// prompt with many candidates.
pub(super) struct Beginning {
    cache: KvCache,
}

impl Beginning {
    pub fn read(decoder: &Decoder, tokens: &[u32]) -> Result<Self> {
        let cache = match tokens {
            [] => KvCache::default(),
            _ => decoder.hidden_and_cache(&Pass::sequences([tokens]), None)?.1,
        };
        Ok(Self { cache })
    }

    fn tokens(&self) -> usize {
        self.cache.rows()
    }
}

/// What comes after a [`Beginning`].
struct Part<'a> {
    /// Of the prompt; its last token predicts the candidates, so there is one.
    rest: &'a [u32],
    candidates: Vec<&'a [u32]>,
}

/// Log-likelihoods of a whole catalogue of candidates, as many at a time as memory is meant for, those that begin alike together. Equal
/// candidates are one: two passes may round the same sum otherwise. `progress` is told how many are known.
pub(super) fn sums_in_parts(
    decoder: &Decoder,
    beginning: &Beginning,
    rest: &[u32],
    candidates: &[&[u32]],
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<f32>> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_key(|place| candidates[*place]);
    let equal: Vec<&[usize]> = order.chunk_by(|a, b| candidates[*a] == candidates[*b]).collect();
    let mut found = vec![0.0; candidates.len()];
    let mut known = 0;
    let mut groups = equal.as_slice();
    while !groups.is_empty() {
        let mut tokens = 0;
        let fitting = groups.iter().take_while(|places| {
            tokens += candidates[places[0]].len();
            tokens <= MOST_CANDIDATE_TOKENS
        });
        let (some, later) = groups.split_at(fitting.count().max(1));
        let candidates = some.iter().map(|places| candidates[places[0]]).collect();
        let sums = sums(decoder, beginning, &[Part { rest, candidates }])?;
        for (places, sum) in some.iter().zip(sums.into_iter().flatten()) {
            places.iter().for_each(|place| found[*place] = sum);
            known += places.len();
        }
        progress(known);
        groups = later;
    }
    Ok(found)
}

/// Log-likelihoods of the candidates of each part: one pass for the rests of prompts and the trees of their candidates.
fn sums(decoder: &Decoder, beginning: &Beginning, parts: &[Part]) -> Result<Vec<Vec<f32>>> {
    let read = 0..beginning.tokens();
    let mut pass = Pass::default();
    let mut asked = Vec::new();
    let tries: Vec<Trie> = parts.iter().map(|part| Trie::of(&part.candidates)).collect();
    for (part, trie) in parts.iter().zip(&tries) {
        let rest = pass.push(part.rest, read.clone(), Vec::new());
        lay_out(trie, &read, rest, &mut pass, &mut asked);
    }
    let mut rows: Vec<u32> = asked.iter().map(|(row, _)| *row as u32).collect();
    rows.sort_unstable();
    rows.dedup();
    for (row, _) in &mut asked {
        *row = rows.partition_point(|wanted| (*wanted as usize) < *row);
    }
    let hidden = decoder.hidden_of(&pass, &rows, Some(&beginning.cache))?;
    let answers = log_probabilities(&hidden, decoder.head(), &asked)?;
    if answers.iter().any(|answer| answer.is_nan()) {
        return Err(Error::Usage(
            "the model's likelihoods are no numbers: its weights, or the adapter's, hold some that are not finite or far too large".into(),
        ));
    }
    let mut answers = answers.into_iter();
    let of_part = |trie: &Trie| {
        let mut sums: Vec<f32> = Vec::with_capacity(trie.runs.len());
        for run in &trie.runs {
            let before = run.parent.map_or(0.0, |parent| sums[parent]);
            let own = answers.by_ref().take(run.tokens.len());
            sums.push(own.fold(before, |sum, answer| sum + answer));
        }
        trie.ends.iter().map(|end| sums[*end]).collect()
    };
    Ok(tries.iter().map(of_part).collect())
}

/// What all prompts begin with, less a token that each keeps to predict its candidates.
fn common_beginning(queries: &[Query]) -> &[u32] {
    // A single prompt has nothing to share.
    let [first, others @ ..] = queries else {
        return &[];
    };
    let shared = |other: &Query| {
        let pairs = first.prompt.iter().zip(&other.prompt);
        pairs.take_while(|(a, b)| a == b).count()
    };
    let shortest = queries.iter().map(|query| query.prompt.len()).min().unwrap_or(0);
    let shared = others.iter().map(shared).min().unwrap_or(0);
    &first.prompt[..shared.min(shortest.saturating_sub(1))]
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
