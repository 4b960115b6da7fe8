//! A base whose tensors are read block by block.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use memmap2::{Mmap, MmapOptions};
use safetensors::SafeTensors;

use super::identity::Identity;
use super::{Element, TensorInfo};
use crate::backbone::weights::{files, gguf_file, is_projection};
use crate::backbone::{DecoderConfig, Precision, Weights};
use crate::io::safetensors as files_of_tensors;
use crate::lora::Base;
use crate::lora::coverage::layers_among;
use crate::{Error, Result};

/// Numbers in a block: 4 MiB of them in f32, so that all that is held of a block takes some 20 MiB.
pub(super) const BLOCK: usize = 1 << 20;
/// No block has fewer rows while there are more: products of a few rows are computed in another way, and slowly.
const LEAST_ROWS: usize = 16;

/// A model as it lies on the disk: a Hugging Face folder, of which nothing but the headers is held, or a GGUF file, whose weights are held
/// as they are packed there.
#[derive(Debug)]
pub struct BaseModel {
    path: PathBuf,
    config: DecoderConfig,
    tensors: BTreeMap<String, Stored>,
    files: Vec<(PathBuf, File)>,
    packed: Option<Weights>,
}

#[derive(Clone, Debug)]
struct Stored {
    element: Element,
    shape: Vec<usize>,
    /// The file, and where in it; none in the weights that are held.
    place: Option<(usize, u64)>,
}

impl BaseModel {
    /// Opens a model.
    ///
    /// # Errors
    /// Files that are missing or damaged, numbers other than f64, f32, f16 and bf16, or a model of a family or with settings that are not
    /// implemented here.
    pub fn open(path: &Path) -> Result<Self> {
        if gguf_file(path)?.is_some() {
            return Self::of_gguf(path);
        }
        let config = Weights::config(path)?;
        let (shards, expected) = files(path)?;
        let mut model = BaseModel {
            path: path.to_path_buf(),
            config,
            tensors: BTreeMap::new(),
            files: Vec::with_capacity(shards.len()),
            packed: None,
        };
        for shard in shards {
            model.add(shard)?;
        }
        match expected.iter().find(|(name, _)| !model.tensors.contains_key(*name)) {
            None => Ok(model),
            Some((name, file)) => Err(model.error(format!(
                "the index says that tensor {name} is in {file}, and it is not; fetch the two again, of one revision"
            ))),
        }
    }

    fn of_gguf(path: &Path) -> Result<Self> {
        let (weights, config) = Weights::open_as(path, Precision::AsStored)?;
        let mut tensors = BTreeMap::new();
        for name in weights.names() {
            // Whatever they are packed in: a sum has no place between their steps.
            let stored = Stored {
                element: Element::F32,
                shape: weights.values(name)?.dims().to_vec(),
                place: None,
            };
            tensors.insert(name.to_string(), stored);
        }
        Ok(BaseModel {
            path: path.to_path_buf(),
            config,
            tensors,
            files: Vec::new(),
            packed: Some(weights),
        })
    }

