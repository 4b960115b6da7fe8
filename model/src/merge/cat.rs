//! The weighted sum of updates, exact in the factors: A = rows `w_i s_i A_i`, B = columns `B_i`.
//!
//! PEFT calls it `cat`. WeaveRec's published merge, the uniform mean of the dense updates, is this with `w_i = 1/n`.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::Tensor;

use super::scaled_by_one;
use crate::lora::copy::check_copy;
use crate::lora::{Adapter, Base, LoraModule};
use crate::{Error, Result};

/// `Σ w_i · s_i B_i A_i` as one adapter, whose rank in a module is the sum of the ranks merged there.
///
/// An adapter of weight 0 is left out; a module that an adapter lacks counts as zero.
///
/// # Errors
/// No adapter with a weight other than 0, a weight that is no number, adapters of different bases, factors that are missing where the
/// settings want some, or modules stored whole whose mean is not that of their updates.
pub fn weighted(adapters: &[(&Adapter, f64)]) -> Result<Adapter> {
    if let Some((_, weight)) = adapters.iter().find(|(_, weight)| !weight.is_finite()) {
        return Err(Error::Merge(format!("a weight of {weight}; give finite weights")));
    }
    let parts: Vec<(&Adapter, f64)> = adapters
        .iter()
        .filter(|(_, weight)| *weight != 0.0)
        .map(|(adapter, weight)| (*adapter, *weight))
        .collect();
    if parts.is_empty() {
        return Err(Error::Merge("no adapter has a weight other than 0".into()));
    }
    let layers = parts
        .iter()
        .map(|(adapter, _)| adapter.layers())
        .max()
        .unwrap_or(0);
    for (place, (adapter, _)) in (1..).zip(adapters).filter(|(_, (_, weight))| *weight != 0.0) {
        adapter.check_coverage(layers).map_err(|message| {
            Error::Merge(format!("in adapter {place} of {}, {message}", adapters.len()))
        })?;
    }
    let names: BTreeSet<&String> = parts
        .iter()
        .flat_map(|(adapter, _)| adapter.modules.keys())
        .collect();
    let mut modules = BTreeMap::new();
    for name in names {
        let here: Vec<(&LoraModule, f64)> = parts
            .iter()
            .filter_map(|(adapter, weight)| Some((adapter.modules.get(name)?, *weight)))
            .collect();
        modules.insert(name.clone(), stack(name, &here)?);
    }
    let members: Vec<&Adapter> = parts.iter().map(|(adapter, _)| *adapter).collect();
    let saved = mean_of_whole(&parts)?;
    assemble(&members, modules, saved)
}

/// The adapter of merged modules, for the base that its members share: its settings are the first member's.
pub(super) fn assemble(
    members: &[&Adapter],
    modules: BTreeMap<String, LoraModule>,
    saved: BTreeMap<String, Tensor>,
) -> Result<Adapter> {
    let mut like = members
        .first()
        .map(|first| first.config.clone())
        .unwrap_or_default();
    let base = common_base(members)?;
    let name = |adapter: &Adapter| adapter.config.base_model_name_or_path.clone();
    if members
        .iter()
        .any(|adapter| name(adapter) != like.base_model_name_or_path)
    {
        // The same base often goes by several names, so this is no error.
        if base.is_none() {
            tracing::warn!("the merged adapters name different bases; the result names none");
        }
        like.base_model_name_or_path = base.as_ref().map(|base| base.name.clone());
    }
    Ok(Adapter {
        copies: common_copies(members)?,
        base,
        ..scaled_by_one(&like, modules, saved)
    })
}

/// The base of all members, where each that knows its own knows the same; none where one does not know.
pub(super) fn common_base(members: &[&Adapter]) -> Result<Option<Base>> {
    let mut known = members.iter().filter_map(|adapter| adapter.base.as_ref());
    let Some(first) = known.next() else {
        return Ok(None);
    };
    if let Some(other) = known.find(|base| !base.is(first)) {
        return Err(Error::Merge(format!(
            "one adapter was trained on {} and another on {}, and the weights of these two differ: updates of different models do not \
             add up; merge such as share their base",
            first.name, other.name
        )));
    }
    let all = members.iter().all(|adapter| adapter.base.is_some());
    Ok(all.then(|| first.clone()))
}

