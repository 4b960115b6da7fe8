//! What a position comes to: its target against the whole catalogue or against a sample of it.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::op::{Negatives, Objective, cross_entropy, mix, sampled_loss};
use crate::{Error, Result};

/// What a position comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Loss {
    /// Cross-entropy over the whole catalogue.
    #[default]
    Ce,
    /// Cross-entropy over the target and a sample that all positions of a part share.
    Sampled {
        /// Items in the sample, drawn uniformly.
        #[serde(default = "negatives")]
        negatives: usize,
    },
    /// The generalised binary cross-entropy of gSASRec (Petrov and Macdonald 2023).
    Gbce {
        /// Items a position, drawn uniformly from those that are not its target.
        #[serde(default = "negatives")]
        negatives: usize,
        /// 0: binary cross-entropy; 1: scores that are calibrated as a softmax's.
        #[serde(default = "calibration")]
        t: f64,
    },
    /// Binary cross-entropy of the target and one other item, as SASRec was published.
    Bce,
}

fn negatives() -> usize {
    256
}
fn calibration() -> f64 {
    0.75
}

/// Tells negatives apart from whatever else is drawn with a part's key.
const SITE: u64 = 0x6E65_6761_7469_7665;

impl Loss {
    /// Settings with which there is nothing to compare a target with.
    pub(super) fn check(self, items: usize) -> Result<()> {
        let negatives = match self {
            Loss::Ce => return Ok(()),
            Loss::Sampled { negatives } | Loss::Gbce { negatives, .. } => negatives,
            Loss::Bce => 1,
        };
        if negatives == 0 {
            return Err(Error::Usage(
                "negatives 0: there is nothing to compare a target with; give 1 or more, or the loss \"ce\""
                    .into(),
            ));
        }
        if items < 2 {
            return Err(Error::Usage(
                "a catalogue of one item has nothing to compare a target with; use the loss \"ce\"".into(),
            ));
        }
        match self {
            Loss::Gbce { t, .. } if !(0.0..=1.0).contains(&t) => {
                Err(Error::Usage(format!("t {t}: give a number from 0 to 1")))
            }
            _ => Ok(()),
        }
    }

    /// Summed over the rows of `hidden`, `(rows, width)`, each with its target's row in `head`, `(items, width)`.
    pub(super) fn summed(self, hidden: &Tensor, head: &Tensor, targets: &[u32], key: u64) -> Result<Tensor> {
        let items = head.dim(0)?;
        let key = mix(key ^ SITE);
        let each = |count: usize| {
            let targets = targets.iter().enumerate();
            Negatives::Each(
                targets
                    .flat_map(|(row, target)| (0..count).map(move |i| (row * count + i, *target)))
                    .map(|(nth, target)| other(items, target, mix(key ^ nth as u64)))
                    .collect(),
            )
        };
        let (negatives, objective) = match self {
            Loss::Ce => return Ok(cross_entropy(hidden, head, targets)?),
            Loss::Sampled { negatives } => {
                let drawn = (0..negatives).map(|nth| below(items, mix(key ^ nth as u64)));
                (Negatives::Shared(drawn.collect()), Objective::Softmax)
            }
            Loss::Gbce { negatives, t } => {
                let beta = beta(negatives, items, t) as f32;
                (each(negatives), Objective::Binary { beta })
            }
            Loss::Bce => (each(1), Objective::Binary { beta: 1.0 }),
        };
        Ok(sampled_loss(hidden, head, targets, negatives, objective)?)
    }
}

/// Rows against each other: the sum over rows i of `−log exp(aᵢ·bᵢ) / (exp(aᵢ·bᵢ) + Σⱼ exp(aᵢ·bⱼ))`, where j runs over the rows of other items
/// than i's. Rows of the same item are left out of the sum altogether: what is right for one of them is not wrong for another. `anchors` (a)
/// and `others` (b) are `(rows, width)`, and both get their gradient; `items` says of which item each row is.
pub(super) fn contrastive(anchors: &Tensor, others: &Tensor, items: &[u32]) -> Result<Tensor> {
    let own: Vec<u32> = (0..items.len() as u32).collect();
    // A negative that is the row's own target counts for nothing.
    let negatives = own.iter().zip(items).flat_map(|(row, item)| {
        let columns = own.iter().zip(items);
        columns.map(move |(column, other)| if other == item { *row } else { *column })
    });
    let negatives = Negatives::Each(negatives.collect());
    Ok(sampled_loss(
        anchors,
        others,
        &own,
        negatives,
        Objective::Softmax,
    )?)
}

