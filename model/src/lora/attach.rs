//! A decoder with an adapter: beside its weights, as in training, or folded into them.

use std::collections::HashMap;

use candle_core::DType;

use super::Adapter;
use super::config::{EMBEDDING, HEAD};
use super::copy::check_copy;
use crate::backbone::Decoder;
use crate::op::{LoraFactors, Matrix};
use crate::{Error, Result};

impl Decoder {
    /// This decoder with low-rank updates in the modules named; modules not named have none.
    ///
    /// # Errors
    /// A name that is no module of this decoder, or factors that do not fit it.
    pub fn with_lora(&self, mut factors: HashMap<String, LoraFactors>) -> Result<Self> {
        let mut decoder = self.clone();
        for ((name, (out, input)), projection) in self.modules().into_iter().zip(decoder.projections_mut()) {
            projection.lora = factors.remove(&name);
            if let Some(lora) = &projection.lora {
                let fits =
                    lora.a.dim(1)? == input && lora.b.dim(0)? == out && lora.a.dim(0)? == lora.b.dim(1)?;
                if !fits {
                    return Err(Error::Usage(format!(
                        "the adapter's {name} has A {:?} and B {:?} where the base needs (r, {input}) and ({out}, r): \
                         it was trained on another base",
                        lora.a.dims(),
                        lora.b.dims()
                    )));
                }
            }
        }
        match factors.into_keys().min() {
            None => Ok(decoder),
            Some(name) => Err(Error::Usage(format!(
                "the adapter has factors for {name}, which is no projection of this base of {} layers: it was trained on another \
                 base, or adapts more than the projections of the blocks, which cannot be used here",
                self.config().num_hidden_layers
            ))),
        }
    }

    /// This decoder with an adapter beside its weights, as in training. Factors of the output head are added to it, in its own type: it
    /// is multiplied with once for each token wanted, and nothing is trained here.
    ///
    /// # Errors
    /// Factors that are missing where the settings want some, or that do not fit this decoder, and copies of the base's weights that are
    /// not this base's.
    pub fn with_adapter(&self, adapter: &Adapter) -> Result<Self> {
        for (name, copy) in &adapter.copies {
            let ours = if name == EMBEDDING {
                self.embedding()
            } else {
                self.head()
            };
            check_copy(name, copy, ours)?;
        }
        let of_blocks = adapter.modules.iter().filter(|(name, _)| *name != HEAD);
        let factors = of_blocks.map(|(name, module)| {
            let lora = LoraFactors {
                a: module.a.to_device(self.device())?,
                b: module.b.to_device(self.device())?,
                scale: module.scale,
                dropout: None,
            };
            Ok((name.clone(), lora))
        });
        let mut decoder = self.with_lora(factors.collect::<Result<_>>()?)?;
        adapter
            .check_coverage(self.config().num_hidden_layers)
            .map_err(Error::Usage)?;
        for (name, weight) in &adapter.saved {
            // Where the two are tied, one stored whole takes its own place alone, as with PEFT.
            let is_embedding = name == EMBEDDING;
            let place = match is_embedding {
                true => decoder.embedding(),
                false => decoder.head(),
            };
            if weight.dims() != place.dims() {
                return Err(Error::Usage(format!(
                    "the adapter stores {name} whole with shape {:?} where the base has {:?}: it was trained on another base, or \
                     with another vocabulary",
                    weight.dims(),
                    place.dims()
                )));
            }
            let whole = weight.to_device(place.device())?.to_dtype(place.dtype())?;
            match is_embedding {
                true => decoder.set_embedding(whole),
                false => decoder.set_head(whole),
            }
        }
        if let Some(module) = adapter.modules.get(HEAD) {
            let (shape, dims) = (module.shape()?, decoder.head().dims2()?);
            if shape != dims {
                return Err(Error::Usage(format!(
                    "the adapter's factors of {HEAD} make a matrix of shape {shape:?} where the base has {dims:?}: it was trained on \
                     another base, or with another vocabulary"
                )));
            }
            let head = decoder.head().to_dtype(DType::F32)?;
            let sum = (&head + module.delta()?.to_device(head.device())?)?;
            decoder.set_head(sum.to_dtype(decoder.head().dtype())?);
        }
        Ok(decoder)
    }

    /// This decoder with an adapter folded into its weights: costs exactly what the plain decoder costs.
    ///
    /// Projections that are packed or in 16 bits cannot take a small update up without losing much of it; they carry theirs beside them.
    pub fn folded(&self, adapter: &Adapter) -> Result<Self> {
        let mut decoder = self.with_adapter(adapter)?;
        for projection in decoder.projections_mut() {
            if let (Matrix::Values(weight), Some(lora)) = (&projection.weight, &projection.lora)
                && weight.dtype() == DType::F32
            {
                let delta = (lora.b.matmul(&lora.a)? * lora.scale)?;
                projection.weight = (weight + delta)?.into();
                projection.lora = None;
            }
        }
        Ok(decoder)
    }
}

#[cfg(test)]
pub(crate) mod tests;
