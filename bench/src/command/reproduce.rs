//! `weaverec reproduce`: a profile from raw logs to the report.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use weaverec_model::device::{Arithmetic, DeviceName};
use weaverec_output::{Claim, Input, Kind};
use weaverec_pipeline::storage;

use super::units;
use crate::experiment::assemble;
use crate::experiment::library::Library;
use crate::experiment::materials::Bench;
use crate::experiment::missing::Missing;
use crate::experiment::plan::Unit;
use crate::experiment::profile::{Data, Profile, Stated};
use crate::experiment::runner;
use crate::experiment::stated;
use crate::experiment::store::{Exchanged, Store};
use crate::experiment::study_record::StudyRecord;
use crate::experiment::unit::Units;
use crate::experiment::workshop::Workshop;
use crate::output::{CELLS, RECORDS, REPORT, WORK};
use crate::progress::{duration, say};
use crate::report::{self, Study};

/// Run a profile: prepare its data, run every cell that is not finished, write the report.
///
/// It goes unit by unit, a unit being a scenario and a replicate; the records of finished units are left beside the report, without
/// weights, and a run on another machine that finds them there goes on from them. A run that was stopped goes on where it was: finished
/// cells are kept, and an interrupted training resumes from its checkpoint where the profile writes them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec reproduce
  weaverec reproduce --data synthetic                     generated logs only, no download
  weaverec reproduce --profile mine.toml --data logs --out reports/mine
  weaverec reproduce --profile small --data logs --dry-run          what there is to do, and for how long
  weaverec reproduce --profile small --data logs --unit 1/3         the first third of the units
  weaverec reproduce --profile small --data logs --shard 2/8 --store s3://bucket/small     one job of eight
  weaverec reproduce --profile paper --dry-run                      with neither its logs nor its model
  weaverec reproduce --profile small --device cuda --arithmetic bf16")]
pub struct Arguments {
    #[command(flatten)]
    of: Experiment,
    /// One of so many shares of the units, as 3/10; neighbouring units, which share adapters, are in the same one.
    #[arg(long, visible_alias = "shard", value_name = "I/N", value_parser = Units::share, conflicts_with = "units")]
    unit: Option<Units>,
    /// Units by number, as 1,4-6; `list` lists them and does nothing else.
    #[arg(long, value_name = "LIST", value_parser = Units::numbers)]
    units: Option<Units>,
    /// Say what there is to do, in which units, about how long each will take, and in how much memory; train and rank nothing. The data
    /// are prepared, which is needed to know; but for profiles that state their sizes (paper), unless `--data` names some or a run has
    /// begun.
    #[arg(long)]
    dry_run: bool,
    /// Ask nobody who is at work on what, and tell nobody: for a work folder on a file system without locks. Several processes may then run
    /// one cell; the first to finish it has its place.
    #[arg(long)]
    no_leases: bool,
    /// Threads [default: all].
    #[arg(long, value_parser = super::number::threads)]
    threads: Option<usize>,
    /// Cells (trainings, rankings) at a time; they share the threads [default: on the CPU one a thread, on a GPU one].
    #[arg(long, value_parser = super::number::at_least(1))]
    jobs: Option<usize>,
}

/// Which experiment, and where.
#[derive(Debug, Args)]
pub struct Experiment {
    /// A profile's name (quick, order, small, power, rivals, merges, outside, paper) or the path of a profile's TOML, which may extend another one.
    #[arg(long, default_value = "quick")]
    profile: String,
    /// `synthetic` for generated logs only (no download), or the folder of local raw logs, beside which studies that take part `always` are
    /// fetched; without it, what the profile fetches and generates.
    #[arg(long)]
    data: Option<String>,
    /// Folder of prepared data and run records [default: runs/<profile>].
    #[arg(long)]
    work: Option<PathBuf>,
    /// Folder of the report [default: results/<profile>].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Where machines share finished cells: `s3://bucket/prefix`, `gs://bucket/prefix` (in builds with `object-store`) or a folder. What is
    /// there is not run again, and what is finished here is put there.
    #[arg(long, value_name = "URL")]
    store: Option<PathBuf>,
    /// Where the language model runs: `cpu`, `cuda`, `cuda:1` or `metal` [default: what the profile says, or the CPU].
    #[arg(long)]
    device: Option<DeviceName>,
    /// Type of activations and products: f32, or on a GPU bf16 [default: what the profile says, or f32].
    #[arg(long, value_parser = super::choice::<Arithmetic>(&Arithmetic::NAMES))]
    arithmetic: Option<Arithmetic>,
}

