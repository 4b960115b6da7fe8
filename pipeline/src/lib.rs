//! From raw recommendation logs to prompts in Parquet.
//!
//! ```text
//! raw files ──► raw::read ──► interactions, items, rejects
//!                                  │  stage::{rating, window, domain, dedup, core, catalogue, sequence}
//!                                  ▼
//!                              sequences ── stage::{split, instance, candidates, prompt} ──► prompts
//!                                  │                                                  │
//!                                  └───────────► prepared folder + manifest ◄─────────┘
//! ```
//!
//! [`prepare::prepare`] runs the whole path; [`prepared::Prepared`] reads back what it wrote; [`inspect`] describes such a
//! folder, [`audit`] checks it for leaks, [`sql`] queries it and [`export`] writes it for other programs. [`parameters`] is the
//! configuration of all stages. Published formats live in [`raw`], one a file; data sets are described by TOML
//! ([`dataset`]), fetched by [`fetch`], or generated with a known structure by [`synth`].
//!
//! Rows whose ids fit into memory are [packed], and interactions are chosen from them without plans: the same answer, sooner. Any others
//! take the plans of [`stage`].
//!
//! Plans run on this machine, or with the feature `cluster` on many.
//!
//! Everything is a function of the input bytes, the configuration and one seed: never of threads, partitions or the clock.

pub mod audit;
#[cfg(feature = "cluster")]
pub mod cluster;
mod compress;
pub mod dataset;
pub mod engine;
pub mod error;
pub mod export;
pub mod fetch;
pub mod function;
pub mod inspect;
mod magic;
pub mod output;
pub mod packed;
pub mod parameters;
pub mod prepare;
pub mod prepared;
mod quote;
pub mod raw;
pub mod schema;
pub mod seed;
pub mod sql;
pub mod stage;
pub mod storage;
pub mod synth;
mod texts;
pub mod title;

pub use error::{Error, Result};
