//! The adapters that a command reads, and whether they belong to its base.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use weaverec_model::backbone::{Decoder, DecoderConfig, Weights};
use weaverec_model::lora::{Adapter, Base, LoraConfig, Reading};
use weaverec_model::merge;
use weaverec_pipeline::fetch::{self, Model};

use crate::experiment::backbone::LanguageModel;
use crate::progress::say;

/// How adapters are read.
#[derive(Debug, Args)]
pub struct Adapters {
    /// Read adapters that lack factors for some of the modules which their settings target, and take these for zero.
    #[arg(long)]
    partial: bool,
}

impl Adapters {
    /// Reads an adapter for a base of this configuration, if it is at hand.
    pub fn read(&self, folder: &Path, base: Option<&DecoderConfig>) -> Result<Adapter> {
        let reading = Reading {
            partial: self.partial,
            base,
        };
        Ok(Adapter::read(folder, reading)?)
    }

    /// The model with an adapter, its update times a scale. One that was trained on another base is warned of: its update may mean nothing here, and shapes do not tell.
    pub fn fold(&self, folder: &Path, model: &LanguageModel, scale: f64) -> Result<Decoder> {
        let adapter = self.read(folder, Some(model.decoder.config()))?;
        if let Some(doubt) = doubt(&adapter, folder, &model.base, &model.path) {
            say(format!("warning: {}: {doubt}", folder.display()));
        }
        let decoder = match scale {
            1.0 => model.decoder.folded(&adapter),
            scale => model.decoder.folded(&merge::uniform_scaled(&[&adapter], scale)?),
        };
        decoder.with_context(|| format!("{} cannot be used on {}", folder.display(), model.base.name))
    }
}

/// Why an adapter may belong to another base than this one, which lies at `path`; none where nothing speaks for that.
pub fn doubt(adapter: &Adapter, folder: &Path, base: &Base, path: &Path) -> Option<String> {
    match &adapter.base {
        Some(own) => (!own.is(base)).then(|| {
            format!(
                "trained on another base: on {}, whose weights are not those of {}; what it does there it need not do here",
                own.name, base.name
            )
        }),
        None => doubt_of_name(adapter, folder, &base.name, path),
    }
}

/// The same by the name that an adapter has of its base, which is all that PEFT's adapters have.
pub fn doubt_of_name(adapter: &Adapter, folder: &Path, base: &str, path: &Path) -> Option<String> {
    // PEFT writes an empty name where it knows none.
    let named = adapter
        .config
        .base_model_name_or_path
        .as_deref()
        .filter(|name| !name.is_empty())?;
    let is_there = || located(named, folder).is_some_and(|own| is_same_place(&own, path));
    let same = named == base || is_there() || is_called(path, named);
    (!same).then(|| {
        format!(
            "it names {named} as its base, and the model here is {base}; if these are not the same weights, what it does there it need \
             not do here"
        )
    })
}

/// Where the base lies that an adapter names, and its configuration, if it is found without fetching anything.
pub fn base_of(folder: &Path) -> Option<(PathBuf, DecoderConfig)> {
    let settings = LoraConfig::read(&folder.join("adapter_config.json")).ok()?;
    let path = located(settings.base_model_name_or_path.as_deref()?, folder)?;
    let config = Weights::config(&path).ok()?;
    Some((path, config))
}

/// Where a base lies that an adapter names: at that path as it stands or seen from the adapter, or among what was fetched.
fn located(name: &str, folder: &Path) -> Option<PathBuf> {
    if name.is_empty() || Model::named(name).is_some() {
        return None;
    }
    let hub = || {
        Some(
            fetch::cache_root()
                .ok()?
                .join("hub")
                .join(name.replace('/', "--"))
                .join("main"),
        )
    };
    let beside = folder.parent().map(|parent| parent.join(name));
    let places = [Some(PathBuf::from(name)), Some(folder.join(name)), beside, hub()];
    places.into_iter().flatten().find(|path| is_model(path))
}

fn is_model(path: &Path) -> bool {
    path.join("config.json").is_file()
        || (path.is_file()
            && path
                .extension()
                .is_some_and(|end| end.eq_ignore_ascii_case("gguf")))
}

fn is_same_place(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// Whether a path bears a model's name, without its owner: as a folder, or as the beginning of a file's name.
fn is_called(path: &Path, name: &str) -> bool {
    let name = name.trim_end_matches(['/', '\\']);
    let last = name.rsplit(['/', '\\']).next().unwrap_or(name).to_lowercase();
    if last.is_empty() {
        return false;
    }
    let parts: Vec<String> = path
        .iter()
        .map(|part| part.to_string_lossy().to_lowercase())
        .collect();
    let as_folder = |part: &String| *part == last || part.ends_with(&format!("--{last}"));
    // What was fetched lies in a folder called after its revision.
    let own = match parts.as_slice() {
        [.., own, revision] if revision == "main" => Some(own),
        parts => parts.last(),
    };
    own.is_some_and(as_folder)
        || parts.last().is_some_and(|file| {
            let rest = file.strip_prefix(&last);
            file.ends_with(".gguf") && rest.is_some_and(|rest| rest.starts_with(['.', '-', '_']))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_bears_the_name_of_its_model() {
        for (path, name, same) in [
            (
                "/models/SmolLM2-135M-Instruct",
                "HuggingFaceTB/SmolLM2-135M-Instruct",
                true,
            ),
            (
                "/cache/hub/meta-llama--Llama-3.2-1B/main",
                "meta-llama/Llama-3.2-1B",
                true,
            ),
            (
                "/x/SmolLM2-135M-Instruct.Q4_1.gguf",
                "HuggingFaceTB/smollm2-135m-instruct",
                true,
            ),
            ("/models/llama", "/old/place/llama/", true),
            ("/models/Llama-3.2-3B", "meta-llama/Llama-3.2-1B", false),
            (
                "/models/SmolLM2-135M-Instruct",
                "HuggingFaceTB/SmolLM2-135M",
                false,
            ),
            ("/models/llama", "", false),
        ] {
            assert_eq!(is_called(Path::new(path), name), same, "{path} {name}");
        }
    }
}
