//! Safetensors files written tensor by tensor, header first; where there is more than one, with the index that transformers reads.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Metadata, TensorInfo as Header};
use serde_json::{Map, Value, json};

use super::{Sink, TensorInfo};
use crate::{Error, Result};

/// Bytes of a shard at most, as transformers has had it up to version 4 and mergekit has it.
pub const SHARD_BYTES: u64 = 5_000_000_000;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The weights of a model in a folder, as one file or as shards.
#[derive(Debug)]
pub struct Shards {
    folder: PathBuf,
    plan: Vec<(String, Vec<TensorInfo>)>,
    /// Which shard holds a tensor.
    places: BTreeMap<String, usize>,
    open: Option<(usize, TensorFile)>,
}

impl Shards {
    /// For tensors that will be written in this order, in files of at most so many bytes of them: one where all fit. A tensor that is
    /// larger by itself has a file of its own.
    ///
    /// # Errors
    /// The same name twice.
    pub fn new(folder: &Path, tensors: Vec<TensorInfo>, most: u64) -> Result<Self> {
        let mut parts: Vec<Vec<TensorInfo>> = Vec::new();
        let mut places = BTreeMap::new();
        let mut taken = 0;
        for tensor in tensors {
            let bytes = tensor.bytes();
            if parts.is_empty() || (taken > 0 && taken + bytes > most) {
                parts.push(Vec::new());
                taken = 0;
            }
            taken += bytes;
            if places.insert(tensor.name.clone(), parts.len() - 1).is_some() {
                return Err(Error::Usage(format!(
                    "tensor {} is to be written twice",
                    tensor.name
                )));
            }
            if let Some(part) = parts.last_mut() {
                part.push(tensor);
            }
        }
        let count = parts.len();
        let name = |number: usize| match count {
            1 => SINGLE.to_string(),
            _ => format!("model-{:05}-of-{count:05}.safetensors", number + 1),
        };
        let plan = parts.into_iter().enumerate();
        Ok(Shards {
            folder: folder.to_path_buf(),
            plan: plan.map(|(number, part)| (name(number), part)).collect(),
            places,
            open: None,
        })
    }

    /// The names of the files.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.plan.iter().map(|(name, _)| name.as_str())
    }

    /// Ends the last file, and writes the index of several.
    ///
    /// # Errors
    /// A file that cannot be written, or tensors that were not given.
    pub fn finish(mut self) -> Result<()> {
        let last = self.open.take().map(|(number, file)| (number + 1, file));
        let written = last.as_ref().map_or(0, |(count, _)| *count);
        if let Some((_, file)) = last {
            file.finish()?;
        }
        if let Some((name, _)) = self.plan.get(written) {
            return Err(Error::Usage(format!("{name} was to be written, and was not")));
        }
        if self.plan.len() < 2 {
            return Ok(());
        }
        let tensors = || self.plan.iter().flat_map(|(_, tensors)| tensors);
        let bytes: u64 = tensors().map(TensorInfo::bytes).sum();
        let numbers: usize = tensors().map(|t| t.shape.iter().product::<usize>()).sum();
        let files: Map<String, Value> = self
            .places
            .iter()
            .map(|(name, shard)| (name.clone(), Value::from(self.plan[*shard].0.as_str())))
            .collect();
        let index = json!({
            "metadata": {"total_parameters": numbers, "total_size": bytes},
            "weight_map": files,
        });
        weaverec_output::write_file(&self.folder.join(INDEX), format!("{index:#}\n").as_bytes())?;
        Ok(())
    }
}

