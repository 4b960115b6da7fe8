//! An adapter folded into the base, so that inference costs exactly what the plain model costs.

use crate::backbone::Weights;
use crate::lora::Adapter;
use crate::{Error, Result};

/// Adds `weight · s B A` to every module's weights, in f32. Nothing changes unless every module fits.
///
/// # Errors
/// An adapter with a module that the base lacks or has in another shape, or a weight that is no number.
pub fn fold(weights: &mut Weights, adapter: &Adapter, weight: f64) -> Result<()> {
    if !weight.is_finite() {
        return Err(Error::Merge(format!("a weight of {weight}; give a finite one")));
    }
    for (name, module) in &adapter.modules {
        let (out, input) = module.shape()?;
        weights.get(&parameter(name), &[out, input])?;
    }
    // One dense update in memory at a time.
    for (name, module) in &adapter.modules {
        let (out, input) = module.shape()?;
        let base = weights.get(&parameter(name), &[out, input])?;
        let sum = (base + (module.delta()? * weight)?)?;
        weights.replace(&parameter(name), sum)?;
    }
    Ok(())
}

fn parameter(module: &str) -> String {
    format!("{module}.weight")
}
