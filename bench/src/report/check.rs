//! What may stand in one table: only rows that ranked the same candidates for the same users.

use super::input::{Cut, Row, Run, Scenario, Study};
use crate::metric::Place;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;

/// Refuses studies whose rows cannot be compared with each other.
///
/// # Errors
/// Names the study, scenario, method and replicate, and what differs.
pub fn comparable(studies: &[Study]) -> Result<()> {
    let mut names = BTreeSet::new();
    for study in studies {
        ensure!(
            names.insert(&study.name),
            "two studies are named `{}`: rename one",
            study.name
        );
        study_comparable(study).with_context(|| format!("study `{}`", study.name))?;
    }
    Ok(())
}

/// Refuses a study that reports on users who chose something, or whose rows cannot be compared.
///
/// # Errors
/// Names the scenario, method and replicate, and what differs.
pub fn study_comparable(study: &Study) -> Result<()> {
    ensure!(
        matches!(study.report_on, Cut::Dev | Cut::Final),
        "it reports on users that choose settings; report on `dev` or `final`"
    );
    ensure!(
        study.replicates > 0,
        "it has no replicate; set `replicates` to 1 or more"
    );
    let mut scenarios = BTreeSet::new();
    for scenario in &study.scenarios {
        ensure!(
            scenarios.insert(&scenario.name),
            "it has two scenarios named `{}`: rename one",
            scenario.name
        );
        scenario_comparable(scenario).with_context(|| format!("scenario `{}`", scenario.name))?;
    }
    Ok(())
}

/// Refuses a scenario whose rows cannot be compared with each other.
///
/// # Errors
/// Names the method and replicate, and what differs.
pub fn scenario_comparable(scenario: &Scenario) -> Result<()> {
    ensure!(
        scenario.candidates >= 2,
        "a ranking needs two candidates or more, not {}",
        scenario.candidates
    );
    ensure!(!scenario.cases.is_empty(), "there is no user to report on");
    ensure!(!scenario.rows.is_empty(), "there is no row to compare");
    let mut users: Vec<&str> = scenario.cases.iter().map(|case| case.user_id.as_str()).collect();
    users.sort_unstable();
    if let Some(pair) = users.windows(2).find(|pair| pair[0] == pair[1]) {
        bail!("user `{}` is in it twice", pair[0]);
    }
    let mut methods = BTreeSet::new();
    for row in &scenario.rows {
        ensure!(methods.insert(&row.method), "two rows are named `{}`", row.method);
        row_comparable(scenario, row).with_context(|| format!("row `{}`", row.method))?;
    }
    for row in &scenario.lists {
        ensure!(methods.insert(&row.method), "two rows are named `{}`", row.method);
        ensure!(
            row.runs.iter().all(|run| run.catalogue.is_some()),
            "row `{}` is a list of the catalogue's best items and has no places there",
            row.method
        );
        row_comparable(scenario, row).with_context(|| format!("row `{}`", row.method))?;
    }
    if let Some(floor) = &scenario.best_floor {
        ensure!(
            methods.contains(floor),
            "the best floor `{floor}` is no row of it"
        );
    }
    Ok(())
}

fn row_comparable(scenario: &Scenario, row: &Row) -> Result<()> {
    ensure!(!row.runs.is_empty(), "it has no run");
    ensure!(
        !row.deterministic || row.runs.len() == 1,
        "it is said to be deterministic and has {} runs; one counts for every replicate",
        row.runs.len()
    );
    let mut replicates = BTreeSet::new();
    for run in &row.runs {
        ensure!(
            replicates.insert(run.replicate),
            "it has replicate {} twice",
            run.replicate
        );
        run_comparable(scenario, run).with_context(|| format!("replicate {}", run.replicate))?;
    }
    Ok(())
}

fn run_comparable(scenario: &Scenario, run: &Run) -> Result<()> {
    ensure!(
        run.candidate_hash == scenario.candidate_hash,
        "it ranked the candidate sets `{}`, but the scenario's are `{}`; run it again on the scenario's",
        run.candidate_hash,
        scenario.candidate_hash
    );
    ensure!(
        run.readings.len() == scenario.readings.len(),
        "it is read in {} ways besides the first, but the scenario in {}",
        run.readings.len(),
        scenario.readings.len()
    );
    for places in [&run.places].into_iter().chain(&run.at_one).chain(&run.readings) {
        places_comparable(scenario, places, scenario.candidates)?;
    }
    match (&run.catalogue, scenario.catalogue) {
        (Some(places), Some(items)) => places_comparable(scenario, places, items),
        (Some(_), None) => bail!("it ranked a catalogue, of which the scenario does not say how large it is"),
        (None, _) => Ok(()),
    }
}

fn places_comparable(scenario: &Scenario, places: &[Place], candidates: usize) -> Result<()> {
    ensure!(
        places.len() == scenario.cases.len(),
        "it ranked {} users, but the scenario has {}",
        places.len(),
        scenario.cases.len()
    );
    for (place, case) in places.iter().zip(&scenario.cases) {
        let last = place.above as usize + place.tied as usize;
        ensure!(
            place.above == Place::MISS.above || last < candidates,
            "user `{}` has {} candidates above the target and {} tied with it, which is more than the {} there are",
            case.user_id,
            place.above,
            place.tied,
            candidates
        );
    }
    Ok(())
}
