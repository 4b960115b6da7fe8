//! Constrained greedy decoding: a list of candidates, written token by token, that can hold nothing else.

use crate::backbone::Decoder;
use crate::rank::likelihood::Query;
use crate::rank::text::Text;
use crate::rank::trie::{Children, Trie};
use crate::{Error, Result};

/// The first `length` candidates of the list that the decoder writes after the prompt, as places among the query's candidates.
///
/// At every token only those are allowed with which a candidate goes on that is not in the list yet; where there is one alone,
/// nothing is computed. The order is that of a greedy answer, not of the [whole likelihoods](crate::rank::score): a title is
/// chosen by its beginning. Candidates end with what separates them in an answer.
///
/// # Errors
/// An empty prompt or candidate.
pub fn list(decoder: &Decoder, query: &Query, length: usize) -> Result<Vec<usize>> {
    if query.candidates.iter().any(Vec::is_empty) {
        return Err(Error::Usage("an empty candidate cannot be written".into()));
    }
    let trie = Trie::of(&query.candidates);
    let mut text = Text::new(decoder, &query.prompt)?;
    let children = trie.children();
    let mut left = Left::new(&trie);
    let mut chosen = Vec::new();
    while chosen.len() < length.min(query.candidates.len()) {
        let end = write_one(&trie, &children, &left, &mut text)?;
        chosen.extend(left.take(end));
    }
    Ok(chosen)
}

/// The candidates that are not in the list yet.
struct Left<'t> {
    trie: &'t Trie,
    /// How many of them lead through a run, or end with it.
    through: Vec<usize>,
    /// Those that end with a run, the first given last.
    ending: Vec<Vec<usize>>,
}

impl<'t> Left<'t> {
    fn new(trie: &'t Trie) -> Self {
        let mut left = Left {
            trie,
            through: vec![0; trie.runs.len()],
            ending: vec![Vec::new(); trie.runs.len()],
        };
        for (place, end) in trie.ends.iter().enumerate().rev() {
            left.ending[*end].push(place);
            trie.path(*end).for_each(|run| left.through[run] += 1);
        }
        left
    }

    /// The first of the candidates that end with a run.
    fn take(&mut self, end: usize) -> Option<usize> {
        let place = self.ending[end].pop()?;
        self.trie.path(end).for_each(|run| self.through[run] -= 1);
        Some(place)
    }
}

/// Writes one of the candidates `left` and tells the run it ends with.
fn write_one(trie: &Trie, children: &Children, left: &Left, text: &mut Text) -> Result<usize> {
    let mut at = None;
    loop {
        // A candidate that is the beginning of others is taken when it is complete.
        if let Some(run) = at.filter(|run: &usize| !left.ending[*run].is_empty()) {
            return Ok(run);
        }
        let all = children.of(at).iter().copied();
        let runs: Vec<usize> = all.filter(|run| left.through[*run] > 0).collect();
        let firsts: Vec<u32> = runs.iter().map(|run| trie.runs[*run].tokens[0]).collect();
        let chosen = match firsts.len() {
            1 => 0,
            _ => {
                let token = text.likeliest(Some(&firsts))?;
                firsts
                    .iter()
                    .position(|first| *first == token)
                    .unwrap_or_default()
            }
        };
        text.push(&trie.runs[runs[chosen]].tokens);
        at = Some(runs[chosen]);
    }
}
