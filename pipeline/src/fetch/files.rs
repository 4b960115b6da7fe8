//! Files from a publisher's server, as a description lists them.

use std::fs;
use std::path::Path;

use weaverec_output::place_file;
use weaverec_output::scratch::Scratch;

use super::{archive, http};
use crate::dataset::RemoteFile;
use crate::error::{Error, Result};
use crate::raw::Progress;

/// Fetches a file into `folder`, or its members if it is an archive; what is there already is kept.
///
/// # Errors
/// Those of [`http::url`]; [`Error::Fetch`] for an archive that is none, lacks a member or has another size than is known.
pub(super) fn file(remote: &RemoteFile, folder: &Path, progress: &dyn Progress) -> Result<()> {
    let path = folder.join(remote.name());
    let known = http::Known {
        sha256: remote.sha256.as_deref(),
        bytes: remote.bytes,
    };
    if remote.members.is_empty() {
        return http::url(&remote.url, &path, known, progress);
    }
    let names = remote
        .members
        .iter()
        .map(|member| archive::file_name(&remote.url, member))
        .collect::<Result<Vec<_>>>()?;
    if names.iter().all(|name| folder.join(name).is_file()) {
        return Ok(());
    }
    // One that somebody put here stays: it is theirs, and an input.
    let is_theirs = path.is_file();
    http::url(&remote.url, &path, known, progress)?;
    let scratch = Scratch::new(folder, "fetch")?;
    let fresh = scratch.path().join("members");
    let unpacked = archive::extract(&remote.url, &path, &remote.members, &fresh, progress);
    if !is_theirs {
        // A damaged archive must not be found again by the next call, and a good one is no longer needed.
        fs::remove_file(&path).map_err(|source| Error::io(&path, "delete", source))?;
    }
    unpacked?;
    names
        .into_iter()
        .try_for_each(|name| keep_or_place(&fresh.join(name), &folder.join(name)))
}

/// Gives a fetched file its name, unless there is one already; that one must be the same.
pub(super) fn keep_or_place(fresh: &Path, to: &Path) -> Result<()> {
    if !to.exists() {
        return Ok(place_file(fresh, to)?);
    }
    if super::sha256(fresh)? == super::sha256(to)? {
        return Ok(());
    }
    Err(Error::Output {
        path: to.to_owned(),
        message: "is there and is not the published file, so it is left alone; move it away, or name another folder".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::fetch::archive::tests::zip_of;
    use crate::fetch::server::Server;
    use crate::raw::NoProgress;

    fn remote(url: String, members: &[&str]) -> RemoteFile {
        RemoteFile {
            url,
            members: members.iter().map(|member| (*member).to_string()).collect(),
            sha256: None,
            bytes: None,
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn an_archive_is_unpacked_and_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::of(zip_of("ml/ratings.csv", b"userId\n")).start();
        let remote = remote(server.address("ml.zip"), &["ml/ratings.csv"]);
        file(&remote, folder.path(), &NoProgress).unwrap();
        assert_eq!(fs::read(folder.path().join("ratings.csv")).unwrap(), b"userId\n");
        assert_eq!(names(folder.path()), ["ratings.csv"]);
        file(&remote, folder.path(), &NoProgress).unwrap();
        assert_eq!(server.requests().len(), 1, "what is there is not asked for again");
    }

    #[test]
    fn what_somebody_put_there_is_neither_replaced_nor_removed() {
        let folder = tempfile::tempdir().unwrap();
        let archive = zip_of("ml/ratings.csv", b"userId\n");
        fs::write(folder.path().join("ml.zip"), &archive).unwrap();
        fs::write(folder.path().join("ratings.csv"), "mine").unwrap();
        let server = Server::of(archive).start();
        let mut remote = remote(server.address("ml.zip"), &["ml/ratings.csv"]);
        file(&remote, folder.path(), &NoProgress).unwrap();
        let text = || fs::read_to_string(folder.path().join("ratings.csv")).unwrap();
        assert_eq!(text(), "mine", "all that is wanted is there");

        let published = folder.path().join("published");
        fs::write(&published, "userId\n").unwrap();
        let error = keep_or_place(&published, &folder.path().join("ratings.csv"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("ratings.csv") && error.contains("left alone"),
            "{error}"
        );
        assert_eq!(text(), "mine");
        keep_or_place(&published, &folder.path().join("new.csv")).unwrap();
        fs::write(&published, "userId\n").unwrap();
        keep_or_place(&published, &folder.path().join("new.csv")).unwrap();

        fs::remove_file(folder.path().join("ratings.csv")).unwrap();
        remote.members = vec!["ml/ratings.csv".to_string()];
        file(&remote, folder.path(), &NoProgress).unwrap();
        assert_eq!(text(), "userId\n");
        assert!(folder.path().join("ml.zip").is_file(), "their archive stays");
        assert!(server.requests().is_empty());
    }

    #[test]
    fn an_archive_that_is_none_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::of(b"<html>moved</html>".to_vec()).start();
        let remote = remote(server.address("ml.zip"), &["ml/ratings.csv"]);
        let error = file(&remote, folder.path(), &NoProgress).unwrap_err().to_string();
        assert!(error.contains("no zip archive"), "{error}");
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }

    #[test]
    fn a_plain_file_keeps_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::of(b"rows".to_vec()).start();
        file(
            &remote(server.address("a.jsonl.gz"), &[]),
            folder.path(),
            &NoProgress,
        )
        .unwrap();
        assert_eq!(names(folder.path()), ["a.jsonl.gz"]);
    }
}
