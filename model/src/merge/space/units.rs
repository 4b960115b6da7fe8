//! Rank-one units: the j-th row of A beside the j-th column of B, for every rank of every member; their outer products add up to the update.
//!
//! Each factor is taken times the root of its member's weight and scale, the sign with A, as PEFT's `linear` has it: a unit's outer product
//! is then its part of `Σ w_i τ_i`. A rule makes units of units, and those are the result, one a rank. Ranks may differ.

use faer::Mat;

use super::{Here, Update, nothing};
use crate::Result;
use crate::merge::matrix::Matrix;
use crate::merge::rule::Matrices;

pub(super) fn merge(rule: &dyn Matrices, here: Here) -> Result<Update> {
    let (out, input) = here.site.shape;
    let present = here.present();
    if present.is_empty() {
        return Ok(nothing((out, input)));
    }
    let mut matrices = Vec::with_capacity(present.len());
    for (member, module) in &present {
        let share = here.weights[*member] * module.scale;
        let root = share.abs().sqrt();
        let signed = if share >= 0.0 { root } else { -root };
        let (a, b) = (Matrix::of(&module.a)?, Matrix::of(&module.b)?);
        let mut units = Matrix::zeros(module.rank(), input + out);
        for (rank, unit) in units.values.chunks_mut(input + out).enumerate() {
            let (left, right) = unit.split_at_mut(input);
            for (value, a) in left.iter_mut().zip(&a.values[rank * input..]) {
                *value = signed * a;
            }
            for (value, b) in right.iter_mut().zip(b.values.chunks(module.rank())) {
                *value = root * b[rank];
            }
        }
        matrices.push(units);
    }
    let members = present.iter().map(|(member, _)| *member).collect();
    let merged = rule.merge(here.inputs("units", members, matrices))?;
    if merged.rows == 0 {
        return Ok(nothing((out, input)));
    }
    let view = merged.view();
    Ok(Update::Factors {
        b: Mat::from_fn(out, merged.rows, |row, unit| view[(unit, input + row)]),
        a: view.subcols(0, input).to_owned(),
    })
}
