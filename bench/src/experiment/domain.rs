//! The domains of a study: raw logs found, fetched or generated, then prepared, then read as plain values.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use weaverec_pipeline::dataset::DatasetDescription;
use weaverec_pipeline::parameters::Parameters;
use weaverec_pipeline::prepare::{self, PrepareConfig};
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::{Item, Prompt, PromptFormat, Split};
use weaverec_pipeline::stage::window::time_text;
use weaverec_pipeline::stage::{self, DomainFilter, KCore, SplitPolicy};
use weaverec_pipeline::{fetch, synth};

use super::ids::Ids;
use super::profile::{Data, Domain, Prepare, Profile, Source, Study};
use crate::cut::{Cut, First, Lot, Sizes};
use crate::method::log::{Histories, Log};
use crate::progress::{Stages, say};
use crate::protocol::union;

/// A prepared domain, read.
pub struct DomainData {
    /// Name in the study.
    pub name: String,
    /// Hash of what was prepared.
    pub fingerprint: String,
    /// Hash of the users that are ranked and of their candidates.
    pub candidate_hash: String,
    /// Items by dense id, the first being item 1.
    pub items: Vec<Item>,
    /// The prepared folder, whose training prompts are read when an adapter is trained on them.
    pub folder: Prepared,
    /// How many users there are in each part.
    pub users: Sizes,
    /// Validation prompts of users on whom nothing is reported: they choose steps.
    pub selection: Vec<Prompt>,
    /// Validation prompts of users that are reported: they choose nothing, and tell how well a model does on the domain's text.
    pub diagnosis: Vec<Prompt>,
    /// Test prompts of the users that are ranked, in the order of their lot.
    pub ranked: Vec<Prompt>,
    /// Validation prompts of users on whom nothing is reported, and who choose whatever is chosen after training.
    pub calibration: Vec<Prompt>,
    /// The interactions that are trained on.
    pub log: Log,
    /// All that users had before what they are asked for.
    pub histories: Histories,
}

impl DomainData {
    /// The item's id in the raw log.
    ///
    /// # Errors
    /// A dense id beyond the items.
    pub fn raw(&self, item: u32) -> Result<&str> {
        let place = (item as usize).checked_sub(1);
        let found = place.and_then(|place| self.items.get(place));
        let found = found.with_context(|| {
            format!(
                "{} has {} items, none is number {item}",
                self.name,
                self.items.len()
            )
        })?;
        Ok(&found.item_id)
    }

    /// Fails where no user is ranked, as in a domain that is trained on alone.
    ///
    /// # Errors
    /// There is nothing to be ranked.
    pub fn check_ranked(&self, report_on: Cut) -> Result<()> {
        if self.ranked.is_empty() {
            bail!(
                "no user of {} is in the part that is ranked ({}): it has {} test users in all",
                self.name,
                report_on.name(),
                self.users.dev + self.users.r#final
            );
        }
        Ok(())
    }
}

/// Most calibration users that rows which count are scored on, where language models are scored on fewer: it costs nothing.
const CALIBRATION: usize = 1000;

/// The domains of a study by name, auxiliary ones included.
pub type Domains = BTreeMap<String, DomainData>;

