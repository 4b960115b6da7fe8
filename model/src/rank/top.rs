//! The best few of many candidates, without reading most of them to their end.

use candle_core::DType;

use crate::backbone::Decoder;
use crate::rank::likelihood::{Beginning, Normalisation, Query, score, sums_in_parts};
use crate::{Error, Result};

/// Nats by which the same tokens may differ between two passes, whose sums are rounded otherwise: far more than was ever seen, since
/// too much costs time alone.
pub(super) fn rounding(decoder: &Decoder) -> f32 {
    match decoder.head().dtype() {
        DType::F32 => 1e-3,
        _ => 1.0,
    }
}

/// A candidate and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// Place among the query's candidates.
    pub place: usize,
    /// As [`score`] gives it.
    pub score: f32,
}

/// The `count` best candidates, best first, equal ones in the order given: those that [`score`] puts there, but for rounding.
///
/// Candidates that go through the decoder in one pass are all scored. Of more, the beginnings are looked at first: since no token makes
/// a sum greater, a candidate whose beginning is less likely than `count` whole ones is not read further.
///
/// # Errors
/// An empty prompt or candidate.
pub fn top(
    decoder: &Decoder,
    query: &Query,
    normalisation: Normalisation,
    count: usize,
) -> Result<Vec<Ranked>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if !query.fits() {
        return Ok(search(decoder, query, normalisation, count)?.best);
    }
    let scores = score(decoder, std::slice::from_ref(query), normalisation, usize::MAX)?;
    let scores = scores.into_iter().flatten().enumerate();
    Ok(best(
        scores.map(|(place, score)| Ranked { place, score }).collect(),
        count,
    ))
}

/// What a search found.
pub(super) struct Found {
    pub best: Vec<Ranked>,
    /// Candidate tokens that were asked for, what candidates share and what was read again counted each time: to see that most are not.
    pub tokens: usize,
}

/// Looks at the first token of every candidate, then in turns reads the most promising ones to their end, for the others to be measured
/// by, and twice as much as before of those that can still be among the best.
///
/// Every look begins anew after the prompt: what was read before is short, and most of it is shared or done with.
pub(super) fn search(
    decoder: &Decoder,
    query: &Query,
    normalisation: Normalisation,
    count: usize,
) -> Result<Found> {
    if !query.is_whole() {
        return Err(Error::Usage(
            "an empty prompt or candidate: there is nothing to rank".into(),
        ));
    }
    let (prompt, last) = query.split();
    let mut search = Search {
        decoder,
        query,
        normalisation,
        count,
        prompt: Beginning::read(decoder, prompt)?,
        last,
        found: Found {
            best: Vec::new(),
            tokens: 0,
        },
    };
    let all = 0..query.candidates.len();
    let mut open = search.look(all.map(|place| Ranked { place, score: 0.0 }).collect(), 1)?;
    let mut depth = 2;
    while !open.is_empty() {
        let others = open.split_off(count.min(open.len()));
        search.look(open, usize::MAX)?;
        let others = search.promising(others);
        open = search.look(others, depth)?;
        depth *= 2;
    }
    Ok(search.found)
}

/// A search under way. The score of a candidate that was not read to its end is what it can reach.
struct Search<'a> {
    decoder: &'a Decoder,
    query: &'a Query,
    normalisation: Normalisation,
    count: usize,
    prompt: Beginning,
    last: &'a [u32],
    found: Found,
}

impl Search<'_> {
    /// Reads up to `depth` tokens of some candidates. Gives those that are longer and can still be among the best, most promising first.
    fn look(&mut self, at: Vec<Ranked>, depth: usize) -> Result<Vec<Ranked>> {
        let candidates = &self.query.candidates;
        let beginnings: Vec<&[u32]> = at
            .iter()
            .map(|ranked| candidates[ranked.place].as_slice())
            .map(|candidate| &candidate[..depth.min(candidate.len())])
            .collect();
        self.found.tokens += beginnings.iter().map(|read| read.len()).sum::<usize>();
        let sums = sums_in_parts(self.decoder, &self.prompt, self.last, &beginnings, &mut |_| ())?;
        let now = at.iter().zip(sums).map(|(Ranked { place, .. }, sum)| Ranked {
            place: *place,
            score: self.normalisation.of(sum, &candidates[*place]),
        });
        let (open, whole): (Vec<_>, Vec<_>) = now.partition(|ranked| candidates[ranked.place].len() > depth);
        self.found.best.extend(whole);
        self.found.best = best(std::mem::take(&mut self.found.best), self.count);
        Ok(self.promising(open))
    }

    fn promising(&self, mut open: Vec<Ranked>) -> Vec<Ranked> {
        if let [.., least] = self.found.best.as_slice()
            && self.found.best.len() == self.count
        {
            open.retain(|open| open.score >= least.score - rounding(self.decoder));
        }
        let all = open.len();
        best(open, all)
    }
}

pub(super) fn best(mut ranked: Vec<Ranked>, count: usize) -> Vec<Ranked> {
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.place.cmp(&b.place)));
    ranked.truncate(count);
    ranked
}
