//! The updates themselves, one module at a time: a rule of entries makes of low ranks any rank.
//!
//! What it makes is folded whole, or cut to a rank by a singular value decomposition, which is the nearest there is of that rank.

use faer::Mat;
use rand::RngExt;

use super::{Here, Update};
use crate::Result;
use crate::lora::LoraModule;
use crate::merge::align::Site;
use crate::merge::draw::keyed;
use crate::merge::matrix::{Matrix, columns_times, svd};
use crate::merge::rule::Matrices;

/// Up to this size the decomposition is that of the whole matrix; above it, of the subspace that some steps of iteration find.
const SMALL: usize = 768;
/// Directions beyond the rank that is asked for.
const BEYOND: usize = 16;
/// Steps of the iteration.
const STEPS: usize = 8;

pub(super) fn merge(rule: &dyn Matrices, here: Here) -> Result<Update> {
    let members = (0..here.site.factors.len()).collect();
    let matrices = here
        .site
        .factors
        .iter()
        .map(|factors| update(here.site, *factors));
    let matrices = matrices.collect::<Result<Vec<Matrix>>>()?;
    Ok(Update::Dense(
        rule.merge(here.inputs("delta", members, matrices))?,
    ))
}

/// `s B A`, or zeros where a member does not adapt the module.
pub(in crate::merge) fn update(site: &Site, factors: Option<&LoraModule>) -> Result<Matrix> {
    let (rows, columns) = site.shape;
    let Some(module) = factors else {
        return Ok(Matrix::zeros(rows, columns));
    };
    let (b, a) = super::scaled(module)?;
    Ok(Matrix::of_view((&b * &a).as_ref()))
}

/// The nearest matrix of a rank, as PEFT's `svd` lays its factors out (B = U S, A = Vᵀ), and the Frobenius norm of what is cut off.
///
/// # Errors
/// Entries that are no numbers.
pub(in crate::merge) fn cut(matrix: &Matrix, rank: usize) -> Result<(Mat<f64>, Mat<f64>, f64)> {
    let (left, parts) = match subspace(matrix.rows.min(matrix.columns), rank) {
        None => (None, svd(matrix.view())?),
        Some(count) => {
            let basis = leading(matrix, count);
            let within = basis.transpose() * matrix.view();
            (Some(basis), svd(within.as_ref())?)
        }
    };
    let kept = rank.min(parts.values.len());
    let values = &parts.values[..kept];
    let squares: f64 = values.iter().map(|value| value * value).sum();
    let all = matrix.norm();
    let lost = match left {
        None => parts.values[kept..].iter().map(|value| value * value).sum(),
        Some(_) => (all * all - squares).max(0.0),
    };
    if kept == 0 {
        return Ok((
            Mat::zeros(matrix.rows, 1),
            Mat::zeros(1, matrix.columns),
            f64::sqrt(lost),
        ));
    }
    let left = match left {
        None => parts.left,
        Some(basis) => &basis * &parts.left,
    };
    let b = columns_times(left.subcols(0, kept), values);
    let a = parts.right.subcols(0, kept).transpose().to_owned();
    Ok((b, a, f64::sqrt(lost)))
}

/// How many directions are looked for to cut a matrix whose smaller side is `small` to a rank; none: all, by its whole decomposition.
pub(in crate::merge) fn subspace(small: usize, rank: usize) -> Option<usize> {
    (small > SMALL && rank + BEYOND < small).then_some(rank + BEYOND)
}

/// An orthonormal basis that nearly holds the `count` leading left singular vectors (Halko, Martinsson and Tropp 2011).
fn leading(matrix: &Matrix, count: usize) -> Mat<f64> {
    let mut rng = keyed(0, &["subspace"]);
    let start = Mat::from_fn(matrix.columns, count, |_, _| rng.random::<f64>() - 0.5);
    let view = matrix.view();
    let mut basis = (view * start).qr().compute_thin_Q();
    for _ in 0..STEPS {
        let back = (view.transpose() * &basis).qr().compute_thin_Q();
        basis = (view * back).qr().compute_thin_Q();
    }
    basis
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_large_matrix_is_cut_as_well_as_a_small_one() {
        let mut rng = keyed(1, &["matrix"]);
        let columns = SMALL + 60;
        // 20 directions of falling strength, and noise below them.
        let mut draw =
            |rows: usize, columns: usize| Mat::from_fn(rows, columns, |_, _| rng.random::<f64>() - 0.5);
        let (left, right, noise) = (draw(columns, 20), draw(columns, 20), draw(columns, columns));
        let strengths: Vec<f64> = (0..20).map(|place| 1.0 / f64::from(1 + place)).collect();
        let strong = columns_times(left.as_ref(), &strengths) * right.transpose();
        let matrix = Matrix::of_view((&strong + faer::Scale(1e-3) * &noise).as_ref());
        let (b, a, lost) = cut(&matrix, 12).unwrap();
        let exact = svd(matrix.view()).unwrap();
        let least: f64 = exact.values[12..].iter().map(|value| value * value).sum();
        assert!(
            (lost / f64::sqrt(least) - 1.0).abs() < 1e-6,
            "{lost} {}",
            f64::sqrt(least)
        );
        let mut rest = Matrix::of_view((&b * &a).as_ref());
        rest.add(&matrix, -1.0);
        assert!((rest.norm() / lost - 1.0).abs() < 1e-6);
    }
}
