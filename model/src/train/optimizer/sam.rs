//! Sharpness-aware minimisation (Foret et al. 2021) around another optimiser: from θ, where the gradient is g, it goes to θ + ρ g/‖g‖,
//! where the loss near by is about worst, and the step from θ follows the gradient there.

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor};

use super::{Norm, Optimizer, Values};
use crate::nn::Parameters;
use crate::{Error, Result};

/// Keeps a gradient of nothing from being divided by zero, as the authors' code does.
const TINY: f64 = 1e-12;

/// An optimiser whose steps follow the gradient from near by. It remembers nothing from step to step but what that one does.
///
/// The norm is over all parameters and over all parts of a step: what is gathered before [`ascend`](Optimizer::ascend) says where to go,
/// what is gathered after it is the step's gradient.
pub struct Sam<O> {
    parameters: Parameters,
    rho: f64,
    inner: O,
    place: Place,
}

/// Where the parameters are.
enum Place {
    /// Where they belong; the gradients gathered there, where a parameter has any.
    Home(Vec<Option<Tensor>>),
    /// Away; their values at home.
    Away(Vec<Tensor>),
}

impl<O: Optimizer> Sam<O> {
    /// Around an optimiser of the same parameters; `rho` is the distance.
    pub fn new(parameters: &Parameters, rho: f64, inner: O) -> Self {
        Sam {
            parameters: parameters.clone(),
            rho,
            inner,
            place: Place::Home(nothing(parameters)),
        }
    }
}

fn nothing(parameters: &Parameters) -> Vec<Option<Tensor>> {
    parameters.variables().map(|_| None).collect()
}

impl<O: Optimizer> Optimizer for Sam<O> {
    fn accumulate(&mut self, gradients: &GradStore) -> Result<()> {
        let sums = match &mut self.place {
            Place::Home(sums) => sums,
            Place::Away(_) => return self.inner.accumulate(gradients),
        };
        for (variable, sum) in self.parameters.variables().zip(sums) {
            if let Some(gradient) = gradients.get(variable) {
                let gradient = gradient.detach().to_dtype(DType::F32)?;
                *sum = Some(match sum.take() {
                    None => gradient,
                    Some(sum) => (sum + gradient)?,
                });
            }
        }
        Ok(())
    }

    fn ascend(&mut self) -> Result<bool> {
        let Place::Home(sums) = &self.place else {
            return Ok(false);
        };
        let mut square: Option<Tensor> = None;
        for sum in sums.iter().flatten() {
            let own = sum.sqr()?.sum_all()?;
            square = Some(match square {
                None => own,
                Some(square) => (square + own)?,
            });
        }
        let scale = square
            .map(|square| -> candle_core::Result<Tensor> { (square.sqrt()? + TINY)?.recip()? * self.rho })
            .transpose()?;
        let mut home = Vec::with_capacity(sums.len());
        for (variable, sum) in self.parameters.variables().zip(sums) {
            let values = variable.as_detached_tensor().copy()?;
            if let (Some(sum), Some(scale)) = (sum, &scale) {
                variable.set(&(&values + sum.broadcast_mul(scale)?)?)?;
            }
            home.push(values);
        }
        self.place = Place::Away(home);
        Ok(true)
    }

    fn step(&mut self, learning_rate: f64, clip: f64) -> Result<Norm> {
        let place = std::mem::replace(&mut self.place, Place::Home(nothing(&self.parameters)));
        let Place::Away(home) = place else {
            return Err(Error::Training(
                "a step towards a flat minimum without the gradients from near by: gather them once more after ascend".into(),
            ));
        };
        for (variable, values) in self.parameters.variables().zip(home) {
            variable.set(&values)?;
        }
        self.inner.step(learning_rate, clip)
    }

    fn slots(&self) -> &'static [&'static str] {
        self.inner.slots()
    }

    fn state(&self) -> Result<Vec<Values>> {
        self.inner.state()
    }

    fn resume(&mut self, state: Vec<Values>, steps: usize) -> Result<()> {
        self.inner.resume(state, steps)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::nn::{Decay, Parameter};
    use crate::op::composed::tests::on_every_device;
    use crate::train::AdamW;

    #[test]
    fn a_step_follows_the_gradient_from_rho_up_the_slope_over_all_parts() {
        on_every_device(|device| {
            let mut parameters = Parameters::new(0, device);
            let variable = |value: f32| Var::from_tensor(&Tensor::new(&[value], device).unwrap()).unwrap();
            let (a, b) = (variable(3.0), variable(1.0));
            for (name, variable) in [("a", &a), ("b", &b)] {
                let parameter = Parameter {
                    variable: variable.clone(),
                    decay: Decay::Exempt,
                };
                parameters.insert(name, parameter).unwrap();
            }
            // ½ (a² + 4 b²), in two parts.
            let gather = |sam: &mut Sam<AdamW>| {
                for (variable, half) in [(&a, 0.5), (&b, 2.0)] {
                    let loss = (variable.as_tensor().sqr().unwrap() * half).unwrap();
                    sam.accumulate(&loss.sum_all().unwrap().backward().unwrap())
                        .unwrap();
                }
            };
            let read = |variable: &Var| variable.to_vec1::<f32>().unwrap()[0];
            let near = |one: f32, other: f32| assert!((one - other).abs() < 1e-5, "{one} {other}");
            let mut sam = Sam::new(&parameters, 0.5, AdamW::new(&parameters, 0.0).unwrap());
            gather(&mut sam);
            assert!(sam.ascend().unwrap());
            // The gradient (3, 4) is five long.
            near(read(&a), 3.3);
            near(read(&b), 1.4);
            gather(&mut sam);
            sam.step(0.1, f64::INFINITY).unwrap();
            // There it is (3.3, 5.6), and a first step of AdamW goes by signs.
            let moments = sam.state().unwrap();
            for (moment, expected) in moments.iter().zip([[0.33, 0.56], [0.01089, 0.03136]]) {
                near(moment[0][0], expected[0]);
                near(moment[1][0], expected[1]);
            }
            near(read(&a), 2.9);
            near(read(&b), 0.9);
        });
    }

    #[test]
    fn a_step_without_the_second_gradients_is_refused() {
        let parameters = Parameters::new(0, &Device::Cpu);
        let mut sam = Sam::new(&parameters, 0.5, AdamW::new(&parameters, 0.0).unwrap());
        let error = sam.step(0.1, 1.0).unwrap_err().to_string();
        assert!(error.contains("ascend"), "{error}");
    }
}
