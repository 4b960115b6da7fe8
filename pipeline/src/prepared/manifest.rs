//! How a prepared folder came to be.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::audit::AuditReport;
use crate::dataset::DatasetDescription;
use crate::error::{Error, Result};
use crate::parameters::Parameters;
use crate::prepared::layout::{MANIFEST, SCHEMA_VERSION};
use crate::prepared::{BinReport, Lengths, RepeatReport, TieReport};
use crate::raw::InputFile;
use crate::schema::Split;
use crate::stage::{TimeCut, window};
use crate::storage;
use crate::title::TitleCounts;

/// What is done to interactions, in order. The k-core counts interactions that the split holds out afterwards, as the published
/// 5-core files did: which users and items there are depends on the future.
pub const STAGES: &str = "rating, window, domain, deduplication, k-core before the split";

/// Sizes after one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageCount {
    /// `read`, `rating`, `window`, `domain`, `dedup` or `core`.
    pub stage: String,
    /// Rows.
    pub interactions: u64,
    /// Distinct users.
    pub users: u64,
    /// Distinct items.
    pub items: u64,
}

/// One written file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Relative to the folder, with `/`.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of its content, in hex.
    pub blake3: String,
    /// SHA-256 of its content, in hex, for tools of others; empty in folders of versions that did not record it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sha256: String,
}

/// `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Layout version.
    pub schema_version: u32,
    /// Version of this crate that wrote the folder.
    pub version: String,
    /// Name of the prepared domain: its folder, and part of every random key.
    pub name: String,
    /// The data set as described.
    pub dataset: DatasetDescription,
    /// Fields whose values are made up in the raw files; every report on this folder has to say so.
    pub synthetic_fields: Vec<String>,
    /// Every parameter.
    pub parameters: Parameters,
    /// Raw files (names relative to the raw folder), sizes and hashes.
    pub inputs: Vec<InputFile>,
    /// Hash of parameters and inputs: the same request gives the same folder.
    pub request: String,
    /// Lines of the raw files.
    pub lines: u64,
    /// What was done to interactions, in order: [`STAGES`].
    #[serde(default)]
    pub stages: String,
    /// Sizes after each stage.
    pub counts: Vec<StageCount>,
    /// How long the sequences are.
    pub lengths: Lengths,
    /// Rejected lines by `file: reason`.
    pub rejects: BTreeMap<String, u64>,
    /// What salvaging damaged files lost.
    pub losses: Vec<String>,
    /// Items that got a stand-in title for want of a usable one.
    pub titles_missing: u64,
    /// Name of the split, the order of ties included ([`Parameters::split_name`]); empty in folders of versions that ordered ties by
    /// item id.
    #[serde(default)]
    pub split: String,
    /// How many events tie in time.
    #[serde(default)]
    pub ties: TieReport,
    /// How many of the targets are repeats, kept or not.
    #[serde(default)]
    pub repeats: RepeatReport,
    /// The bins of popularity that binned candidates come from.
    #[serde(default)]
    pub bins: BinReport,
    /// What was met in the titles.
    #[serde(default)]
    pub titles: TitleCounts,
    /// The moments of a global-time split.
    #[serde(default)]
    pub cut: Option<TimeCut>,
    /// Prompts by split.
    pub prompts: BTreeMap<String, u64>,
    /// What the leak audit found.
    pub audit: AuditReport,
    /// Remarks, such as counts that differ from the known ones.
    pub notes: Vec<String>,
    /// Files of data, in the order written.
    pub files: Vec<FileEntry>,
    /// Hash over the contents of `files`.
    pub fingerprint: String,
}

impl Manifest {
    /// How many prompts a split has.
    pub fn prompt_count(&self, split: Split) -> u64 {
        self.prompts.get(split.name()).copied().unwrap_or(0)
    }

    /// Reads the manifest of a folder, which may be a URL.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(MANIFEST);
        let failed = |source| Error::io(&path, "read", source);
        let mut text = String::new();
        storage::open(&path)
            .and_then(|mut file| file.read_to_string(&mut text))
            .map_err(failed)?;
        let wrong = |message: String| Error::Prepared {
            path: path.clone(),
            message,
        };
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let version = value.get("schema_version").and_then(serde_json::Value::as_u64);
        if version != Some(u64::from(SCHEMA_VERSION)) {
            let found = version.map_or("none".to_owned(), |version| version.to_string());
            let message =
                format!("schema version {found}, this program reads {SCHEMA_VERSION}; prepare it again");
            return Err(wrong(message));
        }
        serde_json::from_value(value).map_err(|error| wrong(format!("{error}; prepare it again")))
    }

    /// Fails where a file of the folder is missing or has another size than recorded.
    pub fn check_sizes(&self, folder: &Path) -> Result<()> {
        for file in &self.files {
            let path = folder.join(&file.path);
            let bytes = storage::size(&path).map_err(|source| Error::io(&path, "read", source))?;
            if bytes != file.bytes {
                let message = format!(
                    "{bytes} bytes, the manifest says {}; prepare the data set again",
                    file.bytes
                );
                return Err(Error::Prepared { path, message });
            }
        }
        Ok(())
    }

    /// What the raw files' order says of how ties were broken, where it says anything.
    pub fn tie_advice(&self) -> Option<String> {
        let advice = self.ties.advice(self.parameters.ties)?;
        Some(format!("ties in time: {advice}"))
    }

    /// What must be said of the order of events wherever results on this folder are shown: whether it is one of time at all, and of how
    /// many targets the order is the tie key's.
    pub fn order(&self) -> String {
        let made_up = self.synthetic_fields.iter().any(|field| field == "timestamp");
        let what = match self.dataset.platform.as_str() {
            _ if made_up => "order only, times are made up; ",
            "movielens" => "order of rating, not of consumption; ",
            _ => "",
        };
        let moment = match self.parameters.tie_window_ms {
            0 => "time".to_owned(),
            window => format!("burst (within {})", window::duration_text(window)),
        };
        let targets = self.ties.test_targets;
        format!("{what}{targets} test targets share their {moment} with the item before them")
    }

    /// The last sizes, those of the data in the folder.
    pub fn size(&self) -> Option<&StageCount> {
        self.counts.last()
    }
}

/// One hash over files: their names and contents, in order.
pub fn fingerprint(files: &[FileEntry]) -> String {
    let mut hasher = blake3::Hasher::new();
    for file in files {
        hasher.update(format!("{}\0{}\n", file.path, file.blake3).as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}
