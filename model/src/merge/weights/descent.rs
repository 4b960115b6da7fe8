//! λ by gradients, the adapters frozen: AdaMerging's way, and WeaveRec's own option and RecCocktail's; with other starts and objectives
//! FeDecider's and MergeRec's.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::Hasher;

use candle_core::{DType, Device, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::objective::{Case, Decoders, Differentiable};
use super::search::{Course, Tried};
use super::stacked::Gradient;
use super::{Answer, CandidateEntropy, Distillation, Goal, Grain, Lambda, Stacked};
use crate::nn::{Decay, Parameter, Parameters};
use crate::op::on_pool;
use crate::train::task::{Mode, Part, Room, Task};
use crate::train::{Fit, Keep, TrainConfig, fit};
use crate::{Error, Result};

/// What is learnt of which λ is made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Form {
    /// softmax(logits / temperature) over the members: positive, and the sum is 1.
    Softmax {
        /// What logits are divided by.
        temperature: f64,
    },
    /// sigmoid(logit) of each: between 0 and 1, with any sum.
    Sigmoid,
    /// λ itself.
    Free,
}

impl Form {
    fn check(self) -> Result<()> {
        match self {
            Form::Softmax { temperature } if !(temperature.is_finite() && temperature > 0.0) => {
                Err(Error::Merge(format!(
                    "a softmax of temperature {temperature}: give a number above 0"
                )))
            }
            _ => Ok(()),
        }
    }

    /// λ of what is learnt.
    fn coefficients(self, learnt: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Form::Softmax { temperature } => {
                let logits = (learnt / temperature)?;
                let e = logits.broadcast_sub(&logits.max_keepdim(0)?.detach())?.exp()?;
                e.broadcast_div(&e.sum_keepdim(0)?)
            }
            Form::Sigmoid => (learnt.neg()?.exp()? + 1.0)?.recip(),
            Form::Free => Ok(learnt.clone()),
        }
    }

    /// What is learnt where λ begins, of each member.
    fn start(self, start: Start, members: usize) -> Result<Vec<f32>> {
        let share = 1.0 / members as f64;
        match (self, start) {
            (Form::Softmax { .. }, Start::Equal) => Ok(vec![0.0; members]),
            // A single member begins as if it were one of two: no logit is 1.
            (Form::Sigmoid, Start::Equal) if members == 1 => Ok(vec![0.0]),
            (Form::Sigmoid, Start::Equal) => Ok(vec![(share / (1.0 - share)).ln() as f32; members]),
            (Form::Free, Start::Equal) => Ok(vec![share as f32; members]),
            (Form::Free, Start::Each(value)) if value.is_finite() => Ok(vec![value as f32; members]),
            (Form::Free, Start::Each(value)) => {
                Err(Error::Merge(format!("λ that begin at {value}; give a number")))
            }
            (Form::Free, Start::Member(number)) if (1..=members).contains(&number) => {
                let own = |place: usize| if place + 1 == number { 1.0 } else { 0.0 };
                Ok((0..members).map(own).collect())
            }
            (Form::Free, Start::Member(number)) => Err(Error::Merge(format!(
                "λ that begin at member {number} of {members}; members are numbered from 1"
            ))),
            (Form::Softmax { .. } | Form::Sigmoid, _) => Err(Error::Merge(
                "a softmax and sigmoids begin at equal parts: leave start out, or set form to free".into(),
            )),
        }
    }
}

/// Where λ begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// One over the number of members for each.
    #[default]
    Equal,
    /// 1 for the member of this number, from 1, and 0 for the others.
    Member(usize),
    /// The same number for each.
    Each(f64),
}

impl Start {
    fn is_equal(&self) -> bool {
        *self == Start::Equal
    }
}

