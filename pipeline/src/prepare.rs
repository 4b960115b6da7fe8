//! The whole path, raw files to a prepared folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use datafusion::prelude::DataFrame;

use crate::audit::{self, AuditReport};
use crate::dataset::DatasetDescription;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::prepared::{self, Manifest, Parameters, Prepared, SCHEMA_VERSION};
use crate::raw::{self, InputFile, Progress, ReadOptions};
use crate::schema::{PromptFormat, Split};
use crate::stage::domain::OTHER;
use crate::stage::{Candidates, DedupPolicy, DomainFilter, KCore, PromptStyle, Recipe, SplitConfig};

mod output;
mod tables;

/// What to prepare and how.
#[derive(Clone, Debug, PartialEq)]
pub struct PrepareConfig {
    /// The data set.
    pub dataset: DatasetDescription,
    /// Folder of its raw files.
    pub raw: PathBuf,
    /// Folder under which the prepared folder is made.
    pub out: PathBuf,
    /// Value of the description's domain column, or `other` for all but `exclude_domains`; none: everything.
    pub domain: Option<String>,
    /// Domains left out.
    pub exclude_domains: Vec<String>,
    /// Name of the folder; by default the data set's, with the domain's in lower case.
    pub name: Option<String>,
    /// Key of all randomness.
    pub seed: u64,
    /// What happens to repeats.
    pub dedup: DedupPolicy,
    /// Interactions rated lower are left out.
    pub min_rating: Option<f64>,
    /// Least interactions of a user; 0: off.
    pub user_core: usize,
    /// Least interactions of an item; 0: off.
    pub item_core: usize,
    /// Longest history shown.
    pub max_history: usize,
    /// Longest title, in characters.
    pub max_title_chars: usize,
    /// Candidates of a set, target included.
    pub candidates: usize,
    /// Wording.
    pub format: PromptFormat,
    /// Whether validation prompts are trained on.
    pub recipe: Recipe,
    /// Most training prompts, sampled by key.
    pub max_train: usize,
    /// Most users with a validation and a test prompt, sampled by key.
    pub max_eval: Option<usize>,
    /// Threads; 0: one a core. The result does not depend on it.
    pub threads: usize,
    /// Bytes beyond which plans spill to disk.
    pub memory_limit: Option<usize>,
    /// Share of rejected lines that is put up with.
    pub max_reject_share: f64,
    /// Read damaged files as far as they go.
    pub salvage: bool,
    /// Replace a prepared folder that was made another way.
    pub force: bool,
}

impl PrepareConfig {
    /// The defaults: everything of the data set, the paper's candidate list of 30, the clean recipe, no k-core.
    pub fn new(dataset: DatasetDescription, raw: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            dataset,
            raw: raw.into(),
            out: out.into(),
            domain: None,
            exclude_domains: Vec::new(),
            name: None,
            seed: 42,
            dedup: DedupPolicy::default(),
            min_rating: None,
            user_core: 0,
            item_core: 0,
            max_history: 20,
            max_title_chars: 80,
            candidates: 30,
            format: PromptFormat::CandidateList,
            recipe: Recipe::Clean,
            max_train: 30_000,
            max_eval: None,
            threads: 0,
            memory_limit: None,
            max_reject_share: 0.01,
            salvage: false,
            force: false,
        }
    }

    /// The folder's name.
    pub fn folder_name(&self) -> String {
        let domain = self.domain.as_ref().map(|domain| {
            let plain = |c: char| if c.is_alphanumeric() { c } else { '-' };
            format!(
                "-{}",
                domain.to_lowercase().chars().map(plain).collect::<String>()
            )
        });
        self.name
            .clone()
            .unwrap_or_else(|| format!("{}{}", self.dataset.name, domain.unwrap_or_default()))
    }

    /// Where the prepared folder will be.
    pub fn folder(&self) -> PathBuf {
        self.out.join(self.folder_name())
    }

    /// What decides the content.
    pub fn parameters(&self) -> Parameters {
        Parameters {
            seed: self.seed,
            filter: self.filter(),
            dedup: self.dedup,
            core: KCore {
                users: self.user_core,
                items: self.item_core,
            },
            max_history: self.max_history,
            max_title_chars: self.max_title_chars,
            candidates: self.candidates,
            format: self.format,
            recipe: self.recipe,
            max_train: self.max_train,
            max_eval: self.max_eval,
            max_reject_share: self.max_reject_share,
            salvage: self.salvage,
        }
    }

    fn filter(&self) -> DomainFilter {
        let (domain, exclude) = (self.domain.clone(), self.exclude_domains.clone());
        DomainFilter {
            domain,
            exclude,
            min_rating: self.min_rating,
        }
    }

    fn check(&self) -> Result<()> {
        let name = self.folder_name();
        let usage = |message: String| Err(Error::Usage(message));
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
            return usage(format!(
                "`{name}` cannot name a folder; choose letters, digits and hyphens"
            ));
        }
        if self.filter().by_category() && self.dataset.domain_column.is_none() {
            let dataset = &self.dataset.name;
            return usage(format!(
                "{dataset} has no domain_column to split by; leave the domain out or add the key"
            ));
        }
        if self.domain.as_deref() == Some(OTHER) && self.exclude_domains.is_empty() {
            return usage(format!(
                "domain `{OTHER}` needs excluded domains to be other than; name some"
            ));
        }
        let least = [
            ("candidates", self.candidates, 2),
            ("max_history", self.max_history, 1),
        ];
        for (key, value, least) in least
            .into_iter()
            .chain([("max_title_chars", self.max_title_chars, 8)])
        {
            if value < least {
                return usage(format!("{key} is {value}; give at least {least}"));
            }
        }
        Ok(())
    }

    fn split_config(&self) -> SplitConfig {
        SplitConfig {
            seed: self.seed,
            domain: self.folder_name(),
            max_history: self.max_history,
            format: self.format,
            recipe: self.recipe,
            max_train: self.max_train,
            max_eval: self.max_eval,
        }
    }
}

