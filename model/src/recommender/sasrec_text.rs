//! SASRec over the texts of items, in the form of BLaIR's SASRecText (Hou et al. 2024): frozen text vectors go through an adapter and then a
//! causal encoder, and the adapted vectors of the catalogue are the head. The network is that of [`Unisrec`](super::Unisrec) too.

use std::path::Path;

use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::adapter::{Adapter, AdapterLayer, Draw};
use super::next_item::{self, Lesson, Model};
use super::rows::{Align, Rows, tail};
use super::sasrec::{next_items, shifted};
use super::transformer::{Drops, Encoder, Flavour, Maps, Sizes, check_dropout, check_sizes, epsilon};
use super::{Course, Data, Loss, Outcome, Recommender, Schedule, System, Vectors};
use crate::io::safetensors;
use crate::nn::{Decay, Embedding, LayerNorm, Parameter, Parameters};
use crate::op::Sight;
use crate::train::task::Mode;
use crate::{Error, Result};

/// Settings of SASRec over texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SasrecText {
    /// From text vectors to the encoder's width.
    pub adapter: Adapter,
    /// Which form the encoder has.
    pub flavour: Flavour,
    /// What a position comes to.
    pub loss: Loss,
    /// Width of the vectors in the encoder.
    pub width: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// Attention heads; they share the width.
    pub heads: usize,
    /// Width within the feed-forward of the form of RecBole; the original has that of the vectors.
    pub inner: usize,
    /// Share of the encoder's values that is dropped in training.
    pub dropout: f64,
    /// Most items of a history that are read, the latest.
    pub length: usize,
    /// How long and how fast it is fitted.
    pub schedule: Schedule,
}

impl Default for SasrecText {
    fn default() -> Self {
        SasrecText {
            adapter: Adapter::mlp(),
            flavour: Flavour::Recbole,
            loss: Loss::Ce,
            width: 64,
            blocks: 2,
            heads: 2,
            inner: 256,
            dropout: 0.2,
            length: 50,
            schedule: Schedule::default(),
        }
    }
}

impl SasrecText {
    fn form(&self) -> Form {
        Form {
            adapter: self.adapter,
            flavour: self.flavour,
            width: self.width,
            blocks: self.blocks,
            heads: self.heads,
            inner: self.inner,
            dropout: self.dropout,
            length: self.length,
        }
    }

    /// A model with first values over items of these texts.
    pub(super) fn model(&self, vectors: &Vectors, seed: u64) -> Result<OverTexts> {
        self.loss.check(vectors.items())?;
        let network = Network::new(self.form(), vectors.width, seed)?;
        OverTexts::new(network, vectors, Comparison::Product, self.loss, |_| true)
    }

    /// One to be filled from a folder's tensors.
    pub(super) fn stored(&self, items: usize, tensors: &Path) -> Result<OverTexts> {
        self.model(&stored_vectors(items, tensors)?, 0)
    }

    pub(super) fn fit(
        &self,
        system: &System,
        data: &Data,
        course: Course,
    ) -> Result<(Box<dyn Recommender>, Outcome)> {
        let model = self.model(texts(data.vectors, data.items, "the target")?, course.seed)?;
        next_item::fit(model, system, &self.schedule, data, course)
    }
}

/// The vectors of a domain, which a system over texts cannot do without.
pub(super) fn texts<'a>(vectors: Option<&'a Vectors>, items: usize, domain: &str) -> Result<&'a Vectors> {
    let vectors = vectors.ok_or_else(|| {
        Error::Usage(format!(
            "this system reads the texts of items, and {domain} has no text vectors: make them of the titles of all domains, or give your own"
        ))
    })?;
    vectors
        .check(items)
        .map_err(|error| Error::Usage(format!("the vectors of {domain}: {error}")))?;
    Ok(vectors)
}

/// The tensor of text vectors in a folder.
const VECTORS: &str = "vectors";

/// Zeros in the shape of a folder's text vectors.
pub(super) fn stored_vectors(items: usize, tensors: &Path) -> Result<Vectors> {
    let wrong = |message: String| Error::Weights {
        path: tensors.to_path_buf(),
        message: format!("{message}; fit and save the recommender again"),
    };
    let found = safetensors::read(tensors)?;
    let vectors = found
        .get(VECTORS)
        .ok_or_else(|| wrong(format!("{VECTORS} is missing")))?;
    match vectors.dims() {
        [rows, width] if *rows == items && *width > 0 => Ok(Vectors {
            width: *width,
            values: vec![0.0; items * width],
        }),
        other => Err(wrong(format!(
            "{VECTORS} is {other:?} where a catalogue of {items} items needs one row each"
        ))),
    }
}

