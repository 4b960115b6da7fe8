//! What ids give away: a probe that bets on the next higher id, beside its placebo that bets on the next lower one.

use super::input::Scenario;
use super::scores::Scores;
use crate::statistics::Contrast;
use anyhow::Result;

/// The probe that bets on the id above that of the last item.
pub const NEXT_ID: &str = "next-id";
/// Its placebo: the id below.
pub const PREVIOUS_ID: &str = "previous-id";

/// The leak of a scenario.
#[derive(Debug)]
pub struct Leak {
    /// The row of the probe.
    pub next: usize,
    /// The row of the placebo.
    pub previous: usize,
    /// The probe minus the placebo: what is to be had from ids alone.
    pub difference: Contrast,
}

impl Leak {
    /// The leak, where both probes were run.
    ///
    /// # Errors
    /// Where the probes cannot be paired.
    pub fn new(scenario: &Scenario, scores: &Scores) -> Result<Option<Self>> {
        let find = |method: &str| scenario.rows.iter().position(|row| row.method == method);
        let (Some(next), Some(previous)) = (find(NEXT_ID), find(PREVIOUS_ID)) else {
            return Ok(None);
        };
        let difference = scores.contrast(next, previous)?;
        Ok(difference.map(|difference| Self {
            next,
            previous,
            difference,
        }))
    }
}
