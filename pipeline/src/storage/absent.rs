//! What stands for object stores in a program that was built without them: an error that says so.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

fn error(url: &str) -> Error {
    Error::without_feature(url, "object-store")
}

fn io_error<T>(url: &str) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::Unsupported, error(url)))
}

pub fn check(url: &str) -> Result<()> {
    Err(error(url))
}

pub fn open(url: &str) -> io::Result<io::Empty> {
    io_error(url)
}

pub fn size(url: &str) -> io::Result<u64> {
    io_error(url)
}

pub fn list(url: &str) -> io::Result<Vec<PathBuf>> {
    io_error(url)
}

pub fn folders(url: &str) -> io::Result<Vec<PathBuf>> {
    io_error(url)
}

pub fn upload(_folder: &Path, url: &str, _files: &[PathBuf], _old: &[PathBuf]) -> Result<()> {
    Err(error(url))
}

pub fn put_new(_file: &Path, url: &str) -> Result<bool> {
    Err(error(url))
}
