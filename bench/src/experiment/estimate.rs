//! How long a unit will take: by what like cells took on this machine, or by a rate that is stated.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use weaverec_model::device::DeviceName;

use super::cell::{Cell, Kind, Record};
use super::environment::Environment;
use super::library::Library;
use super::plan::Plan;
use super::work::Work;

/// Floating-point operations a second that a thread of a CPU is taken to do: less than any that was measured, so that a run is done
/// earlier rather than later.
const THREAD: f64 = 25e9;

/// The same for a GPU.
const GPU: f64 = 20e12;

/// Floating-point operations a second of each kind of cell.
#[derive(Clone, Debug)]
pub struct Rates {
    /// By what was recorded: operations a second of one thread (of the whole device, for a GPU), and from how many cells.
    recorded: BTreeMap<Kind, (f64, usize)>,
    /// Where nothing was recorded.
    stated: f64,
    /// Threads that cells share.
    threads: usize,
    /// Whether recommenders are planned.
    fits: bool,
    /// Whether rates are those of a whole device.
    device: bool,
}

impl Rates {
    /// The rates of this machine, by the records of cells of these plans that were run on one like it.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub fn of<'a>(
        plans: impl IntoIterator<Item = &'a Plan>,
        library: &Library,
        here: &Environment,
        threads: usize,
        device: DeviceName,
    ) -> Result<Self> {
        let record = |cell: &Cell| library.has(cell).then(|| library.load(cell)).transpose();
        Self::by(plans, record, here, threads, device)
    }

    /// The same by the records that `record` finds of cells.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub fn by<'a>(
        plans: impl IntoIterator<Item = &'a Plan>,
        record: impl Fn(&Cell) -> Result<Option<Record>>,
        here: &Environment,
        threads: usize,
        device: DeviceName,
    ) -> Result<Self> {
        let mut sums: BTreeMap<Kind, (f64, f64, usize)> = BTreeMap::new();
        let mut fits = false;
        for plan in plans {
            fits |= !plan.recommenders.is_empty();
            for (cell, work) in cells(plan).filter(|(_, work)| work.flops > 0.0) {
                if let Some(record) = record(cell)?
                    && record.environment.computes_like(here)
                {
                    let sum = sums.entry(cell.kind).or_default();
                    sum.0 += operations(&record, work);
                    sum.1 += seconds(&record, device);
                    sum.2 += 1;
                }
            }
        }
        let rates = sums.into_iter().filter(|(_, (_, seconds, _))| *seconds > 0.0);
        Ok(Rates {
            recorded: rates
                .map(|(kind, (operations, seconds, cells))| (kind, (operations / seconds, cells)))
                .collect(),
            stated: match device {
                DeviceName::Cpu => THREAD,
                _ => GPU,
            },
            threads: match device {
                DeviceName::Cpu => threads.max(1),
                _ => 1,
            },
            fits,
            device: device != DeviceName::Cpu,
        })
    }

    /// The same with another rate for a GPU of which nothing was recorded, as a profile states it for the one that it is meant for.
    #[must_use]
    pub fn stated_for_the_device(self, flops_per_second: f64) -> Self {
        let stated = if self.device {
            flops_per_second
        } else {
            self.stated
        };
        Rates { stated, ..self }
    }

    /// Operations a second of each kind of cell that was recorded, and of how many cells: of one thread, or of a whole GPU.
    pub fn recorded(&self) -> impl Iterator<Item = (Kind, f64, usize)> {
        self.recorded
            .iter()
            .map(|(kind, (rate, cells))| (*kind, *rate, *cells))
    }

    /// Seconds that these cells take, side by side as far as there are threads.
    pub fn seconds<'a>(&self, cells: impl IntoIterator<Item = (&'a Cell, Work)>) -> f64 {
        let one = |(cell, work): (&Cell, Work)| {
            let recorded = self.recorded.get(&cell.kind);
            work.flops / recorded.map_or(self.stated, |(rate, _)| *rate)
        };
        // Not by `sum`, which makes minus zero of nothing.
        cells.into_iter().map(one).fold(0.0, |sum, one| sum + one) / self.threads as f64
    }
}

impl fmt::Display for Rates {
    /// How the seconds are known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = if self.device { "of the device" } else { "a thread" };
        let rate = |rate: f64| match rate {
            large if large >= 1e12 => format!("{:.0} TFLOP/s {of}", large / 1e12),
            small => format!("{:.0} GFLOP/s {of}", small / 1e9),
        };
        let recorded = self
            .recorded
            .iter()
            .map(|(kind, (of, cells))| format!("{} by {cells} recorded ({})", kind.folder(), rate(*of)));
        let known: Vec<String> = recorded.collect();
        let kinds = [Kind::Backbone, Kind::Adapter, Kind::Recommender, Kind::Ranking];
        let unknown: Vec<&str> = kinds
            .iter()
            .filter(|kind| self.fits || **kind != Kind::Recommender)
            .filter(|kind| !self.recorded.contains_key(kind))
            .map(|kind| kind.folder())
            .collect();
        let stated = match unknown.as_slice() {
            [] => None,
            some => Some(format!(
                "{} by a stated rate of {}",
                some.join(" and "),
                rate(self.stated)
            )),
        };
        f.write_str(&known.into_iter().chain(stated).collect::<Vec<_>>().join("; "))
    }
}