/// AdamW on what λ is made of, from equal parts or another start, along a cosine from the learning rate to nothing.
///
/// Settings that came later are not written where they are what held before there was a choice, so that what names a merge stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Descent {
    /// A number a member, or one a member and module.
    pub per: Grain,
    /// What λ is made of.
    pub form: Form,
    /// Where it begins; anywhere but at equal parts it must be free.
    #[serde(skip_serializing_if = "Start::is_equal")]
    pub start: Start,
    /// Whether λ is of the updates' directions, all of them as long as those of the member that `start` names.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub directions: bool,
    /// Decoupled decay of what is learnt towards the start.
    #[serde(skip_serializing_if = "is_nothing")]
    pub weight_decay: f64,
    /// Rate of the first step.
    pub learning_rate: f64,
    /// Passes over the cases; the λ after the best of them is taken, or the start where none is better.
    pub epochs: usize,
    /// Steps at least, by as many whole passes as these take; in place of `epochs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// Cases a step.
    pub batch_size: usize,
    /// Order of the cases.
    pub seed: u64,
    /// What is made small.
    pub objective: Goal,
}

impl Default for Descent {
    fn default() -> Self {
        Descent {
            per: Grain::Adapter,
            form: Form::Softmax { temperature: 1.0 },
            start: Start::Equal,
            directions: false,
            weight_decay: 0.0,
            learning_rate: 0.1,
            epochs: 5,
            steps: None,
            batch_size: 16,
            seed: 0,
            objective: Goal::CandidateEntropy(CandidateEntropy::default()),
        }
    }
}

fn is_nothing(value: &f64) -> bool {
    *value == 0.0
}

impl Descent {
    /// FeDecider in one shot: a number a direction, from the target's own update, by the loss of the target's training prompts. The target
    /// is the first member. Learning rate and steps are ours, where the authors' code is not known; rounds, clients and privacy are left out.
    pub fn fedecider() -> Self {
        Descent {
            directions: true,
            ..Self::learned_sum()
        }
    }

    /// The same of the updates themselves, which tells what the directions do: learned task arithmetic.
    pub fn learned_sum() -> Self {
        Descent {
            form: Form::Free,
            start: Start::Member(1),
            weight_decay: 0.1,
            learning_rate: 0.01,
            steps: Some(150),
            batch_size: 8,
            objective: Goal::Answer(Answer::default()),
            ..Descent::default()
        }
    }

    /// MergeRec: a number a member, from 0.2 each as its code has it, by what each member says of pseudo-users of its own domain. Its code
    /// takes 500 steps at 0.001; fewer and longer ones reach as far.
    pub fn mergerec() -> Self {
        Descent {
            form: Form::Free,
            start: Start::Each(0.2),
            learning_rate: 0.02,
            steps: Some(100),
            objective: Goal::Distillation(Distillation::default()),
            ..Descent::default()
        }
    }

    /// The member whose length directions have, by its number from 1; none where λ is of the updates themselves.
    ///
    /// # Errors
    /// Directions without a member to begin at.
    pub(super) fn target(&self) -> Result<Option<usize>> {
        match (self.directions, self.start) {
            (false, _) => Ok(None),
            (true, Start::Member(number)) => Ok(Some(number)),
            (true, _) => Err(Error::Merge(
                "directions are as long as the update that λ begins at, and it begins at none: give start a member, as {\"member\": 1}".into(),
            )),
        }
    }

    /// Passes over so many cases.
    fn passes(&self, steps_a_pass: usize) -> usize {
        self.steps
            .map_or(self.epochs, |steps| steps.div_ceil(steps_a_pass.max(1)))
    }
}

/// The weights of a stack of adapters as what is trained: how far what λ is made of is from where it began, so that decay draws it there.
pub(super) struct Weighing<'a> {
    stacked: &'a Stacked,
    objective: &'a dyn Differentiable,
    form: Form,
    grain: Grain,
    start: Tensor,
    parameters: Parameters,
}

/// The name of what all modules share.
const SHARED: &str = "lambda";

