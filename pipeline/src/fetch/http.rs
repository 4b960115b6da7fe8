//! Plain HTTP downloads that resume, check and rename: small enough to read, robust enough for gigabytes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

use super::sha256;
use crate::error::{Error, Result};
use crate::raw::Progress;

/// How often a connection that breaks off is taken up again.
const ATTEMPTS: u32 = 4;

/// What a file must be, where that is known beforehand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// SHA-256 of it, in hex.
    pub sha256: Option<&'a str>,
    /// Its size.
    pub bytes: Option<u64>,
}

/// Downloads `address` to `path` unless it is there already.
///
/// What has arrived lies in `<path>.part`; a broken download goes on from its end, provided that the server names the version of
/// the file by a strong entity tag (kept in `<path>.part.etag`) and it is still the same. Waits between attempts grow from half a
/// second. What is known of the content is compared before the file gets its name: a server that states too small a length, and
/// so cuts the file, is found out in no other way.
///
/// # Errors
/// [`Error::Fetch`] when the server cannot be reached, refuses or sends something else, [`Error::Io`] when `path` cannot be written.
pub fn url(address: &str, path: &Path, known: Known<'_>, progress: &dyn Progress) -> Result<()> {
    if path.is_file() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|source| Error::io(parent, "create", source))?;
    }
    let part = beside(path, ".part");
    let tag = beside(path, ".part.etag");
    let mut attempt = 1;
    loop {
        match transfer(address, &part, &tag, progress) {
            Ok(()) => break,
            Err(Broken::Lasting(error)) => return Err(error),
            Err(Broken::Passing(message)) if attempt == ATTEMPTS => {
                return Err(failure(
                    address,
                    format!("{message}; check the network and run again, which goes on from what arrived"),
                ));
            }
            Err(Broken::Passing(_)) => {
                std::thread::sleep(Duration::from_millis(250 << attempt));
                attempt += 1;
            }
        }
    }
    if let Some(difference) = difference(&part, known)? {
        remove(&part)?;
        remove(&tag)?;
        return Err(failure(
            address,
            format!(
                "{difference}; the file was deleted: run again, and if it differs again check the address"
            ),
        ));
    }
    remove(&tag)?;
    fs::rename(&part, path).map_err(|source| Error::io(path, "rename", source))
}

/// How a file differs from what is known of it.
fn difference(path: &Path, known: Known<'_>) -> Result<Option<String>> {
    if let Some(expected) = known.bytes {
        let found = fs::metadata(path)
            .map_err(|source| Error::io(path, "read", source))?
            .len();
        if found != expected {
            return Ok(Some(format!("{found} bytes arrived, expected {expected}")));
        }
    }
    if let Some(expected) = known.sha256 {
        let got = sha256(path)?;
        if !got.eq_ignore_ascii_case(expected) {
            return Ok(Some(format!("SHA-256 is {got}, expected {expected}")));
        }
    }
    Ok(None)
}

/// A file of a model repository on the Hugging Face hub (or the server in `$HF_ENDPOINT`), in the cache.
///
/// Give a commit as `revision` where results must be reproducible: a branch name is fetched once and then kept.
///
/// # Errors
/// Those of [`url`].
pub fn hub_file(
    repo: &str,
    file: &str,
    revision: &str,
    cache: &Path,
    progress: &dyn Progress,
) -> Result<PathBuf> {
    let usable =
        |part: &str| !part.is_empty() && part.split('/').all(|piece| !matches!(piece, "" | "." | ".."));
    if ![repo, file, revision].into_iter().all(usable) {
        return Err(Error::Usage(format!(
            "`{repo}`, `{file}`, `{revision}`: give the repository as owner/name, a file in it and a revision"
        )));
    }
    let endpoint = std::env::var("HF_ENDPOINT")
        .ok()
        .filter(|endpoint| !endpoint.is_empty());
    let endpoint = endpoint
        .as_deref()
        .unwrap_or("https://huggingface.co")
        .trim_end_matches('/');
    let path = cache
        .join("hub")
        .join(repo.replace('/', "--"))
        .join(revision.replace('/', "--"))
        .join(file);
    url(
        &format!("{endpoint}/{repo}/resolve/{revision}/{file}"),
        &path,
        Known::default(),
        progress,
    )?;
    Ok(path)
}

