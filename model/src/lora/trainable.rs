//! An adapter in training: its factors as variables.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Tensor, Var};

use super::config::{EMBEDDING, HEAD};
use super::{Adapter, LoraConfig, LoraModule};
use crate::backbone::Decoder;
use crate::nn::{Decay, Initial, Parameter, Parameters};
use crate::op::{LoraFactors, mix};
use crate::{Error, Result};

/// The variables of one adapter, a pair (A, B) a module.
#[derive(Debug)]
pub struct TrainableLora {
    config: LoraConfig,
    modules: BTreeMap<String, (Var, Var)>,
    parameters: Parameters,
}

impl TrainableLora {
    /// A fresh adapter for the modules of `decoder` that the configuration targets.
    ///
    /// As PEFT initialises it: A uniform within ±1/√in, B zero, so that the first step starts from the base. The values depend on
    /// the seed and the module's name alone. The variables are in f32, on the decoder's device.
    ///
    /// # Errors
    /// A configuration with which other things than factors would be trained, or nothing.
    pub fn new(decoder: &Decoder, config: LoraConfig, seed: u64) -> Result<Self> {
        config.check().map_err(Error::Usage)?;
        if !(0.0..1.0).contains(&config.lora_dropout) {
            return Err(Error::Usage(format!(
                "lora_dropout {}: give a share of the inputs, from 0 to below 1",
                config.lora_dropout
            )));
        }
        let alphas = config.alpha_pattern.0.iter().map(|(_, alpha)| *alpha);
        if let Some(alpha) = alphas
            .chain([config.lora_alpha])
            .find(|alpha| !alpha.is_finite() || *alpha == 0.0)
        {
            return Err(Error::Usage(format!(
                "lora_alpha {alpha}: nothing would be trained; twice the rank is usual"
            )));
        }
        if let Some(name) = config.saved_names().next() {
            return Err(Error::Usage(format!(
                "modules_to_save {name}: only factors are trained here; leave it out"
            )));
        }
        if let Some(name) = [EMBEDDING, HEAD].into_iter().find(|name| config.targets(name)) {
            return Err(Error::Usage(format!(
                "target_modules means {name} too: only projections of the blocks are trained here; name these"
            )));
        }
        let mut modules = BTreeMap::new();
        let mut parameters = Parameters::new(seed, decoder.device());
        for (name, (out, input)) in decoder.modules() {
            if !config.targets(&name) {
                continue;
            }
            let rank = config.rank_for(&name);
            // Keyed by the module and not by the factor, so that adapters of a seed start as they always have.
            let uniform = Initial::Uniform(1.0 / (input as f32).sqrt());
            let a = Var::from_vec(
                uniform.values(rank * input, seed, &name),
                (rank, input),
                decoder.device(),
            )?;
            let b = Var::zeros((out, rank), DType::F32, decoder.device())?;
            for (factor, variable) in [("lora_A", &a), ("lora_B", &b)] {
                let parameter = Parameter {
                    variable: variable.clone(),
                    decay: Decay::Decayed,
                };
                parameters.insert(&format!("{name}.{factor}.weight"), parameter)?;
            }
            modules.insert(name, (a, b));
        }
        if modules.is_empty() {
            return Err(Error::Usage(
                "target_modules matches no projection of the base; name some, such as q_proj and v_proj"
                    .into(),
            ));
        }
        Ok(TrainableLora {
            config,
            modules,
            parameters,
        })
    }

    /// All variables, in a fixed order: A and B of each module, modules by name.
    pub fn variables(&self) -> Vec<Var> {
        self.parameters.variables().cloned().collect()
    }

    /// The same with PEFT's names: `{module}.lora_A.weight`, `{module}.lora_B.weight`.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The decoder with these factors: with a key, for a training pass, and the key selects its dropout mask; with `None` for
    /// evaluation, without dropout and without gradients.
    pub fn attach(&self, decoder: &Decoder, dropout_key: Option<u64>) -> Result<Decoder> {
        let p = self.config.lora_dropout as f32;
        let factors: HashMap<String, LoraFactors> = self
            .modules
            .iter()
            .enumerate()
            .map(|(i, (name, (a, b)))| {
                let dropout = dropout_key
                    .filter(|_| p > 0.0)
                    .map(|key| (p, mix(key ^ mix(i as u64))));
                let factor = |var: &Var| match dropout_key {
                    Some(_) => var.as_tensor().clone(),
                    None => var.as_detached_tensor(),
                };
                let lora = LoraFactors {
                    a: factor(a),
                    b: factor(b),
                    scale: self.config.scale_for(name),
                    dropout,
                };
                (name.clone(), lora)
            })
            .collect();
        decoder.with_lora(factors)
    }

    /// A copy of the current values as an adapter, in main memory.
    pub fn adapter(&self) -> Result<Adapter> {
        let modules = self
            .modules
            .iter()
            .map(|(name, (a, b))| {
                let copy = |var: &Var| -> Result<Tensor> {
                    Ok(var.as_detached_tensor().copy()?.to_device(&Device::Cpu)?)
                };
                let module = LoraModule {
                    a: copy(a)?,
                    b: copy(b)?,
                    scale: self.config.scale_for(name),
                };
                Ok((name.clone(), module))
            })
            .collect::<Result<_>>()?;
        Ok(Adapter::new(self.config.clone(), modules))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::backbone::decoder::tests::tiny;

    #[test]
    fn factors_come_by_module_a_before_b_and_a_starts_from_the_modules_own_values() {
        let decoder = tiny();
        let trainable = TrainableLora::new(&decoder, LoraConfig::new(4, 8.0), 11).unwrap();
        let mut modules: Vec<String> = decoder.modules().into_iter().map(|(name, _)| name).collect();
        modules.sort();
        let expected: Vec<String> = modules
            .iter()
            .flat_map(|module| ["lora_A", "lora_B"].map(|factor| format!("{module}.{factor}.weight")))
            .collect();
        let named: Vec<&str> = trainable.parameters().iter().map(|(name, _)| name).collect();
        assert_eq!(named, expected);
        let values = trainable.parameters().values().unwrap();
        let module = "model.layers.0.self_attn.q_proj";
        let at = 2 * modules.iter().position(|name| name == module).unwrap();
        // Sixteen inputs.
        assert_eq!(values[at], Initial::Uniform(0.25).values(4 * 16, 11, module));
        assert!(values[at + 1].iter().all(|value| *value == 0.0));
    }
}
