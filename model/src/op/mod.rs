//! The differentiable operations that training and ranking are made of.
//!
//! candle's fused `softmax_last_dim`, `rms_norm` and `rope` have no backward, and its matrix product computes gradients for
//! frozen weights too. The operations here are fused, have a backward, and never form the gradient of a tensor that is not a
//! variable. Each is checked against a composition of candle's differentiable primitives and against finite differences.
//!
//! All work on packed rows: the tokens of several sequences stand one after another in one `(rows, width)` matrix, without
//! padding, and [`attention::Segment`]s say which rows belong together. They run on f32 in main memory. On a GPU the same mathematics is
//! composed of candle's tensor operations, in f32 or bf16 (`composed`): the decoder takes the composed block there, and norms, linear
//! maps, gated activations and losses find their way by the device of their input.

pub mod attention;
pub mod biased;
pub mod block;
mod buffer;
pub(crate) mod composed;
pub mod cross_entropy;
pub mod dropout;
pub mod gated;
mod gemm;
pub mod gru;
pub mod layer_norm;
pub mod linear;
pub mod log_probability;
mod math;
pub mod matrix;
pub mod rms_norm;
pub mod rope;
pub mod row_attention;
mod rows;
pub mod sampled;
mod storage;
mod threads;

pub use attention::{Heads, Segment, attention};
pub use biased::{Nonlinearity, biased};
pub use block::{BlockWeights, Kept, KeptBytes, Projection, Surroundings, block};
pub(crate) use buffer::Buffer;
pub use composed::with_composed;
pub use cross_entropy::cross_entropy;
pub use dropout::dropout;
pub use gated::{Activation, gated};
pub use gemm::kernel;
pub(crate) use gemm::{View, gemm};
pub use gru::gru;
pub use layer_norm::layer_norm;
pub use linear::{LoraFactors, linear};
pub use log_probability::log_probabilities;
pub(crate) use math::mix;
pub(crate) use math::vectorised;
pub use matrix::Matrix;
pub use rms_norm::rms_norm;
pub use rope::{RopeTable, rope};
pub use row_attention::{Pair, Sight, attend};
pub(crate) use rows::map_rows;
pub use sampled::{Negatives, Objective, sampled_loss};
pub(crate) use storage::{with_gradient, with_values, with_values_of};
pub(crate) use threads::on_pool;
pub use threads::{Workers, threads, with_threads};

#[cfg(test)]
mod tests;
