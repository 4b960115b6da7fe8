//! The best approximation of an adapter at a smaller rank, without ever forming the dense update.
//!
//! With thin QR of both factors, `s B A = Q_B (s R_B R_Aᵀ) Q_Aᵀ`, so the SVD of the small core is the SVD of the update:
//! O((out + in) R²) where a dense SVD takes O(out · in · min(out, in)). Exact: Eckart and Young 1936.
//!
//! Where the factors' columns are well apart, as of adapters that were trained, R comes from their Gram matrix and Q is never made
//! (Cholesky QR); else from Householder's reflections.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::householder::{
    apply_block_householder_sequence_on_the_left_in_place_scratch,
    apply_block_householder_sequence_on_the_left_in_place_with_conj,
};
use faer::linalg::solvers::{Qr, Svd};
use faer::linalg::triangular_solve::solve_upper_triangular_in_place;
use faer::{Conj, Mat, MatRef, Par};

use super::cat::stack;
use super::long_side::{LongSide, Side};
use super::matrix::columns_times;
use super::scaled_by_one;
use crate::lora::{Adapter, LoraModule};
use crate::{Error, Result};

/// Each module cut to its `rank` largest singular values, as PEFT's `svd` lays them out: B = U S, A = Vᵀ.
///
/// Returns the adapter and the Frobenius norm, over all modules, of what was cut off: √Σ σ_j² for j > rank. A module of that rank or
/// a smaller one keeps all it has.
///
/// # Errors
/// A rank of 0, or factors that hold something other than finite numbers.
pub fn truncate(adapter: &Adapter, rank: usize) -> Result<(Adapter, f64)> {
    if rank == 0 {
        return Err(Error::Merge("a rank of 0; give at least 1".into()));
    }
    let mut cut = 0.0;
    let mut modules = BTreeMap::new();
    for (name, module) in &adapter.modules {
        let (kept, lost) = truncate_module(name, module, rank)?;
        cut += lost;
        modules.insert(name.clone(), kept);
    }
    let kept = Adapter {
        copies: adapter.copies.clone(),
        base: adapter.base.clone(),
        ..scaled_by_one(&adapter.config, modules, adapter.saved.clone())
    };
    Ok((kept, cut.sqrt()))
}

/// The singular values of a module's update, largest first.
///
/// # Errors
/// Factors that hold something other than finite numbers.
pub fn singular_values(name: &str, module: &LoraModule) -> Result<Vec<f64>> {
    Ok(values(&Decomposition::of(name, module)?.core))
}

/// A module cut to a rank, and the squares of the singular values that went, summed.
pub(super) fn truncate_module(name: &str, module: &LoraModule, rank: usize) -> Result<(LoraModule, f64)> {
    truncate_sum(name, &[(module, 1.0)], rank)
}

/// The same of a weighted sum of modules of one shape, `Σ w s B A`, whose factors are not put beside each other for it.
pub(super) fn truncate_sum(
    name: &str,
    parts: &[(&LoraModule, f64)],
    rank: usize,
) -> Result<(LoraModule, f64)> {
    match ByTriangles::of(name, parts)? {
        Some(found) => found.cut(rank),
        None => Decomposition::of(name, &stack(name, parts)?)?.cut(rank),
    }
}

/// Condition numbers above this one make the triangles of the Gram matrices too coarse: what they lose is its square times the rounding of
/// f64, which then stays below that of f32.
const CONDITION: f64 = 1e4;

/// The decomposition by the triangles R of both sides' Gram matrices, XᵀX = RᵀR: X R⁻¹ has orthonormal columns, and need not be made.
struct ByTriangles {
    b: LongSide,
    a: LongSide,
    /// R of B, and of A.
    triangles: [Mat<f64>; 2],
    /// Of the update in both sides' orthonormal columns.
    core: Svd<f64>,
}

