//! From frozen vectors of items' texts to the width of an encoder: a small network, or a mixture of experts, each of which shifts and maps.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::transformer::{Maps, check_dropout, check_sizes};
use crate::nn::{Decay, Initial, Linear, Parameters};
use crate::op::{Nonlinearity, dropout, linear, mix};
use crate::train::task::Mode;
use crate::{Error, Result};

/// How the vector of an item's text becomes the vector of the item.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Adapter {
    /// Two linear maps with ReLU between them, as in BLaIR's SASRecText (Hou et al. 2024).
    Mlp {
        /// Width between the maps.
        #[serde(default = "hidden")]
        hidden: usize,
        /// Share of the values that is dropped before each map in training.
        #[serde(default = "share")]
        dropout: f64,
    },
    /// UniSRec's mixture (Hou et al. 2022): every expert takes a vector of its own away and maps what is left (parametric whitening); a softmax
    /// over linear gates weighs them.
    Whitening {
        /// Experts; one has no gates.
        #[serde(default = "experts")]
        experts: usize,
        /// Whether in training noise is added to what the gates' softmax reads, as much of it as is learnt.
        #[serde(default = "noise")]
        noise: bool,
        /// Share of the text vector's values that is dropped before each expert in training.
        #[serde(default = "share")]
        dropout: f64,
    },
}

fn hidden() -> usize {
    300
}
fn experts() -> usize {
    4
}
fn noise() -> bool {
    true
}
fn share() -> f64 {
    0.2
}

impl Adapter {
    /// BLaIR's, in its sizes.
    pub(super) fn mlp() -> Self {
        Adapter::Mlp {
            hidden: hidden(),
            dropout: share(),
        }
    }

    /// UniSRec's, with four experts.
    pub(super) fn whitening() -> Self {
        Adapter::Whitening {
            experts: experts(),
            noise: noise(),
            dropout: share(),
        }
    }

    /// Refuses settings that make no adapter.
    pub(super) fn check(self) -> Result<()> {
        match self {
            Adapter::Mlp { hidden, dropout } => {
                check_sizes(&[("hidden", hidden)])?;
                check_dropout(dropout)
            }
            Adapter::Whitening { experts, dropout, .. } => {
                check_sizes(&[("experts", experts)])?;
                check_dropout(dropout)
            }
        }
    }
}

/// The least deviation of the gates' noise, as released with UniSRec.
const LEAST_NOISE: f64 = 1e-2;
/// Tells the gates' noise apart from masks that are drawn with the same key.
const NOISE: u64 = 0x6761_7465_7321;

/// What is dropped before an adapter's maps and added to its gates in one pass over some items: with the same key the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw(Option<u64>);

impl Draw {
    /// For one of the uses of an adapter in a pass, told apart by its number; nothing outside training.
    pub fn of(mode: Mode, which: u64) -> Self {
        /// Tells an adapter's draws apart from the encoder's.
        const ADAPTER: u64 = 0x6164_6170_7465_7221;
        Draw(mode.key().map(|key| mix(key ^ ADAPTER ^ mix(which))))
    }

    fn key(self, site: u64) -> Option<u64> {
        self.0.map(|key| mix(key ^ mix(site)))
    }

    fn drop(self, x: &Tensor, p: f64, site: u64) -> Result<Tensor> {
        match self.key(site) {
            None => Ok(x.clone()),
            Some(key) => Ok(dropout(x, p as f32, key)?),
        }
    }
}

/// An adapter's parameters, all of them called `adapter.…`.
#[derive(Debug)]
pub(super) enum AdapterLayer {
    Mlp {
        inner: Linear,
        outer: Linear,
        dropout: f64,
    },
    Mixture {
        experts: Vec<Expert>,
        gates: Option<Gates>,
        dropout: f64,
    },
}

/// `W (x − b)`.
#[derive(Debug)]
pub(super) struct Expert {
    /// `(text)`.
    bias: Tensor,
    /// `(width, text)`.
    weight: Tensor,
}

/// What weighs experts.
#[derive(Debug)]
pub(super) struct Gates {
    /// `(experts, text)`.
    weight: Tensor,
    /// The same, of the deviation of the noise.
    noise: Option<Tensor>,
}

