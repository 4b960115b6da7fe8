//! What items lead to, item by item: the sparse matrix behind the rows that count.

use std::iter::successors;

use super::log::ItemScores;

/// What an item of a history counts against the one after it, where nothing is tuned.
pub const DECAY: f64 = 0.7;

/// For every item the items that it leads to and how strongly, from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Links {
    /// Where the rows begin in `links`, and where the last one ends.
    starts: Vec<usize>,
    links: Vec<(u32, f32)>,
}

impl Links {
    /// Of rows by dense id, item 1 first.
    pub fn of(rows: &[Vec<(u32, f32)>]) -> Self {
        let mut starts = vec![0];
        starts.extend(rows.iter().scan(0, |end, row| {
            *end += row.len();
            Some(*end)
        }));
        Self {
            starts,
            links: rows.concat(),
        }
    }

    /// What an item leads to.
    pub fn row(&self, item: u32) -> &[(u32, f32)] {
        let item = item as usize;
        match (item.checked_sub(1), self.starts.get(item)) {
            (Some(before), Some(end)) => &self.links[self.starts[before]..*end],
            _ => &[],
        }
    }

    /// How many there are in all.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// The size that a link has: the root of the mean of their squares; 1 where there are none.
    pub fn size(&self) -> f64 {
        let squares: f64 = self.links.iter().map(|(_, link)| f64::from(*link).powi(2)).sum();
        let size = (squares / self.links.len() as f64).sqrt();
        if size > 0.0 { size } else { 1.0 }
    }

    /// The mean of the rows of a history, by [`recency`], for each of so many items.
    ///
    /// Sums are in f64 so that those that are equal but for the order of their terms are equal once they are rounded to f32.
    pub fn mean(&self, history: &[u32], decay: f64, items: usize) -> Vec<f64> {
        let mut sums = vec![0.0; items];
        for (item, share) in recency(history, decay) {
            for (to, link) in self.row(item) {
                sums[*to as usize - 1] += share * f64::from(*link);
            }
        }
        sums
    }
}

/// Every item by how strongly those of the history lead to it.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkScores {
    links: Links,
    decay: f64,
}

impl LinkScores {
    /// By these links.
    pub fn new(links: Links, decay: f64) -> Self {
        Self { links, decay }
    }

    /// The same with another decay: at 1 the order of a history is nothing to it, at 0 only the last item is something.
    #[must_use]
    pub fn with_decay(self, decay: f64) -> Self {
        Self { decay, ..self }
    }
}

impl ItemScores for LinkScores {
    fn scores(&self, history: &[u32], out: &mut [f32]) {
        round(&self.links.mean(history, self.decay, out.len()), out);
    }
}

/// The items of a history, the last one first, with the share that each has in a mean: `decay` to the power of how many came after it,
/// over the sum of these. Where they are too small for an f32 the history ends.
pub fn recency(history: &[u32], decay: f64) -> impl Iterator<Item = (u32, f64)> {
    let weights = || {
        successors(Some(1.0), move |weight| Some(weight * decay))
            .take(history.len())
            .take_while(|weight| *weight > f64::from(f32::MIN_POSITIVE))
    };
    let total: f64 = weights().sum();
    history
        .iter()
        .rev()
        .copied()
        .zip(weights().map(move |weight| weight / total))
}

/// Rounds sums to scores.
pub fn round(sums: &[f64], out: &mut [f32]) {
    assert_eq!(sums.len(), out.len(), "a place for every item");
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = *sum as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_weighted_from_its_end() {
        let shares: Vec<(u32, f64)> = recency(&[4, 9, 4], 0.5).collect();
        assert_eq!(shares, [(4, 4.0 / 7.0), (9, 2.0 / 7.0), (4, 1.0 / 7.0)]);
        assert_eq!(
            recency(&[4, 9], 0.0).collect::<Vec<_>>(),
            [(9, 1.0)],
            "the last alone"
        );
        assert_eq!(recency(&[4, 9], 1.0).map(|(_, share)| share).sum::<f64>(), 1.0);
        assert_eq!(recency(&[], 0.7).count(), 0);
        assert!(recency(&[1; 10_000], 0.7).count() < 300);
    }

    #[test]
    fn a_score_is_the_mean_over_the_history() {
        let links = Links::of(&[vec![(2, 0.5), (3, 1.0)], vec![], vec![(2, 1.0)]]);
        assert_eq!(
            (links.row(2), links.row(0), links.row(4)),
            (&[][..], &[][..], &[][..])
        );
        assert_eq!((links.len(), links.size()), (3, 0.75_f64.sqrt()));
        let mut out = vec![f32::NAN; 3];
        LinkScores::new(links.clone(), 1.0).scores(&[1, 2, 3], &mut out);
        assert_eq!(out, [0.0, 0.5, 1.0 / 3.0]);
        LinkScores::new(links.clone(), 0.5).scores(&[2, 3, 1], &mut out);
        assert_eq!(out, [0.0, (0.5 + 0.5) / 1.75, 1.0 / 1.75]);
        LinkScores::new(links, 0.5).scores(&[], &mut out);
        assert_eq!(out, [0.0; 3]);
    }

    #[test]
    fn scores_that_differ_by_the_order_of_their_terms_tie() {
        let thirds = [0.1, 0.7, 0.3];
        let rows: Vec<Vec<(u32, f32)>> = (0..3)
            .map(|at| vec![(4, thirds[at]), (5, thirds[2 - at])])
            .collect();
        let mut out = [0.0; 5];
        LinkScores::new(Links::of(&rows), 1.0).scores(&[1, 2, 3], &mut out);
        assert!(out[3] > 0.0 && out[3] == out[4], "{out:?}");
    }
}
