//! What people call a way to make vectors, on a command line.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use weaverec_model::backbone::BertConfig;

use super::{ItemVectors, Own, Sentences, States, minilm};

impl ItemVectors {
    /// What is called so, with its default settings: `tf-idf`, `minilm`, the folder of an encoder like it, a Parquet file, or a language model,
    /// with an adapter after a comma.
    ///
    /// # Errors
    /// Nothing, and an adapter where none can be.
    pub fn named(by: &str) -> Result<Self> {
        let by = by.trim();
        let path = Path::new(by);
        Ok(match by {
            "" => bail!("name tf-idf, minilm, a model or a file of vectors"),
            "tf-idf" => ItemVectors::default(),
            minilm::NAME => ItemVectors::Minilm(Sentences::default()),
            _ if is_parquet(path) => ItemVectors::File(Own {
                path: path.to_path_buf(),
                centre: false,
                normalise: false,
            }),
            _ if BertConfig::is_of(path) => ItemVectors::Minilm(Sentences {
                folder: Some(path.to_path_buf()),
                centre: false,
            }),
            _ => {
                // A comma may be part of a path.
                let (model, adapter) = match by.split_once(',').filter(|_| !path.exists()) {
                    Some((model, adapter)) => (model.trim(), Some(PathBuf::from(adapter.trim()))),
                    None => (by, None),
                };
                ensure!(
                    model != minilm::NAME && model != "tf-idf" && !BertConfig::is_of(Path::new(model)),
                    "{model} carries no adapter: a language model does"
                );
                ItemVectors::Decoder(States {
                    adapter,
                    ..States::of_model(model)
                })
            }
        })
    }
}

/// Whether a file is called one of Parquet.
pub fn is_parquet(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_vectors_are_made_by_is_told_by_its_name() {
        assert!(ItemVectors::named("tf-idf").unwrap().is_default());
        assert_eq!(
            ItemVectors::named("minilm").unwrap(),
            ItemVectors::Minilm(Sentences::default())
        );
        let ItemVectors::File(own) = ItemVectors::named("a,b.parquet").unwrap() else {
            panic!("a file");
        };
        assert_eq!(own.path, Path::new("a,b.parquet"));
        assert!(!own.centre && !own.normalise);
        let ItemVectors::Decoder(states) = ItemVectors::named("smollm2-135m,adapters/woven").unwrap() else {
            panic!("a language model");
        };
        assert_eq!(states.model, "smollm2-135m");
        assert_eq!(states.adapter.as_deref(), Some(Path::new("adapters/woven")));
        assert!(states.centre && states.normalise);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), r#"{"model_type": "bert"}"#).unwrap();
        let encoder = folder.path().display().to_string();
        let ItemVectors::Minilm(sentences) = ItemVectors::named(&encoder).unwrap() else {
            panic!("a sentence encoder");
        };
        assert_eq!(sentences.folder.as_deref(), Some(folder.path()));
        for wrong in [
            "".to_owned(),
            "minilm,adapter".to_owned(),
            format!("{encoder},adapter"),
        ] {
            assert!(ItemVectors::named(&wrong).is_err(), "{wrong}");
        }
    }
}