impl AdapterLayer {
    /// From text vectors of `text` numbers to vectors of `width`.
    pub fn new(parameters: &mut Parameters, settings: Adapter, text: usize, width: usize) -> Result<Self> {
        settings.check()?;
        // Text vectors are of length 1 here, where a language model's are some ten times as long: maps begin wider than in the releases.
        let initial = |shape| Maps::Xavier.initial(shape);
        match settings {
            Adapter::Mlp { hidden, dropout } => {
                let (inner, outer) = ((hidden, text), (width, hidden));
                Ok(AdapterLayer::Mlp {
                    inner: Linear::new(parameters, "adapter.inner", inner, initial(inner))?,
                    outer: Linear::new(parameters, "adapter.outer", outer, initial(outer))?,
                    dropout,
                })
            }
            Adapter::Whitening {
                experts,
                noise,
                dropout,
            } => {
                let mut expert = |nth: usize| -> Result<Expert> {
                    let name = format!("adapter.experts.{nth}");
                    let shape = (width, text);
                    Ok(Expert {
                        bias: parameters.create(
                            &format!("{name}.bias"),
                            text,
                            Initial::Zeros,
                            Decay::Exempt,
                        )?,
                        weight: parameters.create(
                            &format!("{name}.weight"),
                            shape,
                            initial(shape),
                            Decay::Decayed,
                        )?,
                    })
                };
                let all = (0..experts).map(&mut expert).collect::<Result<_>>()?;
                let mut gate =
                    |name: &str| parameters.create(name, (experts, text), Initial::Zeros, Decay::Decayed);
                // The softmax of one is one, whatever its gate: it would never learn.
                let gates = match experts {
                    1 => None,
                    _ => Some(Gates {
                        weight: gate("adapter.gates.weight")?,
                        noise: noise.then(|| gate("adapter.gates.noise")).transpose()?,
                    }),
                };
                Ok(AdapterLayer::Mixture {
                    experts: all,
                    gates,
                    dropout,
                })
            }
        }
    }

    /// The vectors of items, `(items, width)`, from those of their texts, `(items, text)`.
    pub fn forward(&self, x: &Tensor, draw: Draw) -> Result<Tensor> {
        match self {
            AdapterLayer::Mlp {
                inner,
                outer,
                dropout,
            } => {
                let hidden = inner.forward_then(&draw.drop(x, *dropout, 0)?, Nonlinearity::Relu)?;
                outer.forward(&draw.drop(&hidden, *dropout, 1)?)
            }
            AdapterLayer::Mixture {
                experts,
                gates,
                dropout,
            } => {
                let shares = gates.as_ref().map(|gates| gates.forward(x, draw)).transpose()?;
                let mut sum: Option<Tensor> = None;
                for (nth, expert) in experts.iter().enumerate() {
                    let mut found = expert.forward(&draw.drop(x, *dropout, nth as u64)?)?;
                    if let Some(shares) = &shares {
                        found = found.broadcast_mul(&shares.narrow(1, nth, 1)?)?;
                    }
                    sum = Some(match sum {
                        None => found,
                        Some(sum) => (sum + found)?,
                    });
                }
                sum.ok_or_else(|| Error::Usage("experts 0: give 1 or more".into()))
            }
        }
    }
}

impl Expert {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        // W x − W b: the gradient of b comes through one row, and nothing as large as the texts is kept.
        let shift = linear(&self.bias.unsqueeze(0)?, &self.weight, None)?;
        Ok(linear(x, &self.weight, None)?.broadcast_sub(&shift)?)
    }
}

impl Gates {
    /// The experts' shares of each item, `(items, experts)`.
    fn forward(&self, x: &Tensor, draw: Draw) -> Result<Tensor> {
        let mut logits = linear(x, &self.weight, None)?;
        if let (Some(noise), Some(key)) = (&self.noise, draw.key(NOISE)) {
            let raw = linear(x, noise, None)?;
            // log(1 + eˣ) without overflow: m + log(eˣ⁻ᵐ + e⁻ᵐ), with m whichever of x and zero is greater.
            let greater = raw.relu()?.detach();
            let powers = ((raw - &greater)?.exp()? + greater.neg()?.exp()?)?;
            let softplus = (greater + powers.log()?)?;
            let values = gaussian(logits.elem_count(), key);
            let values = Tensor::from_vec(values, logits.shape(), logits.device())?;
            logits = (logits + (values * (softplus + LEAST_NOISE)?)?)?;
        }
        let greatest = logits.max_keepdim(1)?.detach();
        let powers = logits.broadcast_sub(&greatest)?.exp()?;
        Ok(powers.broadcast_div(&powers.sum_keepdim(1)?)?)
    }
}

