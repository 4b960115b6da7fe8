//! Which entries of an update stay, and the settings that the rules of entries share.

use serde::{Deserialize, Serialize};

use super::{Inputs, within};
use crate::merge::align::Aligned;
use crate::merge::matrix::Matrix;
use crate::merge::setting::Setting;
use crate::merge::space::Space;
use crate::merge::threshold;
use crate::{Error, Result};

/// The tool or the paper whose computation a rule's name means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flavor {
    /// PEFT's `add_weighted_adapter`.
    Peft,
    /// mergekit.
    #[default]
    Mergekit,
    /// The paper that the rule is from.
    Paper,
}

/// The settings that rules of entries have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sparse {
    /// Share of the entries that stay; none: as the flavour has it.
    pub density: Option<Setting>,
    /// What the merged update is multiplied with.
    pub lambda: Setting,
    /// Whether the sum is divided by the weights; none: as the rule has it.
    pub normalize: Option<bool>,
    /// Whether what stays is made larger for what goes; none: as the rule has it.
    pub rescale: Option<bool>,
    /// How mergekit stores masks, which changes nothing here.
    pub int8_mask: bool,
    /// Where the rule works; none: as the flavour has it.
    pub space: Option<Space>,
}

impl Default for Sparse {
    fn default() -> Self {
        Sparse {
            density: None,
            lambda: 1.0.into(),
            normalize: None,
            rescale: None,
            int8_mask: false,
            space: None,
        }
    }
}

impl Sparse {
    /// Refuses what a flavour does not have.
    pub(super) fn check(&self, flavor: Flavor) -> Result<()> {
        if let Some(density) = &self.density {
            within("density", density, 0.0..=1.0)?;
        }
        if flavor != Flavor::Mergekit {
            let set = [("normalize", self.normalize), ("rescale", self.rescale)];
            if let Some((key, _)) = set.iter().find(|(_, value)| value.is_some()) {
                return Err(Error::Merge(format!(
                    "only the flavour mergekit has a setting {key}"
                )));
            }
        } else if self.space == Some(Space::Factors) {
            return Err(Error::Merge(
                "only the flavour peft works on the factors apart; give space: dense, core or knots, or flavor: peft".into(),
            ));
        }
        Ok(())
    }

    /// The share of a matrix's entries that stays.
    pub(super) fn density_of(&self, inputs: &Inputs, place: usize, fallback: f64) -> Result<f64> {
        let rule = self.density.clone().unwrap_or(fallback.into());
        let density = inputs.setting(place, "density", &rule)?;
        match (0.0..=1.0).contains(&density) {
            true => Ok(density),
            false => Err(Error::Merge(format!(
                "density is {density}; give one from 0 to 1"
            ))),
        }
    }

    /// The factor of the result in a module.
    pub(super) fn lambda_at(&self, inputs: &Inputs) -> Result<f64> {
        inputs.site.shared("lambda", &self.lambda)
    }
}

/// Keeps so many of the entries, those of the largest magnitude; of equal ones the first.
pub(super) fn keep_largest(matrix: &mut Matrix, count: usize) {
    if count >= matrix.values.len() {
        return;
    }
    let (least, mut equal) = least_of_largest(&matrix.values, count);
    for value in &mut matrix.values {
        let size = value.abs();
        let stays = size > least || (size == least && equal > 0);
        if stays && size == least {
            equal -= 1;
        }
        if !stays {
            *value = 0.0;
        }
    }
}

/// The least magnitude among the `count` largest, and how many of that very magnitude are among them.
fn least_of_largest(values: &[f64], count: usize) -> (f64, usize) {
    if count == 0 {
        return (f64::INFINITY, 0);
    }
    let mut sizes: Vec<f64> = values.iter().map(|value| value.abs()).collect();
    let (above, least, _) = sizes.select_nth_unstable_by(count - 1, |one, other| other.total_cmp(one));
    let least = *least;
    let larger = above.iter().filter(|size| **size > least).count();
    (least, count - larger)
}

/// Passes over a member's updates that find its threshold over all modules: one counts its entries, three find one by its rank.
pub(super) const PASSES_OF_THRESHOLD: usize = 4;

