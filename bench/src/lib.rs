//! The benchmark harness behind the `weaverec` binary: raw logs in, an honest comparison table out.
//!
//! * [`experiment`]: profiles, cells, the store of run records, the runner;
//! * [`method`]: the rows of the table, each saying how it obtains a ranking;
//! * [`cut`], [`protocol`], [`family`], [`direction`], [`choice`], [`scored_case`], [`weight_curve`]: the words that the others have in common;
//! * [`metric`], [`statistics`]: numbers and tests;
//! * [`claim`]: what a study sets out to show, and the decision whether it has;
//! * [`report`]: one table model and its renderers;
//! * [`cli`], [`command`]: the command line;
//! * [`output`], [`card`]: what the commands write, and what an adapter says of itself;
//! * [`allocator`]: where memory comes from.

pub mod allocator;
pub mod card;
pub mod choice;
pub mod claim;
pub mod cli;
pub mod command;
pub mod cut;
pub mod direction;
pub mod experiment;
pub mod family;
pub mod method;
pub mod metric;
pub mod output;
pub mod progress;
pub mod protocol;
pub mod report;
pub mod scored_case;
pub mod scoring;
pub mod statistics;
pub mod weight_curve;
