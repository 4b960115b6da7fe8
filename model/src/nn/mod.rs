//! What small models are made of: named parameters whose first values depend on a seed and their names alone, and layers over them.

mod embedding;
mod initial;
mod layer_norm;
mod linear;
mod parameters;
#[cfg(test)]
mod tests;

pub use embedding::Embedding;
pub use initial::Initial;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use parameters::{Decay, Parameter, Parameters};
