//! How far a schedule is, and how long the rest will take by what the first cells took.

use super::State;
use crate::progress::{duration, say};

/// How far the cells are, for people.
pub(super) struct Progress<'a> {
    /// What they are.
    pub what: &'a str,
    /// How many there were to do.
    pub missing: usize,
}

impl Progress<'_> {
    /// Says how many are done, and how long the others will take.
    pub fn say(&self, state: &State) {
        let Self { what, missing } = self;
        let running: Vec<(f64, f64)> = state
            .running
            .iter()
            .flatten()
            .map(|cell| (cell.estimate, cell.begin.elapsed().as_secs_f64()))
            .collect();
        let waiting = state
            .waiting
            .iter()
            .chain(&state.elsewhere)
            .map(|task| task.estimate);
        let left = left(&state.finished, &running, waiting.collect(), state.running.len());
        let left = match left {
            Some(seconds) if state.done < *missing => format!(", about {} left", duration(seconds)),
            _ => String::new(),
        };
        say(format!("  {what} {}/{missing}{left}", state.done));
    }
}

/// Seconds until everything is done, if cells take as long beside their estimates as those that are `finished` did (estimate, seconds):
/// those that are `running` (estimate, seconds so far) go on, and the `waiting` begin, the longest first, wherever a place is free first.
pub(super) fn left(
    finished: &[(f64, f64)],
    running: &[(f64, f64)],
    waiting: Vec<f64>,
    places: usize,
) -> Option<f64> {
    let (estimated, took) = finished
        .iter()
        .fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    // Estimates that say nothing: every cell is as long as another.
    let even = estimated <= 0.0;
    if finished.is_empty() {
        return None;
    }
    let seconds = |estimate: f64| match even {
        true => took / finished.len() as f64,
        false => estimate * took / estimated,
    };
    let mut busy: Vec<f64> = running
        .iter()
        .map(|(estimate, so_far)| (seconds(*estimate) - so_far).max(0.0))
        .collect();
    busy.resize(places.max(1).max(busy.len()), 0.0);
    let mut waiting = waiting;
    waiting.sort_by(|one, other| other.total_cmp(one));
    for estimate in waiting {
        if let Some(first) = busy.iter_mut().min_by(|one, other| one.total_cmp(other)) {
            *first += seconds(estimate);
        }
    }
    busy.into_iter().max_by(f64::total_cmp)
}
