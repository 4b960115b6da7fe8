//! The stages between raw tables and prompts, one a file: each takes a DataFrame and a typed configuration and returns a DataFrame.
//!
//! Column names are the contract between them:
//!
//! | frame | columns |
//! |---|---|
//! | interactions | `user_id`, `item_id`, `rating`, `timestamp` (ms), `line`; after [`dense`] also `user`, `item` |
//! | catalogue | `item_id`, `title`, `categories` (title `NULL` where none is usable); after [`dense`] also `item` |
//! | sequences | `user`, `user_id`, `items`, `timestamps`: one row a user, oldest first |
//! | instances | `key`, `split`, `user`, `user_id`, `position`, `history`, `target`, `touched` |
//! | candidates | instances with `candidates` |
//! | prompts | `key`, `user`, `user_id`, `position`, `history`, `target`, `candidates`, `messages` |

pub mod candidates;
pub mod catalogue;
pub mod core;
pub mod dedup;
pub mod dense;
pub mod domain;
pub mod list;
pub mod prompt;
pub mod sequence;
pub mod split;

pub use candidates::Candidates;
pub use core::KCore;
pub use dedup::DedupPolicy;
pub use domain::DomainFilter;
pub use prompt::PromptStyle;
pub use split::{Recipe, SplitConfig};
