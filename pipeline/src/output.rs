//! What this crate writes, as [claims](weaverec_output::Claim) tell it from anything else.

use weaverec_output::{Again, Kind};

use crate::error::Error;

/// What [`prepare`](crate::prepare::prepare) makes.
pub const PREPARED: Kind = Kind {
    name: "a prepared folder",
    marks: &["manifest.json", "dataset_info.json"],
    holds: |name| {
        let others = [
            "manifest.json",
            "dataset_info.json",
            "croissant.json",
            "README.md",
            "prompts",
        ];
        let tables = [
            "interactions.parquet",
            "items.parquet",
            "sequences.parquet",
            "rejects.parquet",
        ];
        others.contains(&name) || tables.contains(&name)
    },
    again: Again::OnDemand,
};

/// What [`export`](crate::export::export) makes; never replaced.
pub const EXPORTED: Kind = Kind {
    name: "an export",
    marks: &[],
    holds: |_| true,
    again: Again::Kept,
};

/// The folder of one domain that [`generate`](crate::synth::generate) makes.
pub const GENERATED: Kind = Kind {
    name: "a folder of generated logs",
    marks: &["synth.json", "dirt.json"],
    holds: |name| {
        let fixed = [
            "synth.json",
            "dirt.json",
            "expected_sequences.jsonl.gz",
            "ratings.csv",
            "movies.csv",
        ];
        let of_amazon = |start: &str| name.starts_with(start) && name.contains(".json");
        fixed.contains(&name) || name.ends_with(".toml") || of_amazon("reviews_") || of_amazon("meta_")
    },
    again: Again::OnDemand,
};

impl From<weaverec_output::Error> for Error {
    fn from(error: weaverec_output::Error) -> Self {
        match error {
            weaverec_output::Error::Io { path, action, source } => Error::Io { path, action, source },
            weaverec_output::Error::Refused { path, message } => Error::Output { path, message },
        }
    }
}
