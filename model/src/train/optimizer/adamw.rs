//! AdamW (Loshchilov and Hutter 2019) with its moments in the open, so that a checkpoint can hold them.

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};

use super::on_device::OnDevice;
use super::{Norm, Optimizer, Values};
use crate::nn::{Decay, Parameters};
use crate::op::composed::composed_on;
use crate::{Error, Result};

pub(super) const BETA_1: f64 = 0.9;
pub(super) const BETA_2: f64 = 0.999;
pub(super) const EPSILON: f64 = 1e-8;

/// Adam with decoupled weight decay: β 0.9 and 0.999, ε 1e-8, moments corrected for their start at zero.
pub struct AdamW {
    parameters: Parameters,
    weight_decay: f64,
    state: State,
    steps: usize,
}

/// Gradients and moments: in main memory, value by value, or on the parameters' device, all in one tensor.
enum State {
    Values {
        gradients: Values,
        first: Values,
        second: Values,
    },
    Tensors(OnDevice),
}

/// What a step comes to, for a value of gradient g: the gradient is scaled to a norm of at most `clip`, moments are updated, and the value
/// times `decay` (where it decays) loses `size` · first / (√second · `correction` + ε).
pub(super) struct Step {
    pub clip: f64,
    pub size: f64,
    pub correction: f64,
    pub decay: f64,
}

impl AdamW {
    /// For parameters of one device, with moments at zero.
    ///
    /// # Errors
    /// A device that has no room for the moments.
    pub fn new(parameters: &Parameters, weight_decay: f64) -> Result<Self> {
        let state = match parameters.variables().next() {
            Some(first) if composed_on(first.device()) => State::Tensors(OnDevice::new(parameters)?),
            _ => {
                let zeros: Values = parameters
                    .variables()
                    .map(|v| vec![0.0; v.elem_count()])
                    .collect();
                State::Values {
                    gradients: zeros.clone(),
                    first: zeros.clone(),
                    second: zeros,
                }
            }
        };
        Ok(AdamW {
            parameters: parameters.clone(),
            weight_decay,
            state,
            steps: 0,
        })
    }
}

impl Optimizer for AdamW {
    fn accumulate(&mut self, gradients: &GradStore) -> Result<()> {
        let sums = match &mut self.state {
            State::Values { gradients, .. } => gradients,
            State::Tensors(state) => return state.accumulate(&self.parameters, gradients),
        };
        for (variable, sum) in self.parameters.variables().zip(sums) {
            if let Some(gradient) = gradients.get(variable) {
                crate::op::with_gradient(gradient, |values| {
                    sum.iter_mut().zip(values).for_each(|(s, g)| *s += g);
                })?;
            }
        }
        Ok(())
    }

    /// In main memory a norm that is no number updates nothing. On a device that shows only when it is read, which is when training
    /// stops.
    fn step(&mut self, learning_rate: f64, clip: f64) -> Result<Norm> {
        let norm = match &self.state {
            State::Values { gradients, .. } => {
                let squares = gradients.iter().flatten().map(|g| f64::from(*g) * f64::from(*g));
                squares.sum::<f64>().sqrt()
            }
            State::Tensors(_) => 0.0,
        };
        if !norm.is_finite() {
            return Ok(Norm::Known(norm));
        }
        self.steps += 1;
        let t = self.steps as i32;
        let step = Step {
            clip,
            size: learning_rate / (1.0 - BETA_1.powi(t)),
            correction: 1.0 / (1.0 - BETA_2.powi(t)).sqrt(),
            decay: 1.0 - learning_rate * self.weight_decay,
        };
        match &mut self.state {
            State::Tensors(state) => Ok(Norm::Square(state.update(&self.parameters, &step)?)),
            State::Values {
                gradients,
                first,
                second,
            } => {
                for (i, (_, parameter)) in self.parameters.iter().enumerate() {
                    let step = Step {
                        decay: match parameter.decay {
                            Decay::Decayed => step.decay,
                            Decay::Exempt => 1.0,
                        },
                        ..step
                    };
                    let (first, second) = (&mut first[i], &mut second[i]);
                    step.update(norm, &parameter.variable, &mut gradients[i], first, second)?;
                }
                Ok(Norm::Known(norm))
            }
        }
    }

