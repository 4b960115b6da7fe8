//! What the readers fill; the stages on it, which need DataFusion, are left out.

#[path = "../../src/packed/dictionary.rs"]
mod dictionary;
#[path = "../../src/packed/rows.rs"]
mod rows;

pub use dictionary::Dictionary;
pub use rows::*;
