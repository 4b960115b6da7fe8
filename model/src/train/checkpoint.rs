//! The state of an interrupted training, written whole or not at all.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::optimizer::AdamW;
use crate::{Error, Result};

/// Everything about a training besides its tensors.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// What the training was asked for; a checkpoint of another request is refused.
    pub request: u64,
    pub step: usize,
    pub tokens: u64,
    pub seconds: f64,
    pub curve: Vec<(u64, f64)>,
    #[serde(default)]
    pub gradient_norms: Vec<f64>,
    pub held_out_curve: Vec<(u64, f64)>,
    pub best: Option<(usize, f64)>,
    pub looks_without_improvement: usize,
    pub stopped: bool,
}

const STATE: &str = "state.json";
const TENSORS: &str = "tensors.safetensors";

/// Writes the state beside its final place and renames it there.
pub(super) fn save(
    folder: &Path,
    state: &State,
    variables: &[Var],
    optimizer: &AdamW,
    best: &[Vec<f32>],
) -> Result<()> {
    let mut tensors: HashMap<String, Tensor> = HashMap::new();
    let flat = |values: &[f32]| Tensor::new(values, &Device::Cpu);
    let [first, second] = optimizer.moments()?;
    for (i, variable) in variables.iter().enumerate() {
        let value = variable.as_tensor().flatten_all()?.to_device(&Device::Cpu)?;
        tensors.insert(format!("value.{i}"), value);
        tensors.insert(format!("first.{i}"), flat(&first[i])?);
        tensors.insert(format!("second.{i}"), flat(&second[i])?);
        if let Some(values) = best.get(i) {
            tensors.insert(format!("best.{i}"), flat(values)?);
        }
    }
    let io = |source| Error::io(folder, source);
    let parent = folder.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(io)?;
    let temporary = tempfile::Builder::new()
        .prefix(".checkpoint")
        .tempdir_in(parent)
        .map_err(io)?;
    candle_core::safetensors::save(&tensors, temporary.path().join(TENSORS))?;
    let text = serde_json::to_string(state).map_err(|e| Error::Usage(e.to_string()))?;
    std::fs::write(temporary.path().join(STATE), text).map_err(io)?;
    remove(folder)?;
    std::fs::rename(temporary.keep(), folder).map_err(io)
}

/// Reads a checkpoint into the variables and the optimiser; `None` where there is none of this request.
pub(super) fn load(
    folder: &Path,
    request: u64,
    variables: &[Var],
    optimizer: &mut AdamW,
) -> Result<Option<(State, Vec<Vec<f32>>)>> {
    let Ok(text) = std::fs::read_to_string(folder.join(STATE)) else {
        return Ok(None);
    };
    let mut state: State = serde_json::from_str(&text).map_err(|e| Error::Config {
        path: folder.join(STATE),
        message: format!("{e}; delete the checkpoint to start anew"),
    })?;
    if state.request != request {
        tracing::info!(
            "the checkpoint in {} is of another training and is not used",
            folder.display()
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
        .for_each(|loss| *loss = super::fit::rounded(*loss));
    let tensors = candle_core::safetensors::load(folder.join(TENSORS), &Device::Cpu)?;
    let get = |name: String| -> Result<Vec<f32>> {
        let missing = || Error::Weights {
            path: folder.join(TENSORS),
            message: format!("{name} is missing; delete the checkpoint to start anew"),
        };
        Ok(tensors.get(&name).ok_or_else(missing)?.to_vec1()?)
    };
    let (mut best, mut moments) = (Vec::new(), [Vec::new(), Vec::new()]);
    for (i, variable) in variables.iter().enumerate() {
        variable.set(&Tensor::from_vec(
            get(format!("value.{i}"))?,
            variable.shape(),
            variable.device(),
        )?)?;
        moments[0].push(get(format!("first.{i}"))?);
        moments[1].push(get(format!("second.{i}"))?);
        if state.best.is_some() {
            best.push(get(format!("best.{i}"))?);
        }
    }
    optimizer.resume(moments, state.step)?;
    Ok(Some((state, best)))
}

/// Removes a checkpoint, if there is one.
pub(super) fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(folder, e)),
        _ => Ok(()),
    }
}
