//! The folder as a whole: is it there already, written aside, moved into place, described.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::error::{Error, Result};
use crate::prepare::PrepareConfig;
use crate::prepared::{CARD, DATASET_INFO, MANIFEST, Manifest, SCHEMA_VERSION, write_text};
use crate::raw::{InputFile, fingerprint};
use crate::schema::Split;
use crate::scratch::{self, Scratch};
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

/// The manifest of a folder that the same request made; an error if something else is in the way.
pub fn kept(config: &PrepareConfig, request: &str) -> Result<Option<Manifest>> {
    let folder = config.folder();
    // Whatever hides it (a file in the path, say) will stop its creation, with the better error.
    if storage::url(&folder).is_none() && !folder.exists() {
        return Ok(None);
    }
    let manifest = folder.join(MANIFEST);
    if !storage::exists(&manifest).map_err(|source| Error::io(&manifest, "look for", source))? {
        if storage::url(&folder).is_some() {
            // There are no folders in an object store: what lies there without a manifest was begun and not finished.
            return Ok(None);
        }
        let message = "is not a prepared folder, and is left alone; choose another name or place".to_owned();
        return Err(Error::Prepared {
            path: folder,
            message,
        });
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
pub fn staging(config: &PrepareConfig) -> Result<Scratch> {
    let (place, folder) = (config.place(), config.folder());
    if storage::url(&folder).is_some() {
        // A bucket that is not there, or not ours, is better known before the work than after it.
        storage::list(&folder).map_err(|source| Error::io(&folder, "list", source))?;
    }
    std::fs::create_dir_all(&place).map_err(|source| Error::io(&place, "create", source))?;
    Scratch::new(&place, "staging")
}

/// Moves the finished folder into place, or uploads it; if another run has meanwhile published there what this one was asked for, gives
/// that one's manifest instead.
pub fn publish(config: &PrepareConfig, staging: Scratch, manifest: &Manifest) -> Result<Option<Manifest>> {
    let folder = config.folder();
    if let Some(url) = storage::url(&folder) {
        // What an older version or other options put there; a manifest that cannot be read names nothing.
        let old = Manifest::read(&folder).map(|old| names(&old)).unwrap_or_default();
        return storage::upload(staging.path(), url, &names(manifest), &old).map(|()| None);
    }
    make_readable(staging.path())?;
    // Something old is moved aside rather than removed first, so that one of the two is always there whole.
    let aside = Scratch::new(&config.out, scratch::REPLACED)?;
    // Two runs that end together publish one after another.
    let alone = scratch::lock(&config.out);
    if let Some(found) = kept(config, &manifest.request)? {
        return Ok(Some(found));
    }
    let old = aside.path().join(config.folder_name());
    if folder.exists() {
        std::fs::rename(&folder, &old).map_err(|source| Error::io(&folder, "rename", source))?;
    }
    let published = staging.rename(&folder);
    if published.is_err() && old.exists() {
        std::fs::rename(&old, &folder).map_err(|source| Error::io(&folder, "rename", source))?;
    }
    drop(alone);
    published.map(|()| None)
}

/// The files of a folder, the manifest last.
fn names(manifest: &Manifest) -> Vec<PathBuf> {
    let data = manifest.files.iter().map(|file| file.path.as_str());
    data.chain([DATASET_INFO, CARD, MANIFEST])
        .map(PathBuf::from)
        .collect()
}

/// Temporary folders are private; what is published gets the permissions any new folder has.
#[cfg(unix)]
fn make_readable(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    // Made only to be looked at: the prompts' folder is not always there.
    let like = folder.join(".new");
    let failed = |source| Error::io(&like, "create", source);
    std::fs::create_dir(&like).map_err(failed)?;
    let mode = std::fs::metadata(&like).map_err(failed)?.permissions().mode();
    std::fs::remove_dir(&like).map_err(failed)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode))
        .map_err(|source| Error::io(folder, "change permissions of", source))
}

#[cfg(not(unix))]
fn make_readable(_folder: &Path) -> Result<()> {
    Ok(())
}

/// Writes `dataset_info.json`, the card and, last, the manifest.
pub fn describe(folder: &Path, manifest: &Manifest) -> Result<()> {
    write_text(&folder.join(DATASET_INFO), &pretty(&dataset_info(manifest))?)?;
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
        advice => manifest.tie_advice(),
        warning => manifest.audit.warning(&manifest.parameters.split),
    };
    environment
        .get_template("card")
        .and_then(|template| template.render(values))
        .map_err(failed)
}
