//! An adapter folded into the base, so that inference costs exactly what the plain model costs: in memory here, from file to file in
//! [`base`](super::base).

use candle_core::{Device, Tensor};

use super::matrix::Matrix;
use crate::backbone::Weights;
use crate::lora::config::{EMBEDDING, HEAD};
use crate::lora::copy::check_copy;
use crate::lora::coverage::layers_among;
use crate::lora::{Adapter, LoraModule};
use crate::op::{View, gemm, with_values_of};
use crate::{Error, Result};

/// Adds `weight · s B A` to every module's weights, in f32. Nothing changes unless every module fits.
///
/// What the adapter stores whole is taken over in the same measure, `W₀ + weight (W − W₀)`. A base whose output head is its embedding
/// gets a head of its own where one of them changes without the other ([`Adapter::parts_head_from_embedding`]): its
/// `tie_word_embeddings` must be false from there on.
///
/// # Errors
/// An adapter with a module that the base lacks or has in another shape, without factors that its settings want, or with copies of other
/// weights than the base's; or a weight that is no number.
pub fn fold(weights: &mut Weights, adapter: &Adapter, weight: f64) -> Result<()> {
    if !weight.is_finite() {
        return Err(Error::Merge(format!("a weight of {weight}; give a finite one")));
    }
    check_fits(weights, adapter)?;
    part_head(weights, adapter)?;
    for (name, saved) in &adapter.saved {
        let base = weights.get(&parameter(name), saved.dims())?;
        let moved = match weight {
            1.0 => saved.clone(),
            weight => (&base + ((saved - &base)? * weight)?)?,
        };
        weights.replace(&parameter(name), moved)?;
    }
    // One dense update in memory at a time.
    for (name, module) in &adapter.modules {
        let (out, input) = module.shape()?;
        let base = weights.get(&parameter(name), &[out, input])?;
        let addition = Addition::Factors(LoraModule {
            scale: module.scale * weight,
            ..module.clone()
        });
        let sum = (base + addition.whole()?)?;
        weights.replace(&parameter(name), sum)?;
    }
    Ok(())
}

/// Refuses an adapter that the base does not fit.
pub(super) fn check_fits(weights: &Weights, adapter: &Adapter) -> Result<()> {
    let has_head = has_head(weights);
    let place = |name: &str| match name == HEAD && !has_head {
        true => parameter(EMBEDDING),
        false => parameter(name),
    };
    let layers = layers_among(weights.names());
    adapter
        .check_coverage(layers)
        .map_err(|message| Error::Merge(format!("in a base of {layers} layers, {message}")))?;
    for (name, module) in &adapter.modules {
        let (out, input) = module.shape()?;
        weights.get(&place(name), &[out, input])?;
    }
    for (name, copy) in &adapter.copies {
        check_copy(name, copy, &weights.values(&place(name))?)?;
    }
    for (name, saved) in &adapter.saved {
        weights.get(&place(name), saved.dims())?;
    }
    Ok(())
}

/// Gives a base whose output head is its embedding a head of its own, where the adapter changes one of them alone.
pub(super) fn part_head(weights: &mut Weights, adapter: &Adapter) -> Result<()> {
    if adapter.parts_head_from_embedding() && !has_head(weights) {
        weights.untie(&parameter(EMBEDDING), &parameter(HEAD))?;
    }
    Ok(())
}

fn has_head(weights: &Weights) -> bool {
    weights.names().any(|name| name == parameter(HEAD))
}

/// The tensor of a module.
pub(super) fn parameter(module: &str) -> String {
    format!("{module}.weight")
}

/// What a merge adds to the weights of a module.
pub(super) enum Addition {
    /// s B A.
    Factors(LoraModule),
    /// An update of any rank.
    Dense(Matrix),
}

impl Addition {
    /// Some of its rows in f32, into as many numbers as they have: no more of a product of factors than these is ever made.
    pub fn rows_into(&self, start: usize, rows: &mut [f32]) -> Result<()> {
        match self {
            Addition::Factors(module) => {
                let (_, input) = module.shape()?;
                let (rank, count) = (module.rank(), rows.len() / input);
                let b = module.b.narrow(0, start, count)?.contiguous()?;
                with_values_of(&[b, module.a.contiguous()?], "merging", |factors| {
                    let (b, a) = (
                        View::new(factors[0], count, rank),
                        View::new(factors[1], rank, input),
                    );
                    gemm(rows, input, 0.0, module.scale as f32, b, a);
                    Ok(())
                })?;
            }
            Addition::Dense(matrix) => {
                let first = start * matrix.columns;
                let values = &matrix.values[first..first + rows.len()];
                for (row, value) in rows.iter_mut().zip(values) {
                    *row = *value as f32;
                }
            }
        }
        Ok(())
    }

    /// All of it, `(out, in)` in f32.
    pub fn whole(&self) -> Result<Tensor> {
        match self {
            Addition::Factors(module) => {
                let shape = module.shape()?;
                let mut values = vec![0.0; shape.0 * shape.1];
                self.rows_into(0, &mut values)?;
                Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
            }
            Addition::Dense(matrix) => matrix.tensor(),
        }
    }
}
