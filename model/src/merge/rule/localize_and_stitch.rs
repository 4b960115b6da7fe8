//! `localize_and_stitch`: the largest entries of each update, and where several have one their mean (He et al., arXiv 2408.13656).
//!
//! Each entry is `Σ mask_i w_i τ_i / Σ mask_i`. A member's mask is in the file of its statistics, learnt on its own data, or else, as in the
//! paper's variant without data, its entries of the largest magnitude over all modules.

use serde::{Deserialize, Serialize};

use super::consensus::each_entry;
use super::sparse::{PASSES_OF_THRESHOLD, least_of_all};
use super::statistics::Statistic;
use super::{Inputs, Matrices, Merging, Method, STATISTICS, WEIGHT, within};
use crate::Result;
use crate::merge::align::{Aligned, Member, Site};
use crate::merge::matrix::Matrix;
use crate::merge::memory;
use crate::merge::setting::Setting;
use crate::merge::space::Space;

/// The settings of `localize_and_stitch`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LocalizeAndStitch {
    /// Share of a member's entries, over all modules, that its mask keeps where none was learnt.
    pub density: Setting,
    /// What the merged update is multiplied with.
    pub lambda: Setting,
}

impl Default for LocalizeAndStitch {
    fn default() -> Self {
        LocalizeAndStitch {
            density: 0.05.into(),
            lambda: 1.0.into(),
        }
    }
}

impl Merging for LocalizeAndStitch {
    fn method(&self) -> Method<'_> {
        Method::Matrices(Space::Dense, self)
    }

    fn own_settings(&self) -> &'static [&'static str] {
        &[WEIGHT, STATISTICS]
    }

    fn needs_statistics(&self) -> bool {
        false
    }

    fn averages(&self) -> bool {
        true
    }

    fn over_all(&self, members: &Aligned) -> Result<Option<Vec<f64>>> {
        let learnt = |member: &Member| member.settings.contains_key(STATISTICS);
        match members.members().iter().all(learnt) {
            true => Ok(None),
            false => least_of_all(members, &self.density).map(Some),
        }
    }

    /// A mask while it is read, where one was learnt.
    fn holds(&self, site: &Site, entries: usize) -> usize {
        let learnt = (0..site.factors.len()).any(|member| site.statistics(member).is_some());
        if learnt { memory::read(entries) } else { entries }
    }

    fn passes(&self, _: usize) -> usize {
        PASSES_OF_THRESHOLD
    }

    fn check(&self, _: usize) -> Result<()> {
        within("density", &self.density, 0.0..=1.0)
    }
}

impl Matrices for LocalizeAndStitch {
    fn merge(&self, mut inputs: Inputs) -> Result<Matrix> {
        let lambda = inputs.site.shared("lambda", &self.lambda)?;
        let mut least = Vec::with_capacity(inputs.members.len());
        for (member, matrix) in inputs.members.iter().zip(&mut inputs.matrices) {
            if inputs.site.statistics(*member).is_none() {
                let all = inputs.over_all.and_then(|all| all.get(*member));
                least.push(all.copied().unwrap_or(0.0));
                continue;
            }
            // What the mask leaves is kept, however small it is.
            least.push(0.0);
            if let Some(mask) = Statistic::Mask.of(inputs.site, *member)? {
                for (value, kept) in matrix.values.iter_mut().zip(mask.values) {
                    if kept == 0.0 {
                        *value = 0.0;
                    }
                }
            }
        }
        let weights = inputs.weights;
        Ok(each_entry(inputs.matrices, |values| {
            let (mut sum, mut count) = (0.0, 0u32);
            for ((value, weight), least) in values.iter().zip(&weights).zip(&least) {
                // A member that has nothing in a place is in no mask there, however many entries stay.
                if *value != 0.0 && value.abs() >= *least {
                    sum += weight * value;
                    count += 1;
                }
            }
            lambda * sum / f64::from(count.max(1))
        }))
    }
}
