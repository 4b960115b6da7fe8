//! PEFT adapter folders: `adapter_config.json` beside `adapter_model.safetensors`.

mod key;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use self::key::Part;
use super::config::HEAD;
use super::{LoraConfig, base};
use crate::backbone::decoder::modules_of;
use crate::backbone::{Base, DecoderConfig};
use crate::io::{atomic, safetensors};
use crate::op::with_values;
use crate::{Error, Result};

const CONFIG: &str = "adapter_config.json";
const MODEL: &str = "adapter_model.safetensors";
/// What PEFT's wrappers put before the path of a module.
const PREFIX: &str = "base_model.model.";

/// The low-rank update of one linear layer: `scale · B A`.
#[derive(Clone, Debug)]
pub struct LoraModule {
    /// The factor A, `(r, in)`.
    pub a: Tensor,
    /// The factor B, `(out, r)`.
    pub b: Tensor,
    /// What the product is multiplied with.
    pub scale: f64,
}

impl LoraModule {
    /// Rank of the factors.
    pub fn rank(&self) -> usize {
        self.a.dims().first().copied().unwrap_or(0)
    }

    /// `(out, in)` of the layer.
    ///
    /// # Errors
    /// Factors that are not matrices of one common rank.
    pub fn shape(&self) -> Result<(usize, usize)> {
        let ([rank, input], [out, columns]) = (matrix(&self.a)?, matrix(&self.b)?);
        if rank != columns {
            return Err(Error::Usage(format!(
                "factors A {:?} and B {:?} differ in rank",
                self.a.dims(),
                self.b.dims()
            )));
        }
        Ok((out, input))
    }

    /// The update as a dense `(out, in)` matrix. Only folding needs it.
    ///
    /// # Errors
    /// Factors that do not fit each other.
    pub fn delta(&self) -> Result<Tensor> {
        Ok((self.b.matmul(&self.a)? * self.scale)?)
    }
}

/// Rows and columns of a factor.
fn matrix(factor: &Tensor) -> Result<[usize; 2]> {
    let what = match factor.dims() {
        [rows, columns] if *rows > 0 && *columns > 0 => return Ok([*rows, *columns]),
        dims if dims.contains(&0) => {
            "is empty, as trainers write parts of a model that they had not gathered (DeepSpeed's ZeRO-3)"
        }
        _ => "is no matrix",
    };
    Err(Error::Usage(format!(
        "a factor of shape {:?} {what}; store the adapter again",
        factor.dims()
    )))
}

/// How an adapter is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading<'a> {
    /// Targeted modules without factors count as zero; else they are an error.
    pub partial: bool,
    /// The base, where it is at hand: how many modules there are to target, and their shapes.
    pub base: Option<&'a DecoderConfig>,
}

/// A LoRA adapter: its settings, its factors by the path of the module, e.g. `model.layers.0.self_attn.q_proj`, and the modules that
/// are stored whole.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// The settings.
    pub config: LoraConfig,
    /// The factors.
    pub modules: BTreeMap<String, LoraModule>,
    /// Weights that take the place of the base's, by the path of the module: the embedding, the output head, or both
    /// (`modules_to_save`).
    pub saved: BTreeMap<String, Tensor>,
    /// Weights of the base that are stored beside the factors, as PEFT does with an embedding or head that is targeted or was resized.
    /// They change nothing: a base must have the same ones.
    pub copies: BTreeMap<String, Tensor>,
    /// The base that it was trained on, where that is recorded.
    pub base: Option<Base>,
}

impl Adapter {
    /// An adapter of factors alone.
    pub fn new(config: LoraConfig, modules: BTreeMap<String, LoraModule>) -> Self {
        Adapter {
            config,
            modules,
            saved: BTreeMap::new(),
            copies: BTreeMap::new(),
            base: None,
        }
    }

