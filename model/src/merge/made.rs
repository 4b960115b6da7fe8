//! What a rule made of one module: as factors in f32, and what the receipt says of it.

use faer::Mat;
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::align::Site;
use super::cat::stack;
use super::draw::keyed;
use super::long_side::{LongSide, Side};
use super::matrix::Matrix;
use super::rule::{inner_products, inner_products_of};
use super::space::{Update, dense};
use super::svd::{truncate_module, truncate_sum};
use crate::Result;
use crate::lora::LoraModule;

/// Random inputs on which a merged module is compared with what the members' updates give.
const PROBES: usize = 4;

/// What became of a module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModuleReport {
    /// Path of the module.
    pub module: String,
    /// `[out, in]`.
    pub shape: [usize; 2],
    /// What each member was weighed with: the coefficient of its update, where the merge is a sum.
    pub weights: Vec<f64>,
    /// Rank of each member's factors; 0 where it does not adapt the module.
    pub ranks: Vec<usize>,
    /// Frobenius norm of each member's update, its scale included.
    pub norms: Vec<f64>,
    /// Rank of the result; none where it was folded whole.
    pub rank: Option<usize>,
    /// Frobenius norm of the result.
    pub norm: f64,
    /// Frobenius norm of what was cut off.
    pub lost: f64,
    /// The largest gap, on random inputs, between the result and what the rule makes of the members' updates, computed apart and not cut,
    /// as a share of the largest output.
    pub gap: f64,
}

/// What a rule made of a module.
pub(super) enum Made {
    /// The updates times these numbers.
    Sum(Vec<f64>),
    Update {
        update: Update,
        weights: Vec<f64>,
    },
}

impl Made {
    /// As factors in f32, and the Frobenius norm of what was cut off; none where nothing is merged in the module.
    pub fn module(&self, rank: Option<usize>, site: &Site) -> Result<Option<(LoraModule, f64)>> {
        let name = site.name();
        let whole = match self {
            Made::Sum(coefficients) => {
                let factors = site.factors.iter().zip(coefficients);
                let parts: Vec<(&LoraModule, f64)> = factors
                    .filter(|(_, coefficient)| **coefficient != 0.0)
                    .filter_map(|(module, coefficient)| Some(((*module)?, *coefficient)))
                    .collect();
                if parts.is_empty() {
                    return Ok(None);
                }
                let all: usize = parts.iter().map(|(module, _)| module.rank()).sum();
                if let Some(rank) = rank.filter(|rank| *rank < all) {
                    let (cut, lost) = truncate_sum(name, &parts, rank)?;
                    return Ok(Some((cut, lost.sqrt())));
                }
                stack(name, &parts)?
            }
            Made::Update {
                update: Update::Factors { b, a },
                ..
            } => LoraModule {
                a: Matrix::of_view(a.as_ref()).tensor()?,
                b: Matrix::of_view(b.as_ref()).tensor()?,
                scale: 1.0,
            },
            Made::Update {
                update: Update::Dense(update),
                ..
            } => {
                let most = update.rows.min(update.columns);
                let (b, a, lost) = dense::cut(update, rank.unwrap_or(most))?;
                let module = LoraModule {
                    a: Matrix::of_view(a.as_ref()).tensor()?,
                    b: Matrix::of_view(b.as_ref()).tensor()?,
                    scale: 1.0,
                };
                return Ok(Some((module, lost)));
            }
        };
        match rank {
            Some(rank) if rank < whole.rank() => {
                let (cut, lost) = truncate_module(name, &whole, rank)?;
                Ok(Some((cut, lost.sqrt())))
            }
            _ => Ok(Some((whole, 0.0))),
        }
    }

    /// What the rule's update makes of inputs `(in, k)`, by the members' own factors where it is a sum.
    fn apply(&self, site: &Site, inputs: &Mat<f64>) -> Result<Mat<f64>> {
        match self {
            Made::Sum(coefficients) => {
                let mut sum = Mat::zeros(site.shape.0, inputs.ncols());
                for (factors, coefficient) in site.factors.iter().zip(coefficients) {
                    if let Some(module) = factors {
                        sum += faer::Scale(*coefficient) * apply(module, inputs)?;
                    }
                }
                Ok(sum)
            }
            Made::Update { update, .. } => Ok(match update {
                Update::Factors { b, a } => b * (a * inputs),
                Update::Dense(matrix) => matrix.view() * inputs,
            }),
        }
    }

    fn weights(&self) -> &[f64] {
        match self {
            Made::Sum(coefficients) => coefficients,
            Made::Update { weights, .. } => weights,
        }
    }
}

/// `s B (A x)` in f64.
fn apply(module: &LoraModule, inputs: &Mat<f64>) -> Result<Mat<f64>> {
    let inner = LongSide::of(Side::A, &[module])?.transposed_times(inputs.as_ref())?;
    let scaled = faer::Scale(module.scale) * inner;
    LongSide::of(Side::B, &[module])?.times(scaled.as_ref())
}

/// The report of a module; `result` is none where it was folded whole.
pub(super) fn report(
    site: &Site,
    made: &Made,
    result: Option<&LoraModule>,
    lost: f64,
) -> Result<ModuleReport> {
    let products = inner_products(site)?;
    let norms = (0..products.len()).map(|member| products[member][member].max(0.0).sqrt());
    let (norm, gap) = match (result, made) {
        (Some(module), _) => {
            let mut rng = keyed(0, &["probe", site.name()]);
            let inputs = Mat::from_fn(site.shape.1, PROBES, |_, _| 2.0 * rng.random::<f64>() - 1.0);
            let (ours, apart) = (apply(module, &inputs)?, made.apply(site, &inputs)?);
            let largest = |matrix: &Mat<f64>| matrix.norm_max();
            let gap = match largest(&apart) {
                0.0 => largest(&ours),
                size => largest(&(&ours - &apart)) / size,
            };
            (norm_of(module)?, gap)
        }
        (
            None,
            Made::Update {
                update: Update::Dense(update),
                ..
            },
        ) => (update.norm(), 0.0),
        (None, _) => (0.0, 0.0),
    };
    Ok(ModuleReport {
        module: site.name().to_string(),
        shape: [site.shape.0, site.shape.1],
        weights: made.weights().to_vec(),
        ranks: site.ranks(),
        norms: norms.collect(),
        rank: result.map(LoraModule::rank),
        norm,
        lost,
        gap,
    })
}

/// The Frobenius norm of an update, from its factors.
pub(super) fn norm_of(module: &LoraModule) -> Result<f64> {
    let products = inner_products_of(&[module])?;
    Ok(products[0][0].max(0.0).sqrt())
}
