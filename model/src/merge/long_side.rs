//! Products over the long side of factors, in f64, straight from the f32 that they lie in: a piece at a time, which stays in the nearest
//! memory, so that no factor is ever copied as a whole.

use candle_core::{DType, Device, Tensor};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

use crate::Result;
use crate::lora::LoraModule;
use crate::op::with_values_of;

/// Rows or columns that are converted at a time.
const PIECE: usize = 512;

/// Which of the two factors: the long side of B are its rows, that of A its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    B,
    A,
}

/// The factors of one side of some updates of a module beside each other: a matrix X of the long side's length and as many columns as
/// the ranks come to.
#[derive(Debug)]
pub(super) struct LongSide {
    side: Side,
    factors: Vec<Tensor>,
    /// Where the columns of each factor begin, and at the end how many there are.
    starts: Vec<usize>,
    length: usize,
}

impl LongSide {
    /// Of modules of one shape.
    pub fn of(side: Side, modules: &[&LoraModule]) -> Result<Self> {
        let (mut factors, mut starts, mut length) = (Vec::with_capacity(modules.len()), vec![0], 0);
        for module in modules {
            let (out, input) = module.shape()?;
            let factor = match side {
                Side::B => &module.b,
                Side::A => &module.a,
            };
            // Nothing moves: factors are kept as they come from a file.
            factors.push(
                factor
                    .to_device(&Device::Cpu)?
                    .to_dtype(DType::F32)?
                    .contiguous()?,
            );
            length = if side == Side::B { out } else { input };
            starts.push(starts[starts.len() - 1] + module.rank());
        }
        Ok(LongSide {
            side,
            factors,
            starts,
            length,
        })
    }

    /// The columns of X that a factor has.
    pub fn columns_of(&self, factor: usize) -> std::ops::Range<usize> {
        self.starts[factor]..self.starts[factor + 1]
    }

