//! A target's place among a whole catalogue, for catalogues small enough that every title is scored.

use std::collections::HashSet;

use crate::backbone::Decoder;
use crate::rank::likelihood::{Beginning, Normalisation, split, sums_in_parts};
use crate::{Error, Result};

/// How many of the `titles` have a better score than the one at `target`, and how many others the same, those at `excluded` left out: what
/// the user knows already. The scores are those of [`score`](super::score); items of one title have one.
///
/// The prompt is read once and titles that begin alike together, as much at a time as memory is meant for. `progress` is told how many
/// titles are scored.
///
/// # Errors
/// An empty prompt or title, a target that is excluded or, as what is excluded, not in the catalogue, or a model whose answers are no
/// numbers.
pub fn catalogue_place(
    decoder: &Decoder,
    prompt: &[u32],
    titles: &[Vec<u32>],
    target: usize,
    excluded: &[usize],
    normalisation: Normalisation,
    progress: &mut dyn FnMut(usize),
) -> Result<(usize, usize)> {
    if prompt.is_empty() {
        return Err(Error::Usage(
            "an empty prompt: there is nothing to rank a catalogue by".into(),
        ));
    }
    if let Some(outside) = excluded.iter().find(|place| **place >= titles.len()) {
        return Err(Error::Usage(format!(
            "title {outside} is to be excluded from a catalogue of {}",
            titles.len()
        )));
    }
    let excluded: HashSet<usize> = excluded.iter().copied().collect();
    if target >= titles.len() || excluded.contains(&target) {
        return Err(Error::Usage(format!(
            "the target, title {target}, is excluded or not in the catalogue of {}: it has no place there",
            titles.len()
        )));
    }
    let left = (0..titles.len()).filter(|place| !excluded.contains(place));
    let (places, candidates): (Vec<usize>, Vec<&[u32]>) =
        left.map(|place| (place, titles[place].as_slice())).unzip();
    if let Some(empty) = candidates.iter().position(|title| title.is_empty()) {
        return Err(Error::Usage(format!(
            "title {} of the catalogue is empty: it has no likelihood",
            places[empty]
        )));
    }
    let (most, last) = split(prompt);
    let read = Beginning::read(decoder, most)?;
    let sums = sums_in_parts(decoder, &read, last, &candidates, progress)?;
    let pairs = sums.into_iter().zip(&candidates);
    let scores: Vec<f32> = pairs.map(|(sum, title)| normalisation.of(sum, title)).collect();
    // Places are ascending, and the target is among them.
    let own = scores[places.partition_point(|place| *place < target)];
    let above = scores.iter().filter(|score| **score > own).count();
    let equal = scores.iter().filter(|score| **score == own).count();
    Ok((above, equal - 1))
}
