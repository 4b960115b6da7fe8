//! Which base an adapter was trained on: a file of its own in the adapter's folder, as PEFT's settings have a name alone.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::backbone::Precision;
use crate::backbone::weights::persist;
use crate::{Error, Result, foreign};

/// The file in the adapter's folder. PEFT and what reads its folders pass it over.
const FILE: &str = "base.json";

/// A base, told by its weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// A name that is known here, or the absolute path of the model.
    pub name: String,
    /// Number of its blocks.
    pub layers: usize,
    /// What its projections were kept in.
    pub precision: Precision,
    /// Identity of all its weights in that precision.
    pub weights: String,
    /// Identity of those that are the same in every precision: all but the projections.
    pub unpacked: String,
}

impl Base {
    /// Whether two are the same model. In another precision its projections are other numbers, so the rest decides there.
    pub fn is(&self, other: &Base) -> bool {
        self.weights == other.weights
            || (self.precision != other.precision && self.unpacked == other.unpacked)
    }

    /// What an adapter's folder says; none where it has no such file.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>> {
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

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let json = serde_json::to_string_pretty(self).map_err(|e| Error::Config {
            path: path.clone(),
            message: e.to_string(),
        })?;
        persist::write_file(&path, format!("{json}\n").as_bytes())
    }
}
