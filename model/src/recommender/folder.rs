//! A recommender as a folder: `recommender.json` with the system, its settings and the size of the catalogue, and `model.safetensors`
//! with the parameters by name.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::next_item::{Fitted, Model};
use super::{Recommender, System, gencdr, tiger};
use crate::io::{atomic, safetensors};
use crate::nn::Parameters;
use crate::op::Matrix;
use crate::{Error, Result};

const DESCRIPTION: &str = "recommender.json";
const TENSORS: &str = "model.safetensors";

/// What a folder says of its recommender.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    items: usize,
    system: System,
}

/// Writes a recommender.
pub(super) fn save(folder: &Path, system: &System, items: usize, parameters: &Parameters) -> Result<()> {
    let description = Description {
        items,
        system: system.clone(),
    };
    let text = serde_json::to_string_pretty(&description).map_err(|e| Error::Usage(e.to_string()))?;
    let tensors = parameters.iter().map(|(name, parameter)| {
        let values = Matrix::from(parameter.variable.as_detached_tensor());
        (name.to_string(), values)
    });
    atomic::write_folder(folder, ("a recommender", &[DESCRIPTION, TENSORS]), |folder| {
        atomic::write_file(&folder.join(DESCRIPTION), format!("{text}\n").as_bytes())?;
        safetensors::write(&folder.join(TENSORS), tensors)
    })
}

/// Reads a recommender.
pub(super) fn load(folder: &Path) -> Result<Box<dyn Recommender>> {
    let path = folder.join(DESCRIPTION);
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
    let Description { items, system } = serde_json::from_str(&text).map_err(|e| Error::Config {
        path: path.clone(),
        message: format!("{e}; fit and save the recommender again"),
    })?;
    let model: Box<dyn Model> = match &system {
        System::Tiger(_) | System::ItemDecoder(_) | System::Recbase(_) => {
            return Ok(Box::new(tiger::Fitted::load(folder)?));
        }
        System::Gencdr(_) => return Ok(Box::new(gencdr::Fitted::load(folder)?)),
        System::Sasrec(settings) => Box::new(settings.model(items, 0)?),
        System::Gru4rec(settings) => Box::new(settings.model(items, 0)?),
        System::Bert4rec(settings) => Box::new(settings.model(items, 0)?),
        System::SasrecText(settings) => Box::new(settings.stored(items, &folder.join(TENSORS))?),
        System::Unisrec(settings) => Box::new(settings.stored(items, &folder.join(TENSORS))?),
    };
    fill(model.saved(), &folder.join(TENSORS))?;
    Ok(Box::new(Fitted { system, items, model }))
}

/// Puts a file's tensors in the place of the parameters' values; they must be those and no others.
fn fill(parameters: &Parameters, path: &Path) -> Result<()> {
    let wrong = |message: String| Error::Weights {
        path: path.to_path_buf(),
        message: format!("{message}; fit and save the recommender again"),
    };
    let mut tensors = safetensors::read(path)?;
    let mut values = Vec::new();
    for (name, parameter) in parameters.iter() {
        let shape = parameter.variable.shape();
        match tensors.remove(name) {
            None => return Err(wrong(format!("{name} is missing"))),
            Some(tensor) if tensor.shape() != shape => {
                return Err(wrong(format!(
                    "{name} is {:?} where the settings in {DESCRIPTION} make it {shape:?}",
                    tensor.shape()
                )));
            }
            Some(tensor) => values.push(tensor.flatten_all()?.to_vec1::<f32>()?),
        }
    }
    if let Some(name) = tensors.keys().next() {
        return Err(wrong(format!("{name} is no part of this system")));
    }
    parameters.set(values)
}
