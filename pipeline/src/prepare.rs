//! The whole path, raw files to a prepared folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use weaverec_output::Staged;

use crate::audit::{self, AuditReport};
#[cfg(feature = "cluster")]
use crate::cluster::Cluster;
use crate::dataset::DatasetDescription;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::parameters::Parameters;
use crate::prepared::{self, Manifest, Prepared, SCHEMA_VERSION, SEQUENCES, STAGES};
use crate::raw::{self, Met, Progress, ReadOptions};
use crate::schema::Split;
use crate::stage::{Cut, SplitPolicy, TimeCut};
use crate::storage;
use store::Store;

mod output;
mod prompts;
mod store;
mod tables;

/// The stage, as progress hears it, that words prompts: many texts of much the same size.
pub const PROMPTS: &str = "prompts";

/// What to prepare and how.
#[derive(Clone, Debug, PartialEq)]
pub struct PrepareConfig {
    /// The data set.
    pub dataset: DatasetDescription,
    /// Folder of its raw files, by path or by [URL](crate::storage).
    pub raw: PathBuf,
    /// Folder under which the prepared folder is made, by path or by [URL](crate::storage).
    pub out: PathBuf,
    /// Where it is made before it is uploaded, and plans spill; none: the system's folder of temporary files.
    pub staging: Option<PathBuf>,
    /// Name of the folder; by default the data set's, with the domain's in lower case.
    pub name: Option<String>,
    /// What decides the content.
    pub parameters: Parameters,
    /// Threads; 0: one a core. The result does not depend on it.
    pub threads: usize,
    /// Bytes of memory to get by with; plans spill to disk. None: all there is.
    pub memory_limit: Option<usize>,
    /// Choose interactions by plans even where the rows fit into memory. The result is the same, later.
    pub plans_only: bool,
    /// Address of a cluster that the plans run on (`df://host:port`). None: this machine. The result does not depend on it.
    pub cluster: Option<String>,
    /// Replace a prepared folder that was made another way.
    pub force: bool,
}

impl PrepareConfig {
    /// The [default parameters](Parameters::default), with all threads and all memory.
    pub fn new(dataset: DatasetDescription, raw: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            dataset,
            raw: raw.into(),
            out: out.into(),
            staging: None,
            name: None,
            parameters: Parameters::default(),
            threads: 0,
            memory_limit: None,
            plans_only: false,
            cluster: None,
            force: false,
        }
    }

    /// The folder's name.
    pub fn folder_name(&self) -> String {
        self.name
            .clone()
            .unwrap_or_else(|| self.parameters.domain_name(&self.dataset))
    }

    /// Where the prepared folder will be.
    pub fn folder(&self) -> PathBuf {
        self.out.join(self.folder_name())
    }

    /// The folder on this machine in which the prepared folder is made.
    fn place(&self) -> PathBuf {
        match (storage::url(&self.out), &self.staging) {
            (None, _) => self.out.clone(),
            (Some(_), Some(staging)) => staging.clone(),
            (Some(_), None) => std::env::temp_dir(),
        }
    }

    fn check(&self) -> Result<()> {
        storage::check(&self.raw)?;
        storage::check_writable(&self.out)?;
        if let Some(cluster) = &self.cluster {
            check_cluster(cluster)?;
            if storage::url(&self.out).is_some() && self.staging.is_none() {
                return Err(Error::Usage(
                    "a cluster needs a folder that all its machines see; name one with --staging".to_owned(),
                ));
            }
        }
        let name = self.folder_name();
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
            return Err(Error::Usage(format!(
                "`{name}` cannot name a folder; choose letters, digits and hyphens"
            )));
        }
        self.parameters.check(&self.dataset)
    }

    fn engine(&self) -> Result<Engine> {
        let place = self.place();
        #[cfg(feature = "cluster")]
        if let Some(url) = &self.cluster {
            return Engine::on_cluster(Cluster::at(url)?, self.threads, &place);
        }
        match self.memory_limit {
            None => Engine::new(self.threads),
            Some(bytes) => Engine::limited(self.threads, bytes, &place),
        }
    }
}

#[cfg(feature = "cluster")]
fn check_cluster(url: &str) -> Result<()> {
    Cluster::at(url).map(drop)
}

#[cfg(not(feature = "cluster"))]
fn check_cluster(_url: &str) -> Result<()> {
    Err(Error::without_feature("--cluster", "cluster"))
}

/// Prepares a data set and returns the manifest of its folder, `<out>/<name>/`.
///
/// The folder appears whole or not at all; what killed runs left in its place is removed first. One that the same request (parameters,
/// inputs, version) made before is kept as it is; another one is replaced only with `force`, in one step. A run that is making the same
/// folder at this moment is waited for. An object store has no folders to move: there the manifest, uploaded last, makes it one.
///
/// # Errors
/// Missing, damaged or mostly unparsable raw files; a domain without users; a folder in the way; a full disk; a leak.
pub async fn prepare(config: &PrepareConfig, progress: &dyn Progress) -> Result<Manifest> {
    config.check()?;
    let claim = output::claim(config, progress)?;
    // Only where something may be in the way must the inputs be known before they are read.
    if storage::url(&config.folder()).is_some() || config.folder().exists() {
        let request = output::request(config, &output::hash_inputs(config)?)?;
        if let Some(kept) = output::kept(config, &request)? {
            return Ok(kept);
        }
    }
    if let Some(claim) = &claim {
        claim.check_replaceable()?;
    }
    let staging = output::staging(config, claim.as_ref())?;
    let manifest = fill(config, staging.path(), progress).await?;
    output::publish(config, claim, staging, &manifest)?;
    Ok(manifest)
}

