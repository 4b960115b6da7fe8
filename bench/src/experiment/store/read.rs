//! Records as they lie in a store, of this layout or another.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use super::RECORD;
use crate::experiment::cell::{Record, SCHEMA};

/// What a record of whatever layout says of itself.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    schema: Option<u32>,
    environment: serde_json::Value,
}

/// The record in a cell's folder, without scores.
///
/// # Errors
/// One that cannot be read: none, a damaged one, or one of another layout, with the version that wrote it.
pub(super) fn read_record(folder: &Path) -> Result<Record> {
    let path = folder.join(RECORD);
    let text = std::fs::read(&path).with_context(|| match path.exists() {
        true => format!("cannot read {}", path.display()),
        false => format!("{} is not there: run it first", path.display()),
    })?;
    let parsed: serde_json::Result<Record> = serde_json::from_slice(&text);
    match parsed {
        Ok(record) if record.schema == SCHEMA => Ok(record),
        parsed => {
            let head: Head = serde_json::from_slice(&text).unwrap_or_default();
            let schema = head.schema.unwrap_or(1);
            if let (true, Err(error)) = (schema == SCHEMA || head.environment.is_null(), parsed) {
                return Err(anyhow!(error)).with_context(|| {
                    format!(
                        "{} is damaged: delete its folder to run the cell again",
                        path.display()
                    )
                });
            }
            let said = |key: &str| head.environment[key].as_str().unwrap_or("unknown").to_string();
            let version = match head.schema {
                // The first layout had other keys.
                None => format!("{} (revision {})", said("weaverec"), said("git_revision")),
                Some(_) => format!("{} (revision {})", said("version"), said("revision")),
            };
            bail!(
                "{} was written by weaverec {version} in layout {schema}, and this program reads layout {SCHEMA}: read it with that \
                 version, or move its folder away to run the cell again",
                path.display()
            )
        }
    }
}
