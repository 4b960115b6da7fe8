//! Matrices in f64, row by row, and the little linear algebra that merging needs.

use candle_core::{DType, Device, Tensor};
use faer::{Mat, MatRef};

use crate::{Error, Result};

/// Singular values below this share of the largest are rounding.
const TRUE_SHARE: f64 = 1e-10;

/// A dense matrix. In f64, so that what is small beside the largest entries survives sums of many; it is rounded once, at the end.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// The entries, row by row.
    pub values: Vec<f64>,
}

impl Matrix {
    /// A matrix of zeros.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Matrix {
            rows,
            columns,
            values: vec![0.0; rows * columns],
        }
    }

    /// The values of a tensor of two dimensions.
    ///
    /// # Errors
    /// A tensor of another number of dimensions.
    pub fn of(tensor: &Tensor) -> Result<Self> {
        let (rows, columns) = tensor.dims2()?;
        let values = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        Ok(Matrix {
            rows,
            columns,
            values,
        })
    }

    /// Rounded to f32, on the CPU.
    ///
    /// # Errors
    /// Only if the tensor cannot be made.
    pub fn tensor(&self) -> Result<Tensor> {
        let values: Vec<f32> = self.values.iter().map(|value| *value as f32).collect();
        Ok(Tensor::from_vec(values, (self.rows, self.columns), &Device::Cpu)?)
    }

    pub(super) fn of_view(view: MatRef<'_, f64>) -> Self {
        let (rows, columns) = view.shape();
        // Of the size that is known: what grows by doubling would hold up to twice as much.
        let mut values = Vec::with_capacity(rows * columns);
        values.extend((0..rows).flat_map(|row| (0..columns).map(move |column| view[(row, column)])));
        Matrix {
            rows,
            columns,
            values,
        }
    }

    pub(super) fn view(&self) -> MatRef<'_, f64> {
        MatRef::from_row_major_slice(&self.values, self.rows, self.columns)
    }

    /// The root of the sum of the squares.
    pub fn norm(&self) -> f64 {
        self.values.iter().map(|value| value * value).sum::<f64>().sqrt()
    }

    /// Adds `factor` times another of the same shape.
    pub fn add(&mut self, other: &Matrix, factor: f64) {
        debug_assert_eq!((self.rows, self.columns), (other.rows, other.columns));
        for (sum, value) in self.values.iter_mut().zip(&other.values) {
            *sum += factor * value;
        }
    }

    /// Multiplies every entry.
    pub fn scale(&mut self, factor: f64) {
        self.values.iter_mut().for_each(|value| *value *= factor);
    }

    /// The entries' absolute values, summed.
    pub fn absolute(&self) -> f64 {
        self.values.iter().map(|value| value.abs()).sum()
    }
}

/// A singular value decomposition without the zeros.
pub(super) struct Svd {
    /// `(rows, k)`, orthonormal columns.
    pub left: Mat<f64>,
    /// Largest first, all above rounding.
    pub values: Vec<f64>,
    /// `(columns, k)`, orthonormal columns.
    pub right: Mat<f64>,
}

/// The decomposition of a matrix into what is of it: as many triplets as its rank, none where it is zero.
///
/// # Errors
/// Entries that are no numbers.
pub(super) fn svd(matrix: MatRef<'_, f64>) -> Result<Svd> {
    let failure = || Error::Merge("a matrix holds something other than finite numbers".into());
    let finite = matrix
        .col_iter()
        .all(|column| column.iter().all(|value| value.is_finite()));
    if !finite {
        return Err(failure());
    }
    let (rows, columns) = matrix.shape();
    if rows == 0 || columns == 0 {
        return Ok(Svd {
            left: Mat::zeros(rows, 0),
            values: Vec::new(),
            right: Mat::zeros(columns, 0),
        });
    }
    let full = matrix.thin_svd().map_err(|_| failure())?;
    let all: Vec<f64> = full.S().column_vector().iter().copied().collect();
    let least = all.first().copied().unwrap_or(0.0) * TRUE_SHARE;
    let rank = all
        .iter()
        .take_while(|value| **value > least && **value > 0.0)
        .count();
    Ok(Svd {
        left: full.U().subcols(0, rank).to_owned(),
        values: all[..rank].to_vec(),
        right: full.V().subcols(0, rank).to_owned(),
    })
}

/// The nearest matrix with orthonormal columns (or rows, where it is wide), within its own span: the polar factor U Vᵀ of U S Vᵀ.
///
/// # Errors
/// As [`svd`].
pub(super) fn polar(matrix: MatRef<'_, f64>) -> Result<Mat<f64>> {
    let parts = svd(matrix)?;
    Ok(&parts.left * parts.right.transpose())
}

/// The columns of a matrix, each times a number.
pub(super) fn columns_times(matrix: MatRef<'_, f64>, factors: &[f64]) -> Mat<f64> {
    Mat::from_fn(matrix.nrows(), factors.len(), |row, column| {
        matrix[(row, column)] * factors[column]
    })
}

/// Matrices of as many rows side by side.
pub(super) fn beside(parts: &[Mat<f64>]) -> Mat<f64> {
    let rows = parts.iter().map(Mat::nrows).max().unwrap_or(0);
    let starts: Vec<(usize, usize)> = parts
        .iter()
        .enumerate()
        .flat_map(|(part, matrix)| (0..matrix.ncols()).map(move |column| (part, column)))
        .collect();
    Mat::from_fn(rows, starts.len(), |row, column| {
        let (part, own) = starts[column];
        parts[part][(row, own)]
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn example() -> Matrix {
        // Of rank 2: the third row is the sum of the others.
        Matrix {
            rows: 3,
            columns: 4,
            values: vec![1.0, 2.0, 0.0, -1.0, 0.5, 0.0, 3.0, 1.0, 1.5, 2.0, 3.0, 0.0],
        }
    }

    #[test]
    fn a_decomposition_has_the_rank_of_the_matrix_and_makes_it_again() {
        let matrix = example();
        let parts = svd(matrix.view()).unwrap();
        assert_eq!(parts.values.len(), 2);
        let again = columns_times(parts.left.as_ref(), &parts.values) * parts.right.transpose();
        let mut error = Matrix::of_view(again.as_ref());
        error.add(&matrix, -1.0);
        assert!(error.norm() < 1e-12);
        for (rows, columns) in [(2, 3), (0, 3), (2, 0), (0, 0)] {
            let parts = svd(Matrix::zeros(rows, columns).view()).unwrap();
            assert_eq!(
                (parts.left.shape(), parts.right.shape()),
                ((rows, 0), (columns, 0))
            );
        }
        let mut broken = example();
        broken.values[0] = f64::NAN;
        assert!(svd(broken.view()).is_err());
    }

    #[test]
    fn the_polar_factor_of_independent_columns_is_orthonormal() {
        let tall = Matrix {
            rows: 3,
            columns: 2,
            values: vec![2.0, 1.0, 0.0, 1.0, 0.0, 0.5],
        };
        let factor = polar(tall.view()).unwrap();
        let gram = factor.transpose() * &factor;
        for row in 0..2 {
            for column in 0..2 {
                assert!((gram[(row, column)] - f64::from(u8::from(row == column))).abs() < 1e-12);
            }
        }
    }
}
