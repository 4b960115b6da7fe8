//! Ranking: the likelihood of each candidate given the prompt, and free greedy decoding.

mod generate;
mod likelihood;
mod trie;

pub use generate::generate;
pub use likelihood::{Normalisation, Query, score};

#[cfg(test)]
mod tests;
