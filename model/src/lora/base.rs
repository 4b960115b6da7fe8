//! Which base an adapter was trained on: a file of its own in the adapter's folder, as PEFT's settings have a name alone.

use std::path::Path;

use crate::backbone::Base;
use crate::io::atomic;
use crate::{Error, Result, foreign};

/// The file in the adapter's folder. PEFT and what reads its folders pass it over.
const FILE: &str = "base.json";

/// What an adapter's folder says; none where it has no such file.
pub(super) fn read(folder: &Path) -> Result<Option<Base>> {
    let path = folder.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let base = foreign::json(&foreign::read(&path)?);
    base.map(Some).map_err(|message| Error::Config {
        path,
        message: format!("{message}: without this file the adapter's base is known by its name alone"),
    })
}

/// Writes it into an adapter's folder.
pub(super) fn write(base: &Base, folder: &Path) -> Result<()> {
    let path = folder.join(FILE);
    let json = serde_json::to_string_pretty(base).map_err(|e| Error::Config {
        path: path.clone(),
        message: e.to_string(),
    })?;
    atomic::write_file(&path, format!("{json}\n").as_bytes())
}
