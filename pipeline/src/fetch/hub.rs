//! Model repositories of the Hugging Face hub, or of a server that speaks as it does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::http::{self, Access, Known};
use crate::error::{Error, Result};
use crate::raw::Progress;

/// A server of model repositories.
#[derive(Clone)]
pub struct Hub {
    endpoint: String,
    token: Option<String>,
}

impl Default for Hub {
    /// The public one, read without signing in.
    fn default() -> Self {
        Hub {
            endpoint: "https://huggingface.co".to_string(),
            token: None,
        }
    }
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Hub {
    /// The server in `$HF_ENDPOINT`, or else the public one, with the token in `$HF_TOKEN`, which repositories ask for whose terms must
    /// be accepted.
    pub fn from_environment() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        Hub {
            endpoint: variable("HF_ENDPOINT").unwrap_or(Hub::default().endpoint),
            token: variable("HF_TOKEN").map(|token| token.trim().to_string()),
        }
    }

    /// A model's configuration, tokenizer, chat template and weights: their folder in the cache.
    ///
    /// Give a commit as `revision` where results must be reproducible: a branch name is fetched once and then kept.
    ///
    /// # Errors
    /// Those of [`url`](super::url), and an index of shards that cannot be read.
    pub fn model(
        &self,
        repository: &str,
        revision: &str,
        cache: &Path,
        progress: &dyn Progress,
    ) -> Result<PathBuf> {
        let file = |name: &str| self.file(repository, name, revision, cache, progress);
        let need = |name: &str| match file(name)? {
            (_, Some(path)) => Ok(path),
            (address, None) => Err(http::absent(&address)),
        };
        let config = need("config.json")?;
        need("tokenizer.json")?;
        // Where a template is in none of the two, the model has none.
        for name in ["tokenizer_config.json", "chat_template.jinja"] {
            file(name)?;
        }
        match file("model.safetensors.index.json")? {
            (_, None) => {
                need("model.safetensors")?;
            }
            (_, Some(path)) => {
                let bytes = fs::read(&path).map_err(|source| Error::io(&path, "read", source))?;
                let index: Index = serde_json::from_slice(&bytes).map_err(|error| Error::Fetch {
                    what: repository.to_string(),
                    message: format!("{}: {error}; delete it and run again", path.display()),
                })?;
                let shards: BTreeSet<String> = index.weight_map.into_values().collect();
                for shard in shards {
                    need(&shard)?;
                }
            }
        }
        Ok(config.parent().unwrap_or(cache).to_path_buf())
    }

    /// The address of a repository's file, and its path in the cache if the repository has it.
    fn file(
        &self,
        repository: &str,
        file: &str,
        revision: &str,
        cache: &Path,
        progress: &dyn Progress,
    ) -> Result<(String, Option<PathBuf>)> {
        let usable =
            |part: &str| !part.is_empty() && part.split('/').all(|piece| !matches!(piece, "" | "." | ".."));
        if ![repository, file, revision].into_iter().all(usable) {
            return Err(Error::Usage(format!(
                "`{repository}`, `{file}`, `{revision}`: give the repository as owner/name, a file in it and a revision"
            )));
        }
        let endpoint = self.endpoint.trim_end_matches('/');
        let address = format!("{endpoint}/{repository}/resolve/{revision}/{file}");
        let folder = cache.join("hub").join(repository.replace('/', "--"));
        let path = folder.join(revision.replace('/', "--")).join(file);
        let access = Access {
            token: self.token.as_deref(),
            advice: match self.token {
                None => {
                    "check the name; where a model's terms must be accepted, accept them on its page and set HF_TOKEN to a token of that \
                     account"
                }
                Some(_) => "check the name, and whether the account of the token in HF_TOKEN may read it",
            },
        };
        let is_there = http::url_if_any(&address, access, &path, Known::default(), progress)?;
        Ok((address, is_there.then_some(path)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::fetch::server::{Running, Server};
    use crate::raw::NoProgress;

    fn hub(server: &Running, token: Option<&str>) -> Hub {
        Hub {
            endpoint: server.address(""),
            token: token.map(str::to_string),
        }
    }

    #[test]
    fn a_path_cannot_leave_the_cache() {
        let cache = tempfile::tempdir().unwrap();
        for (repository, revision) in [("owner/../..", "main"), ("owner/name", "../main"), ("", "main")] {
            let error = Hub::default()
                .model(repository, revision, cache.path(), &NoProgress)
                .unwrap_err();
            assert!(matches!(error, Error::Usage(_)), "{error}");
        }
    }

    #[test]
    fn the_token_goes_with_every_request() {
        let cache = tempfile::tempdir().unwrap();
        let mut server =
            Server::of(br#"{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}"#.to_vec());
        // The configuration, the tokenizer and its settings are there, a template is not.
        server.then = vec![None, None, None, Some("404 Not Found")];
        let server = server.start();
        let folder = hub(&server, Some("secret"))
            .model("owner/name", "main", cache.path(), &NoProgress)
            .unwrap();
        assert_eq!(folder, cache.path().join("hub/owner--name/main"));
        for (file, there) in [
            ("tokenizer.json", true),
            ("chat_template.jinja", false),
            ("two.safetensors", true),
        ] {
            assert_eq!(folder.join(file).is_file(), there, "{file}");
        }
        let tokens = server.authorizations();
        assert_eq!(tokens.len(), 7);
        assert!(tokens.iter().all(|token| token == "Bearer secret"), "{tokens:?}");
    }

    #[test]
    fn where_the_server_refuses_the_token_is_spoken_of_and_not_told() {
        let cache = tempfile::tempdir().unwrap();
        for (token, advice) in [(None, "set HF_TOKEN"), (Some("secret"), "the token in HF_TOKEN")] {
            let mut server = Server::of(Vec::new());
            server.then = vec![Some("401 Unauthorized")];
            let server = server.start();
            let refused = hub(&server, token).model("owner/name", "main", cache.path(), &NoProgress);
            let error = refused.unwrap_err().to_string();
            assert!(
                error.contains("401") && error.contains(advice) && !error.contains("secret"),
                "{error}"
            );
            assert_eq!(server.authorizations(), [token.map_or("", |_| "Bearer secret")]);
        }
    }
}