impl Sink for Shards {
    fn begin(&mut self, name: &str) -> Result<()> {
        let shard = *self
            .places
            .get(name)
            .ok_or_else(|| Error::Usage(format!("tensor {name} has no place in the files to be written")))?;
        if self.open.as_ref().is_none_or(|(open, _)| *open != shard) {
            if let Some((_, file)) = self.open.take() {
                file.finish()?;
            }
            let (file, tensors) = &self.plan[shard];
            self.open = Some((shard, TensorFile::create(&self.folder.join(file), tensors)?));
        }
        match &mut self.open {
            Some((_, file)) => file.begin(name),
            None => Ok(()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.open {
            Some((_, file)) => file.write(bytes),
            None => Err(Error::Usage("bytes of no tensor".into())),
        }
    }
}

/// One safetensors file: its header says where each tensor lies, so that they can come in any order, each in parts.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    file: File,
    /// Where each tensor lies, and how many of its bytes there are already.
    places: BTreeMap<String, Place>,
    current: Option<String>,
}

#[derive(Debug)]
struct Place {
    start: u64,
    length: u64,
    written: u64,
}

impl TensorFile {
    /// Makes a file for these tensors and writes its header.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn create(path: &Path, tensors: &[TensorInfo]) -> Result<Self> {
        // Wider numbers first, so that each tensor begins where numbers of its type may.
        let mut order: Vec<&TensorInfo> = tensors.iter().collect();
        order.sort_by(|one, other| {
            let wider = other.element.dtype().cmp(&one.element.dtype());
            wider.then_with(|| one.name.cmp(&other.name))
        });
        let mut end = 0;
        let mut headers = Vec::with_capacity(order.len());
        for tensor in &order {
            let start = end;
            end += tensor.bytes() as usize;
            let header = Header {
                dtype: tensor.element.dtype(),
                shape: tensor.shape.clone(),
                data_offsets: (start, end),
            };
            headers.push((tensor.name.clone(), header));
        }
        let failure = |message: String| Error::Weights {
            path: path.to_path_buf(),
            message,
        };
        // transformers refuses files that do not name the framework they are for.
        let texts = [("format".to_string(), "pt".to_string())].into();
        let offsets: Vec<(String, u64, u64)> = headers
            .iter()
            .map(|(name, header)| {
                (
                    name.clone(),
                    header.data_offsets.0 as u64,
                    header.data_offsets.1 as u64,
                )
            })
            .collect();
        let metadata = Metadata::new(Some(texts), headers).map_err(|e| failure(e.to_string()))?;
        let mut header = serde_json::to_vec(&metadata).map_err(|e| failure(e.to_string()))?;
        // The numbers begin at a multiple of eight bytes.
        header.resize(header.len().next_multiple_of(size_of::<u64>()), b' ');
        let mut file = File::create(path).map_err(|e| Error::io(path, e))?;
        file.write_all(&(header.len() as u64).to_le_bytes())
            .and_then(|()| file.write_all(&header))
            .map_err(|e| Error::io(path, e))?;
        let data = (size_of::<u64>() + header.len()) as u64;
        let places = offsets.into_iter().map(|(name, start, end)| {
            let place = Place {
                start: data + start,
                length: end - start,
                written: 0,
            };
            (name, place)
        });
        Ok(TensorFile {
            path: path.to_path_buf(),
            file,
            places: places.collect(),
            current: None,
        })
    }

    /// From here on, the bytes of this tensor come.
    ///
    /// # Errors
    /// A tensor that the header does not have.
    pub fn begin(&mut self, name: &str) -> Result<()> {
        let place = self.places.get(name).ok_or_else(|| Error::Weights {
            path: self.path.clone(),
            message: format!("tensor {name} is not in the header"),
        })?;
        self.file
            .seek(SeekFrom::Start(place.start + place.written))
            .map_err(|e| Error::io(&self.path, e))?;
        self.current = Some(name.to_string());
        Ok(())
    }

    /// The next bytes of the tensor.
    ///
    /// # Errors
    /// A file that cannot be written, or more bytes than the tensor has.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let current = self.current.as_ref().and_then(|name| self.places.get_mut(name));
        let Some(place) = current.filter(|place| place.written + bytes.len() as u64 <= place.length) else {
            return Err(Error::Weights {
                path: self.path.clone(),
                message: format!(
                    "more bytes than {} has",
                    self.current.as_deref().unwrap_or("no tensor")
                ),
            });
        };
        self.file.write_all(bytes).map_err(|e| Error::io(&self.path, e))?;
        place.written += bytes.len() as u64;
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// A tensor of which bytes are missing.
    pub fn finish(self) -> Result<()> {
        match self.places.iter().find(|(_, place)| place.written < place.length) {
            None => Ok(()),
            Some((name, place)) => Err(Error::Weights {
                path: self.path.clone(),
                message: format!(
                    "{} of the {} bytes of {name} were written",
                    place.written, place.length
                ),
            }),
        }
    }
}
