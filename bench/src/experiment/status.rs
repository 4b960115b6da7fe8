//! How far a study is, by its store alone: what is finished, who is at work on what, and what is left. Nothing is changed by looking, so
//! that any process may look while others run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use serde::Serialize;
use weaverec_model::device::DeviceName;
use weaverec_output::{Holder, Life};

use super::cell::{Cell, Kind, Record};
use super::environment::Environment;
use super::estimate::{self, Rates};
use super::materials::Bench;
use super::profile::Profile;
use super::store::Store;
use super::study_record::StudyRecord;
use super::work::Work;

/// How far everything in a store is.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Every cell once.
    pub cells: Count,
    /// Its studies.
    pub studies: Vec<StudyStatus>,
    /// What somebody is at work on, or was when they were killed.
    pub running: Vec<Running>,
    /// Operations a second by kind of cell, of what was finished here.
    pub rates: Vec<Rate>,
    /// How the seconds are known, in words for people.
    pub by: String,
    /// What filled the store: where several did, the one that finished most cells. None where nothing is finished.
    pub environment: Option<Environment>,
    /// Processes that are at work.
    pub processes: usize,
    /// Seconds that the cells take which are not finished, on as many processes as are at work, or on one.
    pub seconds_left: f64,
}

/// How many cells there are, and how far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// All of them.
    pub all: usize,
    /// Finished.
    pub done: usize,
    /// Not finished, and somebody is at work on them.
    pub running: usize,
    /// The others.
    pub to_do: usize,
}

/// How far a study is.
#[derive(Clone, Debug, Serialize)]
pub struct StudyStatus {
    /// Its name.
    pub name: String,
    /// The profile's.
    pub profile: String,
    /// Its units, in the order in which they are run.
    pub units: Vec<UnitStatus>,
}

/// How far a unit is. Units share cells, so that these numbers add up to more than there are.
#[derive(Clone, Debug, Serialize)]
pub struct UnitStatus {
    /// The number by which `--units` takes it, where the studies of the store are those of one profile and choice of data.
    pub number: usize,
    /// Its name for people.
    pub name: String,
    /// Its cells.
    pub cells: Count,
    /// Seconds that those take which are not finished, on one process.
    pub seconds_left: f64,
}

/// A cell that somebody is at work on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Running {
    /// The cell, for people; its key where no study of the store has it.
    pub cell: String,
    /// Its key.
    pub key: String,
    /// The machine.
    pub machine: String,
    /// The process there.
    pub process: String,
    /// Seconds since it was begun, where the file system knows.
    pub seconds: Option<f64>,
    /// Seconds since the last sign of life.
    pub last_sign_seconds: Option<f64>,
    /// Whether whoever began it is gone: the next one that asks takes it up.
    pub stale: bool,
}

/// Operations a second, of one thread or of a whole GPU.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// Of which cells.
    pub kind: Kind,
    /// Operations a second.
    pub flops_per_second: f64,
    /// Of how many cells.
    pub cells: usize,
}

impl Status {
    /// Of the studies in a store; of those of a profile alone, where one is given.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub fn of(store: &Store, profile: Option<&Profile>) -> Result<Self> {
        let benches = benches(store, profile)?;
        let held: BTreeMap<String, Holder> = store
            .at_work()
            .into_iter()
            .map(|holder| (holder.name.clone(), holder))
            .collect();
        let records = records(store, &benches)?;
        let environment = most_common(records.values());
        let rates = rates(&benches, &records, environment.as_ref())?;
        let look = Look {
            held: &held,
            done: records.keys().map(String::as_str).collect(),
        };

