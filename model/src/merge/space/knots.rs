//! KnOTS: the updates side by side in one singular value decomposition, `[τ_1 … τ_n] = U S [V_1ᵀ … V_nᵀ]` (Stoica et al., arXiv
//! 2410.19735).
//!
//! A rule merges the parts `V_iᵀ`, R × in, and `U S` times what it makes is the update. All of it from the factors.

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
    let mut columns = Vec::with_capacity(present.len());
    let mut rows = Vec::with_capacity(present.len());
    for (_, module) in &present {
        let (b, a) = scaled(module)?;
        // B A = (B Rᵀ) Qᵀ with the thin QR of Aᵀ: side by side, the Q of all are the block diagonal of an orthonormal matrix.
        let qr = a.transpose().qr();
        columns.push(&b * qr.thin_R().transpose());
        rows.push(qr.compute_thin_Q());
    }
    let parts = svd(beside(&columns).as_ref())?;
    let rank = parts.values.len();
    if rank == 0 {
        return Ok(nothing(here.site.shape));
    }
    let mut start = 0;
    let mut matrices = Vec::with_capacity(present.len());
    for q in &rows {
        let own: Mat<f64> = parts.right.subrows(start, q.ncols()).to_owned();
        start += q.ncols();
        matrices.push(Matrix::of_view((own.transpose() * q.transpose()).as_ref()));
    }
    let members = present.iter().map(|(member, _)| *member).collect();
    let merged = rule.merge(here.inputs("knots", members, matrices))?;
    Ok(Update::Factors {
        b: columns_times(parts.left.as_ref(), &parts.values),
        a: merged.view().to_owned(),
    })
}
