//! Which files of a model's folder hold its weights: one, the shards that an index names, or shards that number themselves.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use serde::Deserialize;

use crate::io::safetensors;
use crate::{Error, Result, foreign};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

#[derive(Deserialize)]
struct Index {
    /// The file of each tensor.
    weight_map: HashMap<String, String>,
}

/// What `keep` makes of all tensors of a model folder.
pub(super) fn read<T>(
    folder: &Path,
    keep: impl Fn(&str, Tensor) -> Result<T>,
) -> Result<BTreeMap<String, T>> {
    let (files, expected) = files(folder)?;
    let mut tensors: BTreeMap<String, T> = BTreeMap::new();
    for file in files {
        for (name, tensor) in safetensors::read_as(&file, &keep)? {
            if tensors.insert(name.clone(), tensor).is_some() {
                return Err(failure(
                    &file,
                    format!(
                        "tensor {name} is in another shard too, and nothing says which of the two counts; fetch the model again"
                    ),
                ));
            }
        }
    }
    match expected.iter().find(|(name, _)| !tensors.contains_key(*name)) {
        None => Ok(tensors),
        Some((name, file)) => Err(failure(
            &folder.join(INDEX),
            format!(
                "it says that tensor {name} is in {file}, and it is not; fetch the two again, of one revision"
            ),
        )),
    }
}

/// The files, and by an index the file of each tensor.
pub(crate) fn files(folder: &Path) -> Result<(Vec<PathBuf>, BTreeMap<String, String>)> {
    let single = folder.join(SINGLE);
    if single.is_file() {
        return Ok((vec![single], BTreeMap::new()));
    }
    let names = names(folder)?;
    let index = folder.join(INDEX);
    if index.is_file() {
        let map = indexed(&index)?;
        let shards: BTreeSet<&String> = map.values().collect();
        let missing: Vec<&str> = shards
            .iter()
            .map(|name| name.as_str())
            .filter(|name| !names.contains(*name))
            .collect();
        if !missing.is_empty() {
            return Err(failure(
                &index,
                format!(
                    "{} of the {} files that it names are not here ({}); fetch them",
                    missing.len(),
                    shards.len(),
                    listed(&missing)
                ),
            ));
        }
        let files = shards.into_iter().map(|name| folder.join(name)).collect();
        return Ok((files, map));
    }
    match numbered(folder, &names)? {
        Some(files) => Ok((files, BTreeMap::new())),
        None => Err(failure(folder, without_weights(&names))),
    }
}

fn indexed(index: &Path) -> Result<BTreeMap<String, String>> {
    let parsed: Index = foreign::json(&foreign::read(index)?).map_err(|message| failure(index, message))?;
    let is_name = |name: &str| Path::new(name).file_name().is_some_and(|own| own == name);
    match parsed.weight_map.iter().find(|(_, file)| !is_name(file)) {
        Some((name, file)) => Err(failure(
            index,
            format!("tensor {name} is said to be in \"{file}\", which is no file of this folder"),
        )),
        None if parsed.weight_map.is_empty() => {
            Err(failure(index, "it names no tensors; fetch it again".into()))
        }
        None => Ok(parsed.weight_map.into_iter().collect()),
    }
}

/// Shards that say themselves which they are, as `model-00001-of-00003.safetensors`: all of one set, if there is one.
fn numbered(folder: &Path, names: &BTreeSet<String>) -> Result<Option<Vec<PathBuf>>> {
    let mut sets: BTreeMap<(&str, &str), BTreeSet<usize>> = BTreeMap::new();
    for name in names {
        let parts = name
            .strip_suffix(".safetensors")
            .and_then(|stem| stem.rsplit_once("-of-"))
            .and_then(|(start, count)| Some((start.rsplit_once('-')?, count)));
        if let Some(((stem, number), count)) = parts
            && let Ok(number) = number.parse()
            && count
                .parse::<usize>()
                .is_ok_and(|count| (1..=MOST_SHARDS).contains(&count))
        {
            sets.entry((stem, count)).or_default().insert(number);
        }
    }
    let Some(((stem, count), numbers)) = sets.pop_first() else {
        return Ok(None);
    };
    if let Some(((other, of), _)) = sets.pop_first() {
        return Err(failure(
            folder,
            format!(
                "shards of two sets ({stem}-…-of-{count} and {other}-…-of-{of}) and no {INDEX} that says which counts; remove one set, or \
                 fetch the index"
            ),
        ));
    }
    let width = count.len();
    let total = count.parse().unwrap_or(0);
    let file = |number: usize| format!("{stem}-{number:0width$}-of-{count}.safetensors");
    let missing: Vec<String> = (1..=total)
        .filter(|number| !numbers.contains(number))
        .map(file)
        .collect();
    if !missing.is_empty() {
        let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
        return Err(failure(
            folder,
            format!(
                "{} of {total} shards are not here ({}), nor {INDEX}; fetch them",
                missing.len(),
                listed(&missing)
            ),
        ));
    }
    Ok(Some(
        (1..=total).map(|number| folder.join(file(number))).collect(),
    ))
}

