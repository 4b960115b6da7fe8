//! The state of an interrupted training: one file, so that it is there whole or not at all.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use weaverec_output::scratch;

use super::optimizer::Optimizer;
use crate::io::safetensors;
use crate::nn::Parameters;
use crate::op::Matrix;
use crate::{Error, Result};

/// Everything about a training besides its tensors.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// What the training was asked for; a checkpoint of another request is not taken up.
    pub request: u64,
    pub step: usize,
    pub tokens: u64,
    pub seconds: f64,
    pub curve: Vec<(u64, f64)>,
    pub gradient_norms: Vec<f64>,
    pub held_out_curve: Vec<(u64, f64)>,
    pub best: Option<(usize, f64)>,
    pub looks_without_improvement: usize,
    pub stopped: bool,
}

/// The file in the checkpoint's folder.
const FILE: &str = "training.safetensors";
/// What the folders of parts begin with.
const PART: &str = "part-";
/// The key of the state in the file's metadata.
const STATE: &str = "state";

/// Where an interrupted training goes on from.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    base: String,
}

impl Checkpoint {
    /// In a folder of its own. `base` tells the weights apart that are trained over (their fingerprint, and whatever else makes other
    /// numbers of them): a training over others does not take the checkpoint up.
    pub fn new(folder: impl Into<PathBuf>, base: impl Into<String>) -> Self {
        Checkpoint {
            folder: folder.into(),
            base: base.into(),
        }
    }

    /// The checkpoint of a training that this one is built on, beside this one's and over the same weights. It is removed with this one,
    /// and whatever else lies in its folder.
    pub(crate) fn part(&self, name: &str) -> Self {
        Checkpoint {
            folder: self.folder.join(format!("{PART}{name}")),
            base: self.base.clone(),
        }
    }

    /// Its folder, which need not exist.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes it, and those of its parts. A training leaves its checkpoint where it is, for its outcome to be saved first.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn remove(&self) -> Result<()> {
        scratch::sweep(&self.folder);
        for part in self.parts() {
            std::fs::remove_dir_all(&part).map_err(|error| Error::io(&part, error))?;
        }
        let file = self.file();
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io(&file, error)),
            _ => {}
        }
        // Where something else lies there the folder stays.
        let _ = std::fs::remove_dir(&self.folder);
        Ok(())
    }

    /// The folders of the parts that there are.
    fn parts(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(PART))
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect()
    }

    /// What tells the weights apart.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    fn file(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Replaces what was there.
    pub(super) fn save(
        &self,
        state: &State,
        parameters: &Parameters,
        optimizer: &dyn Optimizer,
        best: &[Vec<f32>],
    ) -> Result<()> {
        let mut tensors: Vec<(String, Matrix)> = Vec::new();
        let flat = |values: &[f32]| Tensor::new(values, &Device::Cpu).map(Matrix::from);
        let values = parameters.values()?;
        let remembered = optimizer.state()?;
        let slots = optimizer
            .slots()
            .iter()
            .copied()
            .zip(remembered.iter().map(Vec::as_slice));
        for (kind, vectors) in [("value", values.as_slice()), ("best", best)]
            .into_iter()
            .chain(slots)
        {
            for (i, vector) in vectors.iter().enumerate() {
                tensors.push((format!("{kind}.{i}"), flat(vector)?));
            }
        }
        let text = serde_json::to_string(state).map_err(|e| Error::Usage(e.to_string()))?;
        safetensors::write_with(&self.file(), &[(STATE, &text)], tensors)
    }

    /// Reads it into the parameters and the optimiser; `None` where there is none of this request.
    pub(super) fn load(
        &self,
        request: u64,
        parameters: &Parameters,
        optimizer: &mut dyn Optimizer,
    ) -> Result<Option<(State, Vec<Vec<f32>>)>> {
        // Whoever was killed while it was written left a part of one.
        scratch::sweep(&self.folder);
        let file = self.file();
        if !file.exists() {
            return Ok(None);
        }
        let damaged = |message: String| damaged(&file, &message);
        let text = safetensors::metadata(&file)?.remove(STATE);
        let text = text.ok_or_else(|| damaged("no state in it".into()))?;
        let mut state: State = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
        if state.request != request {
            tracing::info!(
                "the checkpoint in {} is of another training and is not used",
                self.folder.display()
            );
            return Ok(None);
        }
        // Losses are f32 values; reading decimal text may miss the last bit of an f64, which this puts right.
        let losses = state
            .curve
            .iter_mut()
            .chain(&mut state.held_out_curve)
            .map(|(_, loss)| loss)
            .chain(&mut state.gradient_norms);
        losses
            .chain(state.best.as_mut().map(|(_, loss)| loss))
            .for_each(|loss| *loss = super::record::rounded(*loss));
        let tensors = safetensors::read(&file)?;
        let vectors = |kind: &str| -> Result<Vec<Vec<f32>>> {
            let lengths = parameters.variables().map(|variable| variable.elem_count());
            let get = |(i, length): (usize, usize)| {
                let name = format!("{kind}.{i}");
                match tensors.get(&name) {
                    Some(tensor) if tensor.elem_count() == length => Ok(tensor.flatten_all()?.to_vec1()?),
                    Some(_) => Err(damaged(format!("{name} is of another length"))),
                    None => Err(damaged(format!("{name} is missing"))),
                }
            };
            lengths.enumerate().map(get).collect()
        };
        parameters.set(vectors("value")?)?;
        let remembered = optimizer.slots().iter().map(|slot| vectors(slot));
        let remembered = remembered.collect::<Result<_>>()?;
        optimizer.resume(remembered, state.step)?;
        let best = match state.best {
            Some(_) => vectors("best")?,
            None => Vec::new(),
        };
        Ok(Some((state, best)))
    }
}

fn damaged(file: &Path, message: &str) -> Error {
    Error::Weights {
        path: file.to_path_buf(),
        message: format!("{message}; delete the checkpoint to start anew"),
    }
}
