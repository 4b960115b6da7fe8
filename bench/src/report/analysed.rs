//! A study with all its numbers.

use super::analysis::Analysis;
use super::check::study_comparable;
use super::heading::limit;
use super::input::Study;
use super::planned::Planned;
use crate::claim::{AT_ONE, apart};
use anyhow::{Context, Result};
use rayon::prelude::*;

/// A study, the numbers of its scenarios, and what became of its claims.
#[derive(Debug)]
pub struct Analysed<'a> {
    /// What was analysed.
    pub study: &'a Study,
    /// The numbers of each scenario, in its order.
    pub scenarios: Vec<Analysis<'a>>,
    /// The claims; none where the study makes none.
    pub planned: Option<Planned>,
}

impl<'a> Analysed<'a> {
    /// Computes every number of a study.
    ///
    /// # Errors
    /// Where rows cannot be compared, or claims are about scenarios that are not there.
    pub fn new(study: &'a Study) -> Result<Self> {
        let named = || format!("study `{}`", study.name);
        study_comparable(study).with_context(named)?;
        let limit = limit(study);
        let scenarios = study
            .scenarios
            .par_iter()
            .map(|scenario| {
                let analysis = Analysis::new(study, scenario, limit);
                analysis.with_context(|| format!("scenario `{}`", scenario.name))
            })
            .collect::<Result<Vec<_>>>()
            .with_context(named)?;
        let planned = Planned::new(study, &scenarios, limit).with_context(named)?;
        Ok(Self {
            study,
            scenarios,
            planned,
        })
    }

    /// The name that people read of a row, wherever it stands first.
    #[must_use]
    pub fn label<'b>(&'b self, method: &'b str) -> &'b str {
        self.scenarios
            .iter()
            .find_map(|scenario| {
                scenario
                    .find(method)
                    .map(|row| scenario.rows[row].row.label.as_str())
            })
            .unwrap_or(method)
    }

    /// The name that people read of the row of a comparison, of several scenarios' rows where it is averaged: `Soup at c = 1`.
    #[must_use]
    pub fn part_label(&self, part: &str) -> String {
        let (rows, at_one) = apart(part);
        let rows: Vec<&str> = rows.split(" / ").map(|row| self.label(row)).collect();
        format!("{}{}", rows.join(" / "), if at_one { AT_ONE } else { "" })
    }
}
