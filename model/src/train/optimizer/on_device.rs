//! AdamW's state on the parameters' device: one tensor for all of them, so that a step is a few operations however many parameters there
//! are, and nothing goes through main memory.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};

use super::Values;
use super::adamw::{BETA_1, BETA_2, EPSILON, Step};
use crate::Result;
use crate::nn::{Decay, Parameters};

pub(super) struct OnDevice {
    /// All gradients one after another, as the moments are; in f32.
    gradients: Tensor,
    first: Tensor,
    second: Tensor,
    /// One where a value decays and zero where it does not; none where all do.
    decays: Option<Tensor>,
}

impl OnDevice {
    pub fn new(parameters: &Parameters) -> Result<Self> {
        let device = parameters.variables().next().map_or(&Device::Cpu, |v| v.device());
        let zeros = Tensor::zeros(parameters.count(), DType::F32, device)?;
        let exempt = parameters.iter().any(|(_, p)| p.decay == Decay::Exempt);
        let decays = exempt.then(|| {
            let ones = parameters.iter().flat_map(|(_, p)| {
                let one = if p.decay == Decay::Exempt { 0f32 } else { 1.0 };
                std::iter::repeat_n(one, p.variable.elem_count())
            });
            Tensor::from_iter(ones, device)
        });
        Ok(OnDevice {
            gradients: zeros.clone(),
            first: zeros.clone(),
            second: zeros,
            decays: decays.transpose()?,
        })
    }

    pub fn accumulate(&mut self, parameters: &Parameters, gradients: &GradStore) -> Result<()> {
        let flat = |variable: &Var| -> Result<Tensor> {
            Ok(match gradients.get(variable) {
                Some(gradient) => gradient.flatten_all()?.to_dtype(DType::F32)?,
                None => Tensor::zeros(variable.elem_count(), DType::F32, variable.device())?,
            })
        };
        let parts = parameters.variables().map(flat).collect::<Result<Vec<_>>>()?;
        self.gradients = (&self.gradients + Tensor::cat(&parts, 0)?)?;
        Ok(())
    }

    /// One update, all of it asked for and none of it waited for; gives the square of the gradient's norm before clipping.
    pub fn update(&mut self, parameters: &Parameters, step: &Step) -> Result<Tensor> {
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
        let values = parameters
            .variables()
            .map(|v| v.as_detached_tensor().flatten_all());
        let values = Tensor::cat(&values.collect::<candle_core::Result<Vec<_>>>()?, 0)?;
        let decayed = match &self.decays {
            None => (values * step.decay)?,
            Some(decays) => (values * decays.affine(step.decay - 1.0, 1.0)?)?,
        };
        let values = (decayed - change)?;
        let mut start = 0;
        for variable in parameters.variables() {
            let count = variable.elem_count();
            variable.set(&values.narrow(0, start, count)?.reshape(variable.shape())?)?;
            start += count;
        }
        self.gradients = self.gradients.zeros_like()?;
        Ok(square)
    }

    pub fn moments(&self, parameters: &Parameters) -> Result<[Values; 2]> {
        let split = |flat: &Tensor| -> Result<Values> { Ok(parameters.split(&flat.to_vec1::<f32>()?)) };
        Ok([split(&self.first)?, split(&self.second)?])
    }

    pub fn resume(&mut self, [first, second]: &[Values; 2]) -> Result<()> {
        let joined = |moments: &Values| {
            let values = moments.concat();
            Tensor::from_slice(&values, values.len(), self.gradients.device())
        };
        (self.first, self.second) = (joined(first)?, joined(second)?);
        Ok(())
    }
}
