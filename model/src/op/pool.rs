//! Where a pass runs.

use candle_core::Device;

use super::composed::composed_on;
use super::gemm::{threads, with_threads};

/// Runs `f` on one of rayon's threads where operations on `device` share their work among several.
///
/// What they share out then starts there at once. From any other thread a rayon thread is woken first, and that thread at the end, some
/// thousand times a training step.
pub(crate) fn on_pool<R: Send>(device: &Device, f: impl FnOnce() -> R + Send) -> R {
    match threads() {
        n if n > 1 && !composed_on(device) => rayon::scope(|_| with_threads(n, f)),
        _ => f(),
    }
}
