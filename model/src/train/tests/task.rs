//! The loop over a task that is no language model: the next item of a history, from its last item alone.

use std::hash::Hasher;

use candle_core::Device;

use super::*;
use crate::nn::{Embedding, Initial, LayerNorm, Linear, Parameters};
use crate::op::cross_entropy;
use crate::train::task::{Mode, Part, Room};

const ITEMS: usize = 11;

/// `table[next]` against a linear map of the normalised `table[last]`.
struct NextItem {
    parameters: Parameters,
    items: Embedding,
    norm: LayerNorm,
    map: Linear,
    seed: u64,
}

impl NextItem {
    fn new(seed: u64) -> Self {
        let mut parameters = Parameters::new(seed, &Device::Cpu);
        let normal = Initial::Normal(0.5);
        NextItem {
            map: Linear::new(&mut parameters, "map", (6, 6), normal).unwrap(),
            items: Embedding::new(&mut parameters, "items", (ITEMS, 6), normal).unwrap(),
            norm: LayerNorm::new(&mut parameters, "norm", 6, 1e-5).unwrap(),
            parameters,
            seed,
        }
    }
}

impl Task for NextItem {
    type Example = (u32, u32);
    type Batch = (Vec<u32>, Vec<u32>);

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn fingerprint(&self) -> String {
        format!("next item after the last, seed {}", self.seed)
    }

    fn hash(&self, (last, next): &(u32, u32), hasher: &mut dyn Hasher) {
        hasher.write(&last.to_le_bytes());
        hasher.write(&next.to_le_bytes());
    }

    fn targets(&self, _: &(u32, u32)) -> usize {
        1
    }

    fn parts(&self, examples: &[&(u32, u32)], room: Room) -> Result<Vec<Part<Self::Batch>>> {
        let part = |examples: &[&(u32, u32)]| Part {
            batch: examples.iter().copied().copied().unzip(),
            targets: examples.len(),
            tokens: examples.len(),
        };
        Ok(examples.chunks(room.tokens).map(part).collect())
    }

    fn summed_loss(&self, (last, next): &Self::Batch, _: Mode) -> Result<Tensor> {
        let hidden = self
            .map
            .forward(&self.norm.forward(&self.items.forward(last)?)?)?;
        Ok(cross_entropy(&hidden, self.items.table(), next)?)
    }
}

/// Every item is followed by the one that is four further on.
fn followers() -> Vec<(u32, u32)> {
    (0..ITEMS as u32).map(|i| (i, (i + 4) % ITEMS as u32)).collect()
}

/// The parameters that the task ends with, by name, and the outcome.
fn trained(
    task: &NextItem,
    checkpoint: Option<&Path>,
    progress: &mut dyn FnMut(Progress),
) -> (Vec<(String, Vec<f32>)>, Outcome) {
    let config = TrainConfig {
        epochs: 40,
        micro_batch_tokens: 3,
        weight_decay: 0.01,
        ..config()
    };
    let checkpoint = checkpoint.map(kept_in);
    let request = Fit {
        task,
        examples: &followers(),
        held_out: &followers()[..5],
        config: &config,
        seed: 7,
        checkpoint: checkpoint.as_ref(),
    };
    let outcome = fit(request, progress).unwrap();
    let names = task.parameters.iter().map(|(name, _)| name.to_string());
    (names.zip(task.parameters.values().unwrap()).collect(), outcome)
}

/// Leaves the checkpoint of a training that was killed after its tenth step.
fn killed(task: &NextItem, checkpoint: &Path) {
    let killed = std::panic::AssertUnwindSafe(|| {
        trained(task, Some(checkpoint), &mut |p| assert!(p.step < 11, "killed"));
    });
    assert!(std::panic::catch_unwind(killed).is_err() && checkpoint.is_dir());
}

#[test]
fn a_task_of_another_kind_is_learnt_by_the_same_loop() {
    let (values, outcome) = trained(&NextItem::new(1), None, &mut |_| ());
    let names: Vec<&str> = values.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "items.weight",
            "map.bias",
            "map.weight",
            "norm.bias",
            "norm.weight"
        ]
    );
    // Eleven examples in steps of four, forty times over; chance is the logarithm of eleven, 2.4.
    assert_eq!((outcome.steps, outcome.tokens), (120, 440));
    assert!(
        outcome.held_out_loss.unwrap() < 1.0,
        "{:?}",
        outcome.held_out_curve
    );
    for ((name, before), (_, after)) in trained_not(&NextItem::new(1)).iter().zip(&values) {
        assert_ne!(before, after, "{name} has learnt nothing");
    }
}

/// The first values of a task's parameters.
fn trained_not(task: &NextItem) -> Vec<(String, Vec<f32>)> {
    let names = task.parameters.iter().map(|(name, _)| name.to_string());
    names.zip(task.parameters.values().unwrap()).collect()
}

#[test]
fn a_killed_task_resumes_to_the_same_parameters_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("state");
    let whole = trained(&NextItem::new(1), None, &mut |_| ());
    killed(&NextItem::new(1), &checkpoint);
    let mut first = None;
    let resumed = trained(&NextItem::new(1), Some(&checkpoint), &mut |p| {
        first.get_or_insert(p.step);
    });
    assert_eq!(first, Some(11), "ten steps were in the checkpoint");
    assert_eq!(resumed.0, whole.0);
    assert_eq!(resumed.1.curve, whole.1.curve);
    assert_eq!(resumed.1.held_out_curve, whole.1.held_out_curve);
}

#[test]
fn a_checkpoint_of_another_task_is_not_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("state");
    // The same examples, settings and shapes: the fingerprint alone tells the two apart.
    killed(&NextItem::new(1), &checkpoint);
    let mut first = None;
    let other = trained(&NextItem::new(2), Some(&checkpoint), &mut |p| {
        first.get_or_insert(p.step);
    });
    assert_eq!(first, Some(1), "from the beginning");
    assert_eq!(other.0, trained(&NextItem::new(2), None, &mut |_| ()).0);
}
