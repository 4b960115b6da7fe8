//! `weaverec prepare`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use weaverec_pipeline::dataset::DatasetDescription;
use weaverec_pipeline::inspect::Summary;
use weaverec_pipeline::parameters::Parameters;
use weaverec_pipeline::prepare::{self, PrepareConfig};
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::raw::Progress;
use weaverec_pipeline::schema::PromptFormat;
use weaverec_pipeline::stage::split::PART;
use weaverec_pipeline::stage::window::{parse_duration, parse_time};
use weaverec_pipeline::stage::{
    Cut, DedupPolicy, DomainFilter, KCore, Negatives, Recipe, Repeats, SplitPolicy, Ties, TimeCut,
    TimeWindow, Wording,
};

use super::{choice, number};
use crate::progress::{Stages, say};

/// Turn raw logs into prompts in Parquet.
///
/// Reads, rejects and reports bad lines, filters by rating, time and domain, removes duplicates, cuts to the k-core (before the
/// split: it counts held-out interactions too), builds chronological sequences, splits them, draws candidates once, writes the prompts
/// and checks them for leaks. The same input and options give the same bytes, whatever the threads and the memory.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec prepare amazon-2014-beauty --raw logs/beauty --out prepared
  weaverec prepare my-shop.toml --raw logs --out prepared --user-core 5 --item-core 5
  weaverec prepare my-shop.toml --raw logs --out tables --user-core 5 --item-core 5 --no-prompts
  weaverec prepare movielens-100k --raw ml-100k --out prepared --domain Drama
  weaverec prepare my-shop.toml --raw logs --out prepared --split global-time --test-from 2024-01-01 --validation-from 2023-10-01
  weaverec prepare my-shop.toml --raw logs --out prepared --split global-time --cut 0.9
  weaverec prepare movielens-latest-small --raw ml-latest-small --out prepared --tie-window 60s --name films-60s
  weaverec prepare my-shop.toml --raw logs --out /shared/prepared --cluster df://node1:50050 --threads 16
  weaverec prepare my-shop.toml --raw s3://bucket/logs --out s3://bucket/prepared

The manifest counts what --tie-window and --repeats decide: neighbours and test targets that tie in time, and targets that their users
had before. Every prompt says in its column `ties` whether its target is at the moment of the item before it. Domains that learn from
each other must be cut at one moment: `weaverec inspect --cut 0.9 FOLDER...` gives that of several prepared folders together.

URLs are s3://bucket/prefix, gs://bucket/prefix and, to read, http(s)://host/folder. Stores are configured by the usual environment
variables (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL, AWS_ALLOW_HTTP, GOOGLE_SERVICE_ACCOUNT, ...).
They need a program built with the feature `object-store`, --cluster one with `cluster`.

