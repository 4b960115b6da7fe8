//! Every tensor of a base, as it is or with what a merge adds to it, block by block.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::behind::{Behind, written};
use super::identity::Identity;
use super::source::{BLOCK, Bytes};
use super::{BaseModel, TensorInfo};
use crate::lora::Adapter;
use crate::lora::config::{EMBEDDING, HEAD};
use crate::lora::copy::check_copy;
use crate::lora::coverage::layers_among;
use crate::merge::align::{Aligned, Site};
use crate::merge::fold::{Addition, parameter};
use crate::merge::made::ModuleReport;
use crate::merge::run::Run;
use crate::op::Buffer;
use crate::{Error, Result};

/// What takes tensors, one after another, each in blocks.
pub trait Sink: Send {
    /// The next tensor begins.
    ///
    /// # Errors
    /// What is written to cannot be.
    fn begin(&mut self, name: &str) -> Result<()>;

    /// Its next bytes.
    ///
    /// # Errors
    /// What is written to cannot be.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;
}

/// Takes tensors and keeps nothing: for who wants to know what would be written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nowhere;

impl Sink for Nowhere {
    fn begin(&mut self, _name: &str) -> Result<()> {
        Ok(())
    }

    fn write(&mut self, _bytes: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// A merge that fits a base and is to be added into it.
pub struct Folding<'a> {
    run: Run<'a>,
    members: &'a Aligned<'a>,
    base: &'a BaseModel,
    /// Modules that take the base's place, by path.
    whole: BTreeMap<String, Tensor>,
    parts_head: bool,
    tensors: Vec<Output>,
    block: usize,
}

struct Output {
    info: TensorInfo,
    /// The base's tensor that it comes from.
    from: String,
}

/// What came of adding a merge into a base.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    /// Identity of the base's weights.
    pub base: String,
    /// Identity of the result's.
    pub result: String,
    /// Module by module.
    pub modules: Vec<ModuleReport>,
    /// Frobenius norm, over all that changed, of what rounding to 16 bits took or added; 0 where the base is wider.
    pub rounded: f64,
}

enum Change<'a> {
    None,
    Added(Addition),
    Replaced(&'a Tensor),
}

impl<'a> Folding<'a> {
    /// See [`Run::into_files`].
    pub(in crate::merge) fn new(
        run: Run<'a>,
        members: &'a Aligned<'a>,
        base: &'a BaseModel,
        whole: BTreeMap<String, Tensor>,
    ) -> Result<Self> {
        let mut tensors: BTreeMap<String, Output> = BTreeMap::new();
        for name in base.names() {
            if let Some(info) = base.tensor(name) {
                let from = name.to_string();
                tensors.insert(from.clone(), Output { info, from });
            }
        }
        let adapters = members.adapters();
        let parts_head = adapters.iter().any(|adapter| adapter.parts_head_from_embedding())
            && base.config().tie_word_embeddings;
        if parts_head {
            // A tied head is the embedding, whatever a file may hold beside it.
            let (head, from) = (parameter(HEAD), parameter(EMBEDDING));
            let embedding = base
                .tensor(&from)
                .ok_or_else(|| base.error(format!("no tensor {from}")))?;
            let info = TensorInfo {
                name: head.clone(),
                ..embedding
            };
            tensors.insert(head, Output { info, from });
        }
        let folding = Folding {
            run,
            members,
            base,
            whole,
            parts_head,
            tensors: tensors.into_values().collect(),
            block: BLOCK,
        };
        folding.check()?;
        Ok(folding)
    }

    /// In blocks of another number of values.
    #[cfg(test)]
    pub(super) fn in_blocks_of(self, block: usize) -> Self {
        Folding { block, ..self }
    }

    /// Whether the head, which is the base's embedding, becomes a tensor of its own: the configuration must say so.
    pub fn parts_head(&self) -> bool {
        self.parts_head
    }

    /// The tensors of the result, in the order in which they are written.
    pub fn tensors(&self) -> Vec<TensorInfo> {
        self.tensors.iter().map(|output| output.info.clone()).collect()
    }

    /// Refuses a base that the members do not fit, before anything is written.
    fn check(&self) -> Result<()> {
        let layers = layers_among(self.base.names());
        for adapter in self.members.adapters() {
            adapter
                .check_coverage(layers)
                .map_err(|message| Error::Merge(format!("in a base of {layers} layers, {message}")))?;
            self.check_copies(adapter)?;
        }
        for site in self.members.sites() {
            let (out, input) = site.shape;
            self.check_shape(
                site.name(),
                &[out, input],
                "the adapters' factors make a matrix of shape",
            )?;
        }
        for (module, whole) in &self.whole {
            self.check_shape(module, whole.dims(), "the adapters store it whole with shape")?;
        }
        Ok(())
    }

