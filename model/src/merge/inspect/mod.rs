//! How alike the updates of adapters are, module by module, before anything is merged: norms, ranks, cosines, subspaces and signs.
//!
//! With thin QR of both factors and an SVD of the small core, `s B A = U S Vᵀ`, two updates have the inner product
//! `Σ σ_a σ'_b (U_aᵀ U'_b)(V_aᵀ V'_b)`, and the singular values of `Uᵀ U'` and `Vᵀ V'` are the cosines of the principal angles between
//! what they write to and what they read from (Björck and Golub 1973). Nothing of this makes an update dense. Whether signs
//! [conflict](signs) can only be seen entry by entry.

mod group;
pub mod signs;
#[cfg(test)]
mod tests;

use faer::Mat;
use rayon::prelude::*;
use serde::Serialize;

use self::signs::Signs;
use super::align::{Aligned, Site};
use super::matrix::{Matrix, columns_times, svd};
use crate::Result;
use crate::lora::LoraModule;

pub use group::{Group, GroupPair, by_kind, by_layer, total};

/// How alike the updates in a module are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModuleInspection {
    /// Path of the module.
    pub module: String,
    /// `[out, in]`.
    pub shape: [usize; 2],
    /// Rank of each adapter's factors; 0 where it does not adapt the module.
    pub ranks: Vec<usize>,
    /// Rank of each update: how many singular values are above the rounding of f32, as NumPy counts them.
    pub true_ranks: Vec<usize>,
    /// Frobenius norm of each update, its scale included.
    pub norms: Vec<f64>,
    /// Each two adapters that both change the module.
    pub pairs: Vec<Pair>,
    /// Rows that were looked at for signs, of `out`.
    pub rows_seen: usize,
}

/// Two adapters in a module.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// The places of the two.
    pub adapters: [usize; 2],
    /// Inner product of the updates.
    pub inner: f64,
    /// Cosine of the updates as vectors: 1 same direction, 0 nothing in common, −1 opposite.
    pub cosine: f64,
    /// Entries that both change, and of these those where one goes up and the other down.
    pub signs: Signs,
    /// What they write to: the column spaces.
    pub outputs: Overlap,
    /// What they read from: the row spaces.
    pub inputs: Overlap,
}

/// How much of two subspaces is common.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overlap {
    /// Cosines of the principal angles, the largest first: as many as the smaller subspace has dimensions.
    pub cosines: Vec<f64>,
    /// Mean of their squares, the share of the smaller subspace that lies in the other: 1 inside, 0 orthogonal.
    pub share: f64,
    /// The share that subspaces of these dimensions have by chance.
    pub by_chance: f64,
}

/// Compares the updates of adapters, module by module.
///
/// # Errors
/// Factors that hold something other than finite numbers.
pub fn inspect(members: &Aligned) -> Result<Vec<ModuleInspection>> {
    members.sites().map(|site| module(&site)).collect()
}

fn module(site: &Site) -> Result<ModuleInspection> {
    let (out, input) = site.shape;
    let spectra = site.factors.par_iter();
    let spectra: Vec<Option<Spectrum>> = spectra
        .map(|factors| {
            factors
                .map(|module| Spectrum::of(site.name(), module))
                .transpose()
        })
        .collect::<Result<_>>()?;
    let (signs, rows_seen) = signs::of(site)?;
    let mut pairs = Vec::new();
    for (adapters, signs) in signs {
        if let [Some(one), Some(other)] = adapters.map(|place| spectra[place].as_ref())
            && !one.values.is_empty()
            && !other.values.is_empty()
        {
            pairs.push(pair(adapters, signs, (one, other), (out, input))?);
        }
    }
    let of = |what: fn(&Spectrum) -> f64| spectra.iter().map(move |s| s.as_ref().map_or(0.0, what));
    Ok(ModuleInspection {
        module: site.name().to_string(),
        shape: [out, input],
        ranks: site.ranks(),
        true_ranks: of(|spectrum| spectrum.values.len() as f64)
            .map(|rank| rank as usize)
            .collect(),
        norms: of(Spectrum::norm).collect(),
        pairs,
        rows_seen,
    })
}

/// The decomposition of an update into what is of it.
struct Spectrum {
    /// `(out, k)`, orthonormal columns.
    left: Mat<f64>,
    /// Largest first.
    values: Vec<f64>,
    /// `(in, k)`, orthonormal columns.
    right: Mat<f64>,
}

impl Spectrum {
    fn of(name: &str, module: &LoraModule) -> Result<Self> {
        let (out, input) = module.shape()?;
        let (b, a) = (Matrix::of(&module.b)?, Matrix::of(&module.a.t()?)?);
        let (b, a) = (b.view().qr(), a.view().qr());
        let core = faer::Scale(module.scale) * (b.thin_R() * a.thin_R().transpose());
        let parts = svd(core.as_ref()).map_err(|_| {
            crate::Error::Merge(format!(
                "{name} holds something other than finite numbers; train it again"
            ))
        })?;
        // The factors are f32, and no more of an update is known than they say.
        let largest = parts.values.first().copied().unwrap_or(0.0);
        let least = largest * f64::from(f32::EPSILON) * out.max(input) as f64;
        let rank = parts.values.iter().take_while(|value| **value > least).count();
        Ok(Spectrum {
            left: b.compute_thin_Q() * parts.left.subcols(0, rank),
            right: a.compute_thin_Q() * parts.right.subcols(0, rank),
            values: parts.values[..rank].to_vec(),
        })
    }

    fn norm(&self) -> f64 {
        self.values.iter().map(|value| value * value).sum::<f64>().sqrt()
    }
}

fn pair(
    adapters: [usize; 2],
    signs: Signs,
    (one, other): (&Spectrum, &Spectrum),
    (out, input): (usize, usize),
) -> Result<Pair> {
    let outputs = one.left.transpose() * &other.left;
    let inputs = one.right.transpose() * &other.right;
    let weighed = columns_times(outputs.as_ref(), &other.values);
    let mut inner = 0.0;
    for (row, value) in one.values.iter().enumerate() {
        let products = (0..other.values.len()).map(|column| weighed[(row, column)] * inputs[(row, column)]);
        inner += value * products.sum::<f64>();
    }
    Ok(Pair {
        adapters,
        inner,
        cosine: (inner / (one.norm() * other.norm())).clamp(-1.0, 1.0),
        signs,
        outputs: overlap(&outputs, out)?,
        inputs: overlap(&inputs, input)?,
    })
}

/// Of subspaces of so many dimensions in all, by the products of their orthonormal bases.
fn overlap(products: &Mat<f64>, dimensions: usize) -> Result<Overlap> {
    let (one, other) = products.shape();
    let smaller = one.min(other);
    let mut cosines: Vec<f64> = svd(products.as_ref())?
        .values
        .iter()
        .map(|value| value.min(1.0))
        .collect();
    // What is orthogonal has no place in a decomposition without zeros.
    cosines.resize(smaller, 0.0);
    let share = cosines.iter().map(|cosine| cosine * cosine).sum::<f64>() / smaller.max(1) as f64;
    Ok(Overlap {
        cosines,
        share,
        by_chance: one.max(other) as f64 / dimensions as f64,
    })
}
