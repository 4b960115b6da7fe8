//! AdamW (Loshchilov and Hutter 2019) with its moments in the open, so that a checkpoint can hold them.

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};

use crate::Result;

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Variables, the gradient gathered for the step under way, and the moments.
pub(super) struct AdamW {
    variables: Vec<Var>,
    gradients: Vec<Vec<f32>>,
    /// First moments, a vector a variable.
    pub first: Vec<Vec<f32>>,
    /// Second moments, a vector a variable.
    pub second: Vec<Vec<f32>>,
    /// Steps taken.
    pub steps: usize,
}

impl AdamW {
    pub fn new(variables: Vec<Var>) -> Self {
        let zeros: Vec<Vec<f32>> = variables.iter().map(|v| vec![0.0; v.elem_count()]).collect();
        AdamW {
            variables,
            gradients: zeros.clone(),
            first: zeros.clone(),
            second: zeros,
            steps: 0,
        }
    }

    /// Adds a part's gradients to those of the step.
    pub fn accumulate(&mut self, gradients: &GradStore) -> Result<()> {
        for (variable, sum) in self.variables.iter().zip(&mut self.gradients) {
            if let Some(gradient) = gradients.get(variable) {
                crate::op::with_gradient(gradient, |values| {
                    sum.iter_mut().zip(values).for_each(|(s, g)| *s += g);
                })?;
            }
        }
        Ok(())
    }

    /// One update with the gathered gradients, clipped to `clip`; returns their norm before clipping.
    pub fn step(&mut self, learning_rate: f64, weight_decay: f64, clip: f64) -> Result<f64> {
        let square: f64 = self
            .gradients
            .iter()
            .flatten()
            .map(|g| f64::from(*g) * f64::from(*g))
            .sum();
        let norm = square.sqrt();
        let scale = if norm > clip { clip / norm } else { 1.0 } as f32;
        self.steps += 1;
        let t = self.steps as i32;
        let step_size = (learning_rate / (1.0 - BETA_1.powi(t))) as f32;
        let second_correction = (1.0 / (1.0 - BETA_2.powi(t)).sqrt()) as f32;
        let decay = (1.0 - learning_rate * weight_decay) as f32;
        let (b1, b2, eps) = (BETA_1 as f32, BETA_2 as f32, EPSILON as f32);
        // Subtracted before rounding: 1 − 0.999 in f32 is off by 5e-5.
        let (new_1, new_2) = ((1.0 - BETA_1) as f32, (1.0 - BETA_2) as f32);
        for (i, variable) in self.variables.iter().enumerate() {
            let mut values = variable.as_tensor().flatten_all()?.to_vec1::<f32>()?;
            let (first, second) = (&mut self.first[i], &mut self.second[i]);
            for (j, value) in values.iter_mut().enumerate() {
                let g = self.gradients[i][j] * scale;
                first[j] = b1 * first[j] + new_1 * g;
                second[j] = b2 * second[j] + new_2 * g * g;
                *value = *value * decay - step_size * first[j] / (second[j].sqrt() * second_correction + eps);
            }
            self.gradients[i].fill(0.0);
            variable.set(&Tensor::from_vec(values, variable.shape(), variable.device())?)?;
        }
        Ok(norm)
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
    use candle_core::Device;

    #[test]
    fn agrees_with_candles_own_adamw() {
        use candle_nn::Optimizer;
        let start = Tensor::new(&[1.0f32, -2.0, 3.0], &Device::Cpu).unwrap();
        let (ours, theirs) = (
            Var::from_tensor(&start).unwrap(),
            Var::from_tensor(&start).unwrap(),
        );
        let loss = |v: &Var| (v.as_tensor().sqr().unwrap() * 0.7).unwrap().sum_all().unwrap();
        let mut a = AdamW::new(vec![ours.clone()]);
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
        let mut optimizer = AdamW::new(vec![v.clone()]);
        let loss = (v.as_tensor() * slope).unwrap().sum_all().unwrap();
        optimizer.accumulate(&loss.backward().unwrap()).unwrap();
        assert!((optimizer.step(0.1, 0.0, 1.0).unwrap() - 50.0).abs() < 1e-4);
        assert!((optimizer.first[0][0] - 0.1 * 0.6).abs() < 1e-6);
    }

    #[test]
    fn the_rate_rises_then_falls_to_zero() {
        let rates: Vec<f64> = (0..100).map(|s| cosine_with_warmup(s, 100, 0.1)).collect();
        assert!((rates[9] - 1.0).abs() < 1e-12 && rates[0] < 0.11);
        assert!(rates[10..].windows(2).all(|w| w[1] < w[0]));
        assert!(rates[99] < 0.01);
    }
}