/// An experiment with everything named.
pub struct Setting {
    /// The profile, with the device that was asked for.
    pub profile: Profile,
    /// Its data.
    pub data: Data,
    /// Folder of prepared data and run records.
    pub work: PathBuf,
    /// Folder of the report.
    pub out: PathBuf,
    /// Where machines share finished cells.
    pub store: Option<PathBuf>,
    /// What nothing may be written over.
    pub inputs: Vec<Input>,
    /// The command that runs the experiment, as a report names it: with what decides about its numbers, and without where things lie.
    pub command: String,
}

impl Setting {
    /// Reads the profile and names what is not named.
    ///
    /// # Errors
    /// A profile that is none, or a work folder that a report would replace.
    pub fn new(of: Experiment) -> Result<Self> {
        let command = command(&of);
        let mut profile = Profile::load(&of.profile)?;
        let compute = &mut profile.compute;
        compute.device = of.device.unwrap_or(compute.device);
        compute.arithmetic = of.arithmetic.unwrap_or(compute.arithmetic);
        let data = Data::parse(of.data.as_deref());
        let named = |place: Option<PathBuf>, folder: &str| {
            place.unwrap_or_else(|| PathBuf::from(folder).join(&profile.name))
        };
        let (work, out) = (named(of.work, "runs"), named(of.out, "results"));
        if storage::url(&work).is_some() {
            bail!(
                "--work {}: work lies in a folder of this machine; --store shares what is finished through an object store",
                work.display()
            );
        }
        let profile_file = Some(&of.profile).filter(|path| Path::new(path).is_file());
        let mut inputs: Vec<Input> = profile_file
            .map(|path| Input::new(path, "the profile"))
            .into_iter()
            .collect();
        inputs.extend(
            data.folder()
                .map(|folder| Input::partly(folder, "the folder of raw logs")),
        );
        let (within, report) = (weaverec_output::resolve(&work)?, weaverec_output::resolve(&out)?);
        if within != report && within.starts_with(&report) {
            bail!(
                "{} lies inside {}, which a report would replace; name a work folder outside of the report's",
                work.display(),
                out.display()
            );
        }
        Ok(Setting {
            profile,
            data,
            work,
            out,
            store: of.store,
            inputs,
            command,
        })
    }

    /// Says in a study's part of a report which command makes it, and which of its units make each scenario.
    fn name_command(&self, study: &mut Study, bench: &Bench) -> Result<()> {
        study.command = Some(self.command.clone());
        // Units are numbered through all studies of the data, whether or not a study has records here.
        let before = self.profile.studies(&self.data)?.into_iter();
        let before = before.take_while(|one| one.name != study.name);
        let scenarios: usize = before.map(|one| one.scenarios.len()).sum();
        let first = 1 + scenarios * self.profile.replicates as usize;
        for scenario in &mut study.scenarios {
            let of = bench.study.study().scenarios.iter();
            let place = of.map(|one| one.name()).position(|name| name == scenario.name);
            let units = bench.plan.units.iter().enumerate();
            scenario.units = units
                .filter(|(_, unit)| Some(unit.scenario) == place)
                .map(|(number, _)| first + number)
                .collect();
        }
        Ok(())
    }

    /// Claims the folder of the report, in which there may be records of finished units and no report yet.
    ///
    /// # Errors
    /// Where something else is there, or another run writes there.
    pub fn claim_report(&self) -> Result<Claim> {
        claim_report(&self.out, &self.work, &self.inputs)
    }
}

