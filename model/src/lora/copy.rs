//! Copies of the base's embedding or head in an adapter's file.
//!
//! PEFT stores them whenever the embedding or the head is targeted, or the vocabulary was resized, and names them nowhere. Where they are
//! the base's own they say nothing. Where they are not, the adapter needs another base, or has trained more than its settings say: which
//! of the two cannot be told, so neither is taken.

use candle_core::{DType, Device, Tensor};

use crate::{Error, Result};

/// Numbers in 16 bits have at least 8 that count.
const ROUNDING: f32 = 1.0 / 256.0;

/// Refuses a copy that has other values than the base's weights, rounding to 16 bits apart.
pub(crate) fn check_copy(name: &str, copy: &Tensor, base: &Tensor) -> Result<()> {
    let differs = |how: String| {
        Err(Error::Usage(format!(
            "the adapter stores {name} whole, which modules_to_save does not name, and {how}: it was trained on another base, or has \
             trained {name} too; take the base that it was trained on or, if it is to bring its own, name {name} in modules_to_save"
        )))
    };
    if copy.dims() != base.dims() {
        return differs(format!(
            "has shape {:?} where the base has {:?}",
            copy.dims(),
            base.dims()
        ));
    }
    let values = |tensor: &Tensor| -> Result<Vec<f32>> {
        Ok(tensor
            .to_device(&Device::Cpu)?
            .to_dtype(DType::F32)?
            .flatten_all()?
            .to_vec1()?)
    };
    let (copy, base) = (values(copy)?, values(base)?);
    let apart = copy
        .iter()
        .zip(&base)
        .filter(|(ours, theirs)| {
            let largest = ours.abs().max(theirs.abs());
            (*ours - *theirs).abs() > ROUNDING * largest + 1e-6
        })
        .count();
    match apart {
        0 => Ok(()),
        apart => differs(format!(
            "{apart} of its {} values are others than the base's",
            copy.len()
        )),
    }
}
