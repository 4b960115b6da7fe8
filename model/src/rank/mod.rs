//! Ranking: the likelihood of each candidate given the prompt, and free greedy decoding.

mod generate;
mod likelihood;

pub use generate::generate;
pub use likelihood::{Normalisation, Query, score};

#[cfg(test)]
mod tests;
