//! Members as directions, for weights that are not to depend on how long anybody's update is (FeDecider).
//!
//! In each module a member's τ_j is taken times ‖τ_T‖/‖τ_j‖, so that all updates there are as long as the target's: a weight of such an
//! update is one of a direction, and how far a member was trained, or its scale, has no part in it. What is chosen for the directions is
//! told of the updates themselves: a number a member and module, which any sum of updates can be merged by.

use std::collections::BTreeMap;

use super::Lambda;
use crate::Result;
use crate::lora::Adapter;
use crate::merge::align::{Aligned, Member};
use crate::merge::rule::{Coefficients, Fedecider};

/// Adapters of one length a module.
pub(super) struct Directions {
    /// What each member's update is taken times, by module.
    lengths: BTreeMap<String, Vec<f64>>,
    adapters: Vec<Adapter>,
}

impl Directions {
    /// As long as the updates of the member of this number, from 1.
    ///
    /// # Errors
    /// A number that is no member's, or adapters that do not fit each other.
    pub fn new(adapters: &[&Adapter], target: usize) -> Result<Self> {
        let members = adapters.iter().map(|adapter| Member::weighing(adapter, 1.0));
        let aligned = Aligned::new(members.collect())?;
        let (rule, ones) = (Fedecider { target }, vec![1.0; adapters.len()]);
        let lengths = aligned
            .sites()
            .map(|site| Ok((site.name().to_string(), rule.coefficients(&site, &ones)?)))
            .collect::<Result<BTreeMap<String, Vec<f64>>>>()?;
        let directed = adapters.iter().enumerate().map(|(place, adapter)| {
            let mut directed = (*adapter).clone();
            for (name, module) in &mut directed.modules {
                module.scale *= lengths.get(name).map_or(1.0, |lengths| lengths[place]);
            }
            directed
        });
        Ok(Directions {
            adapters: directed.collect(),
            lengths,
        })
    }

    /// The adapters, all of whose updates are as long as the target's.
    pub fn adapters(&self) -> Vec<&Adapter> {
        self.adapters.iter().collect()
    }

    /// Weights of the directions as weights of the updates.
    ///
    /// # Errors
    /// Weights that lack a module.
    pub fn of_updates(&self, lambda: &Lambda) -> Result<Lambda> {
        let of = |(name, lengths): (&String, &Vec<f64>)| {
            let pairs = lambda.at(name)?.iter().zip(lengths);
            let values = pairs.map(|(weight, length)| shortened(weight * length));
            Ok((name.clone(), values.collect()))
        };
        Ok(Lambda::Module(
            self.lengths.iter().map(of).collect::<Result<_>>()?,
        ))
    }
}

/// To twelve digits, which text holds exactly, however small a member's share is.
fn shortened(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_digits_are_kept_of_large_and_small_numbers() {
        assert_eq!(shortened(1.0), 1.0);
        assert_eq!(shortened(0.0), 0.0);
        assert_eq!(shortened(1.0 / 3.0), 0.333_333_333_333);
        assert_eq!(shortened(-2.0e-7 / 3.0), -6.666_666_666_67e-8);
    }
}
