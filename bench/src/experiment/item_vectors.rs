//! One vector an item, of all domains of a study in one space: made of the items' titles in one of several ways, or one's own.
//!
//! ```text
//! titles ──► hashed TF-IDF + singular vectors | sentence encoder | pooled states of a language model ──┐
//! one's own file (Parquet of item, domain, vector) ────────────────────────────────────────────────────┴──► a set a domain
//! ```
//! No interaction has a part in them. What a model makes of titles is kept by content: the same titles are not read twice by the same model.

mod cache;
pub mod file;
pub mod minilm;
mod named;
mod states;
pub mod study;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weaverec_model::backbone::Precision;
use weaverec_model::device::Compute;
use weaverec_model::recommender::Vectors;
use weaverec_model::recommender::vectors::{self, Named, SentenceEncoder, TextVectors};
use weaverec_pipeline::fetch;
use weaverec_pipeline::schema::Item;

use self::cache::Cache;
pub use self::named::is_parquet;
use crate::progress::Meter;

/// How items become vectors, as a profile has it:
///
/// ```toml
/// [vectors]
/// kind = "decoder"
/// model = "smollm2-135m"
/// adapter = "adapters/woven"
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ItemVectors {
    /// Hashed TF-IDF of the titles of all domains, and its leading singular vectors.
    TfIdf(TextVectors),
    /// all-MiniLM-L6-v2, or another encoder of sentences of its kind.
    Minilm(Sentences),
    /// The mean of a language model's states over the tokens of each title.
    Decoder(States),
    /// Vectors of one's own.
    File(Own),
}

/// Settings of vectors by a sentence encoder, which are of length 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sentences {
    /// The folder of an encoder in place of the one that is fetched, as of another revision or language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Whether the mean of all items is taken away.
    pub centre: bool,
}

/// Settings of vectors by a language model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct States {
    /// A known name, a Hugging Face folder or a GGUF file.
    pub model: String,
    /// The folder of an adapter that the model carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<PathBuf>,
    /// What the model's projections are kept in.
    #[serde(default)]
    pub precision: Precision,
    /// Whether the mean of all items is taken away: states of a language model have much in common that says nothing.
    #[serde(default = "yes")]
    pub centre: bool,
    /// Whether every vector is brought to length 1.
    #[serde(default = "yes")]
    pub normalise: bool,
}

/// Settings of vectors of one's own, which are taken as they are unless it is said otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Own {
    /// The file, see [`file`].
    pub path: PathBuf,
    /// Whether the mean of all items is taken away.
    #[serde(default)]
    pub centre: bool,
    /// Whether every vector is brought to length 1.
    #[serde(default)]
    pub normalise: bool,
}

/// The folder in the cache of what models made of titles.
///
/// # Errors
/// A cache that nothing says the place of.
pub fn kept() -> Result<PathBuf> {
    Ok(fetch::cache_root()?.join("vectors"))
}

fn yes() -> bool {
    true
}

impl Default for ItemVectors {
    fn default() -> Self {
        ItemVectors::TfIdf(TextVectors::default())
    }
}

/// The items of a domain.
#[derive(Clone, Copy, Debug)]
pub struct DomainItems<'a> {
    /// What the domain is called.
    pub name: &'a str,
    /// Its items, item 1 first.
    pub items: &'a [Item],
}

impl DomainItems<'_> {
    fn titles(&self) -> Vec<&str> {
        self.items.iter().map(|item| item.title.as_str()).collect()
    }
}

impl ItemVectors {
    /// Whether nothing is said of it.
    pub fn is_default(&self) -> bool {
        *self == ItemVectors::default()
    }

    /// What decides the vectors of given titles: the settings, with what lies at a path told by its content in place of its name. Two that
    /// say the same make the same vectors.
    ///
    /// # Errors
    /// A model, an adapter or a file that cannot be read.
    pub fn identity(&self) -> Result<Value> {
        let mut said = serde_json::to_value(self)?;
        match self {
            ItemVectors::TfIdf(_) => {}
            ItemVectors::Minilm(sentences) => said["folder"] = sentences.model()?,
            ItemVectors::Decoder(states) => {
                said["model"] = states.model_identity()?;
                if let Some(adapter) = &states.adapter {
                    said["adapter"] = cache::content(adapter)?.into();
                }
            }
            ItemVectors::File(own) => said["path"] = cache::content(&own.path)?.into(),
        }
        Ok(said)
    }

