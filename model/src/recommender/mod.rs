//! Sequential recommenders that are fitted by gradients: what they are fitted to, how a fit goes, and what comes of it.
//!
//! This copy has the signatures that the harness is written against and the smallest model that is one: an item is scored by the product of its
//! vector and the last item's, whatever the system is called.

pub mod vectors;

use std::hash::Hasher;
use std::path::Path;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::io::{atomic, safetensors};
use crate::nn::{Embedding, Initial, Parameters};
use crate::op::cross_entropy;
use crate::train::task::{Mode, Part, Room};
use crate::train::{self, Checkpoint, Fit, Progress, Task, TrainConfig};
use crate::{Error, Result};

pub use vectors::Vectors;

/// What a recommender is fitted to: plain values, in which held-out test items have no place.
pub struct Data<'a> {
    /// Number of items; ids are 1..=items.
    pub items: usize,
    /// The training part of each user, oldest first.
    pub train: &'a [Vec<u32>],
    /// Users who choose the epoch: history (oldest first) and the item that came next.
    pub validation: &'a [(Vec<u32>, u32)],
    /// One vector an item (row i-1), where the row reads texts.
    pub vectors: Option<&'a Vectors>,
}

/// A fitted recommender.
pub trait Recommender: Send + Sync {
    /// Scores of all items (item 1 first) for each history (oldest first, whole); `out` is histories × items.
    ///
    /// # Errors
    /// An item that there is not, or an `out` of another length.
    fn scores(&self, histories: &[&[u32]], out: &mut [f32]) -> Result<()>;
    /// Writes it into a folder: safetensors and JSON.
    ///
    /// # Errors
    /// A folder that cannot be written.
    fn save(&self, folder: &Path) -> Result<()>;
}

/// A system with its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum System {
    /// Self-attention over the items of a history.
    Sasrec(Sasrec),
    /// A recurrent network over them.
    Gru4rec(Gru4rec),
    /// Attention in both directions, fitted to masked items.
    Bert4rec(Bert4rec),
}

/// What a position comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Loss {
    /// Cross-entropy over the whole catalogue.
    #[default]
    Ce,
    /// Cross-entropy over the target and a sample.
    Sampled {
        /// Items in the sample.
        negatives: usize,
    },
    /// The generalised binary cross-entropy of gSASRec.
    Gbce {
        /// Items a position.
        negatives: usize,
        /// Its calibration.
        t: f64,
    },
    /// Binary cross-entropy of the target and one other item.
    Bce,
}

/// The form of SASRec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flavour {
    /// The published one.
    #[default]
    Original,
    /// That of RecBole.
    Recbole,
}

/// How long and how fast a system is fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// Learning rate.
    pub learning_rate: f64,
    /// Most passes over the users.
    pub epochs: usize,
    /// Users a step.
    pub batch_size: usize,
    /// Epochs without a better validation after which the fit ends; 0 goes through all.
    pub patience: usize,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule {
            learning_rate: 1e-3,
            epochs: 20,
            batch_size: 256,
            patience: 3,
        }
    }
}

/// Settings of SASRec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sasrec {
    /// Which form.
    pub flavour: Flavour,
    /// What a position comes to.
    pub loss: Loss,
    /// Width of the vectors.
    pub width: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// Width within the feed-forward of the form of RecBole.
    pub inner: usize,
    /// Most items of a history that are read, the latest.
    pub length: usize,
    /// How long and how fast it is fitted.
    pub schedule: Schedule,
}

impl Default for Sasrec {
    fn default() -> Self {
        Sasrec {
            flavour: Flavour::Original,
            loss: Loss::Ce,
            width: 64,
            blocks: 2,
            inner: 256,
            length: 50,
            schedule: Schedule::default(),
        }
    }
}

/// Settings of GRU4Rec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gru4rec {
    /// What a position comes to.
    pub loss: Loss,
    /// Width of the item vectors.
    pub width: usize,
    /// Width of the state.
    pub hidden: usize,
    /// Recurrent layers, one over another.
    pub layers: usize,
    /// Most items of a history that are read, the latest.
    pub length: usize,
    /// How long and how fast it is fitted.
    pub schedule: Schedule,
}

impl Default for Gru4rec {
    fn default() -> Self {
        Gru4rec {
            loss: Loss::Ce,
            width: 64,
            hidden: 128,
            layers: 1,
            length: 50,
            schedule: Schedule::default(),
        }
    }
}

/// Settings of BERT4Rec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bert4rec {
    /// What a masked item comes to.
    pub loss: Loss,
    /// Width of the vectors.
    pub width: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// Width within the feed-forward.
    pub inner: usize,
    /// Most positions that are read, the mask among them.
    pub length: usize,
    /// Share of a sequence's items that are masked.
    pub mask: f64,
    /// How long and how fast it is fitted.
    pub schedule: Schedule,
}

