//! The units of a profile, as `weaverec reproduce --units` and `--dry-run` show them.

use anyhow::Result;
use weaverec_model::device::DeviceName;

use crate::experiment::estimate::Rates;
use crate::experiment::library::Library;
use crate::experiment::materials::Bench;
use crate::experiment::memory::{Peak, gigabytes};
use crate::experiment::missing::Missing;
use crate::experiment::plan::Unit;
use crate::experiment::profile::Stated;
use crate::experiment::unit::Units;
use crate::experiment::work::Work;
use crate::experiment::workshop::Workshop;
use crate::progress::duration;
use crate::report::number::power_of_ten;

/// The chosen units of each study, by their places in its plan. Units are numbered through all studies.
///
/// # Errors
/// A choice of units that are not there.
pub fn chosen(benches: &[Bench], units: &Units) -> Result<Vec<Vec<usize>>> {
    let count = benches.iter().map(|bench| bench.plan.units.len()).sum();
    let places = units.places(count)?;
    let mut before = 0;
    let of_study = benches.iter().map(|bench| {
        let own = before..before + bench.plan.units.len();
        before = own.end;
        let start = own.start;
        places
            .iter()
            .filter(|place| own.contains(place))
            .map(|place| place - start)
            .collect()
    });
    Ok(of_study.collect())
}

/// Prints the chosen units: what is missing of each, about how long it takes, and how much memory. `stated` has the sizes where the plan
/// is made of those that the profile states.
///
/// # Errors
/// A record that cannot be read.
pub fn list(
    benches: &[Bench],
    chosen: &[Vec<usize>],
    library: &Library,
    workshop: &Workshop,
    stated: Option<&Stated>,
) -> Result<()> {
    let plans = benches.iter().map(|bench| &bench.plan);
    let (here, device) = (&workshop.environment, workshop.compute.device);
    let mut rates = Rates::of(plans, library, here, workshop.threads, device)?;
    if let Some(stated) = stated {
        rates = rates.stated_for_the_device(stated.flops_per_second);
    }
    let mut lines = vec![header()];
    let (mut number, mut total) = (0, Total::default());
    for (bench, chosen) in benches.iter().zip(chosen) {
        let units: Vec<&Unit> = chosen.iter().map(|place| &bench.plan.units[*place]).collect();
        for (place, unit) in chosen.iter().zip(&units) {
            let missing = Missing::of(bench, [*unit], library, workshop)?;
            let one = Total::of(&missing, bench.plan.cells(unit).len(), &rates);
            lines.push(one.line(&(number + place + 1).to_string(), &bench.name(unit)));
        }
        number += bench.plan.units.len();
        // What units share is done once.
        let missing = Missing::of(bench, units.iter().copied(), library, workshop)?;
        let mut cells: Vec<_> = units.iter().flat_map(|unit| bench.plan.cells(unit)).collect();
        cells.sort_by_key(|cell| (cell.kind, &cell.key));
        cells.dedup_by_key(|cell| (cell.kind, &cell.key));
        total = total + Total::of(&missing, cells.len(), &rates);
    }
    lines.push(total.line("all", "together, what they share done once"));
    let on = match device {
        DeviceName::Cpu => format!("{} threads", workshop.threads),
        gpu => gpu.to_string(),
    };
    lines.push(format!("Times are wall time on {on}: {rates}."));
    lines.extend(memory(benches, workshop));
    if let Some(stated) = stated {
        lines.push(format!(
            "An estimate from sizes that the profile states, with neither logs nor a model at hand: {}.",
            stated.source
        ));
    }
    super::print(lines.join("\n"))
}

/// How much memory the studies take at the most, in a sentence; nothing where their records lack the model's sizes.
fn memory(benches: &[Bench], workshop: &Workshop) -> Option<String> {
    let peaks = benches
        .iter()
        .filter_map(|bench| Peak::of(&bench.study, &bench.plan, workshop.compute));
    let peak = peaks.reduce(Peak::larger)?;
    let jobs = match workshop.jobs {
        1 => "one cell at a time".to_owned(),
        jobs => format!(
            "{} with {jobs} cells at a time over one model",
            gigabytes(peak.total(jobs))
        ),
    };
    Some(format!(
        "Memory of {} at the most, by formula: {peak}; {jobs}.",
        workshop.compute.device
    ))
}

#[derive(Clone, Copy, Default)]
struct Total {
    cells: usize,
    missing: usize,
    work: Work,
    seconds: f64,
}

impl Total {
    fn of(missing: &Missing, cells: usize, rates: &Rates) -> Self {
        let to_do = missing.cells();
        Total {
            cells,
            missing: to_do.len(),
            work: to_do.iter().map(|(_, work)| *work).sum(),
            seconds: rates.seconds(to_do),
        }
    }

    fn line(&self, number: &str, name: &str) -> String {
        format!(
            "{number:>4}  {:>5}  {:>5}  {:>9}  {:>9}  {:>12}  {name}",
            self.cells,
            self.missing,
            thousands(self.work.tokens as f64),
            operations(self.work.flops),
            match self.missing {
                0 => "–".into(),
                _ => duration(self.seconds),
            }
        )
    }
}

impl std::ops::Add for Total {
    type Output = Total;

    fn add(self, other: Total) -> Total {
        Total {
            cells: self.cells + other.cells,
            missing: self.missing + other.missing,
            work: self.work + other.work,
            seconds: self.seconds + other.seconds,
        }
    }
}

fn header() -> String {
    let [unit, cells, to_do, tokens, flops, time] = ["unit", "cells", "to do", "tokens", "FLOPs", "about"];
    format!("{unit:>4}  {cells:>5}  {to_do:>5}  {tokens:>9}  {flops:>9}  {time:>12}")
}

/// Operations as reports write them.
fn operations(number: f64) -> String {
    match number > 0.0 {
        true => power_of_ten(number, 2),
        false => "0".to_owned(),
    }
}

/// A large number in a few characters.
fn thousands(number: f64) -> String {
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    match units.iter().find(|(size, _)| number >= *size) {
        Some((size, letter)) => format!("{:.1} {letter}", number / size),
        None => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Total, header, operations, thousands};
    use crate::experiment::work::Work;

    #[test]
    fn large_numbers_are_short() {
        let shown = [0.0, 999.0, 1_000.0, 1_234_567.0, 2.35e12].map(thousands);
        assert_eq!(shown, ["0", "999", "1.0 k", "1.2 M", "2.4 T"]);
        let shown = [0.0, 5.62e18, 1.1e21].map(operations);
        assert_eq!(shown, ["0", "5.62×10¹⁸", "1.10×10²¹"]);
    }

    #[test]
    fn numbers_stand_below_their_heads() {
        let one = Total {
            cells: 12,
            missing: 3,
            work: Work {
                tokens: 1_234_567,
                flops: 5.617e18,
            },
            seconds: 0.0,
        };
        let line = one.line("4", "a → b");
        assert!(line.contains("      1.2 M  5.62×10¹⁸  "), "{line}");
        let before_the_name = line.chars().count() - "  a → b".chars().count();
        assert_eq!(header().chars().count(), before_the_name, "{line}");
    }
}
