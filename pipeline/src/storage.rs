//! Files by path or by URL: raw files are read from, and prepared folders written to, this machine or an object store.
//!
//! | URL | what it is | configured by |
//! |---|---|---|
//! | `s3://bucket/prefix` | Amazon S3, or what speaks its protocol | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP`, … |
//! | `gs://bucket/prefix` | Google Cloud Storage | `GOOGLE_SERVICE_ACCOUNT`, `GOOGLE_APPLICATION_CREDENTIALS`, … |
//! | `http://…`, `https://…` | files on a web server; only read, and not listed | |
//!
//! A URL stands where a path may stand, as a [`Path`] whose text it is: names are joined to it and taken off it like a folder's.
//! URLs need the feature `object-store`; without it they are an error that says so.

#[cfg_attr(not(feature = "object-store"), path = "storage/absent.rs")]
mod object;

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
pub(crate) use object::upload;

/// What may stand before `://`.
const SCHEMES: [&str; 5] = ["s3", "s3a", "gs", "http", "https"];

/// The URL in a path, if it is one.
pub fn url(path: &Path) -> Option<&str> {
    let text = path.to_str()?;
    let (scheme, _) = text.split_once("://")?;
    SCHEMES.contains(&scheme).then_some(text)
}

/// Fails for a URL that this program cannot use, whatever lies there.
pub fn check(path: &Path) -> Result<()> {
    url(path).map_or(Ok(()), object::check)
}

/// Fails for a place that can only be read.
pub fn check_writable(path: &Path) -> Result<()> {
    match url(path) {
        Some(url) if url.starts_with("http") => Err(Error::Usage(format!(
            "{url} can only be read; write to a folder, s3://… or gs://…"
        ))),
        _ => check(path),
    }
}

/// Opens a file to be read from its beginning to its end. A connection that breaks is taken up again where it broke.
pub fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    match url(path) {
        None => Ok(Box::new(File::open(path)?)),
        Some(url) => Ok(Box::new(object::open(url)?)),
    }
}

/// Opens a file to be read in any order; one behind a URL is first copied to a temporary file without a name.
pub fn open_seekable(path: &Path) -> io::Result<File> {
    match url(path) {
        None => File::open(path),
        Some(url) => {
            let mut copy = tempfile::tempfile()?;
            io::copy(&mut object::open(url)?, &mut copy)?;
            copy.rewind()?;
            Ok(copy)
        }
    }
}

/// Size of a file in bytes; an error of the kind `NotFound` where there is none.
pub fn size(path: &Path) -> io::Result<u64> {
    match url(path) {
        None => Ok(std::fs::metadata(path)?.len()),
        Some(url) => object::size(url),
    }
}

/// Whether there is something at a path, or a file at a URL.
pub fn exists(path: &Path) -> io::Result<bool> {
    match url(path) {
        // `try_exists`, so that a folder one may not look into is not taken for an empty one.
        None => path.try_exists(),
        Some(url) => match object::size(url) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        },
    }
}

/// The files right in a folder, in no order.
pub fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if let Some(url) = url(folder) {
        return object::list(url);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

/// The folders right in a folder, in no order.
pub fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if let Some(url) = url(folder) {
        return object::folders(url);
    }
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    Ok(folders)
}

/// A connection that failed and could not be taken up again, as the cause in an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub String);

/// Whether reading failed because of the disk or the network, rather than of what was read.
pub fn is_transport(error: &io::Error) -> bool {
    // The operating system's errors carry a code; a decompressor's do not.
    error.raw_os_error().is_some() || error.get_ref().is_some_and(|cause| cause.is::<Broken>())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_url_is_told_from_a_path_and_is_joined_and_cut_like_one() {
        let root = Path::new("s3://bucket/logs");
        let file = root.join("deep/").join("a.json.gz");
        assert_eq!(url(&file), Some("s3://bucket/logs/deep/a.json.gz"));
        assert_eq!(file.strip_prefix(root).unwrap(), Path::new("deep/a.json.gz"));
        for path in ["logs/a", "/logs/a", "c://x", "s3:/bucket", "ftp://a/b"] {
            assert_eq!(url(Path::new(path)), None, "{path}");
        }
    }

    #[test]
    fn a_web_server_is_not_written_to() {
        let error = check_writable(Path::new("http://localhost/x"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("only be read"), "{error}");
        assert!(check_writable(Path::new("/tmp/x")).is_ok());
    }

    #[cfg(not(feature = "object-store"))]
    #[test]
    fn without_the_feature_a_url_says_how_to_build() {
        let error = check(Path::new("s3://bucket/x")).unwrap_err().to_string();
        assert!(error.contains("--features object-store"), "{error}");
    }
}