/// The command that runs an experiment. Of a path, it has the name alone: a report is of no machine.
fn command(of: &Experiment) -> String {
    let name = |path: &str| match Path::new(path).file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        None => path.to_owned(),
    };
    let mut words = vec!["--profile".to_owned(), name(&of.profile)];
    if let Some(data) = &of.data {
        words.extend(["--data".to_owned(), name(data)]);
    }
    if let Some(device) = of.device {
        words.extend(["--device".to_owned(), device.to_string()]);
    }
    if let Some(arithmetic) = of.arithmetic {
        words.extend(["--arithmetic".to_owned(), arithmetic.to_string()]);
    }
    let plain = |word: &str| word.chars().all(|c| c.is_alphanumeric() || "-_./:+".contains(c));
    let quoted = words.into_iter().map(|word| match plain(&word) {
        true => word,
        false => format!("'{}'", word.replace('\'', r"'\''")),
    });
    format!("weaverec reproduce {}", quoted.collect::<Vec<_>>().join(" "))
}

/// Claims the folder of a report, as [`Setting::claim_report`] does.
///
/// # Errors
/// Where something else is there, or another run writes there.
pub fn claim_report(out: &Path, work: &Path, inputs: &[Input]) -> Result<Claim> {
    let mut inputs = inputs.to_vec();
    inputs.push(Input::partly(work, "the work folder"));
    let only_records = out.join(RECORDS).is_dir() && !out.join(REPORT.marks[0]).exists();
    let kind = match only_records {
        true => Kind {
            marks: &[RECORDS],
            ..REPORT
        },
        false => REPORT,
    };
    Ok(Claim::take(out, kind, &inputs)?)
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    let started = std::time::Instant::now();
    let setting = Setting::new(arguments.of)?;
    let (profile, data) = (&setting.profile, &setting.data);
    let threads = super::threads(arguments.threads);
    let units = arguments.unit.or(arguments.units).unwrap_or(Units::All);
    let only_listed = arguments.dry_run || units == Units::Listed;
    if only_listed && let Some(stated) = sizes(&setting)? {
        return list_stated(&setting, stated, &units, threads, arguments.jobs);
    }
    let studies = profile.studies(data)?;
    profile.compute.device.open()?;
    // Both are claimed before the work is begun: hours later is too late to hear that something is in the way.
    // The work folder may be shared with other runs: the store keeps their cells apart.
    let records = Claim::share(&setting.work, WORK, &setting.inputs)?;
    let claim = match only_listed {
        true => None,
        false => Some(setting.claim_report()?),
    };
    let mut workshop = Workshop::open(records.place(), threads, arguments.jobs, profile.compute)?;
    if arguments.no_leases {
        workshop.store = workshop.store.without_leases();
    }
    if let Some(place) = &setting.store {
        workshop.store = workshop.store.sharing(place)?;
    }
    let exported = claim
        .as_ref()
        .map_or(setting.out.as_path(), Claim::place)
        .join(RECORDS);
    let library = Library::new(workshop.store.clone(), Some(exported))?;
    let mut benches = Vec::new();
    for study in studies {
        benches.push(Bench::open(profile, study, data, &library, &workshop)?);
    }
    let chosen = units::chosen(&benches, &units)?;
    let Some(claim) = claim else {
        return units::list(&benches, &chosen, &library, &workshop, None);
    };
    for (study, units) in chosen.into_iter().enumerate() {
        let bench = &mut benches[study];
        let plan = &bench.plan;
        let units: Vec<Unit> = units.iter().map(|unit| plan.units[*unit].clone()).collect();
        exchange(bench, &units, &workshop.store)?;
        let unfinished = Missing::of(bench, &units, &library, &workshop)?.cells().len();
        say(format!(
            "{}: {} units, {unfinished} cells to do",
            bench.study.study().title,
            units.len()
        ));
        let elsewhere = finished_elsewhere(bench, &units, &library, &workshop)?;
        if elsewhere > 0 {
            say(format!(
                "  {elsewhere} of them are finished by the records in {}; with another --out they are run here",
                setting.out.join(RECORDS).display()
            ));
        }
        if unfinished > 0 {
            bench.gather(data, &workshop)?;
        }
        runner::run(bench, &units.iter().collect::<Vec<_>>(), &library, &workshop)?;
    }
    write_report(&setting, &benches, &library, &claim)?;
    say(format!(
        "profile {}: {}; the report is {}",
        profile.name,
        duration(started.elapsed().as_secs_f64()),
        setting.out.join("report.md").display()
    ));
    Ok(())
}

