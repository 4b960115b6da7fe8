//! The domains of a study: raw logs found, fetched or generated, then prepared, then read as plain values.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use weaverec_pipeline::dataset::DatasetDescription;
use weaverec_pipeline::parameters::Parameters;
use weaverec_pipeline::prepare::{self, PrepareConfig};
use weaverec_pipeline::prepared::{Manifest, Prepared};
use weaverec_pipeline::schema::{Item, Prompt, Split};
use weaverec_pipeline::stage::{DomainFilter, KCore};
use weaverec_pipeline::{fetch, synth};

use super::profile::{Data, Domain, Prepare, Source, Study};
use crate::progress::{Stages, say};

/// A prepared domain, read.
pub struct DomainData {
    /// Name in the study.
    pub name: String,
    /// Hash of what was prepared.
    pub fingerprint: String,
    /// Hash of the test users and their candidates.
    pub candidate_hash: String,
    /// Items by dense id, the first being item 1.
    pub items: Vec<Item>,
    /// The prepared folder, whose training prompts are read when an adapter is trained on them.
    pub folder: Prepared,
    /// Validation prompts.
    pub validation: Vec<Prompt>,
    /// Test prompts.
    pub test: Vec<Prompt>,
    /// What a reader must know, as that its times are synthetic.
    pub notes: Vec<String>,
}

/// The domains of a study by name, auxiliary ones included.
pub type Domains = BTreeMap<String, DomainData>;

/// Prepares every domain of a study below `work` and reads them.
pub fn prepare_study(
    study: &Study,
    config: &Prepare,
    data: &Data,
    work: &Path,
    threads: usize,
) -> Result<Domains> {
    let generated = generate(study, work)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .enable_all()
        .build()?;
    let mut domains = Domains::new();
    for domain in &study.domains {
        let (description, raw) = locate(study, domain, data, &generated)
            .with_context(|| format!("study {}: domain {}", study.name, domain.name))?;
        let request = request(study, domain, config, description, raw, work, threads);
        runtime
            .block_on(prepare::prepare(&request, &Stages::default()))
            .with_context(|| {
                format!(
                    "cannot prepare the domain {} of study {}",
                    domain.name, study.name
                )
            })?;
        let folder = request.folder();
        let read = read(domain, &folder).with_context(|| format!("cannot read {}", folder.display()))?;
        say(format!(
            "  {}: {} items, {} training, {} validation and {} test prompts",
            read.name,
            read.items.len(),
            read.folder.manifest().prompt_count(Split::Train),
            read.validation.len(),
            read.test.len()
        ));
        domains.insert(domain.name.clone(), read);
    }
    Ok(domains)
}

fn request(
    study: &Study,
    domain: &Domain,
    config: &Prepare,
    dataset: DatasetDescription,
    raw: PathBuf,
    work: &Path,
    threads: usize,
) -> PrepareConfig {
    let parameters = Parameters {
        seed: config.seed,
        filter: DomainFilter {
            domain: domain.select.clone(),
            exclude: domain.exclude.clone(),
        },
        core: KCore {
            users: config.user_core,
            items: config.item_core,
        },
        max_history: config.max_history,
        max_title_chars: config.max_title_chars,
        candidates: config.candidates,
        format: config.format,
        max_train: config.max_train,
        max_eval: Some(config.users),
        allow_missing_items: config.allow_missing_items,
        ..Parameters::default()
    };
    PrepareConfig {
        name: Some(domain.name.clone()),
        parameters,
        threads,
        // Records in the work folder are derived: another configuration simply replaces them.
        force: true,
        ..PrepareConfig::new(dataset, raw, work.join("prepared").join(&study.name))
    }
}

fn generate(study: &Study, work: &Path) -> Result<BTreeMap<String, synth::GeneratedDomain>> {
    let Some(table) = &study.synthetic else {
        return Ok(BTreeMap::new());
    };
    let config: synth::SynthConfig = table
        .clone()
        .try_into()
        .with_context(|| format!("study {}: [study.synthetic]", study.name))?;
    let generated = synth::generate(&config, &work.join("raw").join(&study.name), &Stages::default())?;
    Ok(generated.into_iter().map(|d| (d.name.clone(), d)).collect())
}

fn locate(
    study: &Study,
    domain: &Domain,
    data: &Data,
    generated: &BTreeMap<String, synth::GeneratedDomain>,
) -> Result<(DatasetDescription, PathBuf)> {
    match study.source {
        Source::Package => {
            let description = DatasetDescription::load(&domain.dataset)?;
            let raw = fetch::dataset(&description, &fetch::cache_root()?, None, &Stages::default())?;
            Ok((description, raw))
        }
        Source::Synthetic => {
            let Some(found) = generated.get(&domain.dataset) else {
                let known: Vec<&str> = generated.keys().map(String::as_str).collect();
                bail!(
                    "`dataset` is {}, but the generated domains are {}",
                    domain.dataset,
                    known.join(", ")
                );
            };
            let description = DatasetDescription::load(&found.description.to_string_lossy())?;
            Ok((description, found.dir.clone()))
        }
        Source::Local => {
            let description = DatasetDescription::load(&domain.dataset)?;
            let folder = data.folder().context("this study needs --data <folder>")?;
            let raw = folder.join(domain.raw.as_deref().unwrap_or(Path::new(&domain.dataset)));
            Ok((description, raw))
        }
    }
}

fn read(domain: &Domain, folder: &Path) -> Result<DomainData> {
    let prepared = Prepared::open(folder)?;
    let test = prepared.prompts(Split::Test)?;
    Ok(DomainData {
        name: domain.name.clone(),
        fingerprint: prepared.fingerprint(),
        candidate_hash: candidate_hash(&test),
        items: prepared.items()?,
        validation: prepared.prompts(Split::Validation)?,
        notes: notes(prepared.manifest()),
        test,
        folder: prepared,
    })
}

fn notes(manifest: &Manifest) -> Vec<String> {
    match manifest.synthetic_fields.as_slice() {
        [] => Vec::new(),
        fields => vec![format!("{} are made up in the raw files", fields.join(", "))],
    }
}

/// A hash of who is tested on which candidates: results with different ones must not be compared.
fn candidate_hash(test: &[Prompt]) -> String {
    let mut hash = blake3::Hasher::new();
    for prompt in test {
        hash.update(prompt.user_id.as_bytes());
        hash.update(&prompt.target.to_le_bytes());
        prompt.candidates.iter().for_each(|c| {
            hash.update(&c.to_le_bytes());
        });
    }
    hash.finalize().to_hex()[..16].to_string()
}
