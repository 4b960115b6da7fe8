//! What may stand in one table: only rows that ranked the same candidates for the same users.

use super::input::{Run, Scenario, Study};
use crate::metric::MISS;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;

/// Refuses studies whose rows cannot be compared with each other.
///
/// # Errors
/// Names the study, scenario, method and seed, and what differs.
pub fn comparable(studies: &[Study]) -> Result<()> {
    let mut names = BTreeSet::new();
    for study in studies {
        ensure!(
            names.insert(&study.name),
            "two studies are named `{}`: rename one",
            study.name
        );
        let mut scenarios = BTreeSet::new();
        for scenario in &study.scenarios {
            ensure!(
                scenarios.insert(&scenario.name),
                "study `{}` has two scenarios named `{}`: rename one",
                study.name,
                scenario.name
            );
            scenario_comparable(scenario)
                .with_context(|| format!("study `{}`, scenario `{}`", study.name, scenario.name))?;
        }
    }
    Ok(())
}

/// Refuses a scenario whose rows cannot be compared with each other.
///
/// # Errors
/// Names the method and seed, and what differs.
pub fn scenario_comparable(scenario: &Scenario) -> Result<()> {
    ensure!(
        scenario.candidates >= 2,
        "a ranking needs two candidates or more, not {}",
        scenario.candidates
    );
    ensure!(!scenario.rows.is_empty(), "there is no row to compare");
    let mut methods = BTreeSet::new();
    let mut reference: Option<(&str, Vec<&str>)> = None;
    for row in &scenario.rows {
        ensure!(methods.insert(&row.method), "two rows are named `{}`", row.method);
        ensure!(!row.runs.is_empty(), "row `{}` has no run", row.method);
        let mut seeds = BTreeSet::new();
        for run in &row.runs {
            ensure!(
                seeds.insert(run.seed),
                "row `{}` has seed {} twice",
                row.method,
                run.seed
            );
            let users = run_users(scenario, run)
                .with_context(|| format!("row `{}`, seed {}", row.method, run.seed))?;
            match &reference {
                None => reference = Some((&row.method, users)),
                Some((first, expected)) if *expected != users => bail!(
                    "row `{}`, seed {}: its users are not those of `{first}`; rank the same test users with every method",
                    row.method,
                    run.seed
                ),
                Some(_) => {}
            }
        }
    }
    Ok(())
}

fn run_users<'a>(scenario: &Scenario, run: &'a Run) -> Result<Vec<&'a str>> {
    ensure!(
        run.candidate_hash == scenario.candidate_hash,
        "it ranked the candidate sets `{}`, but the scenario's are `{}`; run it again on the scenario's",
        run.candidate_hash,
        scenario.candidate_hash
    );
    ensure!(
        run.users.len() == scenario.users,
        "it ranked {} users, but the scenario has {}",
        run.users.len(),
        scenario.users
    );
    for user in &run.users {
        ensure!(
            user.rank == MISS || (user.rank >= 1 && user.rank as usize <= scenario.candidates),
            "user `{}` has rank {}, outside 1 to {}",
            user.user_id,
            user.rank,
            scenario.candidates
        );
    }
    let mut users: Vec<&str> = run.users.iter().map(|user| user.user_id.as_str()).collect();
    users.sort_unstable();
    if let Some(pair) = users.windows(2).find(|pair| pair[0] == pair[1]) {
        bail!("user `{}` was ranked twice", pair[0]);
    }
    Ok(users)
}
