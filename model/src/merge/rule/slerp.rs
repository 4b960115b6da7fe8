//! `slerp`: along the arc between two updates (Shoemake 1985), `sin((1−t)θ)/sin θ · τ_1 + sin(tθ)/sin θ · τ_2`, θ between them.
//!
//! The angle comes from the factors, and the sum is exact in them. mergekit goes along the arc between whole weights, base and update
//! together, whose angle is next to 0, so that its slerp of adapters is almost their mean by 1 − t and t.

use serde::{Deserialize, Serialize};

use super::{Coefficients, Merging, Method, inner_products, within};
use crate::merge::align::Site;
use crate::merge::setting::Setting;
use crate::{Error, Result};

/// Beyond this cosine the arc is as good as its chord, and the sine in the divisor next to nothing; mergekit's number.
const NEARLY_PARALLEL: f64 = 0.9995;

/// The settings of `slerp`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Slerp {
    /// 0 is the first update, 1 the second.
    pub t: Setting,
}

impl Default for Slerp {
    fn default() -> Self {
        Slerp { t: 0.5.into() }
    }
}

impl Merging for Slerp {
    fn method(&self) -> Method<'_> {
        Method::Sum(self)
    }

    fn own_settings(&self) -> &'static [&'static str] {
        &[]
    }

    fn check(&self, members: usize) -> Result<()> {
        within("t", &self.t, 0.0..=1.0)?;
        match members {
            2 => Ok(()),
            other => Err(Error::Merge(format!(
                "slerp goes between 2 adapters, and there are {other}"
            ))),
        }
    }
}

impl Coefficients for Slerp {
    fn coefficients(&self, site: &Site, _: &[f64]) -> Result<Vec<f64>> {
        let t = site.shared("t", &self.t)?;
        let products = inner_products(site)?;
        let norm = |member: usize| products[member][member].max(0.0).sqrt();
        let cosine = match norm(0) * norm(1) {
            0.0 => 0.0,
            both => (products[0][1] / both).clamp(-1.0, 1.0),
        };
        if cosine.abs() > NEARLY_PARALLEL {
            return Ok(vec![1.0 - t, t]);
        }
        let angle = cosine.acos();
        Ok(vec![
            ((1.0 - t) * angle).sin() / angle.sin(),
            (t * angle).sin() / angle.sin(),
        ])
    }

    fn are_given(&self) -> bool {
        false
    }
}
