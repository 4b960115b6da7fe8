//! `cat`: the sum of the updates by weights, the factors side by side, as PEFT has it. With one over their number it is WeaveRec's merge.

use serde::{Deserialize, Serialize};

use super::{Coefficients, Merging, Method};
use crate::Result;
use crate::merge::align::Site;

/// `cat` has no settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cat {}

impl Merging for Cat {
    fn method(&self) -> Method<'_> {
        Method::Sum(self)
    }
}

impl Coefficients for Cat {
    fn coefficients(&self, _: &Site, weights: &[f64]) -> Result<Vec<f64>> {
        Ok(weights.to_vec())
    }
}
