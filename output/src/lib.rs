//! Results on disk: claimed by one run, written aside, made durable, and put in their place in one step.
//!
//! * [`Claim`] is taken by a command on the folder that it is to write, before it begins: no input lies there, nothing that the
//!   command did not write itself would be lost, and no other run writes there at the same time;
//! * [`Kind`] says how the results of a command are told from anything else;
//! * [`Staged`] and [`write_file`] make a folder or a file appear whole or not at all, on the disk before it has its name, and
//!   without a moment in which an older one of that name is gone;
//! * [`Leases`] keep two that share a folder from doing the same work;
//! * [`scratch`] holds work in progress, and removes what killed runs left.
//!
//! This crate knows nothing of what is in the files.

mod claim;
mod durable;
mod error;
mod holder;
mod kind;
mod lease;
mod lock;
mod path;
mod publish;
pub mod scratch;

pub use claim::{Claim, Input};
pub use durable::{create_folder, sync_file, sync_folder, sync_tree};
pub use error::{Error, Result};
pub use holder::{Holder, Life};
pub use kind::{Again, Kind, describe};
pub use lease::{Answer, Lease, Leases};
pub use lock::Lock;
pub use path::{is_mount_point, resolve};
pub use publish::{Staged, place_file, write_file, write_folder};
