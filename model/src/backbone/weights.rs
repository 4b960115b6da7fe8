//! Weights of a decoder on the CPU under Hugging Face's names: f32 values, or projections packed into fewer bits.

mod gguf;
mod precision;
mod shards;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::Tensor;

use super::decoder::layers_among;
use super::{Base, DecoderConfig};
use crate::io::{atomic, safetensors};
use crate::op::Matrix;
use crate::{Error, Result};

pub(crate) use gguf::{Gguf, whole};
pub use precision::Precision;
pub(crate) use precision::is_projection;
pub(crate) use shards::files;

/// Named tensors on the CPU, with the place they come from for messages. Clones share the tensors.
#[derive(Clone, Debug)]
pub struct Weights {
    tensors: BTreeMap<String, Matrix>,
    source: PathBuf,
}

impl Weights {
    /// Opens a model: a Hugging Face folder (`config.json` with `model.safetensors` or its shards), a `.gguf` file, or a folder
    /// that holds one `.gguf` file.
    ///
    /// # Errors
    /// Files that are missing or damaged, or a model of a family or with settings that are not implemented here.
    pub fn open(path: &Path) -> Result<(Weights, DecoderConfig)> {
        Self::open_as(path, Precision::F32)
    }

    /// As [`open`](Self::open), with the projections kept in `precision`. No more than one tensor is unpacked at a time.
    pub fn open_as(path: &Path, precision: Precision) -> Result<(Weights, DecoderConfig)> {
        if let Some(file) = gguf_file(path)? {
            let mut gguf = Gguf::open(&file)?;
            let config = gguf.config()?;
            let tensors = gguf.tensors(&config, precision)?;
            return Ok((
                Weights {
                    tensors,
                    source: file,
                },
                config,
            ));
        }
        let config = Self::config(path)?;
        let tensors = shards::read(path, |name, tensor| precision.keep(name, tensor))?;
        Ok((
            Weights {
                tensors,
                source: path.to_path_buf(),
            },
            config,
        ))
    }

