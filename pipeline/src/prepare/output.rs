//! The folder as a whole: is it there already, written aside, moved into place, described.

use std::path::{Path, PathBuf};

use serde_json::json;
use weaverec_output::{Claim, Input, Staged, scratch};

use crate::error::{Error, Result};
use crate::output::PREPARED;
use crate::prepare::PrepareConfig;
use crate::prepared::{
    CARD, CROISSANT, DATASET_INFO, MANIFEST, Manifest, SCHEMA_VERSION, croissant, write_text,
};
use crate::raw::{InputFile, Progress, fingerprint};
use crate::schema::Split;
use crate::storage;

/// Sizes and hashes of the raw files, with names relative to the raw folder: where it lies must not reach the manifest.
pub fn hash_inputs(config: &PrepareConfig) -> Result<Vec<InputFile>> {
    let mut paths = config.dataset.interaction_files(&config.raw)?;
    paths.extend(config.dataset.item_files(&config.raw)?.unwrap_or_default());
    let found: Result<Vec<InputFile>> = paths.iter().map(|path| fingerprint(path)).collect();
    Ok(relative(found?, &config.raw))
}

/// The files with names relative to the raw folder.
pub fn relative(mut inputs: Vec<InputFile>, root: &Path) -> Vec<InputFile> {
    for input in &mut inputs {
        input.path = input.path.strip_prefix(root).unwrap_or(&input.path).to_owned();
    }
    inputs
}

/// One hash of what was asked for: name, description, parameters, inputs, and the version that answers.
pub fn request(config: &PrepareConfig, inputs: &[InputFile]) -> Result<String> {
    let asked = json!({
        "schema_version": SCHEMA_VERSION,
        "version": env!("CARGO_PKG_VERSION"),
        "name": config.folder_name(),
        "dataset": config.dataset,
        "parameters": config.parameters,
        "inputs": inputs,
    });
    Ok(blake3::hash(asked.to_string().as_bytes()).to_hex().to_string())
}

/// The right to write the folder, once no other run writes it; `None` for one in an object store, where nothing can be locked.
pub fn claim(config: &PrepareConfig, progress: &dyn Progress) -> Result<Option<Claim>> {
    let folder = config.folder();
    if storage::url(&folder).is_some() {
        scratch::sweep(&config.place());
        return Ok(None);
    }
    let waiting = || {
        progress.stage(
            &format!("wait for another run that writes {}", folder.display()),
            None,
        )
    };
    Ok(Some(Claim::wait(&folder, PREPARED, &inputs(config), waiting)?))
}

/// The raw files, and the folders that are read as a whole. What cannot be found is for the readers to tell.
fn inputs(config: &PrepareConfig) -> Vec<Input> {
    if storage::url(&config.raw).is_some() {
        return Vec::new();
    }
    let named = config.dataset.interactions.iter().chain(&config.dataset.items);
    let folders = named
        .filter(|name| name.ends_with('/'))
        .map(|name| Input::new(config.raw.join(name), "a folder of raw files"));
    let interactions = config.dataset.interaction_files(&config.raw).unwrap_or_default();
    let items = config
        .dataset
        .item_files(&config.raw)
        .ok()
        .flatten()
        .unwrap_or_default();
    let files = interactions.into_iter().chain(items);
    folders
        .chain(files.map(|file| Input::new(file, "a raw file")))
        .collect()
}

/// The manifest of a folder that the same request made; an error if something else is in the way.
pub fn kept(config: &PrepareConfig, request: &str) -> Result<Option<Manifest>> {
    let folder = config.folder();
    let manifest = folder.join(MANIFEST);
    if !storage::exists(&manifest).map_err(|source| Error::io(&manifest, "look for", source))? {
        // An empty folder, or, in an object store, what was begun and not finished.
        return Ok(None);
    }
    let found = Manifest::read(&folder).and_then(|found| found.check_sizes(&folder).map(|()| found));
    match found {
        Ok(found) if found.request == request => Ok(Some(found)),
        _ if config.force => Ok(None),
        found => {
            let why = match found {
                Ok(_) => "was prepared with other parameters, inputs or another version".to_owned(),
                Err(error) => format!("is damaged ({error})"),
            };
            let message = format!("{why}; pass --force to replace it, or choose another name");
            Err(Error::Prepared {
                path: folder,
                message,
            })
        }
    }
}