/// Prepares every domain of a study below `work` and reads them.
pub fn prepare_study(
    profile: &Profile,
    study: &Study,
    data: &Data,
    work: &Path,
    threads: usize,
) -> Result<Domains> {
    let generated = generate(study, work)?;
    let mut requests = Vec::new();
    let how = profile.prepare_of(study);
    for domain in &study.domains {
        let (description, raw) = locate(study, domain, data, &generated)
            .with_context(|| format!("study {}: domain {}", study.name, domain.name))?;
        let request = request(study, domain, &how, description, raw, work, threads)?;
        requests.push((domain, request));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .enable_all()
        .build()?;
    let prepare = |domain: &Domain, request: &PrepareConfig| -> Result<()> {
        let cannot = || {
            format!(
                "cannot prepare the domain {} of study {}",
                domain.name, study.name
            )
        };
        runtime
            .block_on(prepare::prepare(request, &Stages::default()))
            .with_context(cannot)?;
        Ok(())
    };
    if let Some(cut) = how.cut()? {
        let split = SplitPolicy::GlobalTime(one_cut(cut, study, &requests, &runtime)?);
        requests
            .iter_mut()
            .for_each(|(_, request)| request.parameters.split = split);
    }
    let mut domains = Domains::new();
    for (domain, request) in requests {
        prepare(domain, &request)?;
        let folder = request.folder();
        let read = read(&domain.name, &Wanted::of(profile, study), &folder)
            .with_context(|| format!("cannot read {}", folder.display()))?;
        say(format!(
            "  {}: {} items, {} training prompts; {} users ranked of {} ({}), rows compared on {} of {}",
            read.name,
            read.items.len(),
            read.folder.manifest().prompt_count(Split::Train),
            read.ranked.len(),
            read.users.of(profile.report_on),
            profile.report_on.name(),
            read.selection.len(),
            read.users.of(Cut::Selection)
        ));
        if read.ranked.is_empty() && !domain.auxiliary {
            bail!(
                "no user of the domain {} of study {} is in the part that is ranked ({}): it has {} test users in all",
                domain.name,
                study.name,
                profile.report_on.name(),
                read.users.dev + read.users.r#final
            );
        }
        domains.insert(domain.name.clone(), read);
    }
    Ok(domains)
}

/// The one moment at which all domains are cut: by the interactions of the studied ones together.
fn one_cut(
    share: stage::Cut,
    study: &Study,
    requests: &[(&Domain, PrepareConfig)],
    runtime: &tokio::runtime::Runtime,
) -> Result<stage::Cut> {
    let studied = requests.iter().filter(|(domain, _)| !domain.auxiliary);
    let configs: Vec<PrepareConfig> = studied.map(|(_, request)| request.clone()).collect();
    let found = runtime
        .block_on(prepare::common_cut(&configs, share, &Stages::default()))
        .with_context(|| format!("study {}: [prepare] cut", study.name))?;
    say(format!(
        "  one cut for all domains: validation from {}, test from {}",
        time_text(found.validation_from),
        time_text(found.test_from)
    ));
    Ok(stage::Cut::At(found))
}

fn request(
    study: &Study,
    domain: &Domain,
    config: &Prepare,
    dataset: DatasetDescription,
    raw: PathBuf,
    work: &Path,
    threads: usize,
) -> Result<PrepareConfig> {
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
        tie_window_ms: config.tie_window_ms()?,
        repeats: config.repeats,
        max_history: config.max_history,
        max_title_chars: config.max_title_chars,
        candidates: config.candidates,
        format: config.format,
        recipe: config.recipe,
        max_train: config.max_train,
        // Everybody has prompts: who chooses and who is ranked is decided by the cut of users, which is finer than the pipeline's sample.
        max_eval: None,
        allow_missing_items: config.allow_missing_items,
        ..Parameters::default()
    };
    Ok(PrepareConfig {
        name: Some(domain.name.clone()),
        parameters,
        threads,
        // Records in the work folder are derived: another configuration simply replaces them.
        force: true,
        ..PrepareConfig::new(dataset, raw, work.join("prepared").join(&study.name))
    })
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

/// Whose prompts are read of a prepared folder, and how many at most of each kind.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Decides who plays which part.
    pub cut_seed: u64,
    /// The users that are ranked.
    pub report_on: Cut,
    /// Ranked users.
    pub ranked: usize,
    /// Users that choose steps, and reported ones whose validation prompts tell how well a model does on the domain's text.
    pub held_out: usize,
    /// Users that choose whatever is chosen after training.
    pub calibration: usize,
    /// What candidates depend on.
    pub format: PromptFormat,
}

impl Wanted {
    /// What a profile wants of a study's domains.
    pub fn of(profile: &Profile, study: &Study) -> Self {
        Self {
            cut_seed: profile.cut_seed,
            report_on: profile.report_on,
            ranked: profile.prepare.users,
            held_out: profile.adapter.held_out,
            calibration: profile.rank_of(study).calibration.max(CALIBRATION),
            format: profile.prepare.format,
        }
    }
}

