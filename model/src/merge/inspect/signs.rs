//! Where updates pull an entry in opposite directions: what rules of signs (TIES) are about.
//!
//! Updates are made dense a block of rows at a time. Of modules of more than [`MOST`] entries a sample of rows is looked at, evenly spaced
//! from the first to the last.

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use serde::Serialize;

use crate::Result;
use crate::lora::LoraModule;
use crate::merge::align::Site;

/// Entries of a module that are looked at, at most: of so many a share is known to a tenth of a percent, as far as they are independent.
pub const MOST: usize = 1 << 22;
/// Entries that are dense at a time.
const BLOCK: usize = 1 << 20;

/// Entries by the directions in which two updates move them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Signs {
    /// Entries that both move.
    pub both: usize,
    /// Of these, those that one moves up and the other down.
    pub opposite: usize,
}

impl Signs {
    /// The share of opposite ones; none where there are no entries that both move.
    pub fn conflict(self) -> Option<f64> {
        (self.both > 0).then(|| self.opposite as f64 / self.both as f64)
    }
}

/// The places of two members, and their signs.
pub(super) type OfPair = ([usize; 2], Signs);

/// The signs of every two members that adapt a module, and how many of its rows were looked at.
pub(super) fn of(site: &Site) -> Result<(Vec<OfPair>, usize)> {
    let count = site.factors.len();
    let present = |place: &usize| site.factors[*place].is_some();
    let present: Vec<usize> = (0..count).filter(present).collect();
    let mut pairs: Vec<OfPair> = Vec::new();
    for (number, one) in present.iter().enumerate() {
        pairs.extend(
            present[number + 1..]
                .iter()
                .map(|other| ([*one, *other], Signs::default())),
        );
    }
    let (out, input) = site.shape;
    let rows = rows(out, input, MOST);
    if pairs.is_empty() {
        return Ok((pairs, 0));
    }
    for block in rows.chunks((BLOCK / input.max(1)).max(1)) {
        let chosen = Tensor::new(block, &Device::Cpu)?;
        let updates = site.factors.iter().map(|factors| match factors {
            Some(module) => entries(module, &chosen),
            None => Ok(Vec::new()),
        });
        let updates = updates.collect::<Result<Vec<Vec<f32>>>>()?;
        for ([one, other], signs) in &mut pairs {
            let (both, opposite) = compare(&updates[*one], &updates[*other]);
            signs.both += both;
            signs.opposite += opposite;
        }
    }
    Ok((pairs, rows.len()))
}

/// Evenly spaced rows, so many that at most `most` entries are in them, but one at least.
fn rows(out: usize, input: usize, most: usize) -> Vec<u32> {
    let seen = (most / input.max(1)).clamp(1, out.max(1)).min(out);
    (0..seen)
        .map(|row| ((2 * row + 1) * out / (2 * seen)) as u32)
        .collect()
}

/// Rows of an update, up to its scale's size.
fn entries(module: &LoraModule, rows: &Tensor) -> Result<Vec<f32>> {
    let b = module.b.index_select(rows, 0)?;
    let product = (b.matmul(&module.a)? * module.scale.signum())?;
    Ok(product.flatten_all()?.to_vec1()?)
}

fn compare(one: &[f32], other: &[f32]) -> (usize, usize) {
    let counts = one.par_chunks(1 << 14).zip(other.par_chunks(1 << 14));
    let counts = counts.map(|(one, other)| {
        let products = one
            .iter()
            .zip(other)
            .map(|(x, y)| x.signum() * y.signum() * f32::from(*x != 0.0 && *y != 0.0));
        products.fold((0, 0), |(both, opposite), sign| {
            (
                both + usize::from(sign != 0.0),
                opposite + usize::from(sign < 0.0),
            )
        })
    });
    counts.reduce(|| (0, 0), |one, other| (one.0 + other.0, one.1 + other.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_of_rows_goes_from_the_first_to_the_last() {
        assert_eq!(rows(4, 10, 1000), [0, 1, 2, 3]);
        assert_eq!(rows(100, 10, 50), [10, 30, 50, 70, 90]);
        assert_eq!(rows(3, 10, 1), [1]);
        assert!(rows(0, 10, 50).is_empty());
    }

    #[test]
    fn entries_that_one_leaves_alone_are_no_conflict() {
        let one = [1.0, -1.0, 0.0, 2.0, -0.5, -0.0];
        let other = [1.0, 1.0, 1.0, -2.0, -0.5, 3.0];
        assert_eq!(compare(&one, &other), (4, 2));
        let signs = Signs { both: 4, opposite: 2 };
        assert_eq!(signs.conflict(), Some(0.5));
        assert_eq!(Signs::default().conflict(), None);
    }
}
