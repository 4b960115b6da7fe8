//! Generated raw logs with a known preference structure, in the real published formats, of any size.
//!
//! Each domain is a folder of its own: raw files (Amazon 2014 reviews and metadata, or MovieLens csv), a description
//! `<name>.toml` that [`DatasetDescription::load`] reads, `expected_sequences.jsonl.gz` (what a pipeline must make of them),
//! `dirt.json` ([`Dirt`]: what it must reject) and `synth.json` (configuration and transition rule). The structure is
//! described at [`Kinship`] and in `structure.rs`: part of it is shared between domains and part contrary, and all of it can be
//! read off the titles, so that text alone carries it from one domain to another.

mod amazon;
mod dirt;
mod domain;
mod movielens;
mod review;
mod structure;
#[cfg(test)]
mod tests;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use weaverec_output::Claim;

use crate::dataset::{DatasetDescription, DomainColumn, Expected, RawFormat, Source};
use crate::error::{Error, Result};
use crate::output::GENERATED;
use crate::raw::Progress;

pub use dirt::Dirt;
use domain::{Domain, Written};
pub use structure::{Kinship, Rule};

/// Raised whenever the same configuration gives other files than before.
const GENERATION: u32 = 1;

/// The format a generated domain is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Platform {
    /// `reviews_<Name>_5.json.gz` and `meta_<Name>.json.gz`, metadata as Python literals, times by the day.
    #[serde(rename = "amazon-2014")]
    Amazon2014,
    /// `ratings.csv` and `movies.csv`.
    #[serde(rename = "movielens-csv")]
    MovielensCsv,
}

/// One domain to generate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainSpec {
    /// Name of the domain and its folder: lower-case letters, digits and hyphens.
    pub name: String,
    /// The format it is written in.
    pub platform: Platform,
    /// Whether it takes part in the shared and contrary structure. One that does not has the same words and other
    /// transitions throughout: text to pre-train on that gives nothing of the answer away.
    #[serde(default = "yes")]
    pub related: bool,
}

fn yes() -> bool {
    true
}

impl DomainSpec {
    /// A domain that takes part in the shared and contrary structure.
    pub fn new(name: impl Into<String>, platform: Platform) -> Self {
        DomainSpec {
            name: name.into(),
            platform,
            related: true,
        }
    }

    /// A domain with transitions of its own.
    pub fn unrelated(name: impl Into<String>, platform: Platform) -> Self {
        DomainSpec {
            name: name.into(),
            platform,
            related: false,
        }
    }
}

/// What to generate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SynthConfig {
    /// Seed of all draws.
    pub seed: u64,
    /// Users in each domain.
    pub users: usize,
    /// Items in each domain.
    pub items: usize,
    /// Mean number of interactions of a user; they vary by a sixth of it either way.
    pub interactions_per_user: f64,
    /// The domains. Users and items of different domains are different.
    pub domains: Vec<DomainSpec>,
    /// Share of the transition rule that all related domains have in common.
    pub shared: f64,
    /// Share of it on which they disagree (with more domains than contrary themes, some pairs agree again).
    pub contrary: f64,
    /// Share of interaction lines followed by a faulty one, and of items with a fault. Three quarters of the faulty lines
    /// must be rejected: keep it at 0.008 or less where at most one line in a hundred may be, as is the default.
    pub dirt: f64,
    /// Mean words of an Amazon review's text; 0: one to three of a few fixed sentences.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub review_words: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Default for SynthConfig {
    fn default() -> Self {
        SynthConfig {
            seed: 1,
            users: 500,
            items: 300,
            interactions_per_user: 12.0,
            domains: vec![
                DomainSpec::new("synth-home", Platform::Amazon2014),
                DomainSpec::new("synth-office", Platform::Amazon2014),
                DomainSpec::new("synth-films", Platform::MovielensCsv),
                DomainSpec::unrelated("synth-auxiliary", Platform::Amazon2014),
            ],
            shared: 0.5,
            contrary: 0.25,
            // Far enough below the usual limit of one rejected line in a hundred that chance does not reach it.
            dirt: 0.008,
            review_words: 0,
        }
    }
}

/// A domain that [`generate`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedDomain {
    /// Name in the configuration.
    pub name: String,
    /// Folder of the raw files.
    pub dir: PathBuf,
    /// The data-set description in it.
    pub description: PathBuf,
}

/// What `synth.json` holds: enough to tell whether a folder is up to date, and the truth about its structure.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    generation: u32,
    config: SynthConfig,
    domain: String,
    rule: Rule,
}

/// Writes the raw logs of every domain, each into a folder of its name under `out`.
///
/// A folder already generated from the same configuration is kept; one from another configuration is replaced. The files
/// depend on the configuration alone, never on threads.
///
/// # Errors
/// [`Error::Synth`] for a configuration that makes no sense, [`Error::Output`] for a folder in the way that holds something
/// else, [`Error::Io`] when a file cannot be written; nothing half-written stays behind.
pub fn generate(config: &SynthConfig, out: &Path, progress: &dyn Progress) -> Result<Vec<GeneratedDomain>> {
    config.check()?;
    fs::create_dir_all(out).map_err(|source| Error::io(out, "create", source))?;
    progress.stage("generate", Some((config.users * config.domains.len()) as u64));
    (0..config.domains.len())
        .into_par_iter()
        .map(|index| generate_domain(config, index, out, progress))
        .collect()
}

