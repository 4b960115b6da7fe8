//! `weaverec prepare`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use weaverec_pipeline::dataset::DatasetDescription;
use weaverec_pipeline::inspect::Summary;
use weaverec_pipeline::prepare::{self, PrepareConfig};
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::PromptFormat;
use weaverec_pipeline::stage::{DedupPolicy, Recipe};

use crate::progress::{Stages, say};

/// Turn raw logs into prompts in Parquet.
///
/// Reads, rejects and reports bad lines, cleans titles, removes duplicates, filters to the k-core, builds chronological
/// sequences, splits them (leave-one-out), draws candidates once and writes the prompts. The same input and options give the
/// same bytes, whatever the threads.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec prepare amazon-2014-beauty --raw logs/beauty --out prepared
  weaverec prepare my-shop.toml --raw logs --out prepared --user-core 5 --item-core 5
  weaverec prepare movielens-100k --raw ml-100k --out prepared --domain Drama")]
pub struct Arguments {
    /// Name of a data set (see `weaverec datasets list`) or the path of a description of one's own.
    dataset: String,
    /// Folder of the raw files.
    #[arg(long)]
    raw: PathBuf,
    /// Folder that the prepared folder is made in.
    #[arg(long)]
    out: PathBuf,
    /// Only the items whose domain column has this value (films: the first genre); `other` with --exclude takes the rest.
    #[arg(long)]
    domain: Option<String>,
    /// Values that `--domain other` leaves out; may be repeated.
    #[arg(long)]
    exclude: Vec<String>,
    /// Name of the prepared folder [default: the data set's, with the domain].
    #[arg(long)]
    name: Option<String>,
    /// Seed of sampling and candidates.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What becomes of repeated (user, item) rows.
    #[arg(long, value_enum)]
    dedup: Option<Dedup>,
    /// Drop interactions rated below this.
    #[arg(long)]
    min_rating: Option<f64>,
    /// Fewest interactions of a user; 0 keeps all.
    #[arg(long)]
    user_core: Option<usize>,
    /// Fewest interactions of an item; 0 keeps all.
    #[arg(long)]
    item_core: Option<usize>,
    /// Most titles of a history shown.
    #[arg(long)]
    max_history: Option<usize>,
    /// Most characters of a title.
    #[arg(long)]
    max_title_chars: Option<usize>,
    /// Candidates a prompt, the target included.
    #[arg(long)]
    candidates: Option<usize>,
    /// Wording of the prompts.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// `clean` never trains on validation prompts; `paper` does, as the released code.
    #[arg(long, value_enum)]
    recipe: Option<TrainingRecipe>,
    /// Most training prompts.
    #[arg(long)]
    max_train: Option<usize>,
    /// Most validation and most test prompts, a seeded sample of the users [default: all].
    #[arg(long)]
    max_eval: Option<usize>,
    /// Threads [default: all].
    #[arg(long)]
    threads: Option<usize>,
    /// Memory that sorts, joins and aggregations may use, in MiB.
    #[arg(long)]
    memory_limit: Option<usize>,
    /// Share of bad lines above which the run fails.
    #[arg(long)]
    max_reject_share: Option<f64>,
    /// Keep what comes before the damage in a file that ends early.
    #[arg(long)]
    salvage: bool,
    /// Replace a folder that was prepared with other options.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Dedup {
    None,
    Exact,
    First,
    Last,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    CandidateList,
    Sequence,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TrainingRecipe {
    Clean,
    Paper,
}

impl Arguments {
    fn config(self) -> Result<PrepareConfig> {
        let defaults = PrepareConfig::new(DatasetDescription::load(&self.dataset)?, self.raw, self.out);
        Ok(PrepareConfig {
            domain: self.domain,
            exclude_domains: self.exclude,
            name: self.name,
            seed: self.seed,
            dedup: self.dedup.map_or(defaults.dedup, |d| match d {
                Dedup::None => DedupPolicy::None,
                Dedup::Exact => DedupPolicy::Exact,
                Dedup::First => DedupPolicy::First,
                Dedup::Last => DedupPolicy::Last,
            }),
            min_rating: self.min_rating,
            user_core: self.user_core.unwrap_or(defaults.user_core),
            item_core: self.item_core.unwrap_or(defaults.item_core),
            max_history: self.max_history.unwrap_or(defaults.max_history),
            max_title_chars: self.max_title_chars.unwrap_or(defaults.max_title_chars),
            candidates: self.candidates.unwrap_or(defaults.candidates),
            format: self.format.map_or(defaults.format, |f| match f {
                Format::CandidateList => PromptFormat::CandidateList,
                Format::Sequence => PromptFormat::Sequence,
            }),
            recipe: self.recipe.map_or(defaults.recipe, |r| match r {
                TrainingRecipe::Clean => Recipe::Clean,
                TrainingRecipe::Paper => Recipe::Paper,
            }),
            max_train: self.max_train.unwrap_or(defaults.max_train),
            max_eval: self.max_eval,
            threads: super::threads(self.threads),
            memory_limit: self.memory_limit.map(|mib| mib << 20),
            max_reject_share: self.max_reject_share.unwrap_or(defaults.max_reject_share),
            salvage: self.salvage,
            force: self.force,
            ..defaults
        })
    }
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    let config = arguments.config()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.threads)
        .enable_all()
        .build()?;
    runtime.block_on(prepare::prepare(&config, &Stages::default()))?;
    let folder = config.folder();
    super::print(Summary::of(&Prepared::open(&folder)?, 0)?.to_string())?;
    say(format!(
        "prepared {}; `weaverec inspect {0}` shows more",
        folder.display()
    ));
    Ok(())
}
