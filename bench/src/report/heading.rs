//! What stands above the tables of a study or scenario, because it says how far they carry.

use super::analysis::Analysis;
use super::input::{Cut, Study};
use super::learned::Informative;
use crate::claim::decision::Standing;

/// The heading of a table whose rows say nothing about methods.
pub const UNINFORMATIVE: &str = "uninformative at this budget";

/// The heading of a table that could not be asked whether it says anything.
pub const UNTESTED: &str = "nothing is tested here";

/// The most that a study allows to be said.
#[must_use]
pub fn limit(study: &Study) -> Standing {
    if study.backbones.is_single_draw() {
        Standing::Indicated
    } else {
        Standing::Claim
    }
}

/// How many replicates every row has in which something is drawn; as many as were planned where there is none.
fn replicates(study: &Study) -> usize {
    let rows = study.scenarios.iter().flat_map(|scenario| &scenario.rows);
    let drawn = rows.filter(|row| !row.deterministic);
    drawn.map(|row| row.runs.len()).min().unwrap_or(study.replicates)
}

/// The headings of a study, without its purpose.
#[must_use]
pub fn of_study(study: &Study) -> Vec<String> {
    let mut headings = Vec::new();
    if study.backbones.is_single_draw() {
        headings.push("one backbone: no claims".to_owned());
    }
    let made = replicates(study);
    let counted = match (made, study.replicates) {
        (made, planned) if made < planned => format!("{made} of {planned} replicates"),
        (1, _) => "one replicate".to_owned(),
        (made, _) => format!("{made} replicates"),
    };
    match Standing::of(made) {
        Standing::Claim => {}
        Standing::Indicated => headings.push(format!(
            "{counted}: what is shown is indicated and no claim, which takes {}",
            Standing::CLAIM_REPLICATES
        )),
        Standing::Described => headings.push(format!(
            "{counted}: everything is described and nothing tested, which takes {}",
            Standing::INDICATED_REPLICATES
        )),
    }
    if study.numerics.len() > 1 {
        let versions: Vec<String> = study.numerics.iter().map(u32::to_string).collect();
        headings.push(format!(
            "records of numerics versions {} meet in these tables: their numbers are not of one program",
            versions.join(" and ")
        ));
    }
    if study.report_on == Cut::Dev {
        headings.push("dev users: those that tuning may see".to_owned());
    }
    headings
}

/// The heading of a scenario, where its rows say nothing about methods.
#[must_use]
pub fn of_scenario(analysis: &Analysis) -> Option<&'static str> {
    match analysis.learned.informative {
        Informative::Yes => None,
        Informative::No => Some(UNINFORMATIVE),
        Informative::Untested => Some(UNTESTED),
    }
}