A --wording file is TOML with MiniJinja templates: `user`, `assistant` and, if wanted, `system`. They know `history`, `candidates`
(titles), `letters`, `separator` and `answers` (how many titles the answer has); the assistant's also `answer` (titles, the target
first) and `letter`.")]
pub struct Arguments {
    /// Name of a data set (see `weaverec datasets list`) or the path of a description of one's own.
    dataset: String,
    /// Folder of the raw files, or its URL.
    #[arg(long)]
    raw: PathBuf,
    /// Folder that the prepared folder is made in, or its URL.
    #[arg(long)]
    out: PathBuf,
    /// Where --out is a URL: the folder that it is made in before it is uploaded [default: the system's temporary one].
    #[arg(long)]
    staging: Option<PathBuf>,
    /// Only the items whose domain column has this value (films: the first genre); `other` with --exclude takes the rest.
    #[arg(long)]
    domain: Option<String>,
    /// Values that `--domain other` leaves out; may be repeated.
    #[arg(long)]
    exclude: Vec<String>,
    /// Name of the prepared folder [default: the data set's, with the domain].
    #[arg(long)]
    name: Option<String>,
    /// Seed of sampling and candidates; --tie-seed is another.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    interactions: Interactions,
    #[command(flatten)]
    held_out: HeldOut,
    #[command(flatten)]
    prompts: Prompts,
    /// Threads [default: all].
    #[arg(long, value_parser = number::threads)]
    threads: Option<usize>,
    /// Memory to get by with, in MiB: rows, sorts, joins and aggregations that need more of it go to disk.
    #[arg(long, value_name = "MIB", value_parser = number::mebibytes)]
    memory_limit: Option<usize>,
    /// Run the plans on a cluster, given by its scheduler (df://host:port); --threads is then the number of parts they are cut into.
    /// See `weaverec scheduler --help`.
    #[arg(long, conflicts_with = "memory_limit")]
    cluster: Option<String>,
    /// Share of bad lines above which the run fails.
    #[arg(long, value_parser = number::share)]
    max_reject_share: Option<f64>,
    /// Go on where an item file describes fewer than half of the items that the interactions name; the others have no titles.
    #[arg(long)]
    allow_missing_items: bool,
    /// Keep what comes before the damage in a file that ends early.
    #[arg(long)]
    salvage: bool,
    /// Replace a folder that was prepared with other options.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Which interactions")]
struct Interactions {
    /// Drop interactions rated below this, and unrated ones.
    #[arg(long, value_parser = number::finite)]
    min_rating: Option<f64>,
    /// Drop interactions before this moment (2014-03-01, or 2014-03-01T12:00:00Z).
    #[arg(long, value_parser = parse_time)]
    from: Option<i64>,
    /// Drop interactions from this moment on.
    #[arg(long, value_parser = parse_time)]
    until: Option<i64>,
    /// What becomes of repeated (user, item) rows: all stay; rows of one time become one [default]; the oldest stays; the newest.
    #[arg(long, value_parser = choice::<DedupPolicy>(&["none", "exact", "first", "last"]))]
    dedup: Option<DedupPolicy>,
    /// What orders a user's events of one time: a hash of the event, so that neither item ids nor a sorted file give the next item
    /// away [default], or their lines, for logs that are written in the order of events.
    #[arg(long, value_parser = choice::<Ties>(&["hash", "line"]))]
    ties: Option<Ties>,
    /// Seed of the hash, and of nothing else.
    #[arg(long, default_value_t = 0)]
    tie_seed: u64,
    /// Events that follow each other within this time (60s, 5min, 2h) are one burst and tie, from the first to the last: what was
    /// entered in one sitting was not consumed in that order [default: 0, events of one time].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    tie_window: Option<i64>,
    /// Fewest interactions of a user; 0 keeps all. The k-core comes before the split.
    #[arg(long)]
    user_core: Option<usize>,
    /// Fewest interactions of an item; 0 keeps all.
    #[arg(long)]
    item_core: Option<usize>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What is held out")]
struct HeldOut {
    /// Everyone's last two interactions, as in the paper, or everything after a moment, which leaks no future.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(["leave-one-out", "global-time"]))]
    split: Option<String>,
    /// What becomes of targets that their users had before, by item or title: the last interaction that is new is the target, what
    /// follows it is dropped, and negatives are what the user never touched (novel) [default]; or they stay, and negatives are all
    /// items but those with the target's title (keep).
    #[arg(long, value_parser = choice::<Repeats>(&["novel", "keep"]))]
    repeats: Option<Repeats>,
    /// Where a global-time split begins the test: a moment (2014-03-01), or the share of the interactions before it (0.9). Of those
    /// before it the newest tenth, or --validation-share, is validation; with a share here, of all interactions.
    #[arg(long, value_name = "TIME|SHARE", conflicts_with_all = ["test_from", "validation_from", "test_share"])]
    cut: Option<Cut>,
    /// Where a global-time split ends training.
    #[arg(long, value_parser = parse_time, requires = "test_from")]
    validation_from: Option<i64>,
    /// Where it begins the test.
    #[arg(long, value_parser = parse_time, requires = "validation_from")]
    test_from: Option<i64>,
    /// In place of moments: the share of the interactions between the two [default: 0.1].
    #[arg(long, conflicts_with = "validation_from", value_parser = number::finite)]
    validation_share: Option<f64>,
    /// The share of the newest interactions, for the test [default: 0.1].
    #[arg(long, conflicts_with = "validation_from", value_parser = number::finite)]
    test_share: Option<f64>,
    /// Most validation and most test prompts, a seeded sample of the users [default: all].
    #[arg(long)]
    max_eval: Option<usize>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What prompts hold")]
struct Prompts {
    /// What is asked and answered: five titles, the target first (the paper's); the target's title; its letter; or no question,
    /// the titles of a history one after another.
    #[arg(long, value_parser = choice::<PromptFormat>(&["top-5", "target-only", "letter", "sequence"]))]
    format: Option<PromptFormat>,
    /// A file with other words for the format.
    #[arg(long)]
    wording: Option<PathBuf>,
    /// Most titles of a history shown.
    #[arg(long, value_parser = number::at_least(1))]
    max_history: Option<usize>,
    /// Most characters of a title.
    #[arg(long, value_parser = number::at_least(8))]
    max_title_chars: Option<usize>,
    /// Put titles right whose UTF-8 was read as another encoding (`FranÃ§ais`); without it they are only counted.
    #[arg(long)]
    repair_text: bool,
    /// Candidates a prompt, the target included.
    #[arg(long, value_parser = number::at_least(2))]
    candidates: Option<usize>,
    /// How the others are drawn: every item alike, or by training interactions.
    #[arg(long, value_parser = choice::<Negatives>(&["uniform", "popularity"]))]
    negatives: Option<Negatives>,
    /// `clean` never trains on validation prompts; `paper` does, as the released code.
    #[arg(long, value_parser = choice::<Recipe>(&["clean", "paper"]))]
    recipe: Option<Recipe>,
    /// No prompts: interactions, items, sequences and rejects alone.
    #[arg(long)]
    no_prompts: bool,
    /// Most training prompts; the paper recipe's validation prompts come on top.
    #[arg(long)]
    max_train: Option<usize>,
}

impl HeldOut {
    fn policy(&self) -> Result<SplitPolicy> {
        let shares = (self.validation_share, self.test_share);
        if self.split.as_deref() != Some("global-time") {
            if self.test_from.is_some() || self.cut.is_some() || shares != (None, None) {
                bail!("moments and shares belong to --split global-time; pass it as well");
            }
            return Ok(SplitPolicy::LeaveOneOut);
        }
        let validation = shares.0.unwrap_or(PART);
        let times = (self.validation_from, self.test_from);
        Ok(SplitPolicy::GlobalTime(match (self.cut, times) {
            (Some(Cut::TestFrom { test_from, .. }), _) => Cut::TestFrom {
                test_from,
                validation,
            },
            (Some(Cut::Shares { test, .. }), _) => Cut::Shares { validation, test },
            (Some(cut), _) => cut,
            (None, (Some(validation_from), Some(test_from))) => Cut::At(TimeCut {
                validation_from,
                test_from,
            }),
            (None, _) => Cut::Shares {
                validation,
                test: shares.1.unwrap_or(PART),
            },
        }))
    }
}

impl Arguments {
    fn config(self) -> Result<PrepareConfig> {
        let defaults = Parameters::default();
        let (rows, prompts) = (self.interactions, self.prompts);
        let parameters = Parameters {
            seed: self.seed,
            filter: DomainFilter {
                domain: self.domain,
                exclude: self.exclude,
            },
            min_rating: rows.min_rating,
            window: TimeWindow {
                from: rows.from,
                until: rows.until,
            },
            ties: rows.ties.unwrap_or(defaults.ties),
            tie_seed: rows.tie_seed,
            tie_window_ms: rows.tie_window.unwrap_or(defaults.tie_window_ms),
            dedup: rows.dedup.unwrap_or(defaults.dedup),
            core: KCore {
                users: rows.user_core.unwrap_or(defaults.core.users),
                items: rows.item_core.unwrap_or(defaults.core.items),
            },
            split: self.held_out.policy()?,
            repeats: self.held_out.repeats.unwrap_or(defaults.repeats),
            max_history: prompts.max_history.unwrap_or(defaults.max_history),
            max_title_chars: prompts.max_title_chars.unwrap_or(defaults.max_title_chars),
            repair_text: prompts.repair_text,
            candidates: prompts.candidates.unwrap_or(defaults.candidates),
            negatives: prompts.negatives.unwrap_or(defaults.negatives),
            format: prompts.format.unwrap_or(defaults.format),
            wording: prompts.wording.as_deref().map(Wording::load).transpose()?,
            recipe: prompts.recipe.unwrap_or(defaults.recipe),
            max_train: prompts.max_train.unwrap_or(defaults.max_train),
            max_eval: self.held_out.max_eval,
            prompts: !prompts.no_prompts,
            max_reject_share: self.max_reject_share.unwrap_or(defaults.max_reject_share),
            salvage: self.salvage,
            allow_missing_items: self.allow_missing_items,
        };
        Ok(PrepareConfig {
            staging: self.staging,
            name: self.name,
            parameters,
            threads: super::threads(self.threads),
            memory_limit: self.memory_limit.map(|mib| mib << 20),
            cluster: self.cluster,
            force: self.force,
            ..PrepareConfig::new(DatasetDescription::load(&self.dataset)?, self.raw, self.out)
        })
    }
}

/// Passes progress on, and lets the allocator know what the next stage is like.
struct Thrifty {
    stages: Stages,
    limited: bool,
}

impl Progress for Thrifty {
    fn stage(&self, name: &str, total: Option<u64>) {
        if name == prepare::PROMPTS && !self.limited {
            crate::allocator::keep_memory();
        }
        self.stages.stage(name, total);
    }

    fn advance(&self, by: u64) {
        self.stages.advance(by);
    }
}

/// Milliseconds after which freed memory goes back to the system: longer than from one batch to the next, shorter than a stage.
const SHORT_WHILE: u16 = 100;

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    let config = arguments.config()?;
    crate::allocator::use_small_pages();
    match config.memory_limit {
        Some(_) => crate::allocator::return_memory_at_once(),
        None => crate::allocator::return_memory_after(SHORT_WHILE),
    }
    let progress = Thrifty {
        stages: Stages::default(),
        limited: config.memory_limit.is_some(),
    };
    super::runtime(config.threads)?.block_on(prepare::prepare(&config, &progress))?;
    let folder = config.folder();
    super::print(Summary::of(&Prepared::open(&folder)?, 0)?.to_string())?;
    say(format!(
        "prepared {}; `weaverec inspect {0}` shows more",
        folder.display()
    ));
    Ok(())
}
