//! A merge added into a base from file to file: no more than a block of rows of a tensor is in memory at a time, whatever the size of the
//! model.
//!
//! ```text
//! base's safetensors ──► blocks of rows ──► + B A (f32), rounded once ──► shards, header first
//!                              └─► identity of the base                 └─► identity of the result
//! ```
//!
//! * [`source`]: the base, whose tensors are mapped block by block;
//! * [`element`]: what numbers are stored in, and adding to them;
//! * [`pass`]: every tensor of the base, as it is or with what a merge adds to it;
//! * [`shards`]: safetensors files written tensor by tensor, and the index of several;
//! * [`companions`]: the configuration and the tokenizer beside the weights.
//!
//! Beside the blocks there are the members' factors, and what a rule needs for one module
//! ([`memory_of`](super::run::Run::memory_of)).

mod behind;
pub mod companions;
pub mod element;
mod identity;
pub mod pass;
pub mod shards;
pub mod source;
#[cfg(test)]
mod tests;

pub use element::Element;
pub use pass::{Folded, Folding, Nowhere, Sink};
pub use shards::{SHARD_BYTES, Shards};
pub use source::BaseModel;

/// A tensor of a file by its name, type and shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name, such as `model.norm.weight`.
    pub name: String,
    /// What its numbers are stored in.
    pub element: Element,
    /// Its shape, row-major.
    pub shape: Vec<usize>,
}

impl TensorInfo {
    /// Bytes that it takes.
    pub fn bytes(&self) -> u64 {
        (self.shape.iter().product::<usize>() * self.element.bytes()) as u64
    }
}