impl Default for Bert4rec {
    fn default() -> Self {
        Bert4rec {
            loss: Loss::Ce,
            width: 64,
            blocks: 2,
            inner: 256,
            length: 50,
            mask: 0.2,
            schedule: Schedule::default(),
        }
    }
}

impl System {
    /// Width and schedule.
    fn course(&self) -> (usize, &Schedule) {
        match self {
            System::Sasrec(settings) => (settings.width, &settings.schedule),
            System::Gru4rec(settings) => (settings.width, &settings.schedule),
            System::Bert4rec(settings) => (settings.width, &settings.schedule),
        }
    }
}

/// How a fit goes.
pub struct Course<'a> {
    /// Of all that is drawn.
    pub seed: u64,
    /// Where an interrupted fit goes on from.
    pub checkpoint: Option<&'a Checkpoint>,
    /// Told of every step.
    pub progress: &'a mut dyn FnMut(Progress),
}

/// What a fit came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Steps taken.
    pub steps: usize,
    /// Epochs gone through.
    pub epochs: usize,
    /// The epoch whose values were kept, the first being 1.
    pub best_epoch: usize,
    /// Whether the fit ended because nothing got better.
    pub stopped_early: bool,
    /// Validation NDCG@10 of each epoch, (epoch, value); empty without validation users.
    pub ndcg: Vec<(usize, f64)>,
    /// Positions read in training: real ones, without padding.
    pub tokens: u64,
    /// Seconds, over all runs that it took, validation among them.
    pub seconds: f64,
    /// (step, mean loss a target in nats) of every step.
    pub curve: Vec<(u64, f64)>,
    /// Number of trained values.
    pub parameters: usize,
}

/// Fits a system.
///
/// # Errors
/// Data without anything to predict, settings that cannot be trained, or a checkpoint that cannot be read or written.
pub fn fit(system: &System, data: &Data, course: Course) -> Result<(Box<dyn Recommender>, Outcome)> {
    let (width, schedule) = system.course();
    let (parameters, model) = Pairs::new(data.items, width, course.seed)?;
    let task = PairTask {
        parameters: &parameters,
        model: &model,
        fingerprint: serde_json::to_string(system).map_err(|e| Error::Usage(e.to_string()))?,
    };
    let held_out: Vec<Vec<u32>> = data
        .validation
        .iter()
        .map(|(history, next)| history.last().copied().into_iter().chain([*next]).collect())
        .collect();
    let steps = data.train.len().div_ceil(schedule.batch_size.max(1));
    let config = TrainConfig {
        learning_rate: schedule.learning_rate,
        epochs: schedule.epochs,
        batch_size: schedule.batch_size,
        micro_batch_tokens: 4096,
        activation_memory: 0,
        warmup: 0.0,
        weight_decay: 0.0,
        clip: 1.0,
        evaluate_every: steps,
        patience: schedule.patience,
        keep: Default::default(),
        checkpoint_every: steps,
    };
    let request = Fit {
        task: &task,
        examples: data.train,
        held_out: &held_out,
        config: &config,
        seed: course.seed,
        checkpoint: course.checkpoint,
    };
    let training = train::fit(request, course.progress)?;
    let fitted = Fitted {
        system: system.clone(),
        items: data.items,
        values: parameters.values()?,
        width,
    };
    let best_epoch = training.best_step / steps.max(1);
    let mut outcome = Outcome {
        steps: training.steps,
        epochs: training.steps / steps.max(1),
        best_epoch,
        stopped_early: training.steps < steps * schedule.epochs,
        ndcg: Vec::new(),
        tokens: training.tokens,
        seconds: training.seconds,
        curve: training.curve,
        parameters: parameters.count(),
    };
    if !data.validation.is_empty() {
        outcome.ndcg.push((best_epoch, ndcg(&fitted, data)?));
    }
    Ok((Box::new(fitted), outcome))
}

fn ndcg(fitted: &Fitted, data: &Data) -> Result<f64> {
    let mut sum = 0.0;
    let mut scores = vec![0.0; data.items];
    for (history, next) in data.validation {
        fitted.scores(&[history], &mut scores)?;
        let own = scores[*next as usize - 1];
        let above = scores.iter().filter(|score| **score > own).count();
        if above < 10 {
            sum += 1.0 / (above as f64 + 2.0).log2();
        }
    }
    Ok(sum / data.validation.len() as f64)
}

struct Pairs {
    first: Embedding,
    next: Embedding,
}

