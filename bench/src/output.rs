//! What the commands write, as [claims](weaverec_output::Claim) tell it from anything else.

use anyhow::Result;
use weaverec_model::lora::card;
use weaverec_model::merge::base::companions::is_part;
use weaverec_output::{Again, Kind, write_file};

/// The course of a training, as [`json_lines`](weaverec_model::train::Outcome::json_lines) gives it: beside a cell's record, or in an
/// adapter's folder.
pub const CURVE: &str = "training.jsonl";

/// A fitted recommender's weights, in the folder of its cell and in that of `weaverec fit`.
pub const RECOMMENDER: &str = "recommender";

/// What a result of `weaverec merge` was made of.
pub const MERGE: &str = "merge.json";

/// Names of the files of an adapter; `base.json` says which base it was trained over, and the last is its card, of which
/// [`card::check`](weaverec_model::lora::card::check) knows whether somebody changed it.
const ADAPTER: [&str; 4] = [
    "adapter_config.json",
    "adapter_model.safetensors",
    "base.json",
    card::CARD,
];

/// The folder of an adapter that was trained.
pub const TRAINED: Kind = Kind {
    name: "an adapter that `weaverec train` wrote",
    marks: &["adapter_config.json", CURVE],
    holds: |name| name == CURVE || ADAPTER.contains(&name),
    again: Again::Replaced,
};

/// The state of a training that is not finished.
pub const CHECKPOINT: Kind = Kind {
    name: "a checkpoint of `weaverec train`",
    marks: &["training.safetensors"],
    holds: |_| true,
    again: Again::Updated,
};

/// What a fitted recommender is.
pub const FITTED_ABOUT: &str = "fitted.json";

/// The items of a fitted recommender.
pub const FITTED_ITEMS: &str = "items.jsonl";

/// The folder of a recommender that was fitted.
pub const FITTED: Kind = Kind {
    name: "a recommender that `weaverec fit` wrote",
    marks: &[FITTED_ABOUT],
    holds: |name| [FITTED_ABOUT, FITTED_ITEMS, CURVE, RECOMMENDER].contains(&name),
    again: Again::Replaced,
};

/// The state of a fit that is not finished.
pub const FIT_CHECKPOINT: Kind = Kind {
    name: "a checkpoint of `weaverec fit`",
    ..CHECKPOINT
};

/// The folder of an adapter, or of a model, that adapters were merged into.
pub const MERGED: Kind = Kind {
    name: "a result of `weaverec merge`",
    marks: &[MERGE],
    holds: |name| name == MERGE || ADAPTER.contains(&name) || is_part(name),
    again: Again::Replaced,
};

/// The folder of a report.
pub const REPORT: Kind = Kind {
    name: "a report of `weaverec reproduce`",
    marks: &["results.json", "report.md"],
    holds: |_| true,
    again: Again::Updated,
};

/// In a report's folder, the records of the units that are finished.
pub const RECORDS: &str = "records";

/// In a work folder, the finished cells.
pub const CELLS: &str = "cells";

/// Where `weaverec reproduce` keeps prepared data and run records.
pub const WORK: Kind = Kind {
    name: "a work folder of `weaverec reproduce`",
    marks: &[CELLS],
    holds: |_| true,
    again: Again::Updated,
};

/// JSON for people, as the text of a file.
pub fn pretty(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(text)
}

/// Writes [`pretty`] JSON to a file that appears whole or not at all.
pub fn write_json(path: &std::path::Path, value: &impl serde::Serialize) -> Result<()> {
    Ok(write_file(path, &pretty(value)?)?)
}