    /// The configuration of a model, without its weights.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn config(path: &Path) -> Result<DecoderConfig> {
        match gguf_file(path)? {
            Some(file) => Gguf::open(&file)?.config(),
            None => {
                shards::check_is_model(path)?;
                DecoderConfig::read(&path.join("config.json"))
            }
        }
    }

    /// Weights made in memory.
    pub fn from_tensors(tensors: HashMap<String, Tensor>) -> Self {
        Weights {
            tensors: tensors
                .into_iter()
                .map(|(name, tensor)| (name, tensor.into()))
                .collect(),
            source: PathBuf::from("(in memory)"),
        }
    }

    /// The values of this name, which must have this shape, in f32.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn get(&self, name: &str, expected: &[usize]) -> Result<Tensor> {
        Ok(self.matrix(name, expected)?.values()?)
    }

    /// The same as it lies in memory.
    pub fn matrix(&self, name: &str, expected: &[usize]) -> Result<Matrix> {
        let Some(tensor) = self.tensors.get(name) else {
            return Err(self.error(format!(
                "no tensor {name} of shape {expected:?}; the configuration belongs to another model"
            )));
        };
        if tensor.dims() != expected {
            let empty = match tensor.dims().contains(&0) {
                true => {
                    "; a trainer has written it without its values, which it had not gathered (DeepSpeed's ZeRO-3): save the model again"
                }
                false => "",
            };
            return Err(self.error(format!(
                "tensor {name} has shape {:?} where the configuration says {expected:?}{empty}",
                tensor.dims()
            )));
        }
        Ok(tensor.clone())
    }

    /// The values of this name in f32, whatever their shape.
    pub(crate) fn values(&self, name: &str) -> Result<Tensor> {
        match self.tensors.get(name) {
            Some(matrix) => Ok(matrix.values()?),
            None => Err(self.error(format!("no tensor {name}"))),
        }
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Puts another tensor of the same shape in the place of one that is there.
    ///
    /// # Errors
    /// A name that is not there, or another shape.
    pub fn replace(&mut self, name: &str, tensor: Tensor) -> Result<()> {
        self.matrix(name, tensor.dims())?;
        self.tensors.insert(name.to_string(), tensor.detach().into());
        Ok(())
    }

    /// Gives the base a tensor `to` of its own with the values of `from`.
    pub(crate) fn untie(&mut self, from: &str, to: &str) -> Result<()> {
        let Some(tensor) = self.tensors.get(from).cloned() else {
            return Err(self.error(format!("no tensor {from}")));
        };
        self.tensors.insert(to.to_string(), tensor);
        Ok(())
    }

    /// Number of parameters; a tied head counts once.
    pub fn parameters(&self) -> usize {
        let count = |matrix: &Matrix| matrix.dims().iter().product::<usize>();
        self.tensors.values().map(count).sum()
    }

    /// Bytes of memory that they take.
    pub fn bytes(&self) -> usize {
        self.tensors.values().map(Matrix::bytes).sum()
    }

    /// Writes a Hugging Face folder: `model.safetensors`, then `config.json`, each whole or not at all. Other files of the
    /// folder, such as a tokenizer, stay.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn save(&self, folder: &Path, config: &DecoderConfig) -> Result<()> {
        let named = self
            .tensors
            .iter()
            .map(|(name, matrix)| (name.clone(), matrix.clone()));
        safetensors::write(&folder.join("model.safetensors"), named)?;
        let path = folder.join("config.json");
        let json = serde_json::to_string_pretty(config).map_err(|e| Error::Config {
            path: path.clone(),
            message: e.to_string(),
        })?;
        atomic::write_file(&path, format!("{json}\n").as_bytes())
    }

    /// An identity: changes with any name, shape or value, whatever file they came from and however they lie in memory.
    ///
    /// # Errors
    /// Only if a tensor cannot be read back.
    pub fn fingerprint(&self) -> Result<String> {
        safetensors::fingerprint(
            self.tensors
                .iter()
                .map(|(name, matrix)| (name.as_str(), matrix.clone())),
        )
    }

    /// What tells this base from others, for an adapter that is trained on it. `name` is what it goes by.
    ///
    /// # Errors
    /// Only if a tensor cannot be read back.
    pub fn base(&self, name: &str, precision: Precision) -> Result<Base> {
        let named = |wanted: fn(&str) -> bool| {
            let tensors = self.tensors.iter().filter(move |(name, _)| wanted(name));
            tensors.map(|(name, matrix)| (name.as_str(), matrix.clone()))
        };
        Ok(Base {
            name: name.to_string(),
            layers: layers_among(self.names()),
            precision,
            weights: safetensors::fingerprint(named(|_| true))?,
            unpacked: safetensors::fingerprint(named(|name| !is_projection(name)))?,
        })
    }

    fn error(&self, message: String) -> Error {
        Error::Weights {
            path: self.source.clone(),
            message,
        }
    }
}

/// The GGUF file that `path` is or, where it has no `config.json`, holds.
pub(crate) fn gguf_file(path: &Path) -> Result<Option<PathBuf>> {
    let is_gguf = |path: &Path| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf"));
    if !path.is_dir() {
        return match path.exists() {
            true if is_gguf(path) => Ok(Some(path.to_path_buf())),
            true => Err(Error::Weights {
                path: path.to_path_buf(),
                message: "a model is a Hugging Face folder or a .gguf file".into(),
            }),
            false => Err(Error::Weights {
                path: path.to_path_buf(),
                message: "no such file or folder".into(),
            }),
        };
    }
    if path.join("config.json").is_file() || path.join("tokenizer.json").is_file() {
        return Ok(None);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|e| Error::io(path, e))? {
        let file = entry.map_err(|e| Error::io(path, e))?.path();
        if is_gguf(&file) {
            found.push(file);
        }
    }
    found.sort();
    match found.len() {
        0 => Ok(None),
        1 => Ok(found.pop()),
        n => Err(Error::Weights {
            path: path.to_path_buf(),
            message: format!("{n} .gguf files here; name the one to use"),
        }),
    }
}