/// One cut for several data sets, which are cut at one moment or each knows the future of the others: where `cut` lies among the
/// interactions of all of them together, as their stages leave them. The tables are made aside for it, without prompts, and go again;
/// the splits that the configurations ask for do not matter.
///
/// # Errors
/// Those of [`prepare`]; too few distinct times for the shares.
pub async fn common_cut(configs: &[PrepareConfig], cut: Cut, progress: &dyn Progress) -> Result<TimeCut> {
    let mut times = Vec::new();
    if !matches!(cut, Cut::At(_)) {
        for config in configs {
            let place = config.place();
            std::fs::create_dir_all(&place).map_err(|source| Error::io(&place, "create", source))?;
            let aside = Staged::within(&place)?;
            let mut tables = PrepareConfig {
                out: aside.path().to_owned(),
                ..config.clone()
            };
            tables.parameters.prompts = false;
            tables.parameters.split = SplitPolicy::LeaveOneOut;
            prepare(&tables, progress).await?;
            let folder = Prepared::open(tables.folder())?;
            folder.each_sequence(|row| times.extend(row.timestamps))?;
        }
    }
    cut.among(times)
}

async fn fill(config: &PrepareConfig, folder: &Path, progress: &dyn Progress) -> Result<Manifest> {
    let engine = config.engine()?;
    let options = ReadOptions {
        salvage: config.parameters.salvage,
        threads: engine.here().threads(),
    };
    let budget = if config.plans_only { 0 } else { engine.row_bytes() };
    let store = Store::new(&engine, budget, folder);
    let Met {
        mut rejects,
        inputs,
        lines,
        losses,
        notes,
        interaction_lines,
        item_lines,
    } = raw::read_into(
        &config.dataset,
        &config.raw,
        &options,
        &store,
        Some(folder),
        progress,
    )?;
    let inputs = output::relative(inputs, &config.raw);
    let request = output::request(config, &inputs)?;
    let reject_counts = tables::count_rejects(&mut rejects, lines, config.parameters.max_reject_share)?;

    progress.stage("clean, deduplicate, k-core", None);
    let (rows, items) = store.finish().await?;
    if item_lines.is_some() && !config.parameters.allow_missing_items {
        tables::check_described(&engine, &rows, &items).await?;
    }
    let tables = tables::Tables::build(config, &engine, rows, items, &interaction_lines, folder).await?;
    let (mut files, mut bins) = (tables.files.clone(), tables.bin_report.clone());
    files.push(tables::write_rejects(folder, &mut rejects)?);
    drop(rejects);

    let mut written = BTreeMap::new();
    if config.parameters.prompts {
        progress.stage(PROMPTS, None);
        let prompt_folder = folder.join("prompts");
        std::fs::create_dir(&prompt_folder).map_err(|source| Error::io(&prompt_folder, "create", source))?;
        let sequences = engine.here().serial().parquet(&folder.join(SEQUENCES)).await?;
        let factory = prompts::PromptFactory::new(config, &engine, &tables, folder)?;
        for split in Split::ALL {
            let (shards, left) = factory.write(&engine, &sequences, folder, split).await?;
            bins.left.append(left);
            written.insert(split.name().to_owned(), shards.iter().map(|file| file.rows).sum());
            files.extend(shards);
        }
    }

    let cut = tables.targets.holdout().cut();
    let mut manifest = Manifest {
        schema_version: SCHEMA_VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        name: config.folder_name(),
        dataset: config.dataset.clone(),
        synthetic_fields: config.dataset.synthetic_fields.clone(),
        parameters: config.parameters.clone(),
        inputs,
        request,
        lines,
        stages: STAGES.to_owned(),
        counts: tables.counts,
        lengths: tables.lengths,
        rejects: reject_counts,
        losses,
        titles_missing: tables.titles_missing,
        split: config.parameters.split_name(cut),
        ties: tables.ties,
        repeats: tables.repeats,
        bins,
        titles: tables.titles,
        cut,
        prompts: written,
        audit: AuditReport::default(),
        notes: [tables.notes, notes].concat(),
        fingerprint: prepared::fingerprint(&files),
        files,
    };
    // Without prompts there is nothing that could leak.
    if config.parameters.prompts {
        progress.stage("audit", None);
        let unfinished = Prepared::unfinished(folder, manifest.clone());
        manifest.audit = engine.install(|| audit::audit(&unfinished))?;
        manifest.audit.check_leaks()?;
        manifest.notes.extend(manifest.audit.findings.clone());
    }
    output::describe(folder, &manifest)?;
    Ok(manifest)
}