    fn slots(&self) -> &'static [&'static str] {
        &["first", "second"]
    }

    fn state(&self) -> Result<Vec<Values>> {
        match &self.state {
            State::Values { first, second, .. } => Ok(vec![first.clone(), second.clone()]),
            State::Tensors(state) => Ok(state.moments(&self.parameters)?.into()),
        }
    }

    fn resume(&mut self, state: Vec<Values>, steps: usize) -> Result<()> {
        let lengths = |values: &Values| values.iter().map(Vec::len).collect::<Vec<_>>();
        let expected: Vec<usize> = self.parameters.variables().map(|v| v.elem_count()).collect();
        let moments: [Values; 2] = match state.try_into() {
            Ok(moments) => moments,
            Err(_) => return Err(foreign()),
        };
        if moments.iter().any(|moments| lengths(moments) != expected) {
            return Err(foreign());
        }
        self.steps = steps;
        match &mut self.state {
            State::Values { first, second, .. } => [*first, *second] = moments,
            State::Tensors(state) => state.resume(&moments)?,
        }
        Ok(())
    }
}

fn foreign() -> Error {
    Error::Training(
        "the optimiser's state is that of other parameters; delete the checkpoint to start anew".into(),
    )
}

impl Step {
    fn update(
        &self,
        norm: f64,
        variable: &Var,
        gradient: &mut [f32],
        first: &mut [f32],
        second: &mut [f32],
    ) -> Result<()> {
        let scale = if norm > self.clip { self.clip / norm } else { 1.0 };
        let (scale, size, decay) = (scale as f32, self.size as f32, self.decay as f32);
        let (b1, b2, eps) = (BETA_1 as f32, BETA_2 as f32, EPSILON as f32);
        // Subtracted before rounding: 1 − 0.999 in f32 is off by 5e-5.
        let (new_1, new_2) = ((1.0 - BETA_1) as f32, (1.0 - BETA_2) as f32);
        let correction = self.correction as f32;
        let mut values = variable.as_tensor().flatten_all()?.to_vec1::<f32>()?;
        for (j, value) in values.iter_mut().enumerate() {
            let g = gradient[j] * scale;
            first[j] = b1 * first[j] + new_1 * g;
            second[j] = b2 * second[j] + new_2 * g * g;
            *value = *value * decay - size * first[j] / (second[j].sqrt() * correction + eps);
        }
        gradient.fill(0.0);
        variable.set(&Tensor::from_vec(values, variable.shape(), variable.device())?)?;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::nn::Parameter;
    use crate::op::composed::tests::{on_every_device, with_fused};
    use candle_core::Device;

    /// Parameters with these values, of which the first alone decays.
    fn parameters(values: &[Tensor]) -> (Parameters, Vec<Var>) {
        let device = values[0].device();
        let mut parameters = Parameters::new(0, device);
        let variables: Vec<Var> = values.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
        for (i, variable) in variables.iter().cloned().enumerate() {
            let decay = if i == 0 { Decay::Decayed } else { Decay::Exempt };
            let parameter = Parameter { variable, decay };
            parameters.insert(&format!("parameter {i}"), parameter).unwrap();
        }
        (parameters, variables)
    }

    fn read(norm: Norm) -> f64 {
        match norm {
            Norm::Known(norm) => norm,
            Norm::Square(square) => Norm::of_square(square.to_scalar().unwrap()),
        }
    }

    #[test]
    fn agrees_with_candles_own_adamw() {
        use candle_nn::Optimizer as _;
        let start = Tensor::new(&[1.0f32, -2.0, 3.0], &Device::Cpu).unwrap();
        let (parameters, ours) = parameters(std::slice::from_ref(&start));
        let (ours, theirs) = (&ours[0], Var::from_tensor(&start).unwrap());
        let loss = |v: &Var| (v.as_tensor().sqr().unwrap() * 0.7).unwrap().sum_all().unwrap();
        let mut a = AdamW::new(&parameters, 0.01).unwrap();
        let params = candle_nn::ParamsAdamW {
            lr: 0.1,
            weight_decay: 0.01,
            ..Default::default()
        };
        let mut b = candle_nn::AdamW::new(vec![theirs.clone()], params).unwrap();
        for _ in 0..20 {
            a.accumulate(&loss(ours).backward().unwrap()).unwrap();
            a.step(0.1, f64::INFINITY).unwrap();
            b.backward_step(&loss(&theirs)).unwrap();
        }
        let (x, y) = (ours.to_vec1::<f32>().unwrap(), theirs.to_vec1::<f32>().unwrap());
        x.iter()
            .zip(&y)
            .for_each(|(x, y)| assert!((x - y).abs() < 1e-5, "{x} {y}"));
    }

    #[test]
    fn clipping_bounds_the_gradient_and_reports_the_norm_before() {
        let (parameters, variables) = parameters(&[Tensor::new(&[0.0f32, 0.0], &Device::Cpu).unwrap()]);
        let slope = Tensor::new(&[30.0f32, 40.0], &Device::Cpu).unwrap();
        let mut optimizer = AdamW::new(&parameters, 0.0).unwrap();
        let loss = (variables[0].as_tensor() * slope).unwrap().sum_all().unwrap();
        optimizer.accumulate(&loss.backward().unwrap()).unwrap();
        assert!((read(optimizer.step(0.1, 1.0).unwrap()) - 50.0).abs() < 1e-4);
        assert!((optimizer.state().unwrap()[0][0][0] - 0.1 * 0.6).abs() < 1e-6);
    }

    #[test]
    fn on_a_device_it_takes_the_same_steps_and_goes_on_from_the_same_moments() {
        let start = |device: &Device| {
            let tensor = |values: &[f32]| Tensor::new(values, device).unwrap();
            parameters(&[tensor(&[1.0, -2.0, 3.0]), tensor(&[0.5, 4.0])])
        };
        // The second variable has no gradient in the first part of a step.
        let step = |variables: &[Var], optimizer: &mut AdamW, clip: f64| {
            let (a, b) = (&variables[0], &variables[1]);
            let alone = (a.as_tensor().sqr().unwrap() * 0.7).unwrap().sum_all().unwrap();
            let both =
                (a.as_tensor().sum_all().unwrap() * b.as_tensor().sqr().unwrap().sum_all().unwrap()).unwrap();
            optimizer.accumulate(&alone.backward().unwrap()).unwrap();
            optimizer.accumulate(&both.backward().unwrap()).unwrap();
            read(optimizer.step(0.1, clip).unwrap())
        };
        let values = |variables: &[Var]| -> Vec<f32> {
            variables
                .iter()
                .flat_map(|v| v.to_vec1::<f32>().unwrap())
                .collect()
        };
        let close = |a: &[f32], b: &[f32]| {
            a.iter()
                .zip(b)
                .all(|(a, b)| (a - b).abs() < 1e-5 * (1.0 + b.abs()))
        };
        on_every_device(|device| {
            let ((on_cpu, host), (there, other)) = (start(&Device::Cpu), start(device));
            let mut on_host = with_fused(|| AdamW::new(&on_cpu, 0.01).unwrap());
            let mut on_device = AdamW::new(&there, 0.01).unwrap();
            for clip in [f64::INFINITY, 1.0, 5.0, 0.5] {
                let norms = (
                    step(&host, &mut on_host, clip),
                    step(&other, &mut on_device, clip),
                );
                assert!((norms.0 - norms.1).abs() < 1e-4 * norms.0, "{norms:?}");
                assert!(close(&values(&other), &values(&host)));
            }
            let moments = on_device.state().unwrap();
            for (ours, theirs) in moments
                .iter()
                .flatten()
                .zip(on_host.state().unwrap().iter().flatten())
            {
                assert!(close(ours, theirs));
            }
            let mut resumed = AdamW::new(&there, 0.01).unwrap();
            resumed.resume(moments, on_device.steps).unwrap();
            step(&host, &mut on_host, 1.0);
            step(&other, &mut resumed, 1.0);
            assert!(close(&values(&other), &values(&host)));
        });
    }

    #[test]
    fn only_what_decays_is_pulled_to_zero() {
        let decayed = |device: &Device| {
            let tensor = |values: &[f32]| Tensor::new(values, device).unwrap();
            let (parameters, variables) = parameters(&[tensor(&[4.0, -2.0]), tensor(&[8.0])]);
            // Without gradients there is nothing but decay.
            let mut optimizer = AdamW::new(&parameters, 0.5).unwrap();
            optimizer.step(0.5, 1.0).unwrap();
            assert_eq!(variables[0].to_vec1::<f32>().unwrap(), [3.0, -1.5]);
            assert_eq!(variables[1].to_vec1::<f32>().unwrap(), [8.0]);
        };
        with_fused(|| decayed(&Device::Cpu));
        on_every_device(decayed);
    }

    #[test]
    fn a_state_of_other_parameters_is_refused() {
        let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        let (of_two, _) = parameters(&[tensor(&[1.0]), tensor(&[2.0, 3.0])]);
        let (of_one, _) = parameters(&[tensor(&[1.0, 2.0])]);
        let state = AdamW::new(&of_two, 0.0).unwrap().state().unwrap();
        let mut other = AdamW::new(&of_one, 0.0).unwrap();
        for state in [state.clone(), state[..1].to_vec()] {
            let error = other.resume(state, 1).unwrap_err().to_string();
            assert!(error.contains("other parameters"), "{error}");
        }
    }
}
