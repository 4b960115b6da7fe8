//! The parameters of a model that is trained, by name.

use std::collections::BTreeMap;

use candle_core::{Device, Shape, Tensor, Var};

use super::Initial;
use crate::{Error, Result};

/// Whether weight decay pulls a parameter towards zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decay {
    /// It does.
    Decayed,
    /// It does not, as is usual for biases and norms.
    Exempt,
}

/// A parameter: its values, and how an optimiser treats it.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its values, in f32.
    pub variable: Var,
    /// Whether weight decay applies.
    pub decay: Decay,
}

/// Parameters in the order of their names, so that nothing depends on the order in which a model was built. Clones share the values.
#[derive(Clone, Debug)]
pub struct Parameters {
    seed: u64,
    device: Device,
    named: BTreeMap<String, Parameter>,
}

impl Parameters {
    /// None yet. Those to come are on `device`, and the seed and their names decide their first values.
    pub fn new(seed: u64, device: &Device) -> Self {
        Parameters {
            seed,
            device: device.clone(),
            named: BTreeMap::new(),
        }
    }

    /// Makes a parameter and gives its variable as a tensor, through which gradients reach it.
    ///
    /// # Errors
    /// A name that is there already, or a device without room.
    pub fn create(
        &mut self,
        name: &str,
        shape: impl Into<Shape>,
        initial: Initial,
        decay: Decay,
    ) -> Result<Tensor> {
        let shape = shape.into();
        let values = initial.values(shape.elem_count(), self.seed, name);
        let variable = Var::from_vec(values, shape, &self.device)?;
        let tensor = variable.as_tensor().clone();
        self.insert(name, Parameter { variable, decay })?;
        Ok(tensor)
    }

    /// Takes a parameter up whose first values were chosen in another way.
    ///
    /// # Errors
    /// A name that is there already.
    pub fn insert(&mut self, name: &str, parameter: Parameter) -> Result<()> {
        match self.named.insert(name.to_string(), parameter) {
            None => Ok(()),
            Some(_) => Err(Error::Usage(format!(
                "two parameters are called {name}; give each a name of its own, since its first values depend on it"
            ))),
        }
    }

    /// The parameters with their names, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Parameter)> {
        self.named
            .iter()
            .map(|(name, parameter)| (name.as_str(), parameter))
    }

    /// The variables, in the order of their names.
    pub fn variables(&self) -> impl Iterator<Item = &Var> {
        self.named.values().map(|parameter| &parameter.variable)
    }

    /// Number of values of all parameters.
    pub fn count(&self) -> usize {
        self.variables().map(|variable| variable.elem_count()).sum()
    }

    /// The current values in main memory, a vector a parameter, read in one go.
    ///
    /// # Errors
    /// A device that does not give them.
    pub fn values(&self) -> Result<Vec<Vec<f32>>> {
        let flat = self.variables().map(|v| v.as_detached_tensor().flatten_all());
        let flat = flat.collect::<candle_core::Result<Vec<_>>>()?;
        match flat.is_empty() {
            true => Ok(Vec::new()),
            false => Ok(self.split(&Tensor::cat(&flat, 0)?.to_vec1::<f32>()?)),
        }
    }

    /// Puts values, a vector a parameter, in the place of the current ones.
    ///
    /// # Errors
    /// Other numbers of values than the parameters have.
    pub fn set(&self, values: Vec<Vec<f32>>) -> Result<()> {
        if values.len() != self.named.len() {
            return Err(Error::Usage(format!(
                "values of {} parameters for {}; they are those of another model",
                values.len(),
                self.named.len()
            )));
        }
        for (variable, values) in self.variables().zip(values) {
            variable.set(&Tensor::from_vec(values, variable.shape(), variable.device())?)?;
        }
        Ok(())
    }

    /// Values of all parameters one after another, as those of each.
    pub(crate) fn split(&self, values: &[f32]) -> Vec<Vec<f32>> {
        let mut rest = values;
        let parts = self.variables().map(|variable| {
            let (part, later) = rest.split_at(variable.elem_count());
            rest = later;
            part.to_vec()
        });
        parts.collect()
    }
}