/// The sizes that a dry run goes by: those that the profile states, where no data are named and no study has a record that knows better.
fn sizes(setting: &Setting) -> Result<Option<&Stated>> {
    let (Some(stated), Data::Default) = (&setting.profile.stated, &setting.data) else {
        return Ok(None);
    };
    let library = looked_at(setting)?;
    for study in &setting.profile.studies {
        if library.has(&StudyRecord::cell(&setting.profile, study)?) {
            return Ok(None);
        }
    }
    Ok(Some(stated))
}

/// The records of a setting, of which nothing is made or removed.
fn looked_at(setting: &Setting) -> Result<Library> {
    Library::new(
        Store::at(setting.work.join(CELLS)),
        Some(setting.out.join(RECORDS)),
    )
}

/// Lists the units of a profile by the sizes that it states. Neither its logs nor its model nor its device are needed, and nothing is
/// written.
fn list_stated(
    setting: &Setting,
    stated: &Stated,
    units: &Units,
    threads: usize,
    jobs: Option<usize>,
) -> Result<()> {
    let (profile, library) = (&setting.profile, looked_at(setting)?);
    let workshop = Workshop::with_store(&setting.work, library.own.clone(), threads, jobs, profile.compute);
    let benches: Vec<Bench> = profile
        .studies
        .iter()
        .map(|study| stated::bench(profile, study, &workshop.environment))
        .collect::<Result<_>>()?;
    let chosen = units::chosen(&benches, units)?;
    units::list(&benches, &chosen, &library, &workshop, Some(stated))
}

/// Exchanges the cells of these units with other machines, where a store is shared.
///
/// # Errors
/// As of [`Store::exchange`].
pub fn exchange(bench: &Bench, units: &[Unit], store: &Store) -> Result<()> {
    let of_units = units.iter().flat_map(|unit| bench.plan.cells(unit));
    let exchanged = store.exchange(std::iter::once(&bench.study.cell).chain(of_units))?;
    if exchanged != Exchanged::default() {
        say(format!(
            "{}: {} cells fetched from the shared store, {} put there",
            bench.study.study().title,
            exchanged.fetched,
            exchanged.put
        ));
    }
    Ok(())
}

/// How many units are finished of which this machine has no more than records.
fn finished_elsewhere(
    bench: &Bench,
    units: &[Unit],
    library: &Library,
    workshop: &Workshop,
) -> Result<usize> {
    let mut count = 0;
    for unit in units {
        let here = bench
            .plan
            .cells(unit)
            .into_iter()
            .all(|cell| library.own.has(cell));
        count += usize::from(!here && Missing::of(bench, [unit], library, workshop)?.is_empty());
    }
    Ok(count)
}

/// Writes the report of what is finished, and prints its tables.
///
/// # Errors
/// Where nothing is finished, or the report cannot be written.
pub fn write_report(setting: &Setting, benches: &[Bench], library: &Library, claim: &Claim) -> Result<()> {
    let mut studies: Vec<Study> = Vec::new();
    for bench in benches {
        match assemble::study(&bench.study, &bench.plan, library)? {
            Some(mut study) => {
                setting.name_command(&mut study, bench)?;
                studies.push(study);
            }
            None => say(format!(
                "study {}: no unit is finished, and it is left out",
                bench.study.cell.label
            )),
        }
    }
    if studies.is_empty() {
        bail!(
            "no unit is finished, so there is nothing to report; `weaverec reproduce` runs what is missing"
        );
    }
    report::write_all(&studies, claim)?;
    super::print(report::terminal(&studies)?)
}