impl ByTriangles {
    /// None where the factors of a side are nearly dependent, as of two members that are one.
    fn of(name: &str, parts: &[(&LoraModule, f64)]) -> Result<Option<Self>> {
        let modules: Vec<&LoraModule> = parts.iter().map(|(module, _)| *module).collect();
        let (b, a) = (LongSide::of(Side::B, &modules)?, LongSide::of(Side::A, &modules)?);
        let grams = [b.gram()?, a.gram()?];
        // Of finite numbers in f32 no square is beyond f64.
        let finite = grams
            .iter()
            .all(|gram| (0..gram.nrows()).all(|at| gram[(at, at)].is_finite()));
        if !finite
            || !parts
                .iter()
                .all(|(module, weight)| (module.scale * weight).is_finite())
        {
            return Err(not_finite(name));
        }
        let [Some(of_b), Some(of_a)] = grams.each_ref().map(triangle) else {
            return Ok(None);
        };
        let factors = parts
            .iter()
            .enumerate()
            .flat_map(|(part, (module, weight))| b.columns_of(part).map(move |_| module.scale * weight));
        let weighed = columns_times(of_b.as_ref(), &factors.collect::<Vec<f64>>());
        let core = (weighed * of_a.transpose())
            .thin_svd()
            .map_err(|_| not_finite(name))?;
        Ok(Some(ByTriangles {
            b,
            a,
            triangles: [of_b, of_a],
            core,
        }))
    }

    fn cut(&self, rank: usize) -> Result<(LoraModule, f64)> {
        let values = values(&self.core);
        let (kept, lost) = cut_off(&values, rank);
        let within = |triangle: &Mat<f64>, mut small: Mat<f64>| {
            solve_upper_triangular_in_place(triangle.as_ref(), small.as_mut(), Par::Seq);
            small
        };
        let [of_b, of_a] = &self.triangles;
        let left = columns_times(self.core.U().get(.., ..kept), &values[..kept]);
        let right = self.core.V().get(.., ..kept).to_owned();
        let module = LoraModule {
            b: self.b.factor(within(of_b, left).as_ref())?,
            a: self.a.factor(within(of_a, right).as_ref())?,
            scale: 1.0,
        };
        Ok((module, lost))
    }
}

/// R of XᵀX = RᵀR; none where the columns of X, all made as long as each other, are dependent or nearly so.
fn triangle(gram: &Mat<f64>) -> Option<Mat<f64>> {
    let count = gram.nrows();
    let lengths: Vec<f64> = (0..count).map(|at| gram[(at, at)].sqrt()).collect();
    if lengths.contains(&0.0) {
        return None;
    }
    let of_one_length = Mat::from_fn(count, count, |row, column| {
        gram[(row, column)] / (lengths[row] * lengths[column])
    });
    let lower = of_one_length.llt(faer::Side::Lower).ok()?;
    let triangle = Mat::from_fn(count, count, |row, column| match row <= column {
        true => lower.L()[(column, row)],
        false => 0.0,
    });
    let values = triangle.singular_values().ok()?;
    let (largest, least) = (values.first()?, values.last()?);
    (largest / least <= CONDITION).then(|| columns_times(triangle.as_ref(), &lengths))
}

/// How many of the singular values stay, and the squares of the others, summed.
fn cut_off(values: &[f64], rank: usize) -> (usize, f64) {
    let kept = rank.min(values.len());
    (kept, values[kept..].iter().map(|value| value * value).sum())
}

fn values(core: &Svd<f64>) -> Vec<f64> {
    core.S().column_vector().iter().copied().collect()
}

fn not_finite(name: &str) -> Error {
    Error::Merge(format!(
        "{name} holds something other than finite numbers; train it again"
    ))
}

/// The decomposition by QR of both sides, however dependent their columns are. The singular vectors are the columns of `Q_B U` and of
/// `Q_A V`.
struct Decomposition {
    left: Qr<f64>,
    right: Qr<f64>,
    core: Svd<f64>,
}