/// Prepares a data set and returns the manifest of its folder, `<out>/<name>/`.
///
/// The folder appears whole or not at all. One that the same request (parameters, inputs, version) made before is kept as it is;
/// another one is replaced only with `force`.
///
/// # Errors
/// Missing, damaged or mostly unparsable raw files; a domain without users; a folder in the way; a full disk; a leak.
pub async fn prepare(config: &PrepareConfig, progress: &dyn Progress) -> Result<Manifest> {
    config.check()?;
    let inputs = output::hash_inputs(config)?;
    let request = output::request(config, &inputs)?;
    if let Some(kept) = output::kept(config, &request)? {
        return Ok(kept);
    }
    let staging = output::staging(config)?;
    let manifest = fill(config, staging.path(), inputs, request, progress).await?;
    output::publish(config, staging)?;
    Ok(manifest)
}

async fn fill(
    config: &PrepareConfig,
    folder: &Path,
    inputs: Vec<InputFile>,
    request: String,
    progress: &dyn Progress,
) -> Result<Manifest> {
    let engine = Engine::new(config.threads, config.memory_limit)?;
    let options = ReadOptions {
        salvage: config.salvage,
        threads: engine.threads(),
    };
    let raw = raw::read(&config.dataset, &config.raw, &options, progress)?;
    let rejects = tables::count_rejects(&raw, config.max_reject_share)?;

    progress.stage("clean, deduplicate, k-core", None);
    let tables = tables::Tables::build(config, &engine, &raw).await?;
    progress.stage("write tables", None);
    let mut files = tables.write(&engine, folder).await?;
    files.push(tables::write_rejects(folder, &raw.rejects)?);

    progress.stage("prompts", None);
    let prompt_folder = folder.join("prompts");
    std::fs::create_dir(&prompt_folder).map_err(|source| Error::io(&prompt_folder, "create", source))?;
    let prompts = PromptFactory::new(config, &tables)?;
    let mut written = BTreeMap::new();
    for split in Split::ALL {
        let shards = prompts.write(&engine, &tables.sequences, folder, split).await?;
        written.insert(split.name().to_owned(), shards.iter().map(|file| file.rows).sum());
        files.extend(shards);
    }

    let mut manifest = Manifest {
        schema_version: SCHEMA_VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        name: config.folder_name(),
        dataset: config.dataset.clone(),
        synthetic_fields: config.dataset.synthetic_fields.clone(),
        parameters: config.parameters(),
        inputs,
        request,
        lines: raw.lines,
        counts: tables.counts.clone(),
        rejects,
        losses: raw.losses,
        titles_missing: tables.titles_missing,
        prompts: written,
        audit: AuditReport::default(),
        notes: tables.notes.clone(),
        fingerprint: prepared::fingerprint(&files),
        files,
    };
    progress.stage("audit", None);
    manifest.audit = audit::audit(&Prepared::unfinished(folder, manifest.clone()))?;
    manifest.audit.check()?;
    output::describe(folder, &manifest)?;
    Ok(manifest)
}

/// Sequences to prompt files.
struct PromptFactory {
    split: SplitConfig,
    candidates: Candidates,
    no_candidates: Candidates,
    style: PromptStyle,
}

impl PromptFactory {
    fn new(config: &PrepareConfig, tables: &tables::Tables) -> Result<Self> {
        let name = config.folder_name();
        Ok(Self {
            split: config.split_config(),
            candidates: Candidates::new(config.seed, &name, config.candidates, &tables.items),
            no_candidates: Candidates::new(config.seed, &name, 0, &tables.items),
            style: PromptStyle::new(config.format, config.seed, &name, &tables.items)?,
        })
    }

    /// One file a shard, as many at a time as there are threads; what is in a shard depends on the rows alone.
    async fn write(
        &self,
        engine: &Engine,
        sequences: &DataFrame,
        folder: &Path,
        split: Split,
    ) -> Result<Vec<prepared::FileEntry>> {
        let serial = engine.serial();
        let instances = self.split.instances(&serial, sequences, split).await?;
        let windows = split == Split::Train && self.split.format == PromptFormat::Sequence;
        let draws = if windows {
            &self.no_candidates
        } else {
            &self.candidates
        };
        let rows = instances.clone().count().await?;
        let shards = rows.div_ceil(prepared::SHARD_ROWS).max(1);
        let mut jobs = Vec::new();
        for index in 0..shards {
            let part = instances
                .clone()
                .limit(index * prepared::SHARD_ROWS, Some(prepared::SHARD_ROWS))?;
            let frame = self.style.apply(draws.apply(part)?)?;
            let (folder, relative) = (folder.to_owned(), prepared::shard(split, index, shards));
            jobs.push(async move {
                let writing = async move {
                    prepared::write_frame(&folder, &relative, prepared::prompts_schema(), frame).await
                };
                let task = tokio::spawn(writing);
                task.await
                    .unwrap_or_else(|panic| Err(Error::Usage(format!("a prompt writer stopped: {panic}"))))
            });
        }
        // All are waited for before an error is passed on: none may still write into a folder that is being removed.
        let done: Vec<_> = futures::StreamExt::collect(futures::StreamExt::buffered(
            futures::stream::iter(jobs),
            engine.threads(),
        ))
        .await;
        done.into_iter().collect()
    }
}
