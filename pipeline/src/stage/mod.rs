//! The stages between raw tables and prompts, one a file. Most take a DataFrame and a typed configuration and return a DataFrame;
//! those that need an order are scans over a sorted stream.
//!
//! Column names are the contract between them:
//!
//! | frame | columns |
//! |---|---|
//! | interactions | `user_id`, `item_id`, `rating`, `timestamp` (ms), `line`; after [`sequence`] also `user`, `item` |
//! | catalogue | `item_id`, `title`, `categories` (title `NULL` where none is usable) |
//! | sequences | `user`, `user_id`, `items`, `timestamps`: one row a user, oldest first |
//! | instances | `key`, `split`, `user`, `user_id`, `position`, `history`, `target`, `ties`, `candidates`, `binned`, `rank` |
//! | prompts | `key`, `user`, `user_id`, `position`, `history`, `target`, `ties`, `candidates`, `binned`, `messages` |

pub mod bins;
pub mod candidates;
pub mod catalogue;
pub mod core;
pub mod dedup;
pub mod domain;
pub mod instance;
pub mod list;
pub mod moment;
pub mod order;
pub mod prompt;
pub mod rating;
pub mod recipe;
pub mod sequence;
pub mod split;
pub mod target;
pub mod window;

pub use bins::Bins;
pub use candidates::{Binned, Candidates, Negatives};
pub use catalogue::Catalogue;
pub use core::KCore;
pub use dedup::DedupPolicy;
pub use domain::DomainFilter;
pub use instance::Instances;
pub use order::{Order, Ties};
pub use prompt::{PromptStyle, Wording};
pub use recipe::Recipe;
pub use split::{Cut, Holdout, SplitPolicy, TimeCut};
pub use target::{Repeats, Targets, Titles};
pub use window::TimeWindow;