/// Reads a prepared folder; `name` is what the domain is called.
///
/// # Errors
/// A folder that is none, or whose files do not belong together: one in which a prompt or a sequence names an item that there is not is
/// refused here, so that whoever scores need not ask.
pub fn read(name: &str, wanted: &Wanted, folder: &Path) -> Result<DomainData> {
    let folder = Prepared::open(folder)?;
    let items = folder.items()?;
    let ids = Ids::of(&folder, &items)?;
    let manifest = folder.manifest();
    let key = manifest.parameters.domain_name(&manifest.dataset);
    let lot = |user: &str| Lot::of(wanted.cut_seed, &key, user);
    let mut users = Sizes::default();
    let (mut selection, mut diagnosis) = (First::new(wanted.held_out), First::new(wanted.held_out));
    let mut calibration = First::new(wanted.calibration);
    folder.each_prompt(Split::Validation, |row| {
        ids.check(Split::Validation, &row)?;
        let lot = lot(row.user_id);
        let cut = lot.cut();
        if !cut.is_reported() {
            users.add(cut);
        }
        if cut == Cut::Selection {
            selection.offer(lot, || row.to_prompt());
        } else if cut == Cut::Calibration {
            calibration.offer(lot, || row.to_prompt());
        } else if cut == wanted.report_on {
            diagnosis.offer(lot, || row.to_prompt());
        }
        Ok(())
    })?;
    let mut ranked = First::new(wanted.ranked);
    folder.each_prompt(Split::Test, |row| {
        ids.check(Split::Test, &row)?;
        let lot = lot(row.user_id);
        let cut = lot.cut();
        if cut.is_reported() {
            users.add(cut);
        }
        if cut == wanted.report_on {
            ranked.offer(lot, || row.to_prompt());
        }
        Ok(())
    })?;
    ids.check_rest(&folder)?;
    let ranked = ranked.into_vec();
    Ok(DomainData {
        name: name.to_owned(),
        fingerprint: folder.fingerprint(),
        candidate_hash: {
            let candidates: Vec<Vec<u32>> = ranked
                .iter()
                .map(|prompt| union(prompt, wanted.format).0)
                .collect();
            let cases = ranked.iter().zip(&candidates);
            candidate_hash(
                cases.map(|(prompt, all)| (prompt.user_id.as_str(), prompt.target, all.as_slice())),
            )
        },
        log: Log::read(&folder)?,
        histories: Histories::read(&folder)?,
        calibration: calibration.into_vec(),
        items,
        users,
        selection: selection.into_vec(),
        diagnosis: diagnosis.into_vec(),
        ranked,
        folder,
    })
}

/// A hash of who is ranked, among which candidates: results with different ones must not be compared. Of each case the user, the
/// target's id and the candidates' ids.
pub fn candidate_hash<'a>(cases: impl IntoIterator<Item = (&'a str, u32, &'a [u32])>) -> String {
    let mut hash = blake3::Hasher::new();
    for (user, target, candidates) in cases {
        for part in [user.len(), candidates.len()] {
            hash.update(&(part as u64).to_le_bytes());
        }
        hash.update(user.as_bytes());
        hash.update(&target.to_le_bytes());
        for candidate in candidates {
            hash.update(&candidate.to_le_bytes());
        }
    }
    hash.finalize().to_hex()[..16].to_string()
}

#[cfg(test)]
mod tests {
    use super::candidate_hash;

    #[test]
    fn whoever_is_ranked_among_other_candidates_has_another_hash() {
        let of = candidate_hash([("a", 1, &[1, 2][..]), ("b", 3, &[3])]);
        assert_eq!(of, candidate_hash([("a", 1, &[1, 2][..]), ("b", 3, &[3])]));
        for other in [
            candidate_hash([("a", 1, &[1, 2][..])]),
            candidate_hash([("a", 2, &[1, 2][..]), ("b", 3, &[3])]),
            candidate_hash([("a", 1, &[2, 1][..]), ("b", 3, &[3])]),
            candidate_hash([("a", 1, &[1, 2][..]), ("c", 3, &[3])]),
            candidate_hash([("b", 3, &[3][..]), ("a", 1, &[1, 2])]),
        ] {
            assert_ne!(of, other);
        }
    }
}