/// A folder beside the final one, or on this machine if that is a URL; removed unless it is published.
pub fn staging(config: &PrepareConfig, claim: Option<&Claim>) -> Result<Staged> {
    if let Some(claim) = claim {
        return Ok(Staged::beside(claim.place())?);
    }
    let (place, folder) = (config.place(), config.folder());
    // A bucket that is not there, or not ours, is better known before the work than after it.
    storage::list(&folder).map_err(|source| Error::io(&folder, "list", source))?;
    std::fs::create_dir_all(&place).map_err(|source| Error::io(&place, "create", source))?;
    Ok(Staged::within(&place)?)
}

/// Moves the finished folder into place, or uploads it.
pub fn publish(
    config: &PrepareConfig,
    claim: Option<Claim>,
    staging: Staged,
    manifest: &Manifest,
) -> Result<()> {
    let folder = config.folder();
    if let Some(url) = storage::url(&folder) {
        // What an older version or other options put there; a manifest that cannot be read names nothing.
        let old = Manifest::read(&folder).map(|old| names(&old)).unwrap_or_default();
        return storage::upload(staging.path(), url, &names(manifest), &old);
    }
    match claim {
        Some(claim) => Ok(claim.publish(staging)?),
        None => Ok(staging.publish(&folder)?),
    }
}

/// The files of a folder, the manifest last.
fn names(manifest: &Manifest) -> Vec<PathBuf> {
    let data = manifest.files.iter().map(|file| file.path.as_str());
    data.chain([DATASET_INFO, CROISSANT, CARD, MANIFEST])
        .map(PathBuf::from)
        .collect()
}

/// Writes `dataset_info.json`, `croissant.json`, the card and, last, the manifest.
pub fn describe(folder: &Path, manifest: &Manifest) -> Result<()> {
    write_text(&folder.join(DATASET_INFO), &pretty(&dataset_info(manifest))?)?;
    write_text(&folder.join(CROISSANT), &pretty(&croissant(manifest))?)?;
    write_text(&folder.join(CARD), &card(manifest)?)?;
    write_text(&folder.join(MANIFEST), &pretty(manifest)?)
}

fn pretty(value: &impl serde::Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n")
        .map_err(|error| Error::Usage(format!("cannot write JSON: {error}")))
}

/// LLaMA-Factory's index: one entry a file, in the `sharegpt` form with OpenAI's names.
fn dataset_info(manifest: &Manifest) -> serde_json::Value {
    let mut entries = serde_json::Map::new();
    for file in manifest
        .files
        .iter()
        .filter(|file| file.path.starts_with("prompts/"))
    {
        let stem = file
            .path
            .trim_start_matches("prompts/")
            .trim_end_matches(".parquet");
        let entry = json!({
            "file_name": file.path,
            "formatting": "sharegpt",
            "columns": {"messages": "messages"},
            "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"},
        });
        entries.insert(format!("{}-{stem}", manifest.name), entry);
    }
    entries.into()
}

fn card(manifest: &Manifest) -> Result<String> {
    let mut environment = minijinja::Environment::new();
    let failed = |error: minijinja::Error| Error::Usage(format!("data-set card: {error:#}"));
    environment
        .add_template("card", include_str!("card.md"))
        .map_err(failed)?;
    let values = minijinja::context! {
        manifest => minijinja::value::Serde(manifest),
        splits => Split::ALL.map(Split::name),
        ties => manifest.ties.to_string(),
        repeats => manifest.repeats.to_string(),
        bins => manifest.bins.to_string(),
        advice => manifest.tie_advice(),
        warning => manifest.audit.warning(&manifest.parameters.split),
    };
    environment
        .get_template("card")
        .and_then(|template| template.render(values))
        .map_err(failed)
}