/// No model is cut into as many.
const MOST_SHARDS: usize = 10_000;

/// What a folder without weights holds in their place, and what to do.
fn without_weights(names: &BTreeSet<String>) -> String {
    let ending = |ends: &[&str]| {
        names
            .iter()
            .find(|name| ends.iter().any(|end| name.ends_with(end)))
            .cloned()
    };
    let none = format!("no {SINGLE} and no {INDEX} here");
    if let Some(name) = ending(&[".safetensors"]) {
        return format!("{none}; if {name} holds the whole model, name it {SINGLE}");
    }
    if let Some(name) = ending(&[".bin", ".pth", ".pt", ".ckpt", ".bin.index.json"]) {
        return format!(
            "{none}, only pickled weights ({name}), which could hold programs and are not read; save the model with transformers' \
             save_pretrained(…, safe_serialization=True)"
        );
    }
    if let Some(name) = ending(&[".h5", ".msgpack", ".onnx"]) {
        return format!("{none}, and {name} is of another tool; save the model as safetensors");
    }
    format!("{none}; save the model with safe serialisation")
}

/// Refuses a folder that is something else than a model, in words for it.
pub(super) fn check_is_model(folder: &Path) -> Result<()> {
    if folder.join("config.json").is_file() {
        return Ok(());
    }
    let names = names(folder)?;
    let message = if names.contains("adapter_config.json") {
        "an adapter's folder and no model's; name it as the adapter, and its base as the model".into()
    } else if names.contains("params.json") && names.iter().any(|name| name.starts_with("consolidated")) {
        "a checkpoint in its maker's own form (params.json); take the one for transformers, with config.json"
            .into()
    } else if let Some(inner) = snapshot(folder) {
        format!(
            "a folder of the hub's cache, whose model is in {}; name that",
            inner.display()
        )
    } else if let Some(inner) = only_folder(folder) {
        format!(
            "no config.json here; there is one in {}: name that",
            inner.display()
        )
    } else if names.is_empty() {
        "no files here; a model is a Hugging Face folder or a .gguf file".into()
    } else {
        "no config.json and no .gguf file here, so this is no model's folder; fetch all of the model's files"
            .into()
    };
    Err(failure(folder, message))
}

/// The model in a folder of the hub's cache, `models--owner--name/snapshots/<revision>`.
fn snapshot(folder: &Path) -> Option<PathBuf> {
    only_folder(&folder.join("snapshots"))
}

/// The one folder in a folder that holds a model.
fn only_folder(folder: &Path) -> Option<PathBuf> {
    let inner = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path());
    let mut models = inner.filter(|path| path.join("config.json").is_file());
    models.next().filter(|_| models.next().is_none())
}

fn names(folder: &Path) -> Result<BTreeSet<String>> {
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))?;
    Ok(entries
        .flatten()
        .filter(|entry| entry.path().is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect())
}

fn listed(names: &[&str]) -> String {
    match names {
        [first, second, third, _, ..] => format!("{first}, {second}, {third} and {} more", names.len() - 3),
        few => few.join(", "),
    }
}

fn failure(path: &Path, message: String) -> Error {
    Error::Weights {
        path: path.to_path_buf(),
        message,
    }
}