/// gSASRec's exponent, from the share α of the other items that is drawn: α (t (1 − 1/α) + 1/α).
fn beta(negatives: usize, items: usize, t: f64) -> f64 {
    let share = (negatives as f64 / (items as f64 - 1.0)).min(1.0);
    share * (t * (1.0 - 1.0 / share) + 1.0 / share)
}

/// A number below `count`, from random bits.
fn below(count: usize, bits: u64) -> u32 {
    ((u128::from(bits) * count as u128) >> 64) as u32
}

/// One of the items that are not the target.
fn other(items: usize, target: u32, bits: u64) -> u32 {
    let drawn = below(items - 1, bits);
    drawn + u32::from(drawn >= target)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn gbce_lies_between_binary_cross_entropy_and_a_calibrated_one() {
        assert!((beta(1, 12_102, 0.0) - 1.0).abs() < 1e-12);
        // Its exponent is the share that is drawn.
        assert!((beta(256, 12_102, 1.0) - 256.0 / 12_101.0).abs() < 1e-12);
        assert!((beta(256, 12_102, 0.75) - (0.25 + 0.75 * 256.0 / 12_101.0)).abs() < 1e-12);
        // More than there are: all of them.
        assert!((beta(256, 11, 0.75) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn others_are_drawn_evenly_and_never_the_target() {
        let mut counts = [0usize; 5];
        for nth in 0..8000 {
            counts[other(5, 2, mix(nth)) as usize] += 1;
        }
        assert_eq!(counts[2], 0);
        // 2,000 each are expected, with a deviation of 39.
        assert!(
            counts
                .iter()
                .enumerate()
                .all(|(i, n)| i == 2 || (1800..2200).contains(n)),
            "{counts:?}"
        );
    }

    #[test]
    fn rows_of_the_same_item_are_no_negatives_of_each_other() {
        use candle_core::{Device, Var};
        let values = |key: u64| -> Vec<f32> {
            let value = |i: u64| (mix(key ^ mix(i)) >> 40) as f32 / (1 << 23) as f32 - 1.0;
            (0..12).map(value).collect()
        };
        let variable = |key| Var::from_vec(values(key), (4, 3), &Device::Cpu).unwrap();
        let (a, b, items) = (variable(1), variable(2), [7, 3, 7, 5]);
        let dot = |i: usize, j: usize| -> f64 {
            (0..3)
                .map(|k| f64::from(values(1)[3 * i + k]) * f64::from(values(2)[3 * j + k]))
                .sum()
        };
        let mut expected = 0.0;
        for i in 0..4 {
            let negatives = (0..4).filter(|j| items[*j] != items[i]);
            let sum: f64 = dot(i, i).exp() + negatives.map(|j| dot(i, j).exp()).sum::<f64>();
            expected += sum.ln() - dot(i, i);
        }
        // Computed from variables, as adapted vectors are: gradients go through.
        let loss = |by: f64| {
            let (a, b) = ((a.as_tensor() * 1.0).unwrap(), (b.as_tensor() * by).unwrap());
            contrastive(&a, &b, &items).unwrap()
        };
        let found = f64::from(loss(1.0).to_scalar::<f32>().unwrap());
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        let gradients = loss(1.0).backward().unwrap();
        let sum_of = |variable: &Var| {
            let gradient = gradients.get(variable).unwrap();
            let product = (gradient * variable.as_tensor()).unwrap().sum_all().unwrap();
            f64::from(product.to_scalar::<f32>().unwrap())
        };
        // Along the scale of b, and so of a, the slope is that of differences.
        let slope = f64::from(loss(1.01).to_scalar::<f32>().unwrap())
            - f64::from(loss(0.99).to_scalar::<f32>().unwrap());
        for variable in [&a, &b] {
            let found = sum_of(variable);
            assert!((found - slope / 0.02).abs() < 2e-3, "{found} {}", slope / 0.02);
        }
        // All of one item: nothing to tell apart, and nothing lost.
        let alone = contrastive(a.as_tensor(), b.as_tensor(), &[1; 4]).unwrap();
        assert!(alone.to_scalar::<f32>().unwrap().abs() < 1e-6);
    }

    #[test]
    fn what_has_nothing_to_compare_with_is_refused() {
        for loss in [Loss::Bce, Loss::Sampled { negatives: 4 }] {
            let error = loss.check(1).unwrap_err().to_string();
            assert!(error.contains("\"ce\""), "{error}");
        }
        assert!(Loss::Sampled { negatives: 0 }.check(9).is_err());
        assert!(Loss::Gbce { negatives: 1, t: 1.5 }.check(9).is_err());
        Loss::Ce.check(1).unwrap();
    }
}