/// The least magnitude of each member among the share of its entries, over all modules, with the largest.
pub(super) fn least_of_all(members: &Aligned, density: &Setting) -> Result<Vec<f64>> {
    let share = density
        .constant()
        .ok_or_else(|| Error::Merge("a density over all modules is one number, not one for each".into()))?;
    let each = 0..members.members().len();
    each.map(|member| threshold::of_member(members, member, share))
        .collect()
}

/// As many as mergekit's magnitude pruning keeps: at least one, unless none shall stay.
pub(super) fn mergekit_count(density: f64, entries: usize) -> usize {
    match density {
        density if density >= 1.0 => entries,
        density if density <= 0.0 => 0,
        density => ((density * entries as f64) as usize).max(1),
    }
}

/// Drops the largest entries, and of the rest the smallest, until the share stays (Model Breadcrumbs, as mergekit has it).
pub(super) fn keep_middling(matrix: &mut Matrix, density: f64, gamma: f64) {
    if density >= 1.0 {
        return;
    }
    let entries = matrix.values.len();
    let kept = (density * entries as f64) as usize;
    let largest = (gamma * entries as f64) as usize;
    let smallest = entries.saturating_sub(kept + largest);
    let mut order: Vec<usize> = (0..entries).collect();
    // Stable: of equal ones the first counts as the smaller.
    order.sort_by(|one, other| {
        let size = |place: &usize| matrix.values[*place].abs();
        size(one).total_cmp(&size(other))
    });
    let end = (smallest + kept).min(entries);
    for (rank, place) in order.into_iter().enumerate() {
        if rank < smallest || rank >= end {
            matrix.values[place] = 0.0;
        }
    }
}

/// Keeps each entry with a chance.
pub(super) fn keep_by_chance(matrix: &mut Matrix, drawn: &[f64], chance: impl Fn(usize) -> f64) {
    for (place, (value, number)) in matrix.values.iter_mut().zip(drawn).enumerate() {
        if *number >= chance(place) {
            *value = 0.0;
        }
    }
}

/// DARE's part: each entry stays with the chance of the density, and what stays is made larger.
pub(super) fn drop_random(inputs: &mut Inputs, sparse: &Sparse, flavor: Flavor, rule: &str) -> Result<()> {
    for place in 0..inputs.matrices.len() {
        let density = sparse.density_of(inputs, place, 1.0)?;
        if density >= 1.0 {
            continue;
        }
        let drawn = inputs.uniform(place, rule);
        let matrix = &mut inputs.matrices[place];
        let before = matrix.absolute();
        keep_by_chance(matrix, &drawn, |_| density);
        match flavor {
            Flavor::Mergekit if sparse.rescale.unwrap_or(true) => restore(matrix, before),
            Flavor::Mergekit => {}
            // With a density of 0 nothing is left to divide.
            _ if density > 0.0 => matrix.scale(1.0 / density),
            _ => {}
        }
    }
    Ok(())
}

/// DELLA's part: each entry stays with a chance by its rank in its row.
pub(super) fn drop_by_rank(
    inputs: &mut Inputs,
    sparse: &Sparse,
    epsilon: &Setting,
    rule: &str,
) -> Result<()> {
    for place in 0..inputs.matrices.len() {
        let density = sparse.density_of(inputs, place, 1.0)?;
        let epsilon = inputs.setting(place, "epsilon", epsilon)?;
        if density >= 1.0 {
            continue;
        }
        if density <= 0.0 {
            inputs.matrices[place].scale(0.0);
            continue;
        }
        let chances = chances_by_rank(&inputs.matrices[place], density, epsilon)?;
        let drawn = inputs.uniform(place, rule);
        let matrix = &mut inputs.matrices[place];
        let before = matrix.absolute();
        keep_by_chance(matrix, &drawn, |entry| chances[entry]);
        if sparse.rescale.unwrap_or(true) {
            restore(matrix, before);
        }
    }
    Ok(())
}