impl<'a> Weighing<'a> {
    pub fn new(
        stacked: &'a Stacked,
        objective: &'a dyn Differentiable,
        form: Form,
        grain: Grain,
        start: Start,
    ) -> Result<Self> {
        form.check()?;
        let members = stacked.members();
        let start = form.start(start, members)?;
        // A handful of numbers: they are best where the optimiser's are.
        let mut parameters = Parameters::new(0, &Device::Cpu);
        let names: Vec<&str> = match grain {
            Grain::Adapter => vec![SHARED],
            Grain::Module => stacked.modules().collect(),
        };
        for name in names {
            let parameter = Parameter {
                variable: Var::from_vec(vec![0f32; members], members, &Device::Cpu)?,
                decay: Decay::Decayed,
            };
            parameters.insert(name, parameter)?;
        }
        Ok(Weighing {
            stacked,
            objective,
            form,
            grain,
            start: Tensor::from_vec(start, members, &Device::Cpu)?,
            parameters,
        })
    }

    /// λ of what was learnt.
    fn coefficients(&self, learnt: &Tensor) -> candle_core::Result<Tensor> {
        self.form.coefficients(&(&self.start + learnt)?)
    }

    /// λ of the current values.
    pub fn lambda(&self) -> Result<Lambda> {
        let mut of = BTreeMap::new();
        for (name, parameter) in self.parameters.iter() {
            let values = self.coefficients(&parameter.variable.as_detached_tensor())?;
            let values = values.to_vec1::<f32>()?.into_iter().map(f64::from);
            of.insert(name.to_string(), values.collect::<Vec<f64>>());
        }
        Ok(match self.grain {
            Grain::Adapter => Lambda::Adapter(of.remove(SHARED).unwrap_or_default()),
            Grain::Module => Lambda::Module(of),
        })
    }

    /// The objective's sum over cases at the current values, and its gradient over λ.
    pub fn sum_and_gradient(&self, cases: &[Case], room: Room) -> Result<(f64, Gradient)> {
        self.stacked.weigh(&self.lambda()?)?;
        let decoders = Decoders {
            frozen: self.stacked.frozen(),
            tracked: self.stacked.tracked(),
        };
        let mut by_module = Gradient::new();
        let mut backward = |loss: &Tensor| -> Result<()> {
            let gradients = on_pool(loss.device(), || loss.backward())?;
            self.stacked.gather(&gradients, &mut by_module)
        };
        let sum = self.objective.sum(decoders, cases, room, &mut backward)?;
        let gradient = match self.grain {
            Grain::Module => by_module,
            // One λ is in every module.
            Grain::Adapter => {
                let mut all = vec![0.0; self.stacked.members()];
                for own in by_module.values() {
                    all.iter_mut().zip(own).for_each(|(all, own)| *all += own);
                }
                [(SHARED.to_string(), all)].into()
            }
        };
        Ok((sum, gradient))
    }
}

/// Cases, and the room that they have.
pub(super) type Batch = (Vec<Case>, Room);