impl Pairs {
    fn new(items: usize, width: usize, seed: u64) -> Result<(Parameters, Self)> {
        let mut parameters = Parameters::new(seed, &candle_core::Device::Cpu);
        let initial = Initial::Normal(0.1);
        let first = Embedding::new(&mut parameters, "first", (items + 1, width), initial)?;
        let next = Embedding::new(&mut parameters, "next", (items, width), initial)?;
        Ok((parameters, Pairs { first, next }))
    }
}

struct PairTask<'a> {
    parameters: &'a Parameters,
    model: &'a Pairs,
    fingerprint: String,
}

impl Task for PairTask<'_> {
    type Example = Vec<u32>;
    type Batch = (Vec<u32>, Vec<u32>);

    fn parameters(&self) -> &Parameters {
        self.parameters
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn hash(&self, example: &Vec<u32>, hasher: &mut dyn Hasher) {
        hasher.write(&(example.len() as u64).to_le_bytes());
        example.iter().for_each(|item| hasher.write(&item.to_le_bytes()));
    }

    fn targets(&self, example: &Vec<u32>) -> usize {
        example.len().saturating_sub(1)
    }

    fn parts(&self, examples: &[&Vec<u32>], _: Room) -> Result<Vec<Part<Self::Batch>>> {
        let pairs = examples.iter().flat_map(|items| items.windows(2));
        let batch: (Vec<u32>, Vec<u32>) = pairs.map(|pair| (pair[0], pair[1] - 1)).unzip();
        let targets = batch.0.len();
        let part = Part {
            batch,
            targets,
            tokens: targets,
        };
        Ok(Some(part).filter(|_| targets > 0).into_iter().collect())
    }

    fn summed_loss(&self, (items, targets): &Self::Batch, _: Mode) -> Result<Tensor> {
        let hidden = self.model.first.forward(items)?;
        Ok(cross_entropy(&hidden, self.model.next.table(), targets)?)
    }
}

struct Fitted {
    system: System,
    items: usize,
    values: Vec<Vec<f32>>,
    width: usize,
}

const CONFIG: &str = "recommender.json";
const WEIGHTS: &str = "recommender.safetensors";

#[derive(Serialize, Deserialize)]
struct Config {
    system: System,
    items: usize,
}

impl Recommender for Fitted {
    fn scores(&self, histories: &[&[u32]], out: &mut [f32]) -> Result<()> {
        if out.len() != histories.len() * self.items {
            return Err(Error::Usage(format!("room for {} scores", out.len())));
        }
        let row = |table: usize, at: usize| &self.values[table][at * self.width..(at + 1) * self.width];
        for (history, out) in histories.iter().zip(out.chunks_mut(self.items)) {
            let last = history.last().copied().unwrap_or(0) as usize;
            for (item, score) in out.iter_mut().enumerate() {
                *score = row(0, last).iter().zip(row(1, item)).map(|(a, b)| a * b).sum();
            }
        }
        Ok(())
    }

    fn save(&self, folder: &Path) -> Result<()> {
        let config = Config {
            system: self.system.clone(),
            items: self.items,
        };
        let text = serde_json::to_vec_pretty(&config).map_err(|e| Error::Usage(e.to_string()))?;
        let tensor = |at: usize, rows: usize| {
            Tensor::from_slice(&self.values[at], (rows, self.width), &candle_core::Device::Cpu)
        };
        let tensors = [
            ("first".to_owned(), tensor(0, self.items + 1)?.into()),
            ("next".to_owned(), tensor(1, self.items)?.into()),
        ];
        atomic::write_folder(folder, ("a recommender", &[CONFIG, WEIGHTS]), |folder| {
            safetensors::write(&folder.join(WEIGHTS), tensors)?;
            atomic::write_file(&folder.join(CONFIG), &text)
        })
    }
}

/// Reads a recommender that was [saved](Recommender::save).
///
/// # Errors
/// A folder that holds none.
pub fn load(folder: &Path) -> Result<Box<dyn Recommender>> {
    let path = folder.join(CONFIG);
    let text = std::fs::read(&path).map_err(|e| Error::io(&path, e))?;
    let config: Config = serde_json::from_slice(&text).map_err(|e| Error::Config {
        path,
        message: e.to_string(),
    })?;
    let tensors = safetensors::read(&folder.join(WEIGHTS))?;
    let values = |name: &str| -> Result<Vec<f32>> {
        let tensor = tensors
            .get(name)
            .ok_or_else(|| Error::Usage(format!("no {name}")))?;
        Ok(tensor.flatten_all()?.to_vec1()?)
    };
    Ok(Box::new(Fitted {
        width: config.system.course().0,
        items: config.items,
        values: vec![values("first")?, values("next")?],
        system: config.system,
    }))
}
