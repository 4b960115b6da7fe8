//! The best approximation of an adapter at a smaller rank, without ever forming the dense update.
//!
//! With thin QR of both factors, `s B A = Q_B (s R_B R_Aᵀ) Q_Aᵀ`, so the SVD of the small core is the SVD of the update:
//! O((out + in) R²) where a dense SVD takes O(out · in · min(out, in)). Exact: Eckart and Young 1936.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::householder::{
    apply_block_householder_sequence_on_the_left_in_place_scratch,
    apply_block_householder_sequence_on_the_left_in_place_with_conj,
};
use faer::linalg::solvers::{Qr, Svd};
use faer::{Conj, Mat, MatRef};

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
    Ok(Decomposition::of(name, module)?.values())
}

/// The singular vectors are the columns of `Q_B U` and of `Q_A V`.
struct Decomposition {
    left: Qr<f64>,
    right: Qr<f64>,
    core: Svd<f64>,
}

pub(super) fn truncate_module(name: &str, module: &LoraModule, rank: usize) -> Result<(LoraModule, f64)> {
    let found = Decomposition::of(name, module)?;
    let values = found.values();
    let kept = rank.min(values.len());
    let lost = values[kept..].iter().map(|value| value * value).sum();
    // No more of the vectors is made than what is kept of them.
    let left = times(&found.left, found.core.U().get(.., ..kept));
    let right = times(&found.right, found.core.V().get(.., ..kept));
    let b = tensor(left.nrows(), kept, |row, column| {
        left[(row, column)] * values[column]
    })?;
    let a = tensor(kept, right.nrows(), |row, column| right[(column, row)])?;
    Ok((LoraModule { a, b, scale: 1.0 }, lost))
}

impl Decomposition {
    fn of(name: &str, module: &LoraModule) -> Result<Self> {
        module.shape()?;
        let failure = || {
            Error::Merge(format!(
                "{name} holds something other than finite numbers; train it again"
            ))
        };
        let (b, a) = (matrix(&module.b)?, matrix(&module.a.t()?)?);
        let finite = |m: &Mat<f64>| {
            m.col_iter()
                .all(|column| column.iter().all(|value| value.is_finite()))
        };
        if !finite(&b) || !finite(&a) || !module.scale.is_finite() {
            return Err(failure());
        }
        let (left, right) = (b.qr(), a.qr());
        let core = faer::Scale(module.scale) * (left.thin_R() * right.thin_R().transpose());
        let core = core.thin_svd().map_err(|_| failure())?;
        Ok(Decomposition { left, right, core })
    }

    /// Largest first.
    fn values(&self) -> Vec<f64> {
        self.core.S().column_vector().iter().copied().collect()
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
