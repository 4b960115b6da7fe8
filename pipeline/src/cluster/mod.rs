//! Plans on a Ballista cluster: the same plans as on one machine, with the same result.
//!
//! ```text
//! driver (weaverec prepare --cluster)          scheduler (weaverec scheduler)      workers (weaverec worker)
//!   reads raw files, holds them as Parquet ─┐
//!   logical plan ────────────────────────────┼──► stages and tasks ───────────────► filters, joins, aggregations, sorts,
//!   writes the prepared folder in order ◄────┼───────── results ◄──────────────────  words of prompts
//!                                            └─ shared storage (below --out) ─────►  settled tables, the items
//! ```
//!
//! What runs where: everything that is a plan (rating, window, domain, deduplication, k-core, catalogue, the sort to sequences,
//! the words of prompts) runs on the workers. What depends on the order of bytes stays with the driver: decoding raw files,
//! numbering users and items, cutting instances and drawing their candidates, writing the final files. The order of a result is that of a total sort, or of a
//! table read as one partition, so that it is the same wherever the plan ran.
//!
//! A worker may die at any time. The scheduler gives its tasks to others; where a whole job fails with it, or where its result lay,
//! the driver asks again. A result reaches the stage that asked for it only when all of it has arrived.

mod codec;
mod process;
mod result;
mod session;

pub use process::{SchedulerOptions, WorkerOptions, scheduler, worker};
pub use session::Cluster;
