//! Ranking: the likelihood of each candidate given the prompt, a list of candidates, and free greedy decoding.

mod generate;
mod likelihood;
mod list;
mod text;
mod trie;

pub use generate::generate;
pub use likelihood::{Normalisation, Query, score};
pub use list::list;

#[cfg(test)]
mod tests;
