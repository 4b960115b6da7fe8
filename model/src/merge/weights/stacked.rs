//! The members of a merge beside a decoder, side by side: A = rows `s_i A_i`, B = columns `λ_i B_i`. Attached once; another λ scales the
//! columns of B in place, and nothing is folded.

use std::collections::{BTreeMap, HashMap};

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};

use super::Lambda;
use crate::backbone::Decoder;
use crate::lora::config::HEAD;
use crate::lora::{Adapter, LoraModule};
use crate::merge::align::{Aligned, Member};
use crate::merge::cat::stack;
use crate::op::LoraFactors;
use crate::{Error, Result};

/// A decoder with the weighted sum of adapters beside its weights.
#[derive(Debug)]
pub struct Stacked {
    /// Without gradients.
    frozen: Decoder,
    /// The same factors as variables.
    tracked: Decoder,
    modules: BTreeMap<String, Columns>,
    members: usize,
}

/// The factor B of a module.
#[derive(Debug)]
struct Columns {
    /// As the members have it, `(out, R)`.
    own: Tensor,
    /// Times λ; what the decoder reads.
    scaled: Var,
    /// How many of the columns are each member's.
    ranks: Vec<usize>,
}

/// The gradient of a loss over λ, by module, a number a member.
pub(super) type Gradient = BTreeMap<String, Vec<f64>>;

impl Stacked {
    /// Puts adapters beside a decoder, each of weight one over their number.
    ///
    /// # Errors
    /// Adapters that do not fit each other or the decoder, and such as change more than projections of the blocks.
    pub fn new(decoder: &Decoder, adapters: &[&Adapter]) -> Result<Self> {
        let refuse = |name: &str, what: &str| {
            Err(Error::Merge(format!(
                "{name} is {what}, and weights are chosen over projections of the blocks alone: give the weights, or train adapters without \
                 it"
            )))
        };
        if let Some(name) = adapters.iter().find_map(|adapter| adapter.saved.keys().next()) {
            return refuse(name, "stored whole");
        }
        if adapters.iter().any(|adapter| adapter.modules.contains_key(HEAD)) {
            return refuse(HEAD, "adapted");
        }
        let members = adapters.iter().map(|adapter| Member::weighing(adapter, 1.0));
        let aligned = Aligned::new(members.collect())?;
        let (mut modules, mut beside, mut trained) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        for site in aligned.sites() {
            let parts: Vec<(&LoraModule, f64)> = site
                .factors
                .iter()
                .flatten()
                .map(|factors| (*factors, 1.0))
                .collect();
            let all = stack(site.name(), &parts)?;
            let own = all.b.to_device(decoder.device())?;
            let scaled = Var::from_tensor(&own.copy()?)?;
            let factors = |b: Tensor| -> Result<LoraFactors> {
                Ok(LoraFactors {
                    a: all.a.to_device(decoder.device())?,
                    b,
                    scale: 1.0,
                    dropout: None,
                })
            };
            beside.insert(site.name().to_string(), factors(scaled.as_detached_tensor())?);
            trained.insert(site.name().to_string(), factors(scaled.as_tensor().clone())?);
            let columns = Columns {
                own,
                scaled,
                ranks: site.ranks(),
            };
            modules.insert(site.name().to_string(), columns);
        }
        let stacked = Stacked {
            frozen: decoder.with_lora(beside)?,
            tracked: decoder.with_lora(trained)?,
            modules,
            members: adapters.len(),
        };
        stacked.weigh(&Lambda::uniform(adapters.len()))?;
        Ok(stacked)
    }

    /// Number of adapters.
    pub fn members(&self) -> usize {
        self.members
    }

    /// The paths of the modules that any of them adapts.
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        self.modules.keys().map(String::as_str)
    }

    /// The decoder with the updates weighed. Clones of it follow the next λ.
    ///
    /// # Errors
    /// Another number of weights than there are adapters, a weight that is no number, or a module without weights.
    pub fn at(&mut self, lambda: &Lambda) -> Result<&Decoder> {
        self.weigh(lambda)?;
        Ok(&self.frozen)
    }

    /// Scales the columns.
    pub(super) fn weigh(&self, lambda: &Lambda) -> Result<()> {
        for (name, columns) in &self.modules {
            let weights = lambda.at(name)?;
            if weights.len() != self.members {
                return Err(Error::Merge(format!(
                    "{} weights for {} adapters: give one for each",
                    weights.len(),
                    self.members
                )));
            }
            if let Some(weight) = weights.iter().find(|weight| !weight.is_finite()) {
                return Err(Error::Merge(format!("a weight of {weight}; give finite weights")));
            }
            let by_column = columns.ranks.iter().zip(weights);
            let by_column: Vec<f32> = by_column
                .flat_map(|(rank, weight)| std::iter::repeat_n(*weight as f32, *rank))
                .collect();
            let by_column = Tensor::from_vec(by_column, (1, columns.own.dim(1)?), columns.own.device())?;
            columns.scaled.set(&columns.own.broadcast_mul(&by_column)?)?;
        }
        Ok(())
    }

    /// The decoder as it is weighed now, without gradients.
    pub(super) fn frozen(&self) -> &Decoder {
        &self.frozen
    }

    /// The decoder as it is weighed now; gradients reach B.
    pub(super) fn tracked(&self) -> &Decoder {
        &self.tracked
    }

    /// Adds the gradient over λ of a loss to what was gathered. B's columns are λ_i B_i, so that λ_i gets the inner product of ∂L/∂B's
    /// columns of the member with B_i: no other gradient is needed.
    pub(super) fn gather(&self, gradients: &GradStore, sums: &mut Gradient) -> Result<()> {
        let (mut found, mut products) = (Vec::new(), Vec::new());
        for (name, columns) in &self.modules {
            if let Some(gradient) = gradients.get(&columns.scaled) {
                let gradient = gradient.detach().to_dtype(DType::F32)?;
                products.push((gradient * &columns.own)?.sum(0)?);
                found.push((name, &columns.ranks));
            }
        }
        if products.is_empty() {
            return Ok(());
        }
        // Read in one go, for what waits on a device.
        let products = Tensor::cat(&products, 0)?.to_vec1::<f32>()?;
        let mut rest = products.as_slice();
        for (name, ranks) in found {
            let sums = sums
                .entry(name.clone())
                .or_insert_with(|| vec![0.0; self.members]);
            for (sum, rank) in sums.iter_mut().zip(ranks) {
                let (own, later) = rest.split_at(*rank);
                *sum += own.iter().map(|product| f64::from(*product)).sum::<f64>();
                rest = later;
            }
        }
        Ok(())
    }
}
