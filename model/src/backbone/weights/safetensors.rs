//! Tensors in safetensors files: read by memory map, converted to f32; written whole or not at all.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, View};
use serde::Deserialize;

use super::persist;
use crate::op::Matrix;
use crate::{Error, Result};

#[derive(Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
}

/// The safetensors files of a Hugging Face model folder: one, or the shards its index names.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let single = folder.join("model.safetensors");
    if single.is_file() {
        return Ok(vec![single]);
    }
    let index = folder.join("model.safetensors.index.json");
    if !index.is_file() {
        return Err(Error::Weights {
            path: folder.to_path_buf(),
            message: "no model.safetensors and no model.safetensors.index.json here; \
                      save the model with safe serialisation"
                .into(),
        });
    }
    let text = std::fs::read_to_string(&index).map_err(|e| Error::io(&index, e))?;
    let parsed: Index = serde_json::from_str(&text).map_err(|e| Error::Weights {
        path: index.clone(),
        message: e.to_string(),
    })?;
    let names: BTreeSet<_> = parsed.weight_map.into_values().collect();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// All tensors of a file, as f32 on the CPU.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    read_as(path, |_, tensor| Ok(tensor.to_dtype(DType::F32)?))
}

/// What `keep` makes of the tensors of a file, which it is given by name, on the CPU, in the type that the file has.
pub(crate) fn read_as<T>(
    path: &Path,
    keep: impl Fn(&str, Tensor) -> Result<T>,
) -> Result<BTreeMap<String, T>> {
    let weights = |message: String| Error::Weights {
        path: path.to_path_buf(),
        message,
    };
    let map = map(path)?;
    let parsed = SafeTensors::deserialize(&map).map_err(|e| damaged(path, &e))?;
    parsed
        .iter()
        .map(|(name, view)| {
            if !matches!(view.dtype(), Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F64) {
                return Err(weights(format!(
                    "{name} holds {:?} numbers; only f64, f32, f16 and bf16 can be used",
                    view.dtype()
                )));
            }
            let kept = keep(name, view.load(&Device::Cpu)?)?;
            Ok((name.to_string(), kept))
        })
        .collect()
}

/// The texts beside the tensors of a file.
pub(crate) fn metadata(path: &Path) -> Result<HashMap<String, String>> {
    let (_, header) = SafeTensors::read_metadata(&map(path)?).map_err(|e| damaged(path, &e))?;
    Ok(header.metadata().clone().unwrap_or_default())
}

fn map(path: &Path) -> Result<memmap2::Mmap> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    // SAFETY: the map lives only while values are copied out of it; files here are replaced by rename, never changed in place.
    unsafe { memmap2::Mmap::map(&file) }.map_err(|e| Error::io(path, e))
}

fn damaged(path: &Path, error: &safetensors::SafeTensorError) -> Error {
    Error::Weights {
        path: path.to_path_buf(),
        message: format!("not a whole safetensors file ({error}); fetch or write it again"),
    }
}

/// Writes tensors, in the order of their names, to a file that appears whole or not at all.
pub(crate) fn write(path: &Path, tensors: impl IntoIterator<Item = (String, Matrix)>) -> Result<()> {
    // transformers refuses files that do not name the framework they are for.
    write_with(path, &[("format", "pt")], tensors)
}

/// The same with other texts beside the tensors.
pub(crate) fn write_with(
    path: &Path,
    metadata: &[(&str, &str)],
    tensors: impl IntoIterator<Item = (String, Matrix)>,
) -> Result<()> {
    let tensors = tensors
        .into_iter()
        .map(|(name, tensor)| {
            Ok((
                name,
                F32View {
                    shape: tensor.dims().to_vec(),
                    data: bytes(&tensor)?,
                },
            ))
        })
        .collect::<Result<Vec<_>>>()?;
    let texts = metadata
        .iter()
        .map(|(key, text)| (key.to_string(), text.to_string()));
    let serialised = safetensors::serialize(tensors, Some(texts.collect())).map_err(|e| Error::Weights {
        path: path.to_path_buf(),
        message: e.to_string(),
    })?;
    persist::write_file(path, &serialised)
}

/// The little-endian bytes of the values in row-major order.
pub(crate) fn bytes(tensor: &Matrix) -> Result<Vec<u8>> {
    let values = tensor.values()?.flatten_all()?.to_vec1::<f32>()?;
    Ok(values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

/// An identity of named tensors: changes with any name, shape or value, and with nothing else.
pub(crate) fn fingerprint<'a>(tensors: impl IntoIterator<Item = (&'a str, Matrix)>) -> Result<String> {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    for (name, tensor) in tensors {
        hasher.update(format!("{name}{:?};", tensor.dims()).as_bytes());
        hasher.update(&bytes(&tensor)?);
    }
    Ok(format!("{:032x}", hasher.digest128()))
}

struct F32View {
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl View for F32View {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }

    fn data_len(&self) -> usize {
        self.data.len()
    }
}