impl Task for Weighing<'_> {
    type Example = Case;
    type Batch = Batch;

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn fingerprint(&self) -> String {
        format!("{} {:?} {:?}", self.objective.name(), self.form, self.grain)
    }

    fn hash(&self, case: &Case, hasher: &mut dyn Hasher) {
        let texts = std::iter::once(&case.query.prompt).chain(&case.query.candidates);
        for text in texts {
            hasher.write(&(text.len() as u64).to_le_bytes());
            text.iter().for_each(|token| hasher.write(&token.to_le_bytes()));
        }
        let says = case.teacher.iter().flatten();
        says.for_each(|score| hasher.write(&score.to_le_bytes()));
        hasher.write(&case.target.map_or(u64::MAX, |target| target as u64).to_le_bytes());
    }

    fn targets(&self, _: &Case) -> usize {
        1
    }

    fn parts(&self, cases: &[&Case], room: Room) -> Result<Vec<Part<Batch>>> {
        // An objective makes its own passes.
        Ok(vec![Part {
            batch: (cases.iter().map(|case| (*case).clone()).collect(), room),
            targets: cases.len(),
            tokens: cases.iter().map(|case| self.objective.tokens(case)).sum(),
        }])
    }

    fn summed_loss(&self, (cases, room): &Batch, mode: Mode) -> Result<Tensor> {
        if mode == Mode::Evaluation {
            self.stacked.weigh(&self.lambda()?)?;
            let mean = self.objective.value(self.stacked.frozen(), cases, *room)?;
            return Ok(Tensor::new((mean * cases.len() as f64) as f32, &Device::Cpu)?);
        }
        let (sum, gradient) = self.sum_and_gradient(cases, *room)?;
        // A scalar of this value and this gradient; from λ on candle goes back to what is learnt.
        let mut loss = Tensor::zeros((), DType::F32, &Device::Cpu)?;
        for (name, parameter) in self.parameters.iter() {
            if let Some(slopes) = gradient.get(name) {
                let slopes: Vec<f32> = slopes.iter().map(|slope| *slope as f32).collect();
                let slopes = Tensor::new(slopes, &Device::Cpu)?;
                let lambda = self.coefficients(parameter.variable.as_tensor())?;
                let moved = (&lambda - lambda.detach())?;
                loss = (loss + (moved * slopes)?.sum_all()?)?;
            }
        }
        Ok((loss + sum)?)
    }
}

impl Descent {
    /// Learns λ. What is tried is the start, the place of every later step with the loss of its own cases, and at the end the place
    /// that is best over all cases.
    ///
    /// # Errors
    /// An objective without a gradient, settings that learn nothing, or a loss that is no number.
    pub(super) fn run(&self, course: &mut Course) -> Result<(Tried, Lambda, f64)> {
        let objective = course.objective.differentiable().ok_or_else(|| {
            Error::Merge(format!(
                "{} has no gradient; choose by a grid or a search, or by a likelihood or an entropy",
                course.objective.name()
            ))
        })?;
        let weighing = Weighing::new(course.stacked, objective, self.form, self.per, self.start)?;
        let start = weighing.lambda()?.rounded();
        let before = course.value(&start)?;
        let steps = course.cases.len().div_ceil(self.batch_size.max(1));
        let config = TrainConfig {
            learning_rate: self.learning_rate,
            epochs: self.passes(steps),
            batch_size: self.batch_size,
            micro_batch_tokens: course.room.tokens,
            activation_memory: course.room.activation_memory >> 20,
            warmup: 0.0,
            weight_decay: self.weight_decay,
            // Few numbers, and AdamW's steps do not grow with the gradient.
            clip: 1e9,
            evaluate_every: steps,
            patience: 0,
            keep: Keep::Best,
            flat: None,
            checkpoint_every: 0,
        };
        let request = Fit {
            task: &weighing,
            examples: course.cases,
            held_out: course.cases,
            config: &config,
            seed: self.seed,
            checkpoint: None,
        };
        let tried = RefCell::new((Tried(vec![(start.clone(), before)]), start.clone(), Ok(())));
        fit(request, &mut |news| {
            (course.progress)(news.step, news.total);
            let mut tried = tried.borrow_mut();
            let place = std::mem::replace(&mut tried.1, start.clone());
            // The start is there already, over all cases.
            if news.step > 1 {
                tried.0.push(place, news.loss);
            }
            match weighing.lambda() {
                Ok(lambda) => tried.1 = lambda.rounded(),
                Err(error) => tried.2 = Err(error),
            }
        })?;
        let (mut tried, _, read) = tried.into_inner();
        read?;
        let lambda = weighing.lambda()?.rounded();
        let after = course.value(&lambda)?;
        tried.push(lambda.clone(), after);
        Ok(match after < before {
            true => (tried, lambda, after),
            false => (tried, start, before),
        })
    }
}
