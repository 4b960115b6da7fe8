//! The leading singular vectors of a sparse matrix, by a random subspace and some steps of iteration (Halko, Martinsson and Tropp 2011).

use std::ops::Range;

use faer::Mat;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::op::mix;
use crate::{Error, Result};

/// Directions beyond those that are asked for.
const BEYOND: usize = 32;
/// Steps of the iteration: singular values of texts fall slowly.
const STEPS: usize = 4;

/// A sparse matrix by rows, and the same by columns.
pub(super) struct Sparse {
    rows: Lines,
    columns: Lines,
}

/// Lines of a sparse matrix one after another: of each its entries, by place in the line.
struct Lines {
    bounds: Vec<usize>,
    entries: Vec<(u32, f32)>,
}

impl Lines {
    fn len(&self) -> usize {
        self.bounds.len() - 1
    }

    fn line(&self, at: usize) -> &[(u32, f32)] {
        let Range { start, end } = self.bounds[at]..self.bounds[at + 1];
        &self.entries[start..end]
    }

    /// The product with a dense matrix, row by row; every sum is taken in the order of a line's entries, whatever the threads.
    fn times(&self, dense: &Dense) -> Dense {
        let width = dense.width;
        let mut values = vec![0.0; self.len() * width];
        values
            .par_chunks_mut(width.max(1))
            .enumerate()
            .for_each(|(at, sum)| {
                for (place, weight) in self.line(at) {
                    let weight = f64::from(*weight);
                    let other = &dense.values[*place as usize * width..][..width];
                    sum.iter_mut()
                        .zip(other)
                        .for_each(|(sum, value)| *sum += weight * value);
                }
            });
        Dense { width, values }
    }
}

impl Sparse {
    /// A matrix whose rows have these entries, by column; columns without any are left out, which changes nothing but the time.
    pub fn of_rows(rows: &[Vec<(u32, f32)>]) -> Self {
        let mut used: Vec<u32> = rows.iter().flatten().map(|(column, _)| *column).collect();
        used.sort_unstable();
        used.dedup();
        let mut by_row = Lines {
            bounds: vec![0],
            entries: Vec::with_capacity(rows.iter().map(Vec::len).sum()),
        };
        let mut counts = vec![0usize; used.len()];
        for row in rows {
            for (column, weight) in row {
                let column = used.partition_point(|other| other < column);
                counts[column] += 1;
                by_row.entries.push((column as u32, *weight));
            }
            by_row.bounds.push(by_row.entries.len());
        }
        let mut bounds = vec![0];
        for count in counts {
            bounds.push(bounds[bounds.len() - 1] + count);
        }
        let mut next = bounds.clone();
        let mut entries = vec![(0, 0.0); by_row.entries.len()];
        for row in 0..by_row.len() {
            for (column, weight) in by_row.line(row) {
                let next = &mut next[*column as usize];
                entries[*next] = (row as u32, *weight);
                *next += 1;
            }
        }
        Sparse {
            rows: by_row,
            columns: Lines { bounds, entries },
        }
    }

    /// The rows in the space of the leading `width` right singular vectors, `U S`, and the singular values; both end with zeros where the
    /// matrix has fewer. Of each column the greatest entry is positive, so that the signs are not left to chance.
    ///
    /// The same bytes on any number of threads.
    ///
    /// # Errors
    /// Entries that are no numbers.
    pub fn leading(&self, width: usize, seed: u64) -> Result<(Vec<f32>, Vec<f64>)> {
        let (rows, columns) = (self.rows.len(), self.columns.len());
        let count = (width + BEYOND).min(rows).min(columns);
        let mut projected = vec![0.0; rows * width];
        let mut strengths = vec![0.0; width];
        if count == 0 {
            return Ok((projected, strengths));
        }
        if self.rows.entries.iter().any(|(_, weight)| !weight.is_finite()) {
            return Err(Error::Usage(
                "the weights of words hold something other than finite numbers: there are no vectors of such texts".into(),
            ));
        }
        let mut basis = self.rows.times(&Dense::drawn(columns, count, seed)).orthonormal();
        for _ in 0..STEPS {
            let back = self.columns.times(&basis).orthonormal();
            basis = self.rows.times(&back).orthonormal();
        }
        // A ≈ Q (Qᵀ A) and Aᵀ Q = P R, so the left vectors of Rᵀ are those of Qᵀ A.
        let within = self.columns.times(&basis).matrix();
        let small = within.qr().thin_R().transpose().to_owned();
        let parts = small.thin_svd().map_err(|_| {
            Error::Usage("the singular value decomposition of the texts did not come to an end".into())
        })?;
        let values: Vec<f64> = parts.S().column_vector().iter().copied().collect();
        let left = basis.matrix() * parts.U();
        for (place, strength) in values.iter().take(width).enumerate() {
            let column = left.col(place);
            let greatest =
                column.iter().copied().fold(
                    0.0f64,
                    |most, value| if value.abs() > most.abs() { value } else { most },
                );
            let sign = if greatest < 0.0 { -1.0 } else { 1.0 };
            strengths[place] = *strength;
            for (row, value) in column.iter().enumerate() {
                projected[row * width + place] = (sign * strength * value) as f32;
            }
        }
        Ok((projected, strengths))
    }
}

