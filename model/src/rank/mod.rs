//! Ranking: the likelihood of each candidate given the prompt or whatever the prompt, the best of many, a target's place among all, items
//! of a few tokens in a whole catalogue, a list of candidates, and free greedy decoding.

mod catalogue;
mod generate;
mod items;
mod likelihood;
mod list;
mod neutral;
mod text;
mod top;
mod trie;

pub use catalogue::catalogue_place;
pub use generate::generate;
pub use items::{Catalogue, Mass, NextTokens, Ranker, Sought};
pub use likelihood::{Normalisation, Query, score, score_with_progress};
pub use list::list;
pub use neutral::neutral;
pub use top::{Ranked, top};

#[cfg(test)]
mod tests;
