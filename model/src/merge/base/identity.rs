//! The identity of named tensors, as [`Weights::fingerprint`](crate::backbone::Weights::fingerprint) has it, from blocks.

use xxhash_rust::xxh3::Xxh3;

/// Identity of tensors that come in the order of their names, each in as many blocks as there are.
pub(super) struct Identity(Xxh3);

impl Identity {
    pub fn new() -> Self {
        Identity(Xxh3::new())
    }

    /// The next tensor begins.
    pub fn begin(&mut self, name: &str, shape: &[usize]) {
        self.0.update(format!("{name}{shape:?};").as_bytes());
    }

    /// Its next values, as little-endian f32.
    pub fn values(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn end(&self) -> String {
        format!("{:032x}", self.0.digest128())
    }
}