    /// Reads a PEFT folder that holds all that its settings target, as far as it can tell by itself.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn load(folder: &Path) -> Result<Self> {
        Self::read(folder, Reading::default())
    }

    /// Reads a PEFT folder.
    ///
    /// # Errors
    /// Files that are missing or damaged, settings that are not plain LoRA, tensors that do not fit the settings or the base, and
    /// (unless it is read as partial) targeted modules that have no factors.
    pub fn read(folder: &Path, reading: Reading) -> Result<Self> {
        check_is_adapter(folder)?;
        let config = LoraConfig::read(&folder.join(CONFIG))?;
        let path = folder.join(MODEL);
        let mut adapter = Adapter {
            base: base::read(folder)?,
            ..Adapter::of(config, safetensors::read(&path)?).map_err(|message| failure(&path, message))?
        };
        adapter.check().map_err(|message| failure(&path, message))?;
        if let Some(base) = reading.base {
            adapter
                .check_shapes(base)
                .map_err(|message| failure(&path, message))?;
        }
        let known = reading.base.map(|base| base.num_hidden_layers);
        if let Some(layers) = known.or_else(|| adapter.base.as_ref().map(|_| adapter.layers())) {
            adapter.forget_layers_from(layers);
        }
        let complete = adapter.check_coverage(known.unwrap_or_else(|| adapter.layers()));
        match complete {
            Err(message) if !reading.partial => {
                let hint = match known {
                    None if adapter.is_complete_as_far_as_it_goes() => {
                        "; or, if the base has no such layers, say which it is (--base)"
                    }
                    _ => "",
                };
                return Err(failure(&path, message + hint));
            }
            // By itself an adapter cannot tell of layers after its last.
            Ok(()) if !reading.partial || known.is_some() => {}
            _ => adapter.narrow_targets(),
        }
        Ok(adapter)
    }

    /// Puts the tensors of a file in their places.
    fn of(config: LoraConfig, tensors: BTreeMap<String, Tensor>) -> std::result::Result<Self, String> {
        let mut factors: [BTreeMap<String, Tensor>; 2] = Default::default();
        let (mut saved, mut copies) = (BTreeMap::new(), BTreeMap::new());
        let mut adapters = BTreeSet::new();
        for (key, tensor) in tensors {
            let found = key::parse(&key).map_err(|what| {
                format!("tensor {key} is {what}; only plain LoRA on linear layers can be used")
            })?;
            let place = match found.part {
                Part::A => &mut factors[0],
                Part::B => &mut factors[1],
                Part::Saved => &mut saved,
                Part::Whole if config.is_saved(&found.module) => &mut saved,
                Part::Whole | Part::Copy => &mut copies,
            };
            if matches!(found.part, Part::A | Part::B) {
                adapters.insert(found.adapter.unwrap_or_default());
            }
            if place.insert(found.module, tensor).is_some() {
                return Err(format!(
                    "tensor {key} is there twice, under another name too; store the adapter alone"
                ));
            }
        }
        if adapters.len() > 1 {
            let names: Vec<String> = adapters.iter().map(|name| format!("\"{name}\"")).collect();
            return Err(format!(
                "the factors of {} adapters in one file ({}); store each alone",
                names.len(),
                names.join(", ")
            ));
        }
        let [factors_a, mut factors_b] = factors;
        let mut modules = BTreeMap::new();
        for (name, a) in factors_a {
            let b = factors_b
                .remove(&name)
                .ok_or_else(|| format!("{name} has A but no B"))?;
            let scale = config.scale_for(&name);
            modules.insert(name, LoraModule { a, b, scale });
        }
        if let Some(name) = factors_b.into_keys().next() {
            return Err(format!("{name} has B but no A"));
        }
        // Beside a module that the adapter brings, trainers store the one in whose place it comes.
        copies.retain(|module, _| !saved.contains_key(module));
        Ok(Adapter {
            saved,
            copies,
            ..Adapter::new(config, modules)
        })
    }

    /// Writes a PEFT folder, whole or not at all. An adapter's folder that was there is replaced, and an empty one; nothing else is.
    ///
    /// # Errors
    /// A folder that cannot be written or holds something else, or settings that contradict the factors.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let kind = ("an adapter's folder", &[CONFIG][..]);
        atomic::write_folder(folder, kind, |content| self.save_into(content))
    }

    /// Writes the files of a PEFT folder into one that is there, each whole or not at all: for who puts more into the folder, and sees to
    /// it that it appears as a whole.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn save_into(&self, folder: &Path) -> Result<()> {
        self.check()
            .and_then(|()| self.check_coverage(self.layers()))
            .map_err(|message| failure(folder, message))?;
        let factors = self.modules.iter().flat_map(|(name, module)| {
            let key = |factor: &str| format!("{PREFIX}{name}.{factor}.weight");
            [
                (key("lora_A"), module.a.clone().into()),
                (key("lora_B"), module.b.clone().into()),
            ]
        });
        let whole = |(name, weight): (&String, &Tensor)| {
            // A module that carries factors is in a wrapper.
            let wrapped = if self.modules.contains_key(name) {
                ".base_layer"
            } else {
                ""
            };
            (format!("{PREFIX}{name}{wrapped}.weight"), weight.clone().into())
        };
        let whole = self.saved.iter().chain(&self.copies).map(whole);
        safetensors::write(&folder.join(MODEL), factors.chain(whole))?;
        let json = serde_json::to_string_pretty(&self.config)
            .map_err(|e| failure(folder, format!("the settings cannot be written: {e}")))?;
        if let Some(base) = &self.base {
            base::write(base, folder)?;
        }
        atomic::write_file(&folder.join(CONFIG), format!("{json}\n").as_bytes())
    }

    /// Whether a base whose output head is its embedding gets a head of its own from this adapter: where it changes one of them alone.
    pub fn parts_head_from_embedding(&self) -> bool {
        !self.saved.is_empty() || self.modules.contains_key(HEAD)
    }

    /// An identity: changes with any module, scale or value, but not with copies of the base's weights.
    ///
    /// # Errors
    /// Only if a tensor cannot be read back.
    pub fn fingerprint(&self) -> Result<String> {
        let factors = self.modules.iter().flat_map(|(name, module)| {
            [
                (format!("{name}.A·{:?}", module.scale), &module.a),
                (format!("{name}.B"), &module.b),
            ]
        });
        let saved = self.saved.iter().map(|(name, weight)| (name.clone(), weight));
        let named: Vec<_> = factors.chain(saved).collect();
        safetensors::fingerprint(
            named
                .iter()
                .map(|(name, tensor)| (name.as_str(), (*tensor).clone().into())),
        )
    }

    /// Number of parameters of all factors and modules stored whole.
    pub fn parameters(&self) -> usize {
        let factors = self
            .modules
            .values()
            .map(|module| module.a.elem_count() + module.b.elem_count());
        factors.chain(self.saved.values().map(Tensor::elem_count)).sum()
    }

    /// Refuses an adapter that does not fit a base of this configuration.
    fn check_shapes(&self, base: &DecoderConfig) -> std::result::Result<(), String> {
        let head = (base.vocab_size, base.hidden_size);
        let mut shapes: BTreeMap<String, (usize, usize)> = modules_of(base).into_iter().collect();
        shapes.insert(HEAD.into(), head);
        for (name, module) in &self.modules {
            let (shape, needed) = (module.shape().map_err(|e| e.to_string())?, shapes.get(name));
            match needed {
                None => {
                    return Err(format!(
                        "{name} carries factors and is no linear layer of the base, which has {} layers: the adapter was trained on \
                         another base",
                        base.num_hidden_layers
                    ));
                }
                Some(needed) if *needed != shape => {
                    return Err(format!(
                        "the factors of {name} make a matrix of shape {shape:?} where the base has {needed:?}: the adapter was \
                         trained on another base"
                    ));
                }
                Some(_) => {}
            }
        }
        let whole = self.saved.iter().chain(&self.copies);
        match whole
            .into_iter()
            .find(|(_, weight)| weight.dims() != [head.0, head.1])
        {
            None => Ok(()),
            Some((name, weight)) => Err(format!(
                "{name} is stored whole with shape {:?} where the base has {head:?}: the adapter was trained on another base, or with a \
                 vocabulary that was made larger; resize the base's first",
                weight.dims()
            )),
        }
    }

    /// Whoever reads the folder derives ranks and scales from the settings, so they must say what the factors are.
    fn check(&self) -> std::result::Result<(), String> {
        self.config.check()?;
        if self.modules.is_empty() {
            return Err("the adapter has no modules".into());
        }
        if let Some(missing) = self.config.saved_names().find(|name| {
            let is = |module: &&String| module.rsplit('.').next() == name.rsplit('.').next();
            !self.saved.keys().any(|module| is(&module))
        }) {
            return Err(format!("modules_to_save names {missing}, which is not stored"));
        }
        if let Some(module) = self.saved.keys().find(|module| !self.config.is_saved(module)) {
            return Err(format!(
                "{module} is stored whole, and modules_to_save does not name it"
            ));
        }
        for (name, copy) in &self.copies {
            check_finite(name, copy)?;
        }
        for (name, saved) in &self.saved {
            check_finite(name, saved)?;
        }
        for (name, module) in &self.modules {
            module.shape().map_err(|e| format!("{name}: {e}"))?;
            [&module.a, &module.b]
                .into_iter()
                .try_for_each(|factor| check_finite(name, factor))?;
            if !self.config.targets(name) {
                return Err(format!(
                    "{name} carries factors where the settings say that it is no target: whoever reads them leaves these out"
                ));
            }
            let (rank, scale) = (self.config.rank_for(name), self.config.scale_for(name));
            if module.rank() != rank {
                return Err(format!(
                    "{name} has rank {} where the settings say {rank}",
                    module.rank()
                ));
            }
            if (module.scale - scale).abs() > 1e-9 * scale.abs() {
                return Err(format!(
                    "{name} has scale {} where the settings say {scale}",
                    module.scale
                ));
            }
        }
        Ok(())
    }
}

