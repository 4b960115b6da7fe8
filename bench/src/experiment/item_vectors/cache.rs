//! Vectors that were made, kept by what they were made of.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use weaverec_model::recommender::Vectors;
use weaverec_model::recommender::vectors::Given;

use super::file::{self, Part};
use crate::progress::say;

/// Files of a model, an adapter or its words; others in its folder say nothing of what it computes.
const OF_MODELS: [&str; 4] = ["json", "safetensors", "gguf", "jinja"];

/// Changes when other vectors are made of the same things than before.
const VERSION: u32 = 1;

/// A folder of vectors.
pub struct Cache<'a> {
    folder: Option<&'a Path>,
}

impl<'a> Cache<'a> {
    /// The one in this folder, which is made when it is needed; without one nothing is kept.
    pub fn of(folder: Option<&'a Path>) -> Self {
        Cache { folder }
    }

    /// The vectors of these titles, a set a list of them: those that are there, or those that `make` makes. `what` says how they are made:
    /// whatever decides about them but the titles.
    ///
    /// # Errors
    /// Those of `make`, and a folder that cannot be written.
    pub fn kept(
        &self,
        what: &Value,
        titles: &[&[&str]],
        make: impl FnOnce() -> Result<Vec<Vectors>>,
    ) -> Result<Vec<Vectors>> {
        let sizes: Vec<usize> = titles.iter().map(|titles| titles.len()).collect();
        let Some(folder) = self.folder.filter(|_| sizes.iter().any(|size| *size > 0)) else {
            return make();
        };
        let path = folder.join(format!("{}.parquet", key(what, titles)));
        if path.is_file() {
            match file::read(&path).and_then(|rows| whole(rows, &sizes)) {
                Ok(found) => return Ok(found),
                Err(error) => say(format!(
                    "warning: vectors that were kept cannot be read and are made again ({error:#})"
                )),
            }
        }
        let made = make()?;
        let numbers: Vec<Vec<String>> = sizes
            .iter()
            .map(|size| (1..=*size).map(|item| item.to_string()).collect())
            .collect();
        let parts: Vec<Part> = made
            .iter()
            .zip(&numbers)
            .enumerate()
            .map(|(list, (vectors, numbers))| Part {
                domain: list.to_string(),
                items: numbers.iter().map(String::as_str).collect(),
                vectors,
            })
            .collect();
        file::write(&path, &parts, what)?;
        Ok(made)
    }
}

/// A name for what vectors are made of.
fn key(what: &Value, titles: &[&[&str]]) -> String {
    let mut hash = blake3::Hasher::new();
    let mut add = |text: &str| {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    add(&VERSION.to_string());
    add(&what.to_string());
    for list in titles {
        add(&list.len().to_string());
        list.iter().for_each(|title| add(title));
    }
    hash.finalize().to_hex()[..32].to_string()
}

/// The rows of a file as so many sets of these sizes.
fn whole(rows: Vec<Given>, sizes: &[usize]) -> Result<Vec<Vectors>> {
    let width = rows.first().map_or(0, |row| row.values.len());
    let mut rest = rows.into_iter();
    let mut sets = Vec::with_capacity(sizes.len());
    for (list, size) in sizes.iter().enumerate() {
        let mut values = Vec::with_capacity(size * width);
        for item in 1..=*size {
            let row = rest.next().context("it has too few rows")?;
            let is_next = row.domain.as_deref() == Some(list.to_string().as_str())
                && row.item == item.to_string()
                && row.values.len() == width;
            ensure!(is_next, "it has other rows than were written");
            values.extend(row.values);
        }
        let set = Vectors { width, values };
        set.check(*size)?;
        sets.push(set);
    }
    ensure!(rest.next().is_none(), "it has too many rows");
    Ok(sets)
}

/// A hash of a file, or of a folder's files that make a model or an adapter.
///
/// # Errors
/// What cannot be read.
pub fn content(path: &Path) -> Result<String> {
    let failed = || format!("cannot read {}", path.display());
    let mut files: Vec<PathBuf> = match path.is_dir() {
        false => vec![path.to_path_buf()],
        true => std::fs::read_dir(path)
            .with_context(failed)?
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<_>>()
            .with_context(failed)?,
    };
    if path.is_dir() {
        let is_part = |file: &PathBuf| {
            let ending = file.extension().and_then(|ending| ending.to_str());
            file.is_file() && ending.is_some_and(|ending| OF_MODELS.contains(&ending))
        };
        files.retain(is_part);
        files.sort();
    }
    let mut hash = blake3::Hasher::new();
    for file in &files {
        let failed = || format!("cannot read {}", file.display());
        // Where it lies says nothing, which file of a folder it is does.
        if path.is_dir() {
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
            hash.update(name.unwrap_or_default().as_bytes());
        }
        let mut own = blake3::Hasher::new();
        own.update_reader(File::open(file).with_context(failed)?)
            .with_context(failed)?;
        hash.update(own.finalize().as_bytes());
    }
    Ok(hash.finalize().to_hex()[..32].to_string())
}