/// A dense matrix, row by row.
struct Dense {
    width: usize,
    values: Vec<f64>,
}

impl Dense {
    /// Uniform around zero, by the seed.
    fn drawn(rows: usize, width: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(mix(seed ^ mix(0x5eed_0f7e)));
        Dense {
            width,
            values: (0..rows * width).map(|_| rng.random::<f64>() - 0.5).collect(),
        }
    }

    fn matrix(&self) -> Mat<f64> {
        let rows = self.values.len() / self.width.max(1);
        Mat::from_fn(rows, self.width, |row, column| {
            self.values[row * self.width + column]
        })
    }

    /// An orthonormal basis of the columns; faer is built to work on one thread.
    fn orthonormal(&self) -> Self {
        let q = self.matrix().qr().compute_thin_Q();
        let rows = (0..q.nrows()).flat_map(|row| (0..q.ncols()).map(move |column| (row, column)));
        Dense {
            width: q.ncols(),
            values: rows.map(|(row, column)| q[(row, column)]).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::op::with_threads;

    fn dense(rows: &[Vec<(u32, f32)>], columns: usize) -> Mat<f64> {
        let mut matrix = Mat::zeros(rows.len(), columns);
        for (at, row) in rows.iter().enumerate() {
            for (column, weight) in row {
                matrix[(at, *column as usize)] += f64::from(*weight);
            }
        }
        matrix
    }

    fn entries() -> impl Strategy<Value = Vec<Vec<(u32, f32)>>> {
        let row = prop::collection::btree_map(0u32..24, -2.0f32..2.0, 0..8);
        prop::collection::vec(row.prop_map(|row| row.into_iter().collect()), 1..40)
    }

    proptest! {
        #[test]
        fn values_are_those_of_the_dense_decomposition_and_likenesses_are_kept(rows in entries(), seed in 0u64..3) {
            let width = 24;
            let (projected, strengths) = Sparse::of_rows(&rows).leading(width, seed).unwrap();
            let matrix = dense(&rows, 24);
            let exact = matrix.singular_values().unwrap();
            for (place, strength) in strengths.iter().enumerate() {
                let expected = exact.get(place).copied().unwrap_or(0.0);
                prop_assert!((strength - expected).abs() < 1e-6, "{place}: {strength} {expected}");
            }
            // All directions are kept, so inner products of rows are those of the matrix.
            for one in 0..rows.len() {
                for other in 0..rows.len() {
                    let ours: f32 = (0..width).map(|at| projected[one * width + at] * projected[other * width + at]).sum();
                    let expected: f64 = (0..24).map(|at| matrix[(one, at)] * matrix[(other, at)]).sum();
                    prop_assert!((f64::from(ours) - expected).abs() < 1e-3, "{ours} {expected}");
                }
            }
        }
    }

    /// A matrix too wide to be found whole: 400 × 300 of falling strength.
    fn large() -> Vec<Vec<(u32, f32)>> {
        let row = |i: u32| {
            let entry = |j: u32| {
                let drawn = mix(u64::from(i) << 32 | u64::from(j)) % 1000;
                (drawn < 60).then(|| (j, 1.0 + drawn as f32 / (1.0 + j as f32)))
            };
            (0..300).filter_map(entry).collect()
        };
        (0..400).map(row).collect()
    }

    #[test]
    fn the_leading_values_of_a_larger_matrix_are_found() {
        let rows = large();
        let (projected, strengths) = Sparse::of_rows(&rows).leading(8, 1).unwrap();
        let exact = dense(&rows, 300).singular_values().unwrap();
        for (ours, expected) in strengths.iter().zip(exact) {
            assert!((ours / expected - 1.0).abs() < 0.02, "{ours} {expected}");
        }
        for place in 0..8 {
            let length: f64 = (0..400)
                .map(|row| f64::from(projected[row * 8 + place]).powi(2))
                .sum();
            assert!((length.sqrt() / strengths[place] - 1.0).abs() < 1e-4);
        }
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_threads_but_on_the_seed() {
        let rows = large();
        let found = |threads: usize, seed: u64| {
            with_threads(threads, || Sparse::of_rows(&rows).leading(16, seed).unwrap().0)
        };
        let one = found(1, 5);
        assert_eq!(one, found(2, 5));
        assert_eq!(one, found(3, 5));
        assert_ne!(one, found(1, 6));
    }

    #[test]
    fn a_matrix_of_nothing_has_vectors_of_zeros() {
        let (projected, strengths) = Sparse::of_rows(&[Vec::new(), Vec::new()]).leading(3, 0).unwrap();
        assert_eq!((projected, strengths), (vec![0.0; 6], vec![0.0; 3]));
    }
}
