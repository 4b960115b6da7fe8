//! Two reports side by side: each row of one minus the same row of the other, under the rule that claims go by.

use super::folder::{Folder, RowResults, StudyResults};
use super::input::Family;
use crate::claim::decision::{Decision, Standing, decide};
use crate::statistics::{Contrast, holm};
use anyhow::{Context, Result};

/// The paired differences of a study that two reports have.
#[derive(Debug)]
pub struct Pairing {
    /// The study.
    pub study: String,
    /// In what the machines or the numerics differ; nothing where the same numbers may be expected.
    pub apart: Vec<String>,
    /// What could not be paired, in sentences.
    pub skipped: Vec<String>,
    /// The rows of each scenario that both have.
    pub rows: Vec<Across>,
}

/// A row in two reports.
#[derive(Debug)]
pub struct Across {
    /// The scenario.
    pub scenario: String,
    /// The row's method name.
    pub method: String,
    /// The name that people read.
    pub label: String,
    /// What it has been given.
    pub family: Family,
    /// The second report minus the first.
    pub decision: Decision,
}

impl Pairing {
    /// Pairs the rows of a study by replicate and user, those of `head` minus those of `base`.
    ///
    /// # Errors
    /// Where a report has no such study, or differences cannot be tested.
    pub fn new(base: &Folder, head: &Folder, name: &str) -> Result<Self> {
        fn find<'a>(folder: &'a Folder, name: &str) -> Result<&'a StudyResults> {
            let missing = || format!("{} has no study `{name}`", folder.path.display());
            folder.study(name).with_context(missing)
        }
        let (old, new) = (find(base, name)?, find(head, name)?);
        let mut pairing = Self {
            study: name.to_owned(),
            apart: old.apart(new),
            skipped: Vec::new(),
            rows: Vec::new(),
        };
        let mut contrasts = Vec::new();
        for scenario in &new.scenarios {
            let at = format!("{name}, {}", scenario.name);
            let Some(before) = old.scenarios.iter().find(|one| one.name == scenario.name) else {
                pairing.skipped.push(format!("{at}: only in one report"));
                continue;
            };
            if before.candidate_hash != scenario.candidate_hash {
                pairing
                    .skipped
                    .push(format!("{at}: other candidates, so that no row can be paired"));
                continue;
            }
            for row in &scenario.rows {
                let known = before.rows.iter().find(|one| one.method == row.method);
                let sides = known.and_then(|known| {
                    let ours = head.sample(new, &scenario.name, row)?;
                    Some((ours, base.sample(old, &scenario.name, known)?))
                });
                let contrast = match sides {
                    Some((ours, theirs)) => ours
                        .minus(&theirs)
                        .with_context(|| format!("{at}, row {}", row.method))?,
                    None => None,
                };
                match contrast {
                    Some(contrast) => contrasts.push((scenario.name.clone(), row, contrast)),
                    None => pairing.skipped.push(format!(
                        "{at}: row {} has no replicate and user in common with the first report",
                        row.method
                    )),
                }
            }
        }
        pairing.rows = decided(contrasts, new);
        Ok(pairing)
    }
}

/// Decides the differences of a study: those of rows that a training may have changed are one family. Floors, probes and other programs
/// are no part of it.
fn decided(contrasts: Vec<(String, &RowResults, Contrast)>, study: &StudyResults) -> Vec<Across> {
    let in_family = |row: &RowResults| row.family.is_gated();
    let p = |contrast: &Contrast| contrast.p.unwrap_or(1.0);
    let family: Vec<f64> = contrasts
        .iter()
        .filter(|(_, row, _)| in_family(row))
        .map(|(.., contrast)| p(contrast))
        .collect();
    let mut adjusted = holm(&family).into_iter();
    contrasts
        .into_iter()
        .map(|(scenario, row, contrast)| {
            let p = if in_family(row) { adjusted.next() } else { None };
            Across {
                scenario,
                method: row.method.clone(),
                label: row.label.clone(),
                family: row.family,
                decision: decide(contrast, p, &study.rules, Standing::Claim),
            }
        })
        .collect()
}