    /// Takes the header of a file.
    fn add(&mut self, path: PathBuf) -> Result<()> {
        // It says of a file that is none what it is in its place.
        files_of_tensors::metadata(&path)?;
        let failure = |message: String| Error::Weights {
            path: path.clone(),
            message,
        };
        let file = File::open(&path).map_err(|e| Error::io(&path, e))?;
        // SAFETY: the map lives only while the header is read; files here are replaced by rename, never changed in place.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io(&path, e))?;
        let (length, header) = SafeTensors::read_metadata(&map).map_err(|e| failure(e.to_string()))?;
        let data = (size_of::<u64>() + length) as u64;
        for (name, info) in header.tensors() {
            let element = Element::of(info.dtype).ok_or_else(|| {
                failure(format!(
                    "{name} holds {:?} numbers; only f64, f32, f16 and bf16 can be used: if the file is quantised, take the one it was \
                     made from, or a GGUF file",
                    info.dtype
                ))
            })?;
            let stored = Stored {
                element,
                shape: info.shape.clone(),
                place: Some((self.files.len(), data + info.data_offsets.0 as u64)),
            };
            if self.tensors.insert(name.clone(), stored).is_some() {
                return Err(failure(format!(
                    "tensor {name} is in another shard too, and nothing says which of the two counts; fetch the model again"
                )));
            }
        }
        drop(map);
        self.files.push((path, file));
        Ok(())
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its configuration.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// The names of its tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The tensor of a name.
    pub fn tensor(&self, name: &str) -> Option<TensorInfo> {
        let stored = self.tensors.get(name)?;
        Some(TensorInfo {
            name: name.to_string(),
            element: stored.element,
            shape: stored.shape.clone(),
        })
    }

    /// As [`Weights::fingerprint`].
    ///
    /// # Errors
    /// Files that cannot be read any more.
    pub fn fingerprint(&self) -> Result<String> {
        let mut all = Identity::new();
        for name in self.names() {
            self.identify(name, &mut [&mut all])?;
        }
        Ok(all.end())
    }

    /// As [`Weights::base`], of the weights in f32.
    ///
    /// # Errors
    /// Files that cannot be read any more.
    pub fn identity(&self, name: &str) -> Result<Base> {
        let (mut all, mut unpacked) = (Identity::new(), Identity::new());
        for tensor in self.names() {
            match is_projection(tensor) {
                true => self.identify(tensor, &mut [&mut all])?,
                false => self.identify(tensor, &mut [&mut all, &mut unpacked])?,
            }
        }
        Ok(Base {
            name: name.to_string(),
            layers: layers_among(self.names()),
            precision: Precision::F32,
            weights: all.end(),
            unpacked: unpacked.end(),
        })
    }

    /// Goes through a tensor for its identity.
    pub(super) fn identify(&self, name: &str, identities: &mut [&mut Identity]) -> Result<()> {
        let reader = self.reader(name)?;
        for identity in identities.iter_mut() {
            identity.begin(name, reader.shape());
        }
        for (start, count) in reader.blocks() {
            let bytes = reader.rows(start, count)?;
            reader.element().as_f32(&bytes, &mut |values| {
                for identity in identities.iter_mut() {
                    identity.values(values);
                }
            });
        }
        Ok(())
    }

    /// What reads the rows of a tensor.
    pub(super) fn reader(&self, name: &str) -> Result<Reader<'_>> {
        let stored = self
            .tensors
            .get(name)
            .ok_or_else(|| self.error(format!("no tensor {name}")))?;
        let unpacked = match &self.packed {
            Some(weights) => Some(weights.values(name)?.flatten_all()?),
            None => None,
        };
        Ok(Reader {
            base: self,
            stored,
            unpacked,
            block: BLOCK,
        })
    }

    pub(super) fn error(&self, message: String) -> Error {
        Error::Weights {
            path: self.path.clone(),
            message,
        }
    }
}

/// The rows of a tensor, of which those that are asked for are in memory.
pub(super) struct Reader<'a> {
    base: &'a BaseModel,
    stored: &'a Stored,
    unpacked: Option<Tensor>,
    block: usize,
}

impl Reader<'_> {
    pub fn element(&self) -> Element {
        self.stored.element
    }

    pub fn shape(&self) -> &[usize] {
        &self.stored.shape
    }

    /// With blocks of another number of values.
    pub fn in_blocks_of(self, block: usize) -> Self {
        Reader { block, ..self }
    }

    /// Rows and columns; of a tensor of other than two dimensions, the first and all others.
    fn matrix(&self) -> (usize, usize) {
        match self.shape() {
            [] => (1, 1),
            [rows, others @ ..] => (*rows, others.iter().product()),
        }
    }

    /// The first row of each block, and how many rows it has.
    pub fn blocks(&self) -> Vec<(usize, usize)> {
        let (rows, columns) = self.matrix();
        let step = self.block.checked_div(columns).unwrap_or(rows).max(LEAST_ROWS);
        let mut blocks = Vec::new();
        let mut start = 0;
        while start < rows {
            let left = rows - start;
            let count = if left < step + LEAST_ROWS { left } else { step };
            blocks.push((start, count));
            start += count;
        }
        blocks
    }

    /// Rows as they are stored.
    pub fn rows(&self, start: usize, count: usize) -> Result<Bytes> {
        let (_, columns) = self.matrix();
        let (first, length) = (start * columns, count * columns);
        if length == 0 {
            return Ok(Bytes::Made(Vec::new()));
        }
        let Some((file, offset)) = self.stored.place else {
            let unpacked = self
                .unpacked
                .as_ref()
                .ok_or_else(|| self.base.error("a tensor is in no file".into()))?;
            let values = unpacked.narrow(0, first, length)?.to_vec1::<f32>()?;
            return Ok(Bytes::Made(
                values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ));
        };
        let size = self.element().bytes();
        let (path, file) = &self.base.files[file];
        let mut window = MmapOptions::new();
        window.offset(offset + (first * size) as u64).len(length * size);
        // SAFETY: the map lives only while the block is worked on; files here are replaced by rename, never changed in place.
        let map = unsafe { window.map(file) }.map_err(|e| Error::io(path, e))?;
        // Fetched in one go and not page by page; where the system knows no such thing, it reads as it would.
        #[cfg(unix)]
        let _ = map.advise(memmap2::Advice::WillNeed);
        Ok(Bytes::Mapped(map))
    }
}

/// Bytes of a block.
pub(super) enum Bytes {
    Mapped(Mmap),
    Made(Vec<u8>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Made(bytes) => bytes,
        }
    }
}