    fn check_shape(&self, module: &str, shape: &[usize], what: &str) -> Result<()> {
        let name = parameter(module);
        let found = self.tensors.iter().find(|output| output.info.name == name);
        let here = match found {
            Some(output) if output.info.shape == shape => return Ok(()),
            Some(output) => format!("has shape {:?} here", output.info.shape),
            None => "is not here".to_string(),
        };
        Err(self.base.error(format!(
            "tensor {name} {here}, where {what} {shape:?}: the adapters were trained on another base, or with a vocabulary that was \
             made larger"
        )))
    }

    /// Refuses an adapter that was stored with other weights than the base's.
    fn check_copies(&self, adapter: &Adapter) -> Result<()> {
        for (module, copy) in &adapter.copies {
            let own = parameter(module);
            let name = match module == HEAD && self.base.config().tie_word_embeddings {
                true => parameter(EMBEDDING),
                false => own,
            };
            let reader = self.base.reader(&name)?.in_blocks_of(self.block);
            let shape = reader.shape();
            if copy.dims() != shape {
                // It looks at the shapes first; of the values nothing need be read.
                let of_that_shape = Tensor::zeros(1, candle_core::DType::F32, copy.device())?;
                check_copy(module, copy, &of_that_shape.broadcast_as(shape)?)?;
            }
            for (start, count) in reader.blocks() {
                let bytes = reader.rows(start, count)?;
                let part = copy.narrow(0, start, count)?;
                let mut values = Vec::with_capacity(part.elem_count());
                reader.element().as_f32(&bytes, &mut |piece| {
                    values.extend(piece.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)));
                });
                let values = Tensor::from_vec(values, part.dims(), copy.device())?;
                check_copy(module, &part, &values)?;
            }
        }
        Ok(())
    }

    /// Goes through all tensors, and gives each to the sink.
    ///
    /// # Errors
    /// What a rule cannot merge, sums that the base's numbers cannot hold, files that cannot be read any more, or a sink that cannot be
    /// written to.
    pub fn write(&self, sink: &mut dyn Sink) -> Result<Folded> {
        let thresholds = self.run.thresholds(self.members)?;
        let sites: BTreeMap<String, Site> = self
            .members
            .sites()
            .map(|site| (parameter(site.name()), site))
            .collect();
        let mut before = Identity::new();
        let (mut modules, mut off) = (Vec::new(), 0.0);
        let (_, result) = written(sink, |behind| {
            for output in &self.tensors {
                let name = &output.info.name;
                let module = name.strip_suffix(".weight").unwrap_or(name);
                let change = match (self.whole.get(module), sites.get(name)) {
                    (Some(whole), _) => Change::Replaced(whole),
                    (None, Some(site)) => match self.run.addition(site, thresholds.as_deref())? {
                        Some((addition, report)) => {
                            modules.push(report);
                            Change::Added(addition)
                        }
                        None => Change::None,
                    },
                    (None, None) => Change::None,
                };
                if output.from != *name && self.base.tensor(name).is_some() {
                    // A head in the file that nothing reads: of the result it is no part.
                    self.base.identify(name, &mut [&mut before])?;
                }
                off += self.tensor(output, &change, behind, &mut before)?;
            }
            Ok(())
        })?;
        if modules.is_empty() {
            return Err(Error::Merge("no module has a weight other than 0".into()));
        }
        Ok(Folded {
            base: before.end(),
            result,
            modules,
            rounded: off.sqrt(),
        })
    }

    /// One tensor; what rounding changed, as the sum of the squares.
    fn tensor(
        &self,
        output: &Output,
        change: &Change,
        behind: &Behind,
        before: &mut Identity,
    ) -> Result<f64> {
        let TensorInfo { name, shape, element } = &output.info;
        let own = output.from == *name;
        let reader = self.base.reader(&output.from)?.in_blocks_of(self.block);
        if own {
            before.begin(name, shape);
        }
        behind.begin(&output.info)?;
        let mut off = 0.0;
        for (start, count) in reader.blocks() {
            let stored = reader.rows(start, count)?;
            if own {
                element.as_f32(&stored, &mut |values| before.values(values));
            }
            let mut bytes = behind.spare();
            let made = match change {
                Change::None => {
                    behind.block(stored)?;
                    continue;
                }
                Change::Added(addition) => {
                    let mut rows = Buffer::stale(stored.len() / element.bytes());
                    addition.rows_into(start, &mut rows)?;
                    element.plus(&stored, &rows, &mut bytes)
                }
                Change::Replaced(whole) => {
                    let rows: Vec<f32> = whole.narrow(0, start, count)?.flatten_all()?.to_vec1()?;
                    element.of_f32(&rows, &mut bytes)
                }
            };
            if !made.finite {
                return Err(self.base.error(format!(
                    "{name} with what the adapters add to it is no finite number in {} everywhere, which is what the base is stored in; \
                     take a smaller weight, or the base in bf16 or f32",
                    element.name()
                )));
            }
            off += made.off;
            behind.block(Bytes::Made(bytes))?;
        }
        Ok(off)
    }
}

impl std::fmt::Debug for Folding<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Folding")
            .field("rule", &self.run.rule.name())
            .field("base", &self.base.path())
            .field("tensors", &self.tensors.len())
            .finish_non_exhaustive()
    }
}
