//! `lora_lego`: the rank-one units of all members in clusters, of which each becomes one unit (LoRA-LEGO, Zhao et al., arXiv 2409.16167).
//!
//! A unit is a row of A and the column of B that goes with it. The mean of a cluster is shorter than its units the less these agree, and
//! is made as long as they are on average: the paper's reweighting of parameters. Its second scale, for a rank other than the members',
//! is for `lambda` to give. A unit and its negative are one update, and are two units here as in the paper. Clusters begin at random, by
//! the recipe's seed; the order of the members has no part in it.

use serde::{Deserialize, Serialize};

use super::kmeans::{RESTARTS, clusters};
use super::{Inputs, Matrices, Merging, Method};
use crate::merge::matrix::Matrix;
use crate::merge::setting::Setting;
use crate::merge::space::Space;
use crate::{Error, Result};

/// The settings of `lora_lego`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoraLego {
    /// Number of clusters, and the rank of the result; none: the largest rank of a member.
    pub units: Option<usize>,
    /// Whether a cluster's mean is made as long as its units are on average.
    pub reweight: bool,
    /// What the merged update is multiplied with.
    pub lambda: Setting,
}

impl Default for LoraLego {
    fn default() -> Self {
        LoraLego {
            units: None,
            reweight: true,
            lambda: 1.0.into(),
        }
    }
}

impl Merging for LoraLego {
    fn method(&self) -> Method<'_> {
        Method::Matrices(Space::Units, self)
    }

    fn averages(&self) -> bool {
        true
    }

    fn check(&self, _: usize) -> Result<()> {
        match self.units {
            Some(0) => Err(Error::Merge("units is 0; give at least 1".into())),
            _ => Ok(()),
        }
    }
}

impl Matrices for LoraLego {
    fn merge(&self, inputs: Inputs) -> Result<Matrix> {
        let lambda = inputs.site.shared("lambda", &self.lambda)?;
        let width = inputs.matrices.first().map_or(0, |units| units.columns);
        let most = inputs.matrices.iter().map(|units| units.rows).max().unwrap_or(0);
        let count = self.units.unwrap_or(most);
        let drawn = inputs.uniform_of_all(RESTARTS * count, "lora_lego");
        let mut units: Vec<&[f64]> = inputs
            .matrices
            .iter()
            .flat_map(|matrix| matrix.values.chunks(width.max(1)))
            .collect();
        // By their values, so that it does not matter which member came first.
        let earlier = |one: f64, other: f64| one.total_cmp(&other);
        units.sort_by(|one, other| {
            let differing = one.iter().zip(*other).map(|(one, other)| earlier(*one, *other));
            differing.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
        });
        let all = Matrix {
            rows: units.len(),
            columns: width,
            values: units.concat(),
        };
        let gram = Matrix::of_view((all.view() * all.view().transpose()).as_ref());
        if gram.values.iter().any(|value| !value.is_finite()) {
            return Err(Error::Merge(
                "the factors hold something other than finite numbers".into(),
            ));
        }
        let found = clusters(&gram, count, &drawn);
        let mut merged = Matrix::zeros(found.len(), width);
        for (cluster, mean) in found.iter().zip(merged.values.chunks_mut(width.max(1))) {
            let share = 1.0 / cluster.len() as f64;
            for unit in cluster {
                mean.iter_mut()
                    .zip(units[*unit])
                    .for_each(|(sum, value)| *sum += share * value);
            }
            let length = norm(mean);
            if self.reweight && length > 0.0 {
                let wanted = share * cluster.iter().map(|unit| norm(units[*unit])).sum::<f64>();
                mean.iter_mut().for_each(|value| *value *= wanted / length);
            }
            // A unit is two factors, and the scale of their product is to be lambda: it goes with A, the first part.
            let input = inputs.site.shape.1;
            mean[..input].iter_mut().for_each(|value| *value *= lambda);
        }
        Ok(merged)
    }
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}
