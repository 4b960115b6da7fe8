//! The optimiser's state on the variables' device: one tensor for all of them, so that a step is a few operations however many
//! variables there are, and nothing goes through main memory.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};

use super::{BETA_1, BETA_2, EPSILON, Moments, Step};
use crate::Result;

pub(super) struct OnDevice {
    /// All gradients one after another, as the moments are; in f32.
    gradients: Tensor,
    first: Tensor,
    second: Tensor,
}

impl OnDevice {
    pub fn new(variables: &[Var]) -> Result<Self> {
        let count: usize = variables.iter().map(|v| v.elem_count()).sum();
        let device = variables.first().map_or(&Device::Cpu, |v| v.device());
        let zeros = Tensor::zeros(count, DType::F32, device)?;
        Ok(OnDevice {
            gradients: zeros.clone(),
            first: zeros.clone(),
            second: zeros,
        })
    }

    pub fn accumulate(&mut self, variables: &[Var], gradients: &GradStore) -> Result<()> {
        let flat = |variable: &Var| -> Result<Tensor> {
            Ok(match gradients.get(variable) {
                Some(gradient) => gradient.flatten_all()?.to_dtype(DType::F32)?,
                None => Tensor::zeros(variable.elem_count(), DType::F32, variable.device())?,
            })
        };
        let parts = variables.iter().map(flat).collect::<Result<Vec<_>>>()?;
        self.gradients = (&self.gradients + Tensor::cat(&parts, 0)?)?;
        Ok(())
    }

    /// One update, all of it asked for and none of it waited for; gives the square of the gradient's norm before clipping.
    pub fn update(&mut self, variables: &[Var], step: &Step) -> Result<Tensor> {
        let square = self.gradients.sqr()?.sum_all()?;
        // Without a limit nothing is scaled: infinity over infinity is no number.
        let g = match step.clip.is_finite() {
            true => {
                let scale = (square.sqrt()?.recip()? * step.clip)?.minimum(1.0)?;
                self.gradients.broadcast_mul(&scale)?
            }
            false => self.gradients.clone(),
        };
        self.first = ((&self.first * BETA_1)? + (&g * (1.0 - BETA_1))?)?;
        self.second = ((&self.second * BETA_2)? + (g.sqr()? * (1.0 - BETA_2))?)?;
        let size = ((self.second.sqrt()? * step.correction)? + EPSILON)?;
        let change = ((&self.first * step.size)? / size)?;
        let values = variables.iter().map(|v| v.as_detached_tensor().flatten_all());
        let values = Tensor::cat(&values.collect::<candle_core::Result<Vec<_>>>()?, 0)?;
        let values = ((values * step.decay)? - change)?;
        let mut start = 0;
        for variable in variables {
            let count = variable.elem_count();
            variable.set(&values.narrow(0, start, count)?.reshape(variable.shape())?)?;
            start += count;
        }
        self.gradients = self.gradients.zeros_like()?;
        Ok(square)
    }

    pub fn moments(&self, variables: &[Var]) -> Result<[Moments; 2]> {
        let split = |flat: &Tensor| -> Result<Moments> { Ok(split(variables, &flat.to_vec1::<f32>()?)) };
        Ok([split(&self.first)?, split(&self.second)?])
    }

    pub fn resume(&mut self, [first, second]: &[Moments; 2]) -> Result<()> {
        let joined = |moments: &Moments| {
            let values = moments.concat();
            Tensor::from_slice(&values, values.len(), self.gradients.device())
        };
        (self.first, self.second) = (joined(first)?, joined(second)?);
        Ok(())
    }
}

/// The variables' values in main memory, a vector each, read in one go.
pub(in crate::train) fn values_of(variables: &[Var]) -> Result<Moments> {
    let flat = variables.iter().map(|v| v.as_detached_tensor().flatten_all());
    let flat = flat.collect::<candle_core::Result<Vec<_>>>()?;
    match flat.is_empty() {
        true => Ok(Vec::new()),
        false => Ok(split(variables, &Tensor::cat(&flat, 0)?.to_vec1::<f32>()?)),
    }
}

/// Values one after another as those of each variable.
fn split(variables: &[Var], values: &[f32]) -> Moments {
    let mut rest = values;
    let parts = variables.iter().map(|variable| {
        let (part, later) = rest.split_at(variable.elem_count());
        rest = later;
        part.to_vec()
    });
    parts.collect()
}
