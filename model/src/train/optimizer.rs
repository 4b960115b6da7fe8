//! AdamW (Loshchilov and Hutter 2019) with its moments in the open, so that a checkpoint can hold them.

mod on_device;

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};

use self::on_device::OnDevice;
pub(super) use self::on_device::values_of;
use crate::Result;
use crate::op::composed::composed_on;

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Variables, the gradient gathered for the step under way, and the moments.
pub(super) struct AdamW {
    variables: Vec<Var>,
    state: State,
    /// Steps taken.
    pub steps: usize,
}

/// A vector of moments for each variable.
pub(super) type Moments = Vec<Vec<f32>>;

/// Gradients and moments: in main memory, value by value, or on the variables' device, all in one tensor.
enum State {
    Values {
        gradients: Moments,
        first: Moments,
        second: Moments,
    },
    Tensors(OnDevice),
}

/// The norm of a step's gradient before clipping.
pub(super) enum Norm {
    /// In main memory already.
    Known(f64),
    /// Its square, a scalar in f32 on a device: whoever reads it waits for the step.
    Square(Tensor),
}

impl Norm {
    /// The norm of a square that was read.
    pub fn of_square(square: f32) -> f64 {
        f64::from(square).sqrt()
    }
}

/// What a step comes to, for a value of gradient g: the gradient is scaled to a norm of at most `clip`, moments are updated, and the value times `decay` loses
/// `size` · first / (√second · `correction` + ε).
struct Step {
    clip: f64,
    size: f64,
    correction: f64,
    decay: f64,
}

impl AdamW {
    pub fn new(variables: Vec<Var>) -> Result<Self> {
        let state = match variables.first() {
            Some(first) if composed_on(first.device()) => State::Tensors(OnDevice::new(&variables)?),
            _ => {
                let zeros: Moments = variables.iter().map(|v| vec![0.0; v.elem_count()]).collect();
                State::Values {
                    gradients: zeros.clone(),
                    first: zeros.clone(),
                    second: zeros,
                }
            }
        };
        Ok(AdamW {
            variables,
            state,
            steps: 0,
        })
    }

    /// First and second moments, a vector a variable each.
    pub fn moments(&self) -> Result<[Moments; 2]> {
        match &self.state {
            State::Values { first, second, .. } => Ok([first.clone(), second.clone()]),
            State::Tensors(state) => state.moments(&self.variables),
        }
    }

    /// Takes moments and the number of steps up from a checkpoint.
    pub fn resume(&mut self, moments: [Moments; 2], steps: usize) -> Result<()> {
        self.steps = steps;
        match &mut self.state {
            State::Values { first, second, .. } => [*first, *second] = moments,
            State::Tensors(state) => state.resume(&moments)?,
        }
        Ok(())
    }

    /// Adds a part's gradients to those of the step.
    pub fn accumulate(&mut self, gradients: &GradStore) -> Result<()> {
        let sums = match &mut self.state {
            State::Values { gradients, .. } => gradients,
            State::Tensors(state) => return state.accumulate(&self.variables, gradients),
        };
        for (variable, sum) in self.variables.iter().zip(sums) {
            if let Some(gradient) = gradients.get(variable) {
                crate::op::with_gradient(gradient, |values| {
                    sum.iter_mut().zip(values).for_each(|(s, g)| *s += g);
                })?;
            }
        }
        Ok(())
    }

    /// One update with the gathered gradients, clipped to `clip`; gives their norm before clipping.
    ///
    /// In main memory a norm that is no number updates nothing. On a device that shows only when it is read, which is when training
    /// stops.
    pub fn step(&mut self, learning_rate: f64, weight_decay: f64, clip: f64) -> Result<Norm> {
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
            decay: 1.0 - learning_rate * weight_decay,
        };
        match &mut self.state {
            State::Tensors(state) => Ok(Norm::Square(state.update(&self.variables, &step)?)),
            State::Values {
                gradients,
                first,
                second,
            } => {
                for (i, variable) in self.variables.iter().enumerate() {
                    step.update(norm, variable, &mut gradients[i], &mut first[i], &mut second[i])?;
                }
                Ok(Norm::Known(norm))
            }
        }
    }
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

