//! A pre-training that went through, kept beside the checkpoint of the fit that starts from it: whoever is killed in the fit does not learn
//! all domains once more.

use serde::{Deserialize, Serialize};

use crate::io::safetensors;
use crate::nn::Parameters;
use crate::op::Matrix;
use crate::train::{self, Checkpoint};
use crate::{Error, Result};

const FILE: &str = "pretrained.safetensors";
/// Keys of the file's metadata.
const REQUEST: &str = "request";
const CAME_TO: &str = "came_to";

/// What a pre-training took, and the loss of each of its steps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Finished {
    pub steps: usize,
    pub tokens: u64,
    pub seconds: f64,
    #[serde(default)]
    pub curve: Vec<(u64, f64)>,
}

/// Puts the values of a pre-training that went through in the place of the parameters' own, or goes through it and keeps them. One of another
/// request is not taken up, nor one of a version that kept no losses.
pub(super) fn or_else(
    checkpoint: Option<&Checkpoint>,
    request: &str,
    parameters: &Parameters,
    go_through: impl FnOnce() -> Result<train::Outcome>,
) -> Result<Finished> {
    let path = checkpoint.map(|checkpoint| checkpoint.folder().join(FILE));
    let damaged = |message: String| Error::Weights {
        path: path.clone().unwrap_or_default(),
        message: format!("{message}; delete the checkpoint to start anew"),
    };
    if let Some(path) = path.as_ref().filter(|path| path.exists()) {
        let metadata = safetensors::metadata(path)?;
        let of_this = metadata.get(REQUEST).is_some_and(|own| own == request);
        let finished = of_this
            .then(|| {
                let came_to = metadata
                    .get(CAME_TO)
                    .ok_or_else(|| damaged("what it took is missing".into()))?;
                serde_json::from_str::<Finished>(came_to).map_err(|error| damaged(error.to_string()))
            })
            .transpose()?;
        if let Some(mut finished) = finished.filter(|finished| finished.curve.len() == finished.steps) {
            // Losses are f32 values; reading decimal text may miss the last bit of an f64, which this puts right.
            for (_, loss) in &mut finished.curve {
                *loss = f64::from(*loss as f32);
            }
            let mut tensors = safetensors::read(path)?;
            let mut values = Vec::new();
            for (name, parameter) in parameters.iter() {
                match tensors.remove(name) {
                    Some(tensor) if tensor.shape() == parameter.variable.shape() => {
                        values.push(tensor.flatten_all()?.to_vec1::<f32>()?);
                    }
                    _ => return Err(damaged(format!("{name} is missing or of another shape"))),
                }
            }
            parameters.set(values)?;
            return Ok(finished);
        }
    }
    let trained = go_through()?;
    let finished = Finished {
        steps: trained.steps,
        tokens: trained.tokens,
        seconds: trained.seconds,
        curve: trained.curve,
    };
    if let Some((_, loss)) = finished.curve.last() {
        tracing::info!(
            "pre-training: {} steps, {} positions, {loss:.3} nats a position at the last",
            finished.steps,
            finished.tokens
        );
    }
    if let Some(path) = &path {
        let text = serde_json::to_string(&finished).map_err(|error| damaged(error.to_string()))?;
        let tensors = parameters.iter().map(|(name, parameter)| {
            let values = Matrix::from(parameter.variable.as_detached_tensor());
            (name.to_string(), values)
        });
        safetensors::write_with(path, &[(REQUEST, request), (CAME_TO, &text)], tensors)?;
    }
    Ok(finished)
}