impl Decomposition {
    fn of(name: &str, module: &LoraModule) -> Result<Self> {
        module.shape()?;
        let (b, a) = (matrix(&module.b)?, matrix(&module.a.t()?)?);
        let finite = |m: &Mat<f64>| {
            m.col_iter()
                .all(|column| column.iter().all(|value| value.is_finite()))
        };
        if !finite(&b) || !finite(&a) || !module.scale.is_finite() {
            return Err(not_finite(name));
        }
        let (left, right) = (b.qr(), a.qr());
        let core = faer::Scale(module.scale) * (left.thin_R() * right.thin_R().transpose());
        let core = core.thin_svd().map_err(|_| not_finite(name))?;
        Ok(Decomposition { left, right, core })
    }

    fn cut(&self, rank: usize) -> Result<(LoraModule, f64)> {
        let values = values(&self.core);
        let (kept, lost) = cut_off(&values, rank);
        // No more of the vectors is made than what is kept of them.
        let left = times(&self.left, self.core.U().get(.., ..kept));
        let right = times(&self.right, self.core.V().get(.., ..kept));
        let b = tensor(left.nrows(), kept, |row, column| {
            left[(row, column)] * values[column]
        })?;
        let a = tensor(kept, right.nrows(), |row, column| right[(column, row)])?;
        Ok((LoraModule { a, b, scale: 1.0 }, lost))
    }
}

/// Q times a matrix of as many rows as Q has columns.
fn times(qr: &Qr<f64>, small: MatRef<f64>) -> Mat<f64> {
    let (rows, columns) = (qr.Q_basis().nrows(), small.ncols());
    let mut product = Mat::from_fn(rows, columns, |row, column| match row < small.nrows() {
        true => small[(row, column)],
        false => 0.0,
    });
    let scratch = apply_block_householder_sequence_on_the_left_in_place_scratch::<f64>(
        rows,
        qr.Q_coeff().nrows(),
        columns,
    );
    apply_block_householder_sequence_on_the_left_in_place_with_conj(
        qr.Q_basis(),
        qr.Q_coeff(),
        Conj::No,
        product.as_mut(),
        faer::get_global_parallelism(),
        MemStack::new(&mut MemBuffer::new(scratch)),
    );
    product
}

/// In f64, so that small singular values survive beside large ones.
fn matrix(tensor: &Tensor) -> Result<Mat<f64>> {
    let (rows, columns) = tensor.dims2()?;
    let values = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    Ok(Mat::from_fn(rows, columns, |row, column| {
        values[row * columns + column]
    }))
}

fn tensor(rows: usize, columns: usize, value: impl Fn(usize, usize) -> f64) -> Result<Tensor> {
    let values: Vec<f32> = (0..rows)
        .flat_map(|row| (0..columns).map(move |column| (row, column)))
        .map(|(r, c)| value(r, c) as f32)
        .collect();
    Ok(Tensor::from_vec(values, (rows, columns), &Device::Cpu)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::merge::receipt::difference;
    use crate::merge::tests::{Q, adapter};

    #[test]
    fn both_decompositions_cut_to_the_same_and_dependent_factors_are_for_reflections() {
        let (one, two) = (adapter(1, 3, 4.0, &[Q]), adapter(2, 2, 4.0, &[Q]));
        let parts = [(&one.modules[Q], 0.7), (&two.modules[Q], -0.4)];
        let (by_triangles, lost) = ByTriangles::of(Q, &parts).unwrap().unwrap().cut(2).unwrap();
        let whole = Decomposition::of(Q, &stack(Q, &parts).unwrap()).unwrap();
        let (by_reflections, lost_too) = whole.cut(2).unwrap();
        assert!((lost - lost_too).abs() < 1e-6 * lost);
        let alone = |module| Adapter::new(one.config.clone(), BTreeMap::from([(Q.to_string(), module)]));
        let (apart, _) = difference(&alone(by_triangles), &alone(by_reflections)).unwrap();
        assert!(apart < 1e-6, "{apart}");
        let twice = [(&one.modules[Q], 0.7), (&one.modules[Q], 0.3)];
        assert!(ByTriangles::of(Q, &twice).unwrap().is_none());
        let (again, lost) = truncate_sum(Q, &twice, 3).unwrap();
        let (apart, _) = difference(&alone(again), &one).unwrap();
        assert!(apart < 1e-6 && lost < 1e-9, "{apart} {lost}");
    }
}
