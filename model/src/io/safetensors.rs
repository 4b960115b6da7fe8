//! Tensors in safetensors files: read by memory map, converted to f32; written one after another, the file whole or not at all.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::Path;

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo};
use serde::Deserialize;

use super::atomic;
use crate::op::{Matrix, with_values};
use crate::{Error, Result, foreign};

/// All tensors of a file, as f32 on the CPU.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    read_as(path, |_, tensor| Ok(tensor.to_dtype(DType::F32)?))
}

/// What `keep` makes of the tensors of a file, which it is given by name, on the CPU, in the type that the file has.
pub(crate) fn read_as<T>(
    path: &Path,
    keep: impl Fn(&str, Tensor) -> Result<T>,
) -> Result<BTreeMap<String, T>> {
    read_some(path, |_| true, keep)
}

/// The same of those tensors whose names are wanted; the others may hold numbers of any type.
pub(crate) fn read_some<T>(
    path: &Path,
    wanted: impl Fn(&str) -> bool,
    keep: impl Fn(&str, Tensor) -> Result<T>,
) -> Result<BTreeMap<String, T>> {
    let weights = |message: String| Error::Weights {
        path: path.to_path_buf(),
        message,
    };
    let map = map(path)?;
    let parsed = SafeTensors::deserialize(&map).map_err(|e| damaged(path, &map, &e))?;
    parsed
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, view)| {
            if !matches!(view.dtype(), Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F64) {
                return Err(weights(format!(
                    "{name} holds {:?} numbers; only f64, f32, f16 and bf16 can be used: if the file is quantised, take the one it was \
                     made from, or a GGUF file",
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
    let map = map(path)?;
    let (_, header) = SafeTensors::read_metadata(&map).map_err(|e| damaged(path, &map, &e))?;
    Ok(header.metadata().clone().unwrap_or_default())
}

fn map(path: &Path) -> Result<memmap2::Mmap> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let length = file.metadata().map_err(|e| Error::io(path, e))?.len();
    if length == 0 {
        // No memory can be mapped of nothing.
        return Err(no_weights(path, &[], "empty"));
    }
    // SAFETY: the map lives only while values are copied out of it; files here are replaced by rename, never changed in place.
    unsafe { memmap2::Mmap::map(&file) }.map_err(|e| Error::io(path, e))
}

fn damaged(path: &Path, bytes: &[u8], error: &safetensors::SafeTensorError) -> Error {
    no_weights(path, bytes, &error.to_string())
}

/// What a file is that should be safetensors, as far as its first bytes tell.
fn no_weights(path: &Path, bytes: &[u8], error: &str) -> Error {
    let kind = foreign::kind(bytes).filter(|kind| *kind != foreign::SAFETENSORS);
    let message = match (announced(bytes), kind) {
        (Some(whole), _) if whole > bytes.len() as u64 => format!(
            "cut off: {} bytes of the {whole} that its header speaks of; fetch or write it again",
            bytes.len()
        ),
        (None, Some(kind)) => kind.to_string(),
        _ => format!("not a whole safetensors file ({error}); fetch or write it again"),
    };
    Error::Weights {
        path: path.to_path_buf(),
        message,
    }
}

/// The bytes of the whole file, by its header.
fn announced(bytes: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Place {
        data_offsets: [u64; 2],
    }
    let length = u64::from_le_bytes(*bytes.first_chunk()?);
    let end = usize::try_from(length).ok()?.checked_add(8)?;
    if end > bytes.len() && bytes.get(8) == Some(&b'{') {
        return Some(end as u64);
    }
    let header: HashMap<String, serde_json::Value> = serde_json::from_slice(bytes.get(8..end)?).ok()?;
    let places = header
        .into_values()
        .filter_map(|value| Some(serde_json::from_value::<Place>(value).ok()?.data_offsets[1]));
    places.max()?.checked_add(end as u64)
}

/// Writes tensors, in the order of their names, to a file that appears whole or not at all.
pub(crate) fn write(path: &Path, tensors: impl IntoIterator<Item = (String, Matrix)>) -> Result<()> {
    // transformers refuses files that do not name the framework they are for.
    write_with(path, &[("format", "pt")], tensors)
}

/// The same with other texts beside the tensors. No more than one tensor's bytes are held at a time.
pub(crate) fn write_with(
    path: &Path,
    metadata: &[(&str, &str)],
    tensors: impl IntoIterator<Item = (String, Matrix)>,
) -> Result<()> {
    let mut tensors: Vec<(String, Matrix)> = tensors.into_iter().collect();
    tensors.sort_by(|(one, _), (other, _)| one.cmp(other));
    let header = header(metadata, &tensors).map_err(|message| Error::Weights {
        path: path.to_path_buf(),
        message,
    })?;
    atomic::stream_file(path, |file| {
        let mut put = |bytes: &[u8]| file.write_all(bytes).map_err(|e| Error::io(path, e));
        put(&(header.len() as u64).to_le_bytes())?;
        put(&header)?;
        tensors
            .iter()
            .try_for_each(|(_, tensor)| in_pieces(tensor, &mut put))
    })
}

/// What stands before the values: the texts, and the type, shape and place of every tensor, padded with spaces to whole words.
fn header(metadata: &[(&str, &str)], tensors: &[(String, Matrix)]) -> std::result::Result<Vec<u8>, String> {
    let mut end = 0;
    let place = |(name, tensor): &(String, Matrix)| {
        let start = end;
        end += tensor.dims().iter().product::<usize>() * size_of::<f32>();
        let info = TensorInfo {
            dtype: Dtype::F32,
            shape: tensor.dims().to_vec(),
            data_offsets: (start, end),
        };
        (name.clone(), info)
    };
    let places = tensors.iter().map(place).collect();
    let texts = metadata
        .iter()
        .map(|(key, text)| (key.to_string(), text.to_string()));
    let metadata = Metadata::new(Some(texts.collect()), places).map_err(|e| e.to_string())?;
    let mut header = serde_json::to_vec(&metadata).map_err(|e| e.to_string())?;
    header.resize(header.len().next_multiple_of(size_of::<u64>()), b' ');
    Ok(header)
}

/// Numbers whose bytes are made at a time.
const PIECE: usize = 1 << 12;

/// Gives the little-endian bytes of the values in row-major order, piece by piece: values that lie so are copied nowhere as a whole.
pub(crate) fn in_pieces(tensor: &Matrix, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let values = tensor.values()?.contiguous()?;
    let mut piece = [0; size_of::<f32>() * PIECE];
    let mut result = Ok(());
    with_values(&values, "reading values", |values| {
        result = values.chunks(PIECE).try_for_each(|values| {
            let bytes = &mut piece[..size_of_val(values)];
            for (bytes, value) in bytes.as_chunks_mut().0.iter_mut().zip(values) {
                *bytes = value.to_le_bytes();
            }
            take(bytes)
        });
        Ok(())
    })?;
    result
}

/// The same in one piece.
#[cfg(test)]
fn bytes(tensor: &Matrix) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    in_pieces(tensor, |piece| {
        all.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(all)
}

/// An identity of named tensors: changes with any name, shape or value, and with nothing else.
pub(crate) fn fingerprint<'a>(tensors: impl IntoIterator<Item = (&'a str, Matrix)>) -> Result<String> {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    for (name, tensor) in tensors {
        hasher.update(format!("{name}{:?};", tensor.dims()).as_bytes());
        in_pieces(&tensor, |piece| {
            hasher.update(piece);
            Ok(())
        })?;
    }
    Ok(format!("{:032x}", hasher.digest128()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_streamed_file_has_the_bytes_that_the_library_gives_it_in_one_piece() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        let matrix = tensor(&[1.0, -2.5, 3.0, 0.0, 5.0, -6.0]).reshape((2, 3)).unwrap();
        // Not in the order of their names, as a model's parts come.
        let named = [
            ("b.10".to_string(), matrix),
            ("b.2".to_string(), tensor(&[7.0])),
            ("a".to_string(), tensor(&[8.0, 9.0])),
        ];
        write(&path, named.clone().map(|(name, tensor)| (name, tensor.into()))).unwrap();
        let texts = HashMap::from([("format".to_string(), "pt".to_string())]);
        let whole = safetensors::serialize(named.clone(), Some(texts)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        let read = read(&path).unwrap();
        for (name, tensor) in named {
            assert_eq!(read[&name].dims(), tensor.dims());
            assert_eq!(
                bytes(&read[&name].clone().into()).unwrap(),
                bytes(&tensor.into()).unwrap()
            );
        }
        assert_eq!(metadata(&path).unwrap()["format"], "pt");
    }
}