/// Model Breadcrumbs' part: both ends of the magnitudes go.
pub(super) fn drop_ends(inputs: &mut Inputs, sparse: &Sparse, gamma: &Setting) -> Result<()> {
    for place in 0..inputs.matrices.len() {
        let density = sparse.density_of(inputs, place, 1.0)?;
        let gamma = inputs.setting(place, "gamma", gamma)?;
        if !(0.0..=1.0).contains(&gamma) {
            return Err(Error::Merge(format!("gamma is {gamma}; give one from 0 to 1")));
        }
        let matrix = &mut inputs.matrices[place];
        let before = matrix.absolute();
        keep_middling(matrix, density, gamma);
        if sparse.rescale == Some(true) {
            restore(matrix, before);
        }
    }
    Ok(())
}

/// DELLA's chances: from `density − epsilon` for the smallest entry of a row to `density + epsilon` for its largest.
pub(super) fn chances_by_rank(matrix: &Matrix, density: f64, epsilon: f64) -> Result<Vec<f64>> {
    if density + epsilon >= 1.0 || density - epsilon <= 0.0 {
        return Err(Error::Merge(format!(
            "density {density} and epsilon {epsilon}: density ± epsilon must lie between 0 and 1"
        )));
    }
    let mut chances = vec![0.0; matrix.values.len()];
    for (row, values) in matrix.values.chunks(matrix.columns.max(1)).enumerate() {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|one, other| values[*one].abs().total_cmp(&values[*other].abs()));
        let last = values.len().saturating_sub(1).max(1) as f64;
        for (rank, column) in order.into_iter().enumerate() {
            chances[row * matrix.columns + column] = (density - epsilon) + rank as f64 / last * 2.0 * epsilon;
        }
    }
    Ok(chances)
}

/// Makes what stayed as large, in the sum of magnitudes, as all was; mergekit's `rescale`.
pub(super) fn restore(matrix: &mut Matrix, before: f64) {
    let after = matrix.absolute();
    // As in mergekit: what is next to nothing is left alone.
    if before >= 1e-7 && after >= 1e-7 {
        matrix.scale(before / after);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn row(values: &[f64]) -> Matrix {
        Matrix {
            rows: 1,
            columns: values.len(),
            values: values.to_vec(),
        }
    }

    #[test]
    fn as_many_entries_stay_as_are_asked_for_whatever_is_equal() {
        for count in 0..6 {
            let mut matrix = row(&[1.0, -2.0, 2.0, 0.5, -2.0]);
            keep_largest(&mut matrix, count);
            let kept = matrix.values.iter().filter(|value| **value != 0.0).count();
            assert_eq!(kept, count.min(5));
        }
        let mut matrix = row(&[1.0, -2.0, 2.0, 0.5, -2.0]);
        keep_largest(&mut matrix, 2);
        assert_eq!(matrix.values, [0.0, -2.0, 2.0, 0.0, 0.0]);
        assert_eq!(
            [0.0, 0.01, 0.5, 1.0].map(|density| mergekit_count(density, 5)),
            [0, 1, 2, 5]
        );
    }

    #[test]
    fn breadcrumbs_drop_both_ends() {
        let mut matrix = row(&[5.0, 1.0, -4.0, 2.0, -3.0, 0.0, 6.0, 7.0, 8.0, 9.0]);
        keep_middling(&mut matrix, 0.5, 0.2);
        assert_eq!(
            matrix.values,
            [5.0, 0.0, -4.0, 0.0, -3.0, 0.0, 6.0, 7.0, 0.0, 0.0]
        );
    }

    #[test]
    fn chances_grow_with_the_rank_in_the_row_and_average_to_the_density() {
        let matrix = Matrix {
            rows: 2,
            columns: 3,
            values: vec![3.0, -1.0, 2.0, 0.0, 0.5, -9.0],
        };
        let chances = chances_by_rank(&matrix, 0.5, 0.2).unwrap();
        let expected = [0.7, 0.3, 0.5, 0.3, 0.5, 0.7];
        assert!(
            chances
                .iter()
                .zip(expected)
                .all(|(one, other)| (one - other).abs() < 1e-12)
        );
        assert!(chances_by_rank(&matrix, 0.9, 0.2).is_err());
    }

    #[test]
    fn rescaling_restores_the_sum_of_magnitudes() {
        let mut matrix = row(&[1.0, -2.0, 3.0]);
        let before = matrix.absolute();
        keep_largest(&mut matrix, 1);
        restore(&mut matrix, before);
        assert_eq!(matrix.values, [0.0, 0.0, 6.0]);
    }
}
