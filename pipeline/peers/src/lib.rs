//! The parts that are measured, included from their source: the crate that holds them brings DataFusion.
#![allow(dead_code)]

/// The scanner of JSON lines.
#[path = "../../src/raw/json/mod.rs"]
pub mod json;
/// Where ids go.
#[path = "../../src/texts.rs"]
pub mod texts;