    /// The vectors of the items of domains, a set a domain, in their order.
    ///
    /// What a model made of titles is looked for in the folder `kept` and left there. `compute` is about language models; all else is
    /// computed on the CPU.
    ///
    /// # Errors
    /// Domains of one name, a model that cannot be had or read, and a file that does not give every item one vector.
    pub fn of_items(
        &self,
        domains: &[DomainItems],
        kept: Option<&Path>,
        compute: Compute,
    ) -> Result<Vec<Vectors>> {
        let mut names = BTreeSet::new();
        if let Some(twice) = domains.iter().find(|domain| !names.insert(domain.name)) {
            bail!(
                "two domains are called {}: prepare one of them under another name (`weaverec prepare --name`)",
                twice.name
            );
        }
        let cache = Cache::of(kept);
        match self {
            ItemVectors::TfIdf(how) => {
                let titles: Vec<Vec<&str>> = domains.iter().map(DomainItems::titles).collect();
                let titles: Vec<&[&str]> = titles.iter().map(Vec::as_slice).collect();
                let what = json!({ "kind": "tf-idf", "settings": how });
                cache.kept(&what, &titles, || Ok(vectors::of_titles(&titles, how)?))
            }
            ItemVectors::Minilm(sentences) => sentences.of(domains, &cache),
            ItemVectors::Decoder(states) => states.of(domains, &cache, compute),
            ItemVectors::File(own) => own.of(domains),
        }
    }
}

impl States {
    /// Those of a model without an adapter, with the settings that it has by default.
    pub fn of_model(model: &str) -> Self {
        States {
            model: model.to_owned(),
            adapter: None,
            precision: Precision::default(),
            centre: true,
            normalise: true,
        }
    }
}

impl Sentences {
    /// What decides which numbers the encoder gives.
    fn model(&self) -> Result<Value> {
        match &self.folder {
            None => Ok(minilm::NAME.into()),
            Some(folder) => Ok(cache::content(folder)?.into()),
        }
    }

    fn of(&self, domains: &[DomainItems], cache: &Cache) -> Result<Vec<Vectors>> {
        let what = json!({ "kind": "sentences", "model": self.model()? });
        let mut opened = None;
        let made = by_domain(&what, domains, cache, |titles, meter| {
            let encoder = match &opened {
                Some(encoder) => encoder,
                None => opened.insert(SentenceEncoder::open(&minilm::located(self.folder.as_deref())?)?),
            };
            let told = &mut |done: usize, all: usize| meter.update(done as u64, all as u64, String::new);
            Ok(vectors::of_sentences(titles, encoder, told)?)
        })?;
        adjusted(made, self.centre, true)
    }
}

impl Own {
    fn of(&self, domains: &[DomainItems]) -> Result<Vec<Vectors>> {
        let named: Vec<Named> = domains
            .iter()
            .map(|domain| Named {
                domain: domain.name,
                items: domain.items.iter().map(|item| item.item_id.as_str()).collect(),
            })
            .collect();
        let given = file::read(&self.path)?;
        let found = vectors::by_id(&named, &given)
            .map_err(anyhow::Error::from)
            .and_then(|found| adjusted(found, self.centre, self.normalise));
        found.with_context(|| self.path.display().to_string())
    }
}

/// Vectors of every domain by itself, for what reads a title without looking at others; those that are kept are not made again.
fn by_domain(
    what: &Value,
    domains: &[DomainItems],
    cache: &Cache,
    mut make: impl FnMut(&[&str], &Meter) -> Result<Vectors>,
) -> Result<Vec<Vectors>> {
    let mut all = Vec::with_capacity(domains.len());
    for domain in domains {
        let titles = domain.titles();
        let found = cache.kept(what, &[titles.as_slice()], || {
            let meter = Meter::start(format!("vectors of {}", domain.name));
            let made = make(&titles, &meter)?;
            meter.finish(format!("{} items", titles.len()));
            Ok(vec![made])
        });
        all.extend(found.with_context(|| format!("vectors of {}", domain.name))?);
    }
    Ok(all)
}

fn adjusted(made: Vec<Vectors>, centre: bool, normalise: bool) -> Result<Vec<Vectors>> {
    let how = TextVectors {
        centre,
        normalise,
        ..TextVectors::default()
    };
    Ok(vectors::of_ones_own(made, &how)?)
}

#[cfg(test)]
mod tests;
