//! What a cell took, and nothing that another one took.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// What a cell took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// From its begin to its end, seconds.
    pub wall_seconds: f64,
    /// Of processor time, on all of its threads, seconds; nothing where the system does not say.
    #[serde(default)]
    pub cpu_seconds: Option<f64>,
    /// The highest resident memory of the process while it ran, bytes: with what the run had loaded before. Nothing where another cell
    /// ran beside it for some of that time, or the system cannot begin to count anew.
    #[serde(default)]
    pub peak_memory_bytes: Option<u64>,
}

impl Cost {
    /// The wall time since `started` alone.
    pub fn since(started: Instant) -> Self {
        Self {
            wall_seconds: started.elapsed().as_secs_f64(),
            ..Self::default()
        }
    }
}