/// The factor on the peak rate at `step` of `total`: linear warm-up, then a cosine to zero.
pub(super) fn cosine_with_warmup(step: usize, total: usize, warmup: f64) -> f64 {
    let warm = (total as f64 * warmup).ceil();
    let step = step as f64;
    if step < warm {
        return (step + 1.0) / warm;
    }
    let done = (step - warm) / (total as f64 - warm).max(1.0);
    0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::op::composed::tests::{on_every_device, with_fused};
    use candle_core::Device;

    fn read(norm: Norm) -> f64 {
        match norm {
            Norm::Known(norm) => norm,
            Norm::Square(square) => Norm::of_square(square.to_scalar().unwrap()),
        }
    }

    #[test]
    fn agrees_with_candles_own_adamw() {
        use candle_nn::Optimizer;
        let start = Tensor::new(&[1.0f32, -2.0, 3.0], &Device::Cpu).unwrap();
        let (ours, theirs) = (
            Var::from_tensor(&start).unwrap(),
            Var::from_tensor(&start).unwrap(),
        );
        let loss = |v: &Var| (v.as_tensor().sqr().unwrap() * 0.7).unwrap().sum_all().unwrap();
        let mut a = AdamW::new(vec![ours.clone()]).unwrap();
        let params = candle_nn::ParamsAdamW {
            lr: 0.1,
            weight_decay: 0.01,
            ..Default::default()
        };
        let mut b = candle_nn::AdamW::new(vec![theirs.clone()], params).unwrap();
        for _ in 0..20 {
            a.accumulate(&loss(&ours).backward().unwrap()).unwrap();
            a.step(0.1, 0.01, f64::INFINITY).unwrap();
            b.backward_step(&loss(&theirs)).unwrap();
        }
        let (x, y) = (ours.to_vec1::<f32>().unwrap(), theirs.to_vec1::<f32>().unwrap());
        x.iter()
            .zip(&y)
            .for_each(|(x, y)| assert!((x - y).abs() < 1e-5, "{x} {y}"));
    }

    #[test]
    fn clipping_bounds_the_gradient_and_reports_the_norm_before() {
        let v = Var::new(&[0.0f32, 0.0], &Device::Cpu).unwrap();
        let slope = Tensor::new(&[30.0f32, 40.0], &Device::Cpu).unwrap();
        let mut optimizer = AdamW::new(vec![v.clone()]).unwrap();
        let loss = (v.as_tensor() * slope).unwrap().sum_all().unwrap();
        optimizer.accumulate(&loss.backward().unwrap()).unwrap();
        assert!((read(optimizer.step(0.1, 0.0, 1.0).unwrap()) - 50.0).abs() < 1e-4);
        assert!((optimizer.moments().unwrap()[0][0][0] - 0.1 * 0.6).abs() < 1e-6);
    }

    #[test]
    fn on_a_device_it_takes_the_same_steps_and_goes_on_from_the_same_moments() {
        let start = |device: &Device| {
            let tensor = |values: &[f32]| Tensor::new(values, device).unwrap();
            [tensor(&[1.0, -2.0, 3.0]), tensor(&[0.5, 4.0])].map(|t| Var::from_tensor(&t).unwrap())
        };
        // The second variable has no gradient in the first part of a step.
        let step = |[a, b]: &[Var; 2], optimizer: &mut AdamW, clip: f64| {
            let alone = (a.as_tensor().sqr().unwrap() * 0.7).unwrap().sum_all().unwrap();
            let both =
                (a.as_tensor().sum_all().unwrap() * b.as_tensor().sqr().unwrap().sum_all().unwrap()).unwrap();
            optimizer.accumulate(&alone.backward().unwrap()).unwrap();
            optimizer.accumulate(&both.backward().unwrap()).unwrap();
            read(optimizer.step(0.1, 0.01, clip).unwrap())
        };
        let values = |variables: &[Var; 2]| -> Vec<f32> {
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
            let (host, other) = (start(&Device::Cpu), start(device));
            let mut on_host = with_fused(|| AdamW::new(host.to_vec()).unwrap());
            let mut on_device = AdamW::new(other.to_vec()).unwrap();
            for clip in [f64::INFINITY, 1.0, 5.0, 0.5] {
                let norms = (
                    step(&host, &mut on_host, clip),
                    step(&other, &mut on_device, clip),
                );
                assert!((norms.0 - norms.1).abs() < 1e-4 * norms.0, "{norms:?}");
                assert!(close(&values(&other), &values(&host)));
            }
            let moments = on_device.moments().unwrap();
            for (ours, theirs) in moments
                .iter()
                .flatten()
                .zip(on_host.moments().unwrap().iter().flatten())
            {
                assert!(close(ours, theirs));
            }
            let mut resumed = AdamW::new(other.to_vec()).unwrap();
            resumed.resume(moments, on_device.steps).unwrap();
            step(&host, &mut on_host, 1.0);
            step(&other, &mut resumed, 1.0);
            assert!(close(&values(&other), &values(&host)));
        });
    }

    #[test]
    fn the_rate_rises_then_falls_to_zero() {
        let rates: Vec<f64> = (0..100).map(|s| cosine_with_warmup(s, 100, 0.1)).collect();
        assert!((rates[9] - 1.0).abs() < 1e-12 && rates[0] < 0.11);
        assert!(rates[10..].windows(2).all(|w| w[1] < w[0]));
        assert!(rates[99] < 0.01);
    }
}