/// Why a transfer did not finish.
enum Broken {
    /// Another attempt may go on from where it broke off.
    Passing(String),
    /// Another attempt would fail the same way.
    Lasting(Error),
}

fn transfer(address: &str, part: &Path, tag: &Path, progress: &dyn Progress) -> Result<(), Broken> {
    let lasting = |action, path: &Path| {
        let path = path.to_path_buf();
        move |source| Broken::Lasting(Error::io(path, action, source))
    };
    let known_tag = fs::read_to_string(tag).ok();
    // Without a tag nobody could tell whether the rest belongs to what is there.
    let have = known_tag
        .as_ref()
        .and_then(|_| fs::metadata(part).ok())
        .map_or(0, |found| found.len());
    let response = request(address, have, known_tag.as_deref())?;
    let resumed = match response.status() {
        StatusCode::PARTIAL_CONTENT if starts_at(&response) == Some(have) => true,
        StatusCode::OK => false,
        StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => {
            // As long as the whole, or longer than the server's file is now: begin anew.
            remove(part).map_err(Broken::Lasting)?;
            remove(tag).map_err(Broken::Lasting)?;
            return Err(Broken::Passing(
                "the partial file does not fit the server's".to_string(),
            ));
        }
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            return Err(Broken::Passing(format!("the server answered {status}")));
        }
        status => {
            let message = format!(
                "the server answered {status}; check the address and whether it may be read without signing in"
            );
            return Err(Broken::Lasting(failure(address, message)));
        }
    };
    let before = if resumed { have } else { 0 };
    let length = number(&response, header::CONTENT_LENGTH);
    if !resumed {
        // The tag goes first: with the new file's tag and the old file's bytes a resume would mix the two.
        remove(tag).map_err(Broken::Lasting)?;
    }
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .append(resumed)
        .truncate(!resumed)
        .open(part)
        .map_err(lasting("write", part))?;
    let strong = response
        .headers()
        .get(header::ETAG)
        .and_then(|value| value.to_str().ok());
    if let (false, Some(strong)) = (resumed, strong.filter(|value| value.starts_with('"'))) {
        fs::write(tag, strong).map_err(lasting("write", tag))?;
    }
    let name = address.rsplit('/').next().unwrap_or(address);
    progress.stage(&format!("download {name}"), length.map(|length| before + length));
    progress.advance(before);
    let received = copy(response, &mut file, progress).map_err(|error| match error {
        CopyError::Network(error) => Broken::Passing(format!("the connection broke off: {error}")),
        CopyError::Disk(error) => lasting("write", part)(error),
    })?;
    file.sync_all().map_err(lasting("write", part))?;
    match length {
        Some(length) if received != length => Err(Broken::Passing(format!(
            "{received} of {length} bytes arrived before the connection closed"
        ))),
        _ => Ok(()),
    }
}

fn request(address: &str, have: u64, tag: Option<&str>) -> Result<Response<Body>, Broken> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .user_agent(concat!("weaverec/", env!("CARGO_PKG_VERSION")))
        .build();
    // Ranges count the bytes as stored; a transparent compression would make them mean something else.
    let mut get = Agent::new_with_config(config)
        .get(address)
        .header(header::ACCEPT_ENCODING, "identity");
    if let (Some(tag), true) = (tag, have > 0) {
        get = get
            .header(header::RANGE, format!("bytes={have}-"))
            .header(header::IF_RANGE, tag);
    }
    get.call().map_err(|error| match error {
        ureq::Error::BadUri(_) => Broken::Lasting(failure(
            address,
            format!("{error}; give an http:// or https:// address"),
        )),
        error => Broken::Passing(format!("no connection: {error}")),
    })
}

