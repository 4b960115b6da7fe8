//! How likely a title is whoever the user: what a content score subtracts from its likelihood after a user's history.

use crate::backbone::Decoder;
use crate::rank::likelihood::{Beginning, Normalisation, split, sums_in_parts};
use crate::{Error, Result};

/// The log of the mean, over `histories`, of the probability of each title after one: log-mean-exp of log p(title | history), in the
/// order of the titles. A history is a whole prompt; a few of one title each make a neutral one.
///
/// Each history is read once, titles that begin alike are read together, equal ones once. Under [`Normalisation::Mean`] the result, as a
/// likelihood, is divided by the number of tokens. `progress` is told how many of all likelihoods, histories times titles, are known.
///
/// # Errors
/// No histories, an empty history or title, or a model whose answers are no numbers.
pub fn neutral(
    decoder: &Decoder,
    histories: &[Vec<u32>],
    titles: &[Vec<u32>],
    normalisation: Normalisation,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<f32>> {
    if histories.is_empty() {
        return Err(Error::Usage(
            "no histories: nothing to take a title's mean likelihood over".into(),
        ));
    }
    for (what, texts) in [("history", histories), ("title", titles)] {
        if let Some(i) = texts.iter().position(Vec::is_empty) {
            return Err(Error::Usage(format!("{what} {i} is empty: it has no likelihood")));
        }
    }
    let candidates: Vec<&[u32]> = titles.iter().map(Vec::as_slice).collect();
    let mut after: Vec<Vec<f32>> = Vec::with_capacity(histories.len());
    for history in histories {
        let (most, last) = split(history);
        let read = Beginning::read(decoder, most)?;
        let before = after.len() * titles.len();
        after.push(sums_in_parts(decoder, &read, last, &candidates, &mut |known| {
            progress(before + known);
        })?);
    }
    let mean = |(title, tokens): (usize, &Vec<u32>)| {
        let logs = after.iter().map(|sums| f64::from(sums[title]));
        normalisation.of(log_mean_exp(logs) as f32, tokens)
    };
    Ok(titles.iter().enumerate().map(mean).collect())
}

/// The log of the mean of what these are the logs of, where the mean itself would be 0 in any arithmetic.
fn log_mean_exp(logs: impl ExactSizeIterator<Item = f64> + Clone) -> f64 {
    let count = logs.len() as f64;
    let most = logs.clone().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return most;
    }
    let sum: f64 = logs.map(|log| (log - most).exp()).sum();
    most + (sum / count).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_of_probabilities_however_small_they_are() {
        let of = |logs: &[f64]| log_mean_exp(logs.iter().copied());
        assert_eq!(of(&[-3.5]), -3.5);
        assert!((of(&[0.2f64.ln(), 0.4f64.ln()]) - 0.3f64.ln()).abs() < 1e-12);
        assert!((of(&[-5000.0, -5000.0 + 3f64.ln()]) - (-5000.0 + 2f64.ln())).abs() < 1e-9);
        assert_eq!(of(&[f64::NEG_INFINITY; 2]), f64::NEG_INFINITY);
    }
}
