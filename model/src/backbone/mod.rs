//! The frozen language model: configuration, weights, tokenizer and the decoder itself; and the encoder of sentences.

pub mod base;
pub mod bert;
pub mod config;
pub mod decoder;
pub mod nano;
pub mod pass;
pub mod tokenizer;
pub mod weights;

pub use base::Base;
pub use bert::{Bert, BertConfig};
pub use config::{DecoderConfig, Family, Gemma3, RopeScaling};
pub use decoder::Decoder;
pub use pass::{KvCache, Pass};
pub use tokenizer::{Mixed, Tokenizer, Turn};
pub use weights::{Precision, Weights};