/// What a network over texts is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub adapter: Adapter,
    pub flavour: Flavour,
    pub width: usize,
    pub blocks: usize,
    pub heads: usize,
    pub inner: usize,
    pub dropout: f64,
    pub length: usize,
}

impl Form {
    pub fn align(&self) -> Align {
        match self.flavour {
            Flavour::Original => Align::End,
            Flavour::Recbole => Align::Start,
        }
    }
}

/// Adapter, positions and encoder: everything that knows no catalogue.
#[derive(Debug)]
pub(super) struct Network {
    pub form: Form,
    parameters: Parameters,
    adapter: AdapterLayer,
    positions: Embedding,
    encoder: Encoder,
    /// Of the last rows in the original form, and of the embeddings in RecBole's.
    norm: LayerNorm,
}

/// Which use of the adapter: items that are read and items that are predicted have other masks.
const READ: u64 = 0;
const PREDICTED: u64 = 1;

impl Network {
    /// With first values, for text vectors of `text` numbers.
    pub fn new(form: Form, text: usize, seed: u64) -> Result<Self> {
        let sizes = Sizes {
            width: form.width,
            blocks: form.blocks,
            heads: form.heads,
            inner: match form.flavour {
                Flavour::Original => form.width,
                Flavour::Recbole => form.inner,
            },
        };
        sizes.check()?;
        check_sizes(&[("length", form.length)])?;
        check_dropout(form.dropout)?;
        let maps = match form.flavour {
            Flavour::Original => Maps::Xavier,
            Flavour::Recbole => Maps::Normal(0.02),
        };
        let mut parameters = Parameters::new(seed, &Device::Cpu);
        let positions = (form.length, form.width);
        Ok(Network {
            adapter: AdapterLayer::new(&mut parameters, form.adapter, text, form.width)?,
            positions: Embedding::new(&mut parameters, "positions", positions, maps.initial(positions))?,
            encoder: Encoder::new(&mut parameters, form.flavour, sizes, maps)?,
            norm: LayerNorm::new(&mut parameters, "norm", form.width, epsilon(form.flavour))?,
            parameters,
            form,
        })
    }

    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The vectors with which states are compared, `(items, width)`, of items with these texts.
    pub fn predicted(&self, texts: &Tensor, mode: Mode) -> Result<Tensor> {
        self.adapter.forward(texts, Draw::of(mode, PREDICTED))
    }

    /// The state of every row after the rows before it, `(rows, width)`. Row i of `texts` is the text of item i. `pass` tells passes of one
    /// batch apart, so that each has masks of its own.
    pub fn hidden(&self, rows: &Rows, texts: &Tensor, mode: Mode, pass: u64) -> Result<Tensor> {
        let mode = match (mode, pass) {
            (Mode::Training { key }, 1..) => Mode::Training {
                key: crate::op::mix(key ^ pass),
            },
            _ => mode,
        };
        let drops = Drops::new(self.form.dropout, mode);
        let ids = Tensor::new(rows.items.as_slice(), &Device::Cpu)?;
        let read = texts.index_select(&ids, 0)?;
        let items = self.adapter.forward(&read, Draw::of(mode, READ))?;
        let positions = self.positions.forward(&rows.positions)?;
        let encode = |x: &Tensor| {
            let x = drops.apply(x, 0)?;
            self.encoder.forward(&x, &rows.pairs(), Sight::Causal, drops)
        };
        match self.form.flavour {
            Flavour::Original => {
                let scale = (self.form.width as f64).sqrt();
                self.norm.forward(&encode(&((items * scale)? + positions)?)?)
            }
            Flavour::Recbole => encode(&self.norm.forward(&(items + positions)?)?),
        }
    }
}

/// How a state is compared with an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Comparison {
    /// By their product.
    Product,
    /// By the cosine of their angle over a temperature.
    Cosine { temperature: f64 },
}

impl Comparison {
    /// States, as they go into a product with [items](Self::items).
    pub fn states(self, x: Tensor) -> Result<Tensor> {
        match self {
            Comparison::Product => Ok(x),
            Comparison::Cosine { temperature } => Ok((unit(&x)? / temperature)?),
        }
    }

