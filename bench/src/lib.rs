//! The benchmark harness behind the `weaverec` binary: raw logs in, an honest comparison table out.

pub mod metric;
pub mod report;
pub mod statistics;
