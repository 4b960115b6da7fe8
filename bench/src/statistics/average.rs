//! The rule of [`super::contrast`] for a difference averaged over several scenarios, each counting the same.
//!
//! The scenarios are fixed: the claim is about these. A replicate goes through all of them (they share its initial values, and the target's
//! adapter of one is a source's of another), so the replicate part comes from the averaged replicate means. Users are those of each
//! scenario; one who is in several is one draw, so the users' parts are added up by person before they are squared. With one scenario
//! all of it is the plain rule.

use super::contrast::{Contrast, TwoWay, shape};
use super::mean;
use anyhow::{Result, ensure};

/// One scenario of an average.
#[derive(Debug, Clone)]
pub struct Stratum<'a, D> {
    /// Who the users are, parallel to the columns: the same number in two scenarios is the same person.
    pub people: &'a [usize],
    /// The paired differences `[replicate][user]`.
    pub differences: &'a [D],
}

/// The rule for the mean over scenarios of their mean differences.
///
/// # Errors
/// Where there is no scenario, where one's differences are no matrix of numbers with a person a column, or where the scenarios do not
/// have the same replicates.
pub fn average<D: AsRef<[f64]>>(strata: &[Stratum<D>]) -> Result<Contrast> {
    let replicates = strata.first().map_or(0, |stratum| stratum.differences.len());
    ensure!(
        replicates > 0,
        "an average needs at least one scenario with one replicate"
    );
    let everybody = strata
        .iter()
        .flat_map(|stratum| stratum.people)
        .max()
        .map_or(0, |last| last + 1);
    let share = 1.0 / strata.len() as f64;
    let mut means = vec![0.0; replicates];
    let mut users = vec![0.0; everybody];
    let mut rest = vec![vec![0.0; everybody]; replicates];
    let (mut all, mut fewest) = (0, usize::MAX);
    for stratum in strata {
        let (here, count) = shape(stratum.differences)?;
        ensure!(
            here == replicates,
            "one scenario has {here} replicates and another {replicates}: an average over scenarios needs the same in each"
        );
        ensure!(
            stratum.people.len() == count,
            "a scenario has {count} users and names {} people",
            stratum.people.len()
        );
        let rows: Vec<&[f64]> = stratum.differences.iter().map(AsRef::as_ref).collect();
        let row_means: Vec<f64> = rows.iter().map(|row| mean(row)).collect();
        let centre = mean(&row_means);
        for (total, value) in means.iter_mut().zip(&row_means) {
            *total += share * value;
        }
        // What a user weighs in the average, and the correction for the mean that the scenario's own users gave.
        let size = count as f64;
        let weight = share / size
            * if count > 1 {
                (size / (size - 1.0)).sqrt()
            } else {
                0.0
            };
        for (column, &person) in stratum.people.iter().enumerate() {
            let of_user = rows.iter().map(|row| row[column]).sum::<f64>() / replicates as f64;
            users[person] += weight * (of_user - centre);
            for ((rest, row), of_replicate) in rest.iter_mut().zip(&rows).zip(&row_means) {
                rest[person] += weight * (row[column] - of_user - of_replicate + centre);
            }
        }
        all += count;
        fewest = fewest.min(count);
    }
    let squares = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
    let s = replicates as f64;
    let centre = mean(&means);
    let over = |sum: f64| {
        if replicates > 1 {
            sum / (s * (s - 1.0))
        } else {
            0.0
        }
    };
    let layout = TwoWay {
        mean: centre,
        replicates,
        users: all,
        replicate: over(means.iter().map(|value| (value - centre).powi(2)).sum()),
        user: squares(&users),
        residual: over(rest.iter().map(|row| squares(row)).sum()),
        // A single user says nothing of the spread in his scenario, and then nothing is tested.
        user_freedom: (fewest - 1) as f64,
    };
    Ok(layout.contrast())
}
