//! The scores that a row's places follow from, for other programs.

use anyhow::{Context, Result, bail, ensure};

use super::drafts::{member_id, part};
use super::read::{self, readings};
use super::records::Records;
use super::rows::POPULARITY;
use crate::experiment::library::Library;
use crate::experiment::plan::{self, Plan, alone, members};
use crate::experiment::profile::Scenario;
use crate::experiment::replicate::Replicate;
use crate::experiment::study_record::StudyRecord;
use crate::method::{How, Method};
use crate::scoring::{Reading, lowest, users};

/// The scores of a row under a reading.
#[derive(Clone, Debug, PartialEq)]
pub struct RowScores {
    /// The reading.
    pub reading: Reading,
    /// Those of each user that is reported on.
    pub users: Vec<UserScores>,
}

/// The scores of one user's candidates.
#[derive(Clone, Debug, PartialEq)]
pub struct UserScores {
    /// The user.
    pub user: String,
    /// Dense ids of the candidates of all protocols.
    pub candidates: Vec<u32>,
    /// The protocols of each.
    pub protocols: Vec<u8>,
    /// The score of each, the higher the better.
    pub scores: Vec<f32>,
}

/// The scores of a scenario's row in a replicate, under a reading or the primary one.
///
/// # Errors
/// A row that the scenario does not have, or whose records are not there or cannot be read.
pub fn of_row(
    (study, plan, library): (&StudyRecord, &Plan, &Library),
    scenario: &Scenario,
    row: &str,
    replicate: Replicate,
    reading: Option<Reading>,
) -> Result<RowScores> {
    let records = Records::new(study, plan, library);
    let ranked = |method: &dyn Method| {
        let scorer = plan::scorer(method, study, scenario, replicate)?;
        let scorer = scorer.with_context(|| format!("{} is made of others' records", method.id()))?;
        records.ranked((scenario.target.clone(), scorer))
    };
    let known = plan::rows(study, scenario)?;
    let adapters = members(study, scenario)?;
    let adapter = adapters.iter().find(|diet| member_id(diet, scenario) == row);
    let method = known.iter().copied().find(|method| method.id() == row);
    let (ranked, other) = match (method.map(|method| (method, method.how())), adapter) {
        (Some((_, How::Fusion { of, with })), _) => {
            let other = match with {
                POPULARITY => None,
                row => Some(ranked(part(row)?)?),
            };
            (ranked(part(of)?)?, Some(other))
        }
        (Some((_, How::Best(parts))), _) => {
            let all = parts
                .iter()
                .map(|id| ranked(part(id)?))
                .collect::<Result<Vec<_>>>()?;
            let losses: Vec<Option<f64>> = all.iter().map(|one| one.ranking.selection_loss).collect();
            let place = lowest(&losses)
                .with_context(|| format!("too few selection users to choose what {row} is"))?;
            (std::rc::Rc::clone(&all[place]), None)
        }
        (Some((method, _)), _) => (ranked(method)?, None),
        (None, Some(diet)) => {
            let scorer = alone(diet.clone(), study, replicate);
            (records.ranked((scenario.target.clone(), scorer))?, None)
        }
        (None, None) => {
            let names = known.iter().map(|method| method.id().to_owned());
            let names: Vec<String> = names
                .chain(adapters.iter().map(|diet| member_id(diet, scenario)))
                .collect();
            bail!(
                "{} has no row {row}; its rows are {}",
                scenario.name(),
                names.join(", ")
            );
        }
    };
    let (setting, on) = (&ranked.setting, records.on());
    let reading = reading.unwrap_or_else(|| setting.primary());
    ensure!(
        readings(setting.protocol).any(|held| held == reading),
        "the records of {row} hold no {} candidates",
        reading.protocol.name()
    );
    let scores = match &other {
        None => read::own_scores(&ranked.cases, on, setting, reading),
        Some(other) => {
            let other = other.as_ref().map(|other| other.cases.as_slice());
            let fused = read::fused_scores(&ranked.cases, other, on, setting, reading)?;
            fused.with_context(|| format!("too few calibration users to choose the weight of {row}"))?
        }
    };
    let cases = users(&ranked.cases, on, setting.scale.value);
    Ok(RowScores {
        reading,
        users: cases
            .into_iter()
            .zip(scores)
            .map(|(case, scores)| UserScores {
                user: case.user_id.clone(),
                candidates: case.candidates.clone(),
                protocols: case.protocols.clone(),
                scores,
            })
            .collect(),
    })
}
