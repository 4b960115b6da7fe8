//! In place of `cuda.rs` in builds without the feature: there are no such GPUs.

use candle_core::{Device, Result};

use super::Card;

pub(super) fn open(number: usize) -> Result<Device> {
    Device::new_cuda(number)
}

pub(super) fn peak_memory(_: &Device) -> Option<u64> {
    None
}

pub(super) fn reset_peak_memory(_: &Device) -> bool {
    false
}

pub(super) fn opened() -> Vec<Device> {
    Vec::new()
}

pub(super) fn card(_: &Device) -> Result<Option<Card>> {
    Ok(None)
}

pub(super) fn count() -> usize {
    0
}
