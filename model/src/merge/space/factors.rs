//! A and B apart, each member's times the root of its weight and scale; the sign goes with A.
//!
//! `(Σ √|w_i s_i| B_i)(Σ ±√|w_i s_i| A_i)` has terms `B_i A_j` of two members beside the updates, so it is not their sum: that is how
//! PEFT's `linear`, `ties`, `dare_*` and `magnitude_prune` are.

use super::{Here, Update, nothing};
use crate::merge::matrix::Matrix;
use crate::merge::rule::Matrices;
use crate::{Error, Result};

pub(super) fn merge(rule: &dyn Matrices, here: Here) -> Result<Update> {
    let site = here.site;
    let present: Vec<_> = (0..).zip(&site.factors).collect();
    let present: Vec<(usize, _)> = present
        .into_iter()
        .filter_map(|(member, factors)| Some((member, (*factors)?)))
        .collect();
    let Some((_, first)) = present.first() else {
        return Ok(nothing(site.shape));
    };
    if let Some((_, other)) = present.iter().find(|(_, module)| module.rank() != first.rank()) {
        return Err(Error::Merge(format!(
            "{} has rank {} in one adapter and {} in another, and this rule adds up their factors entry by entry; take cat or svd, or a \
             rule with space: dense or core, where ranks may differ",
            site.name(),
            first.rank(),
            other.rank()
        )));
    }
    let members: Vec<usize> = present.iter().map(|(member, _)| *member).collect();
    let mut roots = vec![0.0; here.weights.len()];
    let mut signed = roots.clone();
    for (member, module) in &present {
        let share = here.weights[*member] * module.scale;
        roots[*member] = share.abs().sqrt();
        signed[*member] = if share >= 0.0 { 1.0 } else { -1.0 } * roots[*member];
    }
    let matrices = |of: &dyn Fn(usize) -> Result<Matrix>| (0..present.len()).map(of).collect();
    let all_a: Result<Vec<Matrix>> = matrices(&|place| Matrix::of(&present[place].1.a));
    let all_b: Result<Vec<Matrix>> = matrices(&|place| Matrix::of(&present[place].1.b));
    let a = Here {
        weights: &signed,
        ..here
    };
    let b = Here {
        weights: &roots,
        ..here
    };
    let a = rule.merge(a.inputs("A", members.clone(), all_a?))?;
    let b = rule.merge(b.inputs("B", members, all_b?))?;
    Ok(Update::Factors {
        b: b.view().to_owned(),
        a: a.view().to_owned(),
    })
}