impl SynthConfig {
    fn check(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::Synth(message));
        for (key, share) in [
            ("shared", self.shared),
            ("contrary", self.contrary),
            ("dirt", self.dirt),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return wrong(format!("`{key}` is {share}; give a share from 0 to 1"));
            }
        }
        if self.shared + self.contrary > 1.0 {
            return wrong(
                "`shared` and `contrary` exceed 1 together; they are parts of one structure".to_string(),
            );
        }
        if !(3.0..=1000.0).contains(&self.interactions_per_user) {
            return wrong(format!(
                "`interactions_per_user` is {}; give 3 to 1000, since leave-one-out needs three",
                self.interactions_per_user
            ));
        }
        if self.users == 0 || (self.items as f64) < 2.0 * self.interactions_per_user {
            return wrong(format!(
                "{} users and {} items; give at least one user and twice as many items as interactions a user",
                self.users, self.items
            ));
        }
        if self.users >= 1_000_000_000 || self.items >= 1_000_000_000 {
            return wrong("ids of different domains would meet; keep users and items below 10^9".to_string());
        }
        if self.domains.is_empty() {
            return wrong("`domains` is empty; name at least one".to_string());
        }
        for (i, domain) in self.domains.iter().enumerate() {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if domain.name.is_empty() || !domain.name.chars().all(plain) {
                return wrong(format!(
                    "domain `{}`: use lower-case letters, digits and hyphens",
                    domain.name
                ));
            }
            if self.domains[..i].iter().any(|other| other.name == domain.name) {
                return wrong(format!(
                    "domain `{}` is named twice; give each a name of its own",
                    domain.name
                ));
            }
        }
        Ok(())
    }

    /// Domain `index`, ready to be written.
    fn domain(&self, index: usize) -> Domain {
        let spec = &self.domains[index];
        let before = &self.domains[..index];
        let place = spec
            .related
            .then(|| before.iter().filter(|other| other.related).count());
        let ordinal = before
            .iter()
            .filter(|other| other.platform == spec.platform)
            .count();
        Domain {
            index,
            name: spec.name.clone(),
            platform: spec.platform,
            seed: self.seed,
            dirt: self.dirt,
            users: self.users,
            mean: self.interactions_per_user,
            rule: structure::rule(self.seed, self.shared, self.contrary, &spec.name, place),
            catalogue: structure::Catalogue::new(self.seed, &spec.name, self.items),
            language: (self.review_words > 0).then(|| review::Language::new(self.seed, self.review_words)),
            nouns: match spec.platform {
                Platform::Amazon2014 => words::goods(ordinal),
                Platform::MovielensCsv => words::films(ordinal),
            },
        }
    }
}

fn generate_domain(
    config: &SynthConfig,
    index: usize,
    out: &Path,
    progress: &dyn Progress,
) -> Result<GeneratedDomain> {
    let domain = config.domain(index);
    let dir = out.join(&domain.name);
    let description = format!("{}.toml", domain.name);
    let generated = GeneratedDomain {
        name: domain.name.clone(),
        description: dir.join(&description),
        dir: dir.clone(),
    };
    let record = Record {
        generation: GENERATION,
        config: config.clone(),
        domain: domain.name.clone(),
        rule: domain.rule.clone(),
    };
    // Another run that generates it is waited for: then it is there.
    let waiting = || {
        progress.stage(
            &format!("wait for another run that writes {}", dir.display()),
            None,
        )
    };
    let claim = Claim::wait(&dir, GENERATED, &[], waiting)?;
    // The record is written last, so a folder that has it is whole.
    if let Ok(text) = fs::read_to_string(dir.join("synth.json"))
        && serde_json::from_str::<Record>(&text).is_ok_and(|found| found == record)
    {
        progress.advance(domain.users as u64);
        return Ok(generated);
    }
    claim.check_replaceable()?;
    claim.write(|fresh| -> Result<()> {
        let written = domain.write(fresh, progress)?;
        let text =
            toml::to_string(&describe(&domain, &written)).map_err(|error| Error::Synth(error.to_string()))?;
        write_text(&fresh.join(&description), &text)?;
        write_json(&fresh.join("dirt.json"), &written.dirt)?;
        write_json(&fresh.join("synth.json"), &record)
    })?;
    Ok(generated)
}

fn describe(domain: &Domain, written: &Written) -> DatasetDescription {
    let (interactions, items) = domain.file_names();
    let (platform, format, column) = match domain.platform {
        Platform::Amazon2014 => ("amazon", RawFormat::Amazon2014, None),
        Platform::MovielensCsv => (
            "movielens",
            RawFormat::MovielensCsv,
            Some(DomainColumn::FirstCategory),
        ),
    };
    DatasetDescription {
        name: domain.name.clone(),
        title: format!("Generated logs {}", domain.name),
        platform: platform.to_string(),
        format,
        time: None,
        missing: None,
        interactions: vec![interactions],
        items: vec![items],
        items_optional: false,
        leading_articles: None,
        licence: "generated; free of any right".to_string(),
        citation: String::new(),
        notes: "Generated with a known preference structure; see synth.json.".to_string(),
        synthetic_fields: ["user", "item", "title", "timestamp", "rating", "text"]
            .map(str::to_string)
            .to_vec(),
        domain_column: column,
        domains: Vec::new(),
        source: Source::default(),
        columns: Default::default(),
        expected: Some(Expected {
            interactions: written.dirt.clean_interactions + written.dirt.duplicate_lines,
            users: domain.users as u64,
            items: written.items_used,
        }),
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::Synth(error.to_string()))?;
    write_text(path, &(text + "\n"))
}

fn write_text(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|source| Error::io(path, "write", source))
}
