//! Files: tensors in safetensors read and written one at a time, and whatever is written appearing whole or not at all.

pub(crate) mod atomic;
pub(crate) mod safetensors;