    /// Vectors of items, as they go into a product with [states](Self::states).
    pub fn items(self, x: Tensor) -> Result<Tensor> {
        match self {
            Comparison::Product => Ok(x),
            Comparison::Cosine { .. } => unit(&x),
        }
    }
}

/// Rows of length 1. What is added to the square keeps rows of zeros, such as first vectors of items without a text, where they are.
fn unit(x: &Tensor) -> Result<Tensor> {
    let squares = x.sqr()?.sum_keepdim(1)?;
    Ok(x.broadcast_div(&(squares + 1e-6)?.sqrt()?)?)
}

/// A network over the catalogue of a domain.
#[derive(Debug)]
pub(super) struct OverTexts {
    network: Network,
    /// Frozen; a variable, for a folder's tensors to be put in its place.
    vectors: Var,
    comparison: Comparison,
    loss: Loss,
    /// Those that are fitted.
    trained: Parameters,
    /// All of them, and the text vectors.
    saved: Parameters,
    identity: String,
}

impl OverTexts {
    /// Over items of these texts; parameters are fitted whose names `trained` says yes to.
    pub fn new(
        network: Network,
        vectors: &Vectors,
        comparison: Comparison,
        loss: Loss,
        trained: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        let shape = (vectors.items(), vectors.width);
        let frozen = Var::from_vec(vectors.values.clone(), shape, &Device::Cpu)?;
        let mut fitted = Parameters::new(0, &Device::Cpu);
        for (name, parameter) in network.parameters.iter().filter(|(name, _)| trained(name)) {
            fitted.insert(name, parameter.clone())?;
        }
        let mut saved = network.parameters.clone();
        let variable = frozen.clone();
        saved.insert(
            VECTORS,
            Parameter {
                variable,
                decay: Decay::Exempt,
            },
        )?;
        Ok(OverTexts {
            identity: identity(vectors),
            vectors: frozen,
            trained: fitted,
            network,
            comparison,
            loss,
            saved,
        })
    }

    /// With something more that tells its fits from others.
    pub fn after(mut self, what: &str) -> Self {
        self.identity = format!("{} after {what}", self.identity);
        self
    }

    fn texts(&self) -> Tensor {
        self.vectors.as_detached_tensor()
    }

    /// The state of every row after the rows before it, as it is compared with items.
    pub fn hidden(&self, rows: &Rows, mode: Mode) -> Result<Tensor> {
        let hidden = self.network.hidden(rows, &self.texts(), mode, 0)?;
        self.comparison.states(hidden)
    }

    fn predicted(&self, mode: Mode) -> Result<Tensor> {
        self.comparison
            .items(self.network.predicted(&self.texts(), mode)?)
    }
}

/// Tells vectors from others in what tells a fit from others.
pub(super) fn identity(vectors: &Vectors) -> String {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    for value in &vectors.values {
        hash.update(&value.to_le_bytes());
    }
    format!(
        "{} texts of width {}: {:016x}",
        vectors.items(),
        vectors.width,
        hash.digest()
    )
}

impl Model for OverTexts {
    fn parameters(&self) -> &Parameters {
        &self.trained
    }

    fn saved(&self) -> &Parameters {
        &self.saved
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    fn lessons(&self, items: &[u32]) -> Vec<Lesson> {
        next_items(items, self.network.form.length)
    }

    fn rows(&self, lesson: &Lesson) -> usize {
        lesson.items.len() - 1
    }

    fn targets(&self, lesson: &Lesson) -> usize {
        lesson.items.len() - 1
    }

    fn summed_loss(&self, lessons: &[Lesson], mode: Mode) -> Result<Tensor> {
        let form = self.network.form;
        let (rows, targets) = shifted(lessons, form.align(), form.length);
        let (hidden, head) = (self.hidden(&rows, mode)?, self.predicted(mode)?);
        let key = mode.key().unwrap_or(0);
        self.loss.summed(&hidden, &head, &targets, key)
    }

    fn states(&self, histories: &[&[u32]]) -> Result<Tensor> {
        let form = self.network.form;
        let mut rows = Rows::default();
        for history in histories {
            rows.push(tail(history, form.length), form.align(), form.length);
        }
        let hidden = self.hidden(&rows, Mode::Evaluation)?.detach();
        let last = Tensor::new(rows.last(), &Device::Cpu)?;
        Ok(hidden.index_select(&last, 0)?)
    }

    fn head(&self) -> Result<Tensor> {
        Ok(self.predicted(Mode::Evaluation)?.detach())
    }
}
