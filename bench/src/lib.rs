//! The benchmark harness behind the `weaverec` binary: raw logs in, an honest comparison table out.
//!
//! * [`experiment`]: profiles, cells, the store of run records, the runner;
//! * [`method`]: the rows of the table, each saying how it obtains a ranking;
//! * [`metric`], [`statistics`]: numbers and tests;
//! * [`claim`], [`decision`]: what a study sets out to show, and what it has shown;
//! * [`report`]: one table model and its renderers;
//! * [`cli`], [`command`]: the command line;
//! * [`output`], [`card`]: what the commands write, and what an adapter says of itself;
//! * [`allocator`]: where memory comes from.

pub mod allocator;
pub mod calibration;
pub mod card;
pub mod claim;
pub mod cli;
pub mod command;
pub mod decision;
pub mod experiment;
pub mod method;
pub mod metric;
pub mod output;
pub mod progress;
pub mod report;
pub mod scoring;
pub mod statistics;
