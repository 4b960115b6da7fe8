//! A target of a profile's study, as the commands about rows from outside take it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use weaverec_model::op::with_threads;
use weaverec_model::recommender::Vectors;
use weaverec_output::{Claim, Input};

use crate::experiment::domain::{DomainData, prepare_study};
use crate::experiment::item_vectors::study::of_study;
use crate::experiment::library::Library;
use crate::experiment::profile::{Data, Profile, Study};
use crate::experiment::store::Store;
use crate::experiment::study_record::StudyRecord;
use crate::output::{CELLS, WORK};

/// Which target of which study.
#[derive(Clone, Debug, Args)]
pub struct Named {
    /// A profile's name (quick, small) or the path of a profile's TOML.
    #[arg(long, default_value = "quick")]
    profile: String,
    /// `synthetic`, or the folder of local raw logs, as of `weaverec reproduce`.
    #[arg(long)]
    data: Option<String>,
    /// Folder of prepared data and run records [default: runs/<profile>].
    #[arg(long)]
    work: Option<PathBuf>,
    /// Study of the profile [default: the only one that has the target].
    #[arg(long)]
    study: Option<String>,
    /// Domain whose users are ranked.
    #[arg(long)]
    target: Option<String>,
    /// Threads that prepare data, and that score where there is something to score [default: all].
    #[arg(long, value_parser = super::number::threads)]
    threads: Option<usize>,
}

/// A target with everything named, and the right to work in its work folder beside other runs.
pub struct Target {
    /// The profile.
    pub profile: Profile,
    /// The study.
    pub study: Study,
    /// The domain.
    pub name: String,
    /// Folder of prepared data and run records.
    pub work: PathBuf,
    /// What nothing may be written over.
    pub inputs: Vec<Input>,
    /// The finished cells.
    pub store: Store,
    /// Threads to work with.
    pub threads: usize,
    data: Data,
    _claim: Claim,
}

impl Named {
    /// Finds the target.
    ///
    /// # Errors
    /// A profile, study or target that there is not.
    pub fn open(self) -> Result<Target> {
        let profile = Profile::load(&self.profile)?;
        let data = Data::parse(self.data.as_deref());
        let work = self
            .work
            .unwrap_or_else(|| PathBuf::from("runs").join(&profile.name));
        let file = Some(&self.profile).filter(|path| Path::new(path).is_file());
        let mut inputs: Vec<Input> = file
            .map(|path| Input::new(path, "the profile"))
            .into_iter()
            .collect();
        inputs.extend(
            data.folder()
                .map(|folder| Input::partly(folder, "the folder of raw logs")),
        );
        let name = self
            .target
            .context("name the domain whose users are ranked with --target")?;
        let study = study(&profile, &data, self.study.as_deref(), &name)?.clone();
        let claim = Claim::share(&work, WORK, &inputs)?;
        let store = Store::open(claim.place().join(CELLS))?;
        Ok(Target {
            study,
            name,
            inputs,
            store,
            data,
            threads: super::threads(self.threads),
            work: claim.place().to_owned(),
            profile,
            _claim: claim,
        })
    }
}

/// The study that has the target.
fn study<'a>(profile: &'a Profile, data: &Data, named: Option<&str>, target: &str) -> Result<&'a Study> {
    let studies = profile.studies(data)?;
    let has = |study: &Study| study.domains.iter().any(|domain| domain.name == target);
    let names = |studies: &[&Study]| {
        let names: Vec<&str> = studies.iter().map(|study| study.name.as_str()).collect();
        names.join(", ")
    };
    if let Some(named) = named {
        let found = studies.iter().find(|study| study.name == named).copied();
        let found = found.with_context(|| {
            let known = names(&studies);
            format!(
                "profile {} has no study {named} for {data}, but {known}",
                profile.name
            )
        })?;
        if !has(found) {
            let domains: Vec<&str> = found.domains.iter().map(|domain| domain.name.as_str()).collect();
            bail!("study {named} has no domain {target}, but {}", domains.join(", "));
        }
        return Ok(found);
    }
    let having: Vec<&Study> = studies.iter().copied().filter(|study| has(study)).collect();
    match having.as_slice() {
        [one] => Ok(one),
        [] => bail!(
            "no study of profile {} for {data} ({}) has a domain {target}",
            profile.name,
            names(&studies)
        ),
        several => bail!("{} have a domain {target}: name one with --study", names(several)),
    }
}

impl Target {
    /// Prepares the study's domains, as `weaverec reproduce` does, and gives the target's.
    ///
    /// # Errors
    /// Raw logs that cannot be had or read.
    pub fn domain(&self) -> Result<DomainData> {
        let mut domains = prepare_study(&self.profile, &self.study, &self.data, &self.work, self.threads)?;
        let domain = domains.remove(&self.name);
        let domain = domain.with_context(|| format!("the domain {} was not prepared", self.name))?;
        domain.check_ranked(self.profile.report_on)?;
        Ok(domain)
    }

    /// Vectors of the target's items, in the space that the profile makes for those of all domains of the study.
    ///
    /// # Errors
    /// Raw logs that cannot be had or read, and vectors that cannot be made.
    pub fn vectors(&self) -> Result<Vectors> {
        let domains = prepare_study(&self.profile, &self.study, &self.data, &self.work, self.threads)?;
        let (how, compute) = (&self.profile.vectors, self.profile.compute);
        let mut space = with_threads(self.threads, || of_study(&domains, how, compute))?;
        let found = space.remove(&self.name);
        found.with_context(|| format!("the domain {} was not prepared", self.name))
    }

    /// The study's record, where there is one, which must be of the domain as it is now.
    ///
    /// # Errors
    /// A record of another preparation.
    pub fn record(&self, library: &Library, domain: &DomainData) -> Result<Option<StudyRecord>> {
        let cell = StudyRecord::cell(&self.profile, &self.study)?;
        if !library.has(&cell) {
            return Ok(None);
        }
        let record = StudyRecord::from_record(&library.load(&cell)?)?;
        let then = record.domain(&self.name)?;
        if then.fingerprint != domain.fingerprint || then.candidate_hash != domain.candidate_hash {
            bail!(
                "the domain {} was prepared as {:.12} with the candidates {} when the study was run, and is {:.12} with {} now; name another \
                 --work and report folder, or remove the folders of the earlier records",
                self.name,
                then.fingerprint,
                then.candidate_hash,
                domain.fingerprint,
                domain.candidate_hash
            );
        }
        Ok(Some(record))
    }
}
