//! An experiment is data: a profile expands into cells, cells are run once and kept, and a report is made from what was kept.
//!
//! ```text
//! profile.toml ──► study record ──► plan: units ──► backbone cells ──► adapter cells ──► ranking cells ──► records ──► report
//!                                              └──► recommender cells ──────────────────┘
//! ```
//! A unit is a scenario and a replicate: what a machine does in one go. Records are exported when a unit is finished, without weights; the
//! report is made from records alone, and whoever continues elsewhere does so from them.

mod adapter;
pub mod answers;
pub mod assemble;
pub mod backbone;
pub mod calibration;
pub mod case;
pub mod cell;
pub mod coded;
mod contamination;
pub mod cost;
pub mod domain;
pub mod encoder;
pub mod environment;
pub mod estimate;
pub mod ids;
pub mod item_vectors;
pub mod library;
mod likelihood;
pub mod materials;
mod measured;
pub mod memory;
mod merged;
pub mod missing;
pub mod numerics;
pub mod outside;
pub mod plan;
mod pretrain;
mod pretraining;
pub mod profile;
pub mod pseudo;
pub mod ranking;
pub mod recommender;
pub mod repeat;
pub mod replicate;
pub mod runner;
pub mod schedule;
pub mod scores;
pub mod stated;
pub mod status;
pub mod store;
pub mod study_record;
pub mod training_set;
pub mod unit;
pub mod weighing;
pub mod words;
pub mod work;
pub mod workshop;