        let mut every: BTreeMap<&str, (&Cell, Work)> = BTreeMap::new();
        let mut studies = Vec::new();
        let mut number = 0;
        for bench in &benches {
            let work: BTreeMap<&str, Work> = estimate::cells(&bench.plan)
                .map(|(cell, work)| (cell.key.as_str(), work))
                .collect();
            let mut units = Vec::new();
            for unit in &bench.plan.units {
                number += 1;
                let cells: Vec<(&Cell, Work)> = bench
                    .plan
                    .cells(unit)
                    .into_iter()
                    .map(|cell| (cell, work.get(cell.key.as_str()).copied().unwrap_or_default()))
                    .collect();
                units.push(UnitStatus {
                    number,
                    name: bench.name(unit),
                    cells: look.count(&cells),
                    seconds_left: rates.seconds(look.unfinished(&cells)),
                });
                every.extend(cells.into_iter().map(|cell| (cell.0.key.as_str(), cell)));
            }
            studies.push(StudyStatus {
                name: bench.study.study().name.clone(),
                profile: bench.study.profile.name.clone(),
                units,
            });
        }
        let label = |key: &str| {
            every
                .get(key)
                .map_or(key, |(cell, _)| cell.label.as_str())
                .to_owned()
        };
        let running: Vec<Running> = held
            .values()
            .filter(|holder| !look.done.contains(holder.name.as_str()))
            .map(|holder| Running::of(holder, label(&holder.name)))
            .collect();
        let alive = held.values().filter(|holder| holder.is_alive());
        let processes: BTreeSet<(&str, &str)> = alive
            .map(|holder| (holder.machine.as_str(), holder.process.as_str()))
            .collect();
        let cells: Vec<(&Cell, Work)> = every.into_values().collect();
        Ok(Status {
            cells: look.count(&cells),
            seconds_left: rates.seconds(look.unfinished(&cells)) / processes.len().max(1) as f64,
            processes: processes.len(),
            by: rates.to_string(),
            rates: rates
                .recorded()
                .map(|(kind, flops_per_second, cells)| Rate {
                    kind,
                    flops_per_second,
                    cells,
                })
                .collect(),
            studies,
            running,
            environment,
        })
    }
}

/// What one look finds.
struct Look<'a> {
    held: &'a BTreeMap<String, Holder>,
    done: BTreeSet<&'a str>,
}

impl Look<'_> {
    fn count(&self, cells: &[(&Cell, Work)]) -> Count {
        let mut count = Count {
            all: cells.len(),
            ..Count::default()
        };
        for (cell, _) in cells {
            if self.done.contains(cell.key.as_str()) {
                count.done += 1;
            } else if self.held.get(&cell.key).is_some_and(Holder::is_alive) {
                count.running += 1;
            } else {
                count.to_do += 1;
            }
        }
        count
    }

    fn unfinished<'c>(&self, cells: &[(&'c Cell, Work)]) -> Vec<(&'c Cell, Work)> {
        let left = cells
            .iter()
            .filter(|(cell, _)| !self.done.contains(cell.key.as_str()));
        left.copied().collect()
    }
}

impl Running {
    fn of(holder: &Holder, cell: String) -> Self {
        let seconds = |time: Option<SystemTime>| {
            let age: Option<Duration> = time.and_then(|time| time.elapsed().ok());
            age.map(|age| age.as_secs_f64())
        };
        Running {
            cell,
            key: holder.name.clone(),
            machine: holder.host().to_owned(),
            process: holder.process.clone(),
            seconds: seconds(holder.since),
            last_sign_seconds: seconds(holder.seen),
            stale: holder.life == Life::Stale,
        }
    }
}

/// The studies of a store: of a profile in its own order, or all.
fn benches(store: &Store, profile: Option<&Profile>) -> Result<Vec<Bench>> {
    let records = match profile {
        None => store.list(Kind::Study)?,
        Some(profile) => {
            let mut found = Vec::new();
            for study in &profile.studies {
                found.extend(store.record(&StudyRecord::cell(profile, study)?)?);
            }
            found
        }
    };
    records.iter().map(Bench::of_record).collect()
}

/// The records of all finished cells, by their keys.
fn records(store: &Store, benches: &[Bench]) -> Result<BTreeMap<String, Record>> {
    let mut found = BTreeMap::new();
    for bench in benches {
        for cell in bench.plan.units.iter().flat_map(|unit| bench.plan.cells(unit)) {
            if !found.contains_key(&cell.key)
                && let Some(record) = store.record(cell)?
            {
                found.insert(cell.key.clone(), record);
            }
        }
    }
    Ok(found)
}

fn most_common<'a>(records: impl Iterator<Item = &'a Record>) -> Option<Environment> {
    let mut counts: BTreeMap<&Environment, usize> = BTreeMap::new();
    for record in records {
        *counts.entry(&record.environment).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(environment, _)| environment.clone())
}

/// The rates of whatever filled the store; those of this machine before anything is finished.
fn rates(
    benches: &[Bench],
    records: &BTreeMap<String, Record>,
    environment: Option<&Environment>,
) -> Result<Rates> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let here;
    let environment = match environment {
        Some(environment) => environment,
        None => {
            here = Environment::here(
                threads,
                benches
                    .first()
                    .map(|b| b.study.profile.compute)
                    .unwrap_or_default(),
            );
            &here
        }
    };
    let device = environment.device.split(' ').next().unwrap_or_default();
    let device: DeviceName = device.parse().unwrap_or_default();
    Rates::by(
        benches.iter().map(|bench| &bench.plan),
        |cell| Ok(records.get(&cell.key).cloned()),
        environment,
        environment.threads,
        device,
    )
}
