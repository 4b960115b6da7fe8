//! An experiment is data: a profile expands into cells, cells are run once and kept, and a report is made from what was kept.
//!
//! ```text
//! profile.toml ──► studies ──► domains (prepared) ──► backbone cell ──► adapter cells ──► ranking cells ──► report
//! ```

pub mod assemble;
pub mod backbone;
pub mod cell;
pub mod cut;
pub mod domain;
pub mod encoder;
pub mod environment;
pub mod plan;
pub mod profile;
pub mod runner;
pub mod store;
pub mod training_set;
