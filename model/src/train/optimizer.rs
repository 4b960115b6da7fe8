//! What gradients do to parameters.

mod adamw;
mod on_device;
mod sam;

use candle_core::Tensor;
use candle_core::backprop::GradStore;

pub use self::adamw::AdamW;
pub use self::sam::Sam;
use crate::Result;

/// A vector of values for each parameter, in the order of their names.
pub type Values = Vec<Vec<f32>>;

/// Takes steps on the [parameters](crate::nn::Parameters) that it was made for.
pub trait Optimizer {
    /// Adds a part's gradients to those of the step under way. A parameter that has none in this part is left as it is.
    ///
    /// # Errors
    /// Gradients that are not in f32.
    fn accumulate(&mut self, gradients: &GradStore) -> Result<()>;

    /// Moves the parameters to where the gradients of this step are to be taken, once those gathered so far have said where that is, and
    /// gives whether it did: then they are gathered once more, over all parts, before the [step](Self::step), which starts from where
    /// the parameters were.
    ///
    /// # Errors
    /// An operation that fails on the device.
    fn ascend(&mut self) -> Result<bool> {
        Ok(false)
    }

    /// One step with the gathered gradients, all of them together scaled down to a norm of `clip` where it is larger; gives the norm
    /// before that.
    ///
    /// A norm that is no number may leave the parameters as they are; training stops at it.
    ///
    /// # Errors
    /// An operation that fails on the device.
    fn step(&mut self, learning_rate: f64, clip: f64) -> Result<Norm>;

    /// The names of what it remembers from step to step, for checkpoints.
    fn slots(&self) -> &'static [&'static str];

    /// What it remembers, in the order of the [slots](Self::slots).
    ///
    /// # Errors
    /// A device that does not give it.
    fn state(&self) -> Result<Vec<Values>>;

    /// Goes on from what one remembered after so many steps.
    ///
    /// # Errors
    /// A state of another optimiser or of other parameters.
    fn resume(&mut self, state: Vec<Values>, steps: usize) -> Result<()>;
}

/// The norm of a step's gradient before clipping.
#[derive(Debug)]
pub enum Norm {
    /// In main memory already.
    Known(f64),
    /// Its square, a scalar in f32 on a device: whoever reads it waits for the step.
    Square(Tensor),
}

impl Norm {
    /// The norm of a square that was read.
    pub fn of_square(square: f32) -> f64 {
        f64::from(square).sqrt()
    }
}
