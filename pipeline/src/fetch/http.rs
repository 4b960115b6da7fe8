//! Plain HTTP downloads that resume, check and rename: small enough to read, robust enough for gigabytes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::config::RedirectAuthHeaders;
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};
use weaverec_output::place_file;

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
    match url_if_any(address, Access::default(), path, known, progress)? {
        true => Ok(()),
        false => Err(absent(address)),
    }
}

/// That the server has no such file.
pub(super) fn absent(address: &str) -> Error {
    failure(
        address,
        "the server has no such file (404 Not Found); check the address".to_string(),
    )
}

/// How a server is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access<'a> {
    /// Sent to the server asked, and to no other that it refers to.
    pub token: Option<&'a str>,
    /// What to do where the server refuses.
    pub advice: &'a str,
}

impl Default for Access<'_> {
    fn default() -> Self {
        Access {
            token: None,
            advice: "check the address and whether it may be read without signing in",
        }
    }
}

/// As [`url`], but tells with `false` that the server has no such file.
pub(super) fn url_if_any(
    address: &str,
    access: Access<'_>,
    path: &Path,
    known: Known<'_>,
    progress: &dyn Progress,
) -> Result<bool> {
    if path.is_file() {
        return Ok(true);
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|source| Error::io(parent, "create", source))?;
    }
    // Two runs would write into one another's half of the file.
    let _alone = super::alone(path, progress)?;
    if path.is_file() {
        return Ok(true);
    }
    let part = beside(path, ".part");
    let tag = beside(path, ".part.etag");
    let mut attempt = 1;
    loop {
        match transfer(address, access, &part, &tag, progress) {
            Ok(()) => break,
            Err(Broken::Absent) => return Ok(false),
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
    place_file(&part, path)?;
    Ok(true)
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

/// Why a transfer did not finish.
enum Broken {
    /// Another attempt may go on from where it broke off.
    Passing(String),
    /// There is no such file.
    Absent,
    /// Another attempt would fail the same way.
    Lasting(Error),
}

fn transfer(
    address: &str,
    access: Access<'_>,
    part: &Path,
    tag: &Path,
    progress: &dyn Progress,
) -> Result<(), Broken> {
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
    let response = request(address, access.token, have, known_tag.as_deref())?;
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
        StatusCode::NOT_FOUND => return Err(Broken::Absent),
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            return Err(Broken::Passing(format!("the server answered {status}")));
        }
        status => {
            let message = format!("the server answered {status}; {}", access.advice);
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

fn request(
    address: &str,
    token: Option<&str>,
    have: u64,
    tag: Option<&str>,
) -> Result<Response<Body>, Broken> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .user_agent(concat!("weaverec/", env!("CARGO_PKG_VERSION")))
        .redirect_auth_headers(RedirectAuthHeaders::SameHost)
        .build();
    // Ranges count the bytes as stored; a transparent compression would make them mean something else.
    let mut get = Agent::new_with_config(config)
        .get(address)
        .header(header::ACCEPT_ENCODING, "identity");
    if let Some(token) = token {
        get = get.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
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
#[path = "http_tests.rs"]
mod tests;