/// First byte of a partial answer: `Content-Range: bytes <first>-<last>/<total>`.
fn starts_at(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn number(response: &Response<Body>, name: header::HeaderName) -> Option<u64> {
    response.headers().get(name)?.to_str().ok()?.parse().ok()
}

enum CopyError {
    Network(io::Error),
    Disk(io::Error),
}

fn copy(response: Response<Body>, file: &mut File, progress: &dyn Progress) -> Result<u64, CopyError> {
    let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
    let mut buffer = vec![0; 1 << 16];
    let mut received = 0;
    loop {
        match body.read(&mut buffer) {
            Ok(0) => return Ok(received),
            Ok(n) => {
                file.write_all(&buffer[..n]).map_err(CopyError::Disk)?;
                received += n as u64;
                progress.advance(n as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(CopyError::Network(error)),
        }
    }
}

fn failure(address: &str, message: String) -> Error {
    Error::Fetch {
        what: address.to_string(),
        message,
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(path, "delete", error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::fetch::server::Server;
    use crate::raw::NoProgress;

    const NOTHING: Known<'_> = Known {
        sha256: None,
        bytes: None,
    };

    fn content() -> Vec<u8> {
        (0..200_000u32).map(|i| (i * 7 % 251) as u8).collect()
    }

    /// Files in a folder by name.
    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_broken_download_goes_on_where_it_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/file.bin");
        let mut server = Server::of(content());
        server.chunk = 90_000;
        let server = server.start();
        let address = server.address("file.bin");
        url(&address, &path, NOTHING, &NoProgress).unwrap();
        assert_eq!(fs::read(&path).unwrap(), content());
        assert_eq!(server.requests(), ["", "bytes=90000-", "bytes=180000-"]);
        assert_eq!(
            names(path.parent().unwrap()),
            ["file.bin"],
            "nothing but the file is left"
        );
        url(&address, &path, NOTHING, &NoProgress).unwrap();
        assert_eq!(
            server.requests().len(),
            3,
            "a finished file is not asked for again"
        );
    }

    #[test]
    fn a_partial_file_of_another_version_is_not_continued() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.bin");
        fs::write(dir.path().join("file.bin.part"), [9; 1000]).unwrap();
        fs::write(dir.path().join("file.bin.part.etag"), "\"v0\"").unwrap();
        let server = Server::of(content()).start();
        url(&server.address("file.bin"), &path, NOTHING, &NoProgress).unwrap();
        assert_eq!(fs::read(&path).unwrap(), content());
    }

    #[test]
    fn without_a_strong_tag_it_begins_anew_each_time_and_tells_when_it_gives_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.bin");
        let mut server = Server::of(content());
        (server.chunk, server.etag) = (90_000, "W/\"weak\"");
        let server = server.start();
        let address = server.address("file.bin");
        let error = url(&address, &path, NOTHING, &NoProgress)
            .unwrap_err()
            .to_string();
        assert!(error.contains(&address) && error.contains("run again"), "{error}");
        assert!(server.requests().iter().all(String::is_empty));
        assert_eq!(server.requests().len(), ATTEMPTS as usize);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_call_leaves_is_gone_on_with_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.bin");
        let mut server = Server::of(content());
        server.chunk = 30_000;
        let server = server.start();
        let address = server.address("file.bin");
        url(&address, &path, NOTHING, &NoProgress).unwrap_err();
        assert!(!path.exists());
        assert_eq!(
            fs::metadata(dir.path().join("file.bin.part")).unwrap().len(),
            120_000
        );
        url(&address, &path, NOTHING, &NoProgress).unwrap();
        assert_eq!(fs::read(&path).unwrap(), content());
        assert_eq!(server.requests()[4], "bytes=120000-");
    }

    #[test]
    fn a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.bin");
        let mut busy = Server::of(content());
        busy.first = vec!["503 Service Unavailable", "429 Too Many Requests"];
        let busy = busy.start();
        let begin = std::time::Instant::now();
        url(&busy.address("file.bin"), &path, NOTHING, &NoProgress).unwrap();
        assert_eq!(busy.requests().len(), 3);
        assert!(
            begin.elapsed() >= Duration::from_millis(1_500),
            "the second wait is longer than the first"
        );

        let mut closed = Server::of(content());
        closed.first = vec!["404 Not Found"];
        let closed = closed.start();
        let other = dir.path().join("other.bin");
        let error = url(&closed.address("file.bin"), &other, NOTHING, &NoProgress)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("404") && error.contains("check the address"),
            "{error}"
        );
        assert_eq!(closed.requests().len(), 1);
        assert_eq!(names(dir.path()), ["file.bin"]);
    }

    #[test]
    fn a_length_that_is_too_large_is_taken_for_a_broken_connection() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.bin");
        let mut server = Server::of(content());
        server.claimed = Some(300_000);
        let server = server.start();
        // All of it is there, but nobody can know; the server's own answer to the next range settles it.
        let answer = url(&server.address("file.bin"), &path, NOTHING, &NoProgress);
        assert!(
            server.requests().len() > 1,
            "one answer that falls short of its length is not believed"
        );
        match answer {
            Ok(()) => assert_eq!(fs::read(&path).unwrap(), content()),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_length_that_is_too_small_is_found_out_by_what_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.bin");
        let lying = || {
            let mut server = Server::of(content());
            server.claimed = Some(1_000);
            server.start()
        };
        let size = Known {
            bytes: Some(200_000),
            ..NOTHING
        };
        let error = url(&lying().address("file.bin"), &path, size, &NoProgress)
            .unwrap_err()
            .to_string();
        assert!(error.contains("1000 bytes arrived, expected 200000"), "{error}");
        assert_eq!(names(dir.path()), Vec::<String>::new());
    }

    #[test]
    fn without_a_length_the_end_of_the_connection_is_the_end_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.bin");
        let mut server = Server::of(content());
        server.tells_length = false;
        let server = server.start();
        url(&server.address("file.bin"), &path, NOTHING, &NoProgress).unwrap();
        assert_eq!(fs::read(&path).unwrap(), content());
    }

    #[test]
    fn a_wrong_checksum_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.bin");
        let server = Server::of(content()).start();
        let pinned = "0".repeat(64);
        let known = Known {
            sha256: Some(&pinned),
            ..NOTHING
        };
        let error = url(&server.address("file.bin"), &path, known, &NoProgress)
            .unwrap_err()
            .to_string();
        assert!(error.contains(&pinned), "{error}");
        assert_eq!(names(dir.path()), Vec::<String>::new());
    }

    #[test]
    fn progress_comes_to_the_whole_file_even_in_pieces() {
        struct Sum(std::sync::Mutex<(u64, Vec<Option<u64>>)>);
        impl Progress for Sum {
            fn stage(&self, _name: &str, total: Option<u64>) {
                let mut seen = self.0.lock().unwrap();
                seen.0 = 0;
                seen.1.push(total);
            }
            fn advance(&self, by: u64) {
                self.0.lock().unwrap().0 += by;
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let mut server = Server::of(content());
        server.chunk = 150_000;
        let server = server.start();
        let seen = Sum(Default::default());
        url(
            &server.address("file.bin"),
            &dir.path().join("file.bin"),
            NOTHING,
            &seen,
        )
        .unwrap();
        assert_eq!(*seen.0.lock().unwrap(), (200_000, vec![Some(200_000); 2]));
    }

    #[test]
    fn an_address_that_is_none_fails_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let error = url("file.bin", &dir.path().join("x"), NOTHING, &NoProgress).unwrap_err();
        assert!(
            matches!(&error, Error::Fetch { what, .. } if what == "file.bin"),
            "{error}"
        );
    }

    #[test]
    fn a_hub_path_cannot_leave_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        let error = hub_file("owner/name", "../../etc/passwd", "main", dir.path(), &NoProgress).unwrap_err();
        assert!(matches!(error, Error::Usage(_)));
    }
}