/// The copies of the base's weights, which must be the same in all members that have them.
pub(super) fn common_copies(members: &[&Adapter]) -> Result<BTreeMap<String, Tensor>> {
    let mut copies: BTreeMap<String, Tensor> = BTreeMap::new();
    for (name, copy) in members.iter().flat_map(|adapter| &adapter.copies) {
        match copies.get(name) {
            None => {
                copies.insert(name.clone(), copy.clone());
            }
            Some(first) => check_copy(name, copy, first).map_err(|_| {
                Error::Merge(format!(
                    "two adapters store {name} whole, which modules_to_save does not name, with different values: they were trained on \
                     different bases, or have trained it too"
                ))
            })?,
        }
    }
    if let Some(name) = copies
        .keys()
        .find(|name| members.iter().any(|member| member.saved.contains_key(*name)))
    {
        return Err(Error::Merge(format!(
            "one adapter brings {name} whole (modules_to_save) and another stores it as the base's: fold them into the base one after \
             another"
        )));
    }
    Ok(copies)
}

/// The modules that the adapters store whole, merged: with weights that sum to 1, W₀ + Σ w_i (W_i − W₀) is Σ w_i W_i, for which the
/// base is not needed.
pub(super) fn mean_of_whole(parts: &[(&Adapter, f64)]) -> Result<BTreeMap<String, Tensor>> {
    let names: BTreeSet<&String> = parts
        .iter()
        .flat_map(|(adapter, _)| adapter.saved.keys())
        .collect();
    let sum: f64 = parts.iter().map(|(_, weight)| weight).sum();
    let mut merged = BTreeMap::new();
    for name in names {
        let here: Vec<(&Tensor, f64)> = parts
            .iter()
            .filter_map(|(adapter, weight)| Some((adapter.saved.get(name)?, *weight)))
            .collect();
        if here.len() != parts.len() || (sum - 1.0).abs() > 1e-9 {
            return Err(Error::Merge(format!(
                "{name} is stored whole in {} of {} adapters whose weights sum to {sum}: without the base its update is known only \
                 where every adapter stores it and the weights sum to 1; give such weights, or fold the adapters into the base one \
                 after another",
                here.len(),
                parts.len()
            )));
        }
        let mut total = (here[0].0 * here[0].1)?;
        for (weight, share) in &here[1..] {
            if weight.dims() != total.dims() {
                return Err(Error::Merge(format!(
                    "{name} is {:?} in one adapter and {:?} in another; they belong to different bases",
                    total.dims(),
                    weight.dims()
                )));
            }
            total = (total + (*weight * *share)?)?;
        }
        merged.insert(name.clone(), total);
    }
    Ok(merged)
}

/// The mean of the updates: WeaveRec's merge.
///
/// # Errors
/// As [`weighted`].
pub fn uniform(adapters: &[&Adapter]) -> Result<Adapter> {
    uniform_scaled(adapters, 1.0)
}

/// `scale` times the mean of the updates, exact in the factors. A mean of n nearly orthogonal updates keeps 1/n of each by arithmetic
/// alone; the scale tells what comes of that.
///
/// # Errors
/// As [`weighted`]: modules stored whole can be scaled by 1 alone, and a scale of 0 leaves no adapter.
pub fn uniform_scaled(adapters: &[&Adapter], scale: f64) -> Result<Adapter> {
    let weight = scale / adapters.len().max(1) as f64;
    weighted(
        &adapters
            .iter()
            .map(|adapter| (*adapter, weight))
            .collect::<Vec<_>>(),
    )
}

pub(super) fn stack(name: &str, parts: &[(&LoraModule, f64)]) -> Result<LoraModule> {
    let mut shapes = parts.iter().map(|(module, _)| module.shape());
    if let Some(first) = shapes.next().transpose()? {
        for shape in shapes {
            let shape = shape?;
            if shape != first {
                return Err(Error::Merge(format!(
                    "{name} is {first:?} in one adapter and {shape:?} in another; they belong to different bases"
                )));
            }
        }
    }
    let rows = parts
        .iter()
        .map(|(module, weight)| Ok((&module.a * (weight * module.scale))?))
        .collect::<Result<Vec<Tensor>>>()?;
    let columns: Vec<&Tensor> = parts.iter().map(|(module, _)| &module.b).collect();
    Ok(LoraModule {
        a: Tensor::cat(&rows, 0)?,
        b: Tensor::cat(&columns, 1)?.contiguous()?,
        scale: 1.0,
    })
}
