//! What is trained on the target: an adapter of the universal decoder, and the gate.

use candle_core::Tensor;

use super::mixture::{Mixture, Weighing, loss};
use super::{Adapted, GATE_WEIGHT, Gate, Gencdr};
use crate::Result;
use crate::backbone::{Decoder, Pass};
use crate::lora::TrainableLora;
use crate::nn::{Decay, Initial, Parameters};
use crate::op::cross_entropy;
use crate::recommender::tiger::task::Learner;
use crate::train::task::Mode;

/// An adapter and a gate over a frozen decoder.
pub(super) struct Adapting<'a> {
    universal: &'a Decoder,
    lora: TrainableLora,
    gate: Gate,
    /// The gate's vector, where it is learnt.
    weight: Option<Tensor>,
    /// The adapter's factors and the gate's vector.
    parameters: Parameters,
}

impl<'a> Adapting<'a> {
    /// With first values by which the adapter changes nothing and the gate lets both decoders count as much.
    pub fn new(universal: &'a Decoder, settings: &Gencdr, seed: u64) -> Result<Self> {
        let lora = TrainableLora::new(universal, settings.lora(), seed)?;
        let mut parameters = lora.parameters().clone();
        let weight = match settings.gate {
            Gate::Fixed(_) => None,
            Gate::Learned => {
                let shape = (1, universal.config().hidden_size);
                Some(parameters.create(GATE_WEIGHT, shape, Initial::Zeros, Decay::Exempt)?)
            }
        };
        Ok(Adapting {
            universal,
            lora,
            gate: settings.gate,
            weight,
            parameters,
        })
    }

    /// A copy of the current values.
    pub fn adapted(&self) -> Result<Adapted> {
        let copy = |weight: &Tensor| weight.detach().copy();
        Ok(Adapted {
            adapter: self.lora.adapter()?,
            gate: self.weight.as_ref().map(copy).transpose()?,
        })
    }
}

impl Learner for Adapting<'_> {
    type Frozen = Mixture;

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn summed_loss(&self, pass: &Pass, rows: &[u32], targets: &[u32], mode: Mode) -> Result<Tensor> {
        let adapted = self.lora.attach(self.universal, mode.key())?;
        let states = adapted.hidden_of(pass, rows, None)?;
        if self.gate == Gate::Fixed(1.0) {
            return Ok(cross_entropy(&states, adapted.head(), targets)?);
        }
        // Nothing is kept for a backward that does not go through it.
        let mut pass = pass.clone();
        pass.keep(0);
        let universal = self.universal.hidden_of(&pass, rows, None)?;
        let weighing = Weighing::of(self.gate, self.weight.as_ref())?;
        loss(&states, &universal, adapted.head(), &weighing, targets)
    }

    fn frozen(&self) -> Result<Mixture> {
        let Adapted { adapter, gate } = self.adapted()?;
        let weighing = Weighing::of(self.gate, gate.as_ref())?;
        Ok(Mixture::new(
            self.universal.folded(&adapter)?,
            self.universal,
            weighing,
        ))
    }
}
