//! A cell and how it is run.

use std::path::Path;

use anyhow::Result;
use weaverec_model::recommender::codes::CodeReport;

use crate::experiment::cell::{Cell, Choice, Ranking, Training};
use crate::weight_curve::WeightCurve;

/// What came of a cell.
#[derive(Default)]
pub struct Finished<'a> {
    /// Of a backbone or an adapter.
    pub training: Option<Training>,
    /// Of a ranking.
    pub ranking: Option<Ranking>,
    /// What was chosen on the way.
    pub choices: Vec<Choice>,
    /// Of a study.
    pub study: Option<serde_json::Value>,
    /// What was found along the weights of a merge.
    pub weights: Option<WeightCurve>,
    /// What the codes of items came to that are read.
    pub codes: Option<CodeReport>,
    /// Writes what else belongs to the cell into the folder it is given.
    pub artefacts: Option<Artefacts<'a>>,
}

/// Writes the files of a cell into a folder.
pub type Artefacts<'a> = Box<dyn FnOnce(&Path) -> Result<()> + Send + 'a>;

/// A cell and how it is run.
pub struct Task<'a> {
    pub(super) cell: &'a Cell,
    pub(super) estimate: f64,
    pub(super) work: Box<dyn FnOnce() -> Result<Finished<'a>> + Send + 'a>,
}

impl<'a> Task<'a> {
    /// `estimate` is how long it takes beside the others, in whatever unit they have in common. `work` runs on the cell's own threads.
    pub fn new(
        cell: &'a Cell,
        estimate: f64,
        work: impl FnOnce() -> Result<Finished<'a>> + Send + 'a,
    ) -> Self {
        let estimate = if estimate.is_finite() {
            estimate.max(0.0)
        } else {
            0.0
        };
        Self {
            cell,
            estimate,
            work: Box::new(work),
        }
    }
}
