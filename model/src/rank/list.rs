//! Constrained greedy decoding: a list of candidates, written token by token, that can hold nothing else.

use crate::backbone::Decoder;
use crate::rank::likelihood::Query;
use crate::rank::text::Text;
use crate::rank::trie::Trie;
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
    let mut left: Vec<usize> = (0..query.candidates.len()).collect();
    let mut chosen = Vec::new();
    while chosen.len() < length && !left.is_empty() {
        let end = write_one(&trie, &left, &mut text)?;
        // Equal titles are taken in their order.
        let place = left.iter().position(|candidate| trie.ends[*candidate] == end);
        chosen.extend(place.map(|place| left.remove(place)));
    }
    Ok(chosen)
}

/// Writes one of the candidates `left` and tells the run it ends with.
fn write_one(trie: &Trie, left: &[usize], text: &mut Text) -> Result<usize> {
    let open = |run: usize| {
        left.iter()
            .any(|candidate| trie.leads_to(run, trie.ends[*candidate]))
    };
    let mut at = None;
    loop {
        // A candidate that is the beginning of others is taken when it is complete.
        if let Some(run) = at.filter(|run| left.iter().any(|candidate| trie.ends[*candidate] == *run)) {
            return Ok(run);
        }
        let runs: Vec<usize> = trie.children(at).filter(|run| open(*run)).collect();
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