/// Normal numbers of deviation one: a function of the key and of where they stand (Box and Muller 1958).
fn gaussian(count: usize, key: u64) -> Vec<f32> {
    let uniform = |bits: u64| (bits >> 11) as f64 / (1u64 << 53) as f64;
    let value = |nth: usize| {
        let one = mix(key ^ mix(nth as u64));
        // One less a number below one is never zero.
        let radius = (-2.0 * (1.0 - uniform(one)).ln()).sqrt();
        (radius * (std::f64::consts::TAU * uniform(mix(one))).cos()) as f32
    };
    (0..count).map(value).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use candle_core::Device;

    use super::*;

    fn layer(settings: Adapter) -> (AdapterLayer, Parameters) {
        let mut parameters = Parameters::new(7, &Device::Cpu);
        let layer = AdapterLayer::new(&mut parameters, settings, 6, 4).unwrap();
        let values = |(name, parameter): (&str, &crate::nn::Parameter)| {
            Initial::Normal(0.5).values(parameter.variable.elem_count(), 3, name)
        };
        parameters.set(parameters.iter().map(values).collect()).unwrap();
        (layer, parameters)
    }

    fn texts() -> Tensor {
        Tensor::from_vec(Initial::Normal(1.0).values(30, 1, "texts"), (5, 6), &Device::Cpu).unwrap()
    }

    #[test]
    fn noise_is_normal_and_a_function_of_its_key() {
        let values = gaussian(20_000, 9);
        assert_eq!(values[..50], gaussian(50, 9));
        assert_ne!(values[..50], gaussian(50, 10));
        let mean = values.iter().sum::<f32>() / 20_000.0;
        let square = values.iter().map(|v| v * v).sum::<f32>() / 20_000.0;
        assert!(
            mean.abs() < 0.03 && (square - 1.0).abs() < 0.05,
            "{mean} {square}"
        );
        // A fifth lies beyond 1.2816 to either side.
        let beyond = values.iter().filter(|v| v.abs() > 1.2816).count();
        assert!((3800..4200).contains(&beyond), "{beyond}");
    }

    #[test]
    fn experts_shift_and_map_and_their_shares_are_a_softmax() {
        let settings = Adapter::Whitening {
            experts: 3,
            noise: true,
            dropout: 0.2,
        };
        let (layer, parameters) = layer(settings);
        let named = |name: &str| {
            let found = parameters.iter().find(|(own, _)| *own == name).unwrap();
            found.1.variable.as_detached_tensor()
        };
        let x = texts();
        let found = layer.forward(&x, Draw::of(Mode::Evaluation, 0)).unwrap();
        let logits = x.matmul(&named("adapter.gates.weight").t().unwrap()).unwrap();
        let shares = candle_nn::ops::softmax(&logits, 1).unwrap();
        let mut expected = found.zeros_like().unwrap();
        for nth in 0..3 {
            let (bias, weight) = (
                named(&format!("adapter.experts.{nth}.bias")),
                named(&format!("adapter.experts.{nth}.weight")),
            );
            let one = x
                .broadcast_sub(&bias)
                .unwrap()
                .matmul(&weight.t().unwrap())
                .unwrap();
            let weighed = one.broadcast_mul(&shares.narrow(1, nth, 1).unwrap()).unwrap();
            expected = (expected + weighed).unwrap();
        }
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (found, expected) in flat(&found).iter().zip(flat(&expected)) {
            assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        }
        // In training gates are noisy and values drop: the same with the same key, and others in another use of the same pass.
        let drawn = |key, which| {
            flat(
                &layer
                    .forward(&x, Draw::of(Mode::Training { key }, which))
                    .unwrap(),
            )
        };
        assert_eq!(drawn(1, 0), drawn(1, 0));
        assert!(drawn(1, 0) != drawn(2, 0) && drawn(1, 0) != drawn(1, 1));
    }

    #[test]
    fn one_expert_has_no_gates_and_without_noise_gates_have_none() {
        let names = |experts, noise| {
            let (_, parameters) = layer(Adapter::Whitening {
                experts,
                noise,
                dropout: 0.0,
            });
            let gates = parameters.iter().filter(|(name, _)| name.contains("gates"));
            gates.map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
        };
        assert!(names(1, true).is_empty());
        assert_eq!(names(2, false), ["adapter.gates.weight"]);
        assert_eq!(names(2, true), ["adapter.gates.noise", "adapter.gates.weight"]);
    }

    #[test]
    fn settings_that_make_no_adapter_are_refused() {
        let mut parameters = Parameters::new(7, &Device::Cpu);
        let mut error = |text: &str| {
            let settings: Adapter = serde_json::from_str(text).unwrap();
            match AdapterLayer::new(&mut parameters, settings, 6, 4) {
                Ok(_) => String::new(),
                Err(error) => error.to_string(),
            }
        };
        assert!(error(r#"{"mlp": {"hidden": 0}}"#).contains("hidden 0"));
        assert!(error(r#"{"whitening": {"experts": 0}}"#).contains("experts 0"));
        assert!(error(r#"{"whitening": {"dropout": 1.0}}"#).contains("dropout 1"));
        let unknown = serde_json::from_str::<Adapter>(r#"{"mlp": {"widht": 3}}"#).unwrap_err();
        assert!(unknown.to_string().contains("widht"), "{unknown}");
    }
}