    fn columns(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    /// Gives each piece of X with the number of its first row, in their order.
    fn pieces(&self, mut take: impl FnMut(usize, MatRef<'_, f64>)) -> Result<()> {
        let columns = self.columns();
        let mut piece = vec![0.0; PIECE.min(self.length) * columns];
        with_values_of(&self.factors, "merging", |factors| {
            let mut start = 0;
            while start < self.length {
                let count = PIECE.min(self.length - start);
                let piece = &mut piece[..count * columns];
                for (values, first) in factors.iter().zip(&self.starts) {
                    let rank = values.len() / self.length;
                    let own = &mut piece[first * count..(first + rank) * count];
                    match self.side {
                        Side::A => {
                            for (own, row) in
                                own.chunks_exact_mut(count).zip(values.chunks_exact(self.length))
                            {
                                for (own, value) in own.iter_mut().zip(&row[start..start + count]) {
                                    *own = f64::from(*value);
                                }
                            }
                        }
                        Side::B => {
                            let rows = values[start * rank..(start + count) * rank].chunks_exact(rank);
                            for (at, row) in rows.enumerate() {
                                for (column, value) in row.iter().enumerate() {
                                    own[column * count + at] = f64::from(*value);
                                }
                            }
                        }
                    }
                }
                take(start, MatRef::from_column_major_slice(piece, count, columns));
                start += count;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// XᵀX.
    pub fn gram(&self) -> Result<Mat<f64>> {
        let mut gram = Mat::zeros(self.columns(), self.columns());
        self.pieces(|_, piece| {
            matmul(&mut gram, Accum::Add, piece.transpose(), piece, 1.0, Par::Seq);
        })?;
        Ok(gram)
    }

    /// Xᵀ times a matrix of as many rows as the long side has.
    pub fn transposed_times(&self, right: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let mut product = Mat::zeros(self.columns(), right.ncols());
        self.pieces(|start, piece| {
            let right = right.subrows(start, piece.nrows());
            matmul(&mut product, Accum::Add, piece.transpose(), right, 1.0, Par::Seq);
        })?;
        Ok(product)
    }

    /// X times a small matrix.
    pub fn times(&self, small: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let mut product = Mat::zeros(self.length, small.ncols());
        self.pieces(|start, piece| {
            let rows = product.as_mut().subrows_mut(start, piece.nrows());
            matmul(rows, Accum::Replace, piece, small, 1.0, Par::Seq);
        })?;
        Ok(product)
    }

    /// The same as a factor of this side, rounded to f32: `(out, k)` of B, `(k, in)` of A.
    pub fn factor(&self, small: MatRef<'_, f64>) -> Result<Tensor> {
        let (length, rank) = (self.length, small.ncols());
        let mut values = vec![0f32; length * rank];
        let mut product = vec![0.0; PIECE.min(length) * rank];
        self.pieces(|start, piece| {
            let count = piece.nrows();
            let product = &mut product[..count * rank];
            let target = MatMut::from_column_major_slice_mut(product, count, rank);
            matmul(target, Accum::Replace, piece, small, 1.0, Par::Seq);
            for (column, product) in product.chunks_exact(count).enumerate() {
                for (at, value) in product.iter().enumerate() {
                    let place = match self.side {
                        Side::B => (start + at) * rank + column,
                        Side::A => column * length + start + at,
                    };
                    values[place] = *value as f32;
                }
            }
        })?;
        let shape = match self.side {
            Side::B => (length, rank),
            Side::A => (rank, length),
        };
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::merge::matrix::Matrix;

    /// Lengths around the pieces' ends, and ranks of their own.
    fn modules(out: usize, input: usize) -> Vec<LoraModule> {
        let tensor = |rows: usize, columns: usize, seed: usize| {
            let value = |place: usize| (((place + 1) * (seed + 7)) as f32).sin();
            let values: Vec<f32> = (0..rows * columns).map(value).collect();
            Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
        };
        let module = |(seed, rank): (usize, usize)| LoraModule {
            a: tensor(rank, input, seed),
            b: tensor(out, rank, seed + 1),
            scale: 2.0,
        };
        [(1, 3), (2, 1), (3, 4)].map(module).into()
    }

    /// X laid out.
    fn whole(side: Side, modules: &[LoraModule]) -> Mat<f64> {
        let parts = modules.iter().map(|module| match side {
            Side::B => Matrix::of(&module.b).unwrap().view().to_owned(),
            Side::A => Matrix::of(&module.a).unwrap().view().transpose().to_owned(),
        });
        crate::merge::matrix::beside(&parts.collect::<Vec<_>>())
    }

    #[test]
    fn products_are_those_of_the_whole_side() {
        for (out, input) in [(1, 2), (PIECE, PIECE + 1), (2 * PIECE + 3, PIECE - 1)] {
            let modules = modules(out, input);
            let all: Vec<&LoraModule> = modules.iter().collect();
            for side in [Side::B, Side::A] {
                let (ours, whole) = (LongSide::of(side, &all).unwrap(), whole(side, &modules));
                let near = |ours: &Mat<f64>, expected: &Mat<f64>| {
                    assert_eq!(ours.shape(), expected.shape());
                    assert!((ours - expected).norm_max() <= 1e-9 * (1.0 + expected.norm_max()));
                };
                let small = Mat::from_fn(8, 2, |row, column| (row + 3 * column) as f64);
                let long = Mat::from_fn(whole.nrows(), 2, |row, column| (row % 5 + column) as f64);
                near(&ours.gram().unwrap(), &(whole.transpose() * &whole));
                near(&ours.times(small.as_ref()).unwrap(), &(&whole * &small));
                near(
                    &ours.transposed_times(long.as_ref()).unwrap(),
                    &(whole.transpose() * &long),
                );
                let factor = Matrix::of(&ours.factor(small.as_ref()).unwrap()).unwrap();
                let laid_out = match side {
                    Side::B => factor.view().to_owned(),
                    Side::A => factor.view().transpose().to_owned(),
                };
                let gap = (&laid_out - &whole * &small).norm_max();
                assert!(gap <= 1e-5, "{gap}");
                assert_eq!(ours.columns_of(2), 4..8);
            }
        }
    }

    #[test]
    fn factors_that_lie_transposed_are_read_as_they_count() {
        let mut modules = modules(5, 6);
        let expected = whole(Side::A, &modules);
        for module in &mut modules {
            module.a = module.a.t().unwrap().contiguous().unwrap().t().unwrap();
        }
        let all: Vec<&LoraModule> = modules.iter().collect();
        let gram = LongSide::of(Side::A, &all).unwrap().gram().unwrap();
        assert!((gram - expected.transpose() * &expected).norm_max() < 1e-9);
    }
}
