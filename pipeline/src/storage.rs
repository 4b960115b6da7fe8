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
//!
//! A path on this machine may go on inside a zip archive: `logs.zip/2024/events.csv` is a file in it. Archives behind URLs are not read so.

// By path, since the fuzz targets take this file by its own.
#[path = "storage/archive.rs"]
pub(crate) mod archive;
#[cfg_attr(not(feature = "object-store"), path = "storage/absent.rs")]
mod object;
#[path = "storage/pack.rs"]
mod pack;

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
pub(crate) use object::upload;
pub use pack::{pack, unpack};

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
    if let Some(url) = url(path) {
        return Ok(Box::new(object::open(url)?));
    }
    match archive::inside(path) {
        Some(inside) => inside.member()?.open(|stored| stored),
        None => Ok(Box::new(File::open(path)?)),
    }
}

/// Opens a file to be read in any order; one behind a URL or in an archive is first copied to a temporary file without a name.
pub fn open_seekable(path: &Path) -> io::Result<File> {
    if url(path).is_none() && archive::inside(path).is_none() {
        return File::open(path);
    }
    let mut copy = tempfile::tempfile()?;
    io::copy(&mut open(path)?, &mut copy)?;
    copy.rewind()?;
    Ok(copy)
}

/// The file that is stored: the archive of a file in one, else the file itself.
pub fn stored(path: &Path) -> PathBuf {
    let inside = url(path).is_none().then(|| archive::inside(path)).flatten();
    inside.map_or_else(|| path.to_owned(), |inside| inside.archive)
}

/// Size of a file in bytes, in an archive as it is stored there; an error of the kind `NotFound` where there is none.
pub fn size(path: &Path) -> io::Result<u64> {
    if let Some(url) = url(path) {
        return object::size(url);
    }
    match archive::inside(path) {
        Some(inside) => Ok(inside.member()?.stored()),
        None => Ok(std::fs::metadata(path)?.len()),
    }
}

/// Puts a copy of a file where nothing is yet, whole or not at all, and says whether it did: of several that come with something of one
/// name, from whatever machine, the first has the place. To a URL it goes in one request, out of memory.
///
/// # Errors
/// A file that cannot be read, or a place that cannot be written.
pub fn put_new(file: &Path, to: &Path) -> Result<bool> {
    if let Some(url) = url(to) {
        return object::put_new(file, url);
    }
    let folder = to.parent().unwrap_or(Path::new("."));
    let failed = |source| Error::io(to, "write", source);
    std::fs::create_dir_all(folder).map_err(failed)?;
    // A link to a copy that is whole already, which fails where something has the name.
    let scratch = tempfile::tempdir_in(folder).map_err(failed)?;
    let copy = scratch.path().join("copy");
    std::fs::copy(file, &copy).map_err(|source| Error::io(file, "copy", source))?;
    File::open(&copy)
        .and_then(|copy| copy.sync_all())
        .map_err(failed)?;
    match std::fs::hard_link(&copy, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

/// What may be at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What can be read.
    File,
    /// A folder, or what looks like one in an archive.
    Folder,
}

/// What is at a path; at a URL only files are seen. A link to nothing is an error that says so.
pub fn kind(path: &Path) -> io::Result<Option<Kind>> {
    let absent = |error: &io::Error| {
        // Below a file nothing is, nor below a name that is too long.
        matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename
        )
    };
    if let Some(url) = url(path) {
        return match object::size(url) {
            Ok(_) => Ok(Some(Kind::File)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
    }
    let of = |file: bool| if file { Kind::File } else { Kind::Folder };
    if let Some(inside) = archive::inside(path) {
        return Ok(inside.is_file()?.map(of));
    }
    match std::fs::metadata(path) {
        Ok(found) => Ok(Some(of(!found.is_dir()))),
        Err(error) if absent(&error) => match std::fs::read_link(path) {
            Ok(target) => Err(dangling(path, &target)),
            Err(_) => Ok(None),
        },
        Err(error) => Err(error),
    }
}

fn dangling(path: &Path, target: &Path) -> io::Error {
    let (path, target) = (path.display(), target.display());
    let message = format!("{path} is a link to {target}, which is not there; mend the link or remove it");
    io::Error::other(message)
}

/// Whether there is something at a path, or a file at a URL.
pub fn exists(path: &Path) -> io::Result<bool> {
    kind(path).map(|kind| kind.is_some())
}

/// The files right in a folder, in no order.
pub fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if let Some(url) = url(folder) {
        return object::list(url);
    }
    if let Some(inside) = archive::folder(folder) {
        return inside.list();
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        match kind(&path) {
            // What is neither file nor folder has no end.
            Ok(Some(Kind::File)) if path.is_file() => files.push(path),
            // Editors lock files with hidden links to nothing.
            Err(error) if !entry.file_name().to_string_lossy().starts_with('.') => return Err(error),
            _ => {}
        }
    }
    Ok(files)
}

/// The folders right in a folder, in no order.
pub fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if let Some(url) = url(folder) {
        return object::folders(url);
    }
    if let Some(inside) = archive::folder(folder) {
        return inside.folders();
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

    #[cfg(unix)]
    #[test]
    fn a_link_to_nothing_is_an_error_and_not_an_absent_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "").unwrap();
        std::os::unix::fs::symlink("a", folder.path().join("b")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join(".#lock")).unwrap();
        assert_eq!(list(folder.path()).unwrap().len(), 2);
        assert_eq!(kind(&folder.path().join("b")).unwrap(), Some(Kind::File));
        assert_eq!(kind(folder.path()).unwrap(), Some(Kind::Folder));
        assert_eq!(kind(&folder.path().join("c")).unwrap(), None);
        assert_eq!(kind(&folder.path().join("a/c")).unwrap(), None);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        for error in [kind(&link).unwrap_err(), list(folder.path()).unwrap_err()] {
            assert!(
                error.to_string().contains("link to nowhere, which is not there"),
                "{error}"
            );
        }
    }

    #[test]
    fn of_two_files_of_one_name_the_first_has_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        std::fs::write(&one, "one").unwrap();
        std::fs::write(&other, "other").unwrap();
        let place = folder.path().join("new/place");
        assert!(put_new(&one, &place).unwrap());
        assert!(!put_new(&other, &place).unwrap());
        assert_eq!(std::fs::read_to_string(&place).unwrap(), "one");
        assert_eq!(std::fs::read_dir(folder.path().join("new")).unwrap().count(), 1);
        let error = put_new(&folder.path().join("gone"), &folder.path().join("x")).unwrap_err();
        assert!(error.to_string().contains("gone"), "{error}");
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
