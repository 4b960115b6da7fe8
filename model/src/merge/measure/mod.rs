//! What rules go by that look at a member's data, measured on prompts and written as [`rule`](super::rule) reads it.
//!
//! * [`fisher`]: the mean squared gradient of each weight, for the rule of that name;
//! * [`gram`]: the inner products of what each module reads, for `regmean`.
//!
//! Both are as large as the weights or larger, so that they are measured a few modules at a time, as many as there is memory for, and the
//! prompts are read anew for the next ones.

mod fisher;
mod gram;

pub use fisher::{fisher, write_fisher};
pub use gram::{Grams, gram, grams_of, write_gram};