/// What of other kinds of folders is taken for an adapter's.
fn check_is_adapter(folder: &Path) -> Result<()> {
    let has = |name: &str| folder.join(name).exists();
    if !folder.is_dir() {
        let what = match folder.exists() {
            true => "a file; name the adapter's folder",
            false => "no such folder",
        };
        return Err(failure(folder, what));
    }
    if !has(CONFIG) {
        let what = match inner_adapters(folder).as_slice() {
            [] if has("config.json") => {
                format!("a model's folder (config.json) and no adapter's: no {CONFIG} here")
            }
            [] => format!("no {CONFIG} here, so this is no adapter's folder"),
            inner => format!(
                "no {CONFIG} here; there are adapters in {}: name one",
                inner.join(", ")
            ),
        };
        return Err(failure(folder, what));
    }
    if !has(MODEL) && has("adapter_model.bin") {
        return Err(failure(
            folder,
            format!(
                "only a pickled adapter_model.bin here; save the adapter as safetensors: in Python, \
                 save_file(torch.load(\"adapter_model.bin\", weights_only=True), \"{MODEL}\") of safetensors.torch"
            ),
        ));
    }
    if !has(MODEL) {
        return Err(failure(folder, format!("no {MODEL} here beside {CONFIG}")));
    }
    Ok(())
}

/// Folders in a folder that hold adapters: checkpoints of a training, or adapters that had a name.
fn inner_adapters(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let adapters = entries.filter(|entry| entry.path().join(CONFIG).is_file());
    let mut names: Vec<String> = adapters
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A model with a value that is no number gives no score and no order.
fn check_finite(name: &str, values: &Tensor) -> std::result::Result<(), String> {
    let finite = |values: &Tensor| {
        let values = values
            .to_device(&Device::Cpu)?
            .to_dtype(DType::F32)?
            .contiguous()?;
        with_values(&values, "reading values", |values| {
            Ok(values.iter().all(|value| value.is_finite()))
        })
    };
    match finite(values).map_err(|e: candle_core::Error| e.to_string())? {
        true => Ok(()),
        false => Err(format!(
            "{name} holds something other than finite numbers; train it again"
        )),
    }
}

fn failure(path: &Path, message: impl Into<String>) -> Error {
    Error::Adapter {
        path: path.to_path_buf(),
        message: message.into(),
    }
}
