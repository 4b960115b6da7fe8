//! The same operations composed of candle's, for devices other than the CPU.
//!
//! The fused operations work on slices in main memory. Elsewhere the same mathematics is made of candle's tensor operations, which
//! have kernels for every device. Each operation is one node of the graph, with a backward written in tensor operations too: left
//! to candle, the backward would keep every value in between and form gradients of frozen weights.
//!
//! Products are in the type of the activations, f32 or bf16; norms, softmax, activations and the loss are in f32 always. In tests
//! [`with_composed`] runs all this on the CPU, where it is compared with the fused operations.

mod attention;
mod block;
mod dropout;
mod elementwise;
mod known;
mod linear;
mod loss;
#[cfg(test)]
pub(crate) mod tests;

use std::cell::Cell;

use candle_core::{Device, Tensor};

pub(crate) use attention::Wanted;
pub(crate) use block::{Surroundings, block};
pub(super) use elementwise::{gated, rms_norm};
pub(super) use linear::linear;
pub(super) use loss::{cross_entropy, log_probabilities};

thread_local! {
    static COMPOSED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` with the operations of this thread composed of candle's on the CPU too, as they are on other devices.
///
/// For tests and for finding out where a difference between devices comes from; it is several times slower.
pub fn with_composed<R>(f: impl FnOnce() -> R) -> R {
    let before = COMPOSED.replace(true);
    let result = f();
    COMPOSED.set(before);
    result
}

/// Whether operations on this device are composed.
pub(crate) fn composed_on(device: &Device) -> bool {
    !device.is_cpu() || COMPOSED.get()
}

pub(super) fn applies(x: &Tensor) -> bool {
    composed_on(x.device())
}