/// All cells of a plan that compute something.
pub fn cells(plan: &Plan) -> impl Iterator<Item = (&Cell, Work)> {
    let backbones = plan
        .backbones
        .values()
        .map(|backbone| (&backbone.cell, backbone.work));
    let adapters = plan
        .adapters
        .values()
        .map(|adapter| (&adapter.cell, adapter.work));
    let recommenders = plan
        .recommenders
        .values()
        .map(|recommender| (&recommender.cell, recommender.work));
    let rankings = plan
        .rankings
        .values()
        .map(|ranking| (&ranking.cell, ranking.work));
    backbones.chain(adapters).chain(recommenders).chain(rankings)
}

/// What a cell computed: by its own record where that says so, since a training may have stopped early.
fn operations(record: &Record, planned: Work) -> f64 {
    record
        .training
        .as_ref()
        .map_or(planned.flops, |training| training.flops)
}

/// Seconds of one thread, or of the device.
fn seconds(record: &Record, device: DeviceName) -> f64 {
    match device {
        DeviceName::Cpu => record.cost.cpu_seconds.unwrap_or(record.cost.wall_seconds),
        _ => record.cost.wall_seconds,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use weaverec_model::device::Compute;

    use super::super::cost::Cost;
    use super::super::plan::{BackboneCell, RankingCell, Scorer};
    use super::super::store::Store;
    use super::*;

    fn cell(kind: Kind, number: u32) -> Cell {
        Cell::new(kind, number.to_string(), serde_json::json!(number))
    }

    fn work(flops: f64) -> Work {
        Work { tokens: 1, flops }
    }

    /// A plan of two backbones and a ranking.
    fn plan() -> Plan {
        let backbone = |replicate| BackboneCell {
            cell: cell(Kind::Backbone, replicate),
            replicate,
            work: work(1e12),
        };
        let scorer = Scorer::Counted {
            method: "popularity",
            drawn: None,
        };
        let ranking = RankingCell {
            cell: cell(Kind::Ranking, 9),
            target: "a".into(),
            scorer: scorer.clone(),
            work: work(5e10),
        };
        Plan {
            backbones: (0..2).map(|replicate| (replicate, backbone(replicate))).collect(),
            rankings: [(("a".into(), scorer), ranking)].into(),
            ..Plan::default()
        }
    }

    #[test]
    fn like_cells_tell_how_long_others_take_and_else_a_rate_that_is_stated() {
        let folder = tempfile::tempdir().unwrap();
        let library = Library::new(Store::open(folder.path()).unwrap(), None).unwrap();
        let (plan, here) = (plan(), Environment::here(2, Compute::default()));
        let rates = || Rates::of([&plan], &library, &here, 2, DeviceName::Cpu).unwrap();
        let of = |rates: &Rates| rates.seconds(cells(&plan));
        // Two backbones and a ranking, at a stated rate on two threads.
        let stated = rates();
        assert!((of(&stated) - 2.05e12 / (2.0 * THREAD)).abs() < 1e-6);
        assert!(
            stated
                .to_string()
                .contains("backbones and adapters and rankings by a stated rate")
        );

        let keep = |cell: &Cell, environment: Environment, cpu_seconds| {
            let cost = Cost {
                wall_seconds: 1.0,
                cpu_seconds,
                ..Cost::default()
            };
            library
                .own
                .keep(cell, &Record::new(cell, environment, cost), |_| Ok(()))
                .unwrap();
        };
        // Another processor's times tell nothing of this one's.
        let elsewhere = Environment {
            kernel: "another".into(),
            ..here.clone()
        };
        keep(&plan.backbones[&1].cell, elsewhere, Some(1e6));
        assert_eq!(of(&rates()), of(&stated));
        // A backbone here took twenty seconds of its threads' time.
        keep(&plan.backbones[&0].cell, here.clone(), Some(20.0));
        let recorded: Vec<_> = rates().recorded().collect();
        assert_eq!(recorded, [(Kind::Backbone, 5e10, 1)]);
        let expected = 2.0 * 20.0 / 2.0 + 5e10 / (2.0 * THREAD);
        assert!(
            (of(&rates()) - expected).abs() < 1e-6,
            "{} {expected}",
            of(&rates())
        );
        assert!(
            rates()
                .to_string()
                .contains("backbones by 1 recorded (50 GFLOP/s a thread)")
        );
    }

    #[test]
    fn a_profile_may_state_the_rate_of_the_gpu_it_is_meant_for() {
        let folder = tempfile::tempdir().unwrap();
        let library = Library::new(Store::at(folder.path()), None).unwrap();
        let (plan, here) = (plan(), Environment::here(2, Compute::default()));
        let of = |device| {
            let rates = Rates::of([&plan], &library, &here, 2, device).unwrap();
            rates.stated_for_the_device(1e14)
        };
        let gpu = of(DeviceName::Cuda(0));
        assert!((gpu.seconds(cells(&plan)) - 2.05e12 / 1e14).abs() < 1e-9);
        assert!(
            gpu.to_string()
                .contains("a stated rate of 100 TFLOP/s of the device"),
            "{gpu}"
        );
        // It says nothing of a processor.
        assert!((of(DeviceName::Cpu).seconds(cells(&plan)) - 2.05e12 / (2.0 * THREAD)).abs() < 1e-6);
    }
}
