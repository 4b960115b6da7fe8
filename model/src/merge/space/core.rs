//! Core Space: each update as an R × R matrix in bases that the updates share (Panariello et al., arXiv 2509.17786).
//!
//! U spans the columns of all `s_i B_i` and V the rows of all `A_i`; `U Uᵀ s_i B_i A_i V Vᵀ` is the update itself, so nothing is lost, and
//! a rule that is linear or works on singular values alone gives in the cores what it gives in the dense updates. The bases are singular
//! vectors, so that they do not depend on the order of the members.

use faer::Mat;

use super::{Here, Update, nothing, scaled};
use crate::Result;
use crate::merge::matrix::{Matrix, beside, columns_times, svd};
use crate::merge::rule::Matrices;

pub(super) fn merge(rule: &dyn Matrices, here: Here) -> Result<Update> {
    let present = here.present();
    if present.is_empty() {
        return Ok(nothing(here.site.shape));
    }
    let mut left = Vec::with_capacity(present.len());
    let mut right = Vec::with_capacity(present.len());
    for (_, module) in &present {
        let (b, a) = scaled(module)?;
        left.push(b);
        right.push(a.transpose().to_owned());
    }
    let u = svd(beside(&left).as_ref())?.left;
    let v = svd(beside(&right).as_ref())?.left;
    if u.ncols() == 0 || v.ncols() == 0 {
        return Ok(nothing(here.site.shape));
    }
    let cores = left
        .iter()
        .zip(&right)
        .map(|(b, a)| Matrix::of_view(((u.transpose() * b) * (a.transpose() * &v)).as_ref()));
    let members = present.iter().map(|(member, _)| *member).collect();
    let merged = rule.merge(here.inputs("core", members, cores.collect()))?;
    compact(u, merged, v)
}

/// `U M Vᵀ` for U and V of orthonormal columns, with as many columns as M has rank: B = U P S, A = (V Q)ᵀ.
fn compact(u: Mat<f64>, merged: Matrix, v: Mat<f64>) -> Result<Update> {
    let parts = svd(merged.view())?;
    if parts.values.is_empty() {
        return Ok(nothing((u.nrows(), v.nrows())));
    }
    let b = columns_times((&u * &parts.left).as_ref(), &parts.values);
    let a = (&v * &parts.right).transpose().to_owned();
    Ok(Update::Factors { b, a })
}
