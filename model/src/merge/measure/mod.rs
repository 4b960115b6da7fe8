//! What rules go by that look at a member's data, measured on prompts and written as [`rule`](super::rule) reads it.
//!
//! * [`fisher`]: the mean squared gradient of each weight, for the rule of that name;
//! * [`gram`]: the inner products of what each module reads, for `regmean`;
//! * [`localize`]: a mask of each member's update, learnt, for `localize_and_stitch`.
//!
//! The first two are as large as the weights or larger, so that they are measured a few modules at a time, as many as there is memory for, and
//! the prompts are read anew for the next ones. A mask is learnt in all modules at once.

mod fisher;
mod gram;
mod localize;
mod variables;

pub use fisher::{fisher, write_fisher};
pub use gram::{Grams, gram, grams_of, write_gram};
pub use localize::{Localized, Localizing, localize, write_masks};
