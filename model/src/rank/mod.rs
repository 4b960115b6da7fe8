//! Ranking: the likelihood of each candidate given the prompt, the best of many, a list of candidates, and free greedy decoding.

mod generate;
mod likelihood;
mod list;
mod text;
mod top;
mod trie;

pub use generate::generate;
pub use likelihood::{Normalisation, Query, score, score_with_progress};
pub use list::list;
pub use top::{Ranked, top};

#[cfg(test)]
mod tests;
