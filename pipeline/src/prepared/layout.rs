//! What a prepared folder holds and where.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::schema::Split;
use crate::stage::list::ids_type;
use crate::stage::prompt::messages_type;

/// Version of this layout; a folder written with another one is not read.
pub const SCHEMA_VERSION: u32 = 3;

/// Interactions after deduplication and k-core, by user and time.
pub const INTERACTIONS: &str = "interactions.parquet";
/// Items with their titles, by dense id.
pub const ITEMS: &str = "items.parquet";
/// One row a user.
pub const SEQUENCES: &str = "sequences.parquet";
/// Lines of the raw files that were no rows.
pub const REJECTS: &str = "rejects.parquet";
/// Everything about how the folder came to be.
pub const MANIFEST: &str = "manifest.json";
/// What LLaMA-Factory reads to find the prompts.
pub const DATASET_INFO: &str = "dataset_info.json";
/// The data-set card.
pub const CARD: &str = "README.md";

/// Rows of a prompt file. Fixed: the division into files must not depend on threads.
pub const SHARD_ROWS: usize = 32_768;

/// Rows of a row group of prompts: their texts are many times the size of other columns.
pub const PROMPT_ROWS: usize = 8192;

/// Rows of a row group of the other tables.
pub const TABLE_ROWS: usize = 32_768;

/// `prompts/train-00000-of-00002.parquet`, relative to the folder.
pub fn shard(split: Split, index: usize, count: usize) -> PathBuf {
    Path::new("prompts").join(format!("{}-{index:05}-of-{count:05}.parquet", split.name()))
}

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

/// Columns of [`INTERACTIONS`]; `timestamp` in milliseconds UTC, `line` the row's place in the raw files.
pub fn interactions() -> SchemaRef {
    schema(vec![
        Field::new("user_id", DataType::Utf8, false),
        Field::new("item_id", DataType::Utf8, false),
        Field::new("rating", DataType::Float64, true),
        Field::new("timestamp", DataType::Int64, false),
        Field::new("user", DataType::UInt32, false),
        Field::new("item", DataType::UInt32, false),
        Field::new("line", DataType::Int64, false),
    ])
}

/// Columns of [`ITEMS`]; `title_missing` marks a stand-in title.
pub fn items() -> SchemaRef {
    schema(vec![
        Field::new("item", DataType::UInt32, false),
        Field::new("item_id", DataType::Utf8, false),
        Field::new("title", DataType::Utf8, false),
        Field::new("categories", DataType::Utf8, false),
        Field::new("train_count", DataType::UInt32, false),
        Field::new("title_missing", DataType::Boolean, false),
    ])
}

/// Columns of a prompt file; `ties` says whether the target is at the moment of the item before it, `binned` is empty in training.
pub fn prompts() -> SchemaRef {
    schema(vec![
        Field::new("key", DataType::UInt64, false),
        Field::new("user", DataType::UInt32, false),
        Field::new("user_id", DataType::Utf8, false),
        Field::new("position", DataType::UInt32, false),
        Field::new("history", ids_type(), false),
        Field::new("target", DataType::UInt32, false),
        Field::new("ties", DataType::Boolean, false),
        Field::new("candidates", ids_type(), false),
        Field::new("binned", ids_type(), false),
        Field::new("messages", messages_type(), false),
    ])
}

/// Columns of [`REJECTS`].
pub fn rejects() -> SchemaRef {
    schema(vec![
        Field::new("file", DataType::Utf8, false),
        Field::new("line", DataType::UInt64, false),
        Field::new("offset", DataType::UInt64, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("text", DataType::Utf8, false),
    ])
}
