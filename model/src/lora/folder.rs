//! PEFT adapter folders: `adapter_config.json` beside `adapter_model.safetensors`.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Tensor};

use super::LoraConfig;
use super::config::{EMBEDDING, HEAD};
use crate::backbone::weights::{persist, safetensors};
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
        let ((rank, input), (out, columns)) = (self.a.dims2()?, self.b.dims2()?);
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
}

impl Adapter {
    /// Reads a PEFT folder.
    ///
    /// # Errors
    /// Files that are missing or damaged, settings that are not plain LoRA, or tensors that do not fit the settings.
    pub fn load(folder: &Path) -> Result<Self> {
        let config = LoraConfig::read(&folder.join(CONFIG))?;
        let path = folder.join(MODEL);
        if !path.exists() && folder.join("adapter_model.bin").exists() {
            return Err(failure(
                folder,
                "only a pickled adapter_model.bin here; save the adapter as safetensors",
            ));
        }
        let (mut factors_a, mut factors_b) = (BTreeMap::new(), BTreeMap::new());
        let mut saved = BTreeMap::new();
        let has_whole_modules = config.saved_names().next().is_some();
        for (key, tensor) in safetensors::read(&path)? {
            let module = key.strip_prefix(PREFIX).unwrap_or(&key);
            if let Some(module) = module.strip_suffix(".lora_A.weight") {
                factors_a.insert(module.to_string(), tensor);
                continue;
            }
            if let Some(module) = module.strip_suffix(".lora_B.weight") {
                factors_b.insert(module.to_string(), tensor);
                continue;
            }
            let whole = module.strip_suffix(".weight");
            match whole.filter(|module| has_whole_modules && [EMBEDDING, HEAD].contains(module)) {
                Some(module) => saved.insert(module.to_string(), tensor),
                None => {
                    let message = format!(
                        "tensor {key} is neither a factor of a linear layer nor a module in modules_to_save; only plain LoRA can \
                         be used"
                    );
                    return Err(failure(&path, message));
                }
            };
        }
        let mut modules = BTreeMap::new();
        for (name, a) in factors_a {
            let b = factors_b
                .remove(&name)
                .ok_or_else(|| failure(&path, format!("{name} has A but no B")))?;
            let scale = config.scale_for(&name);
            modules.insert(name, LoraModule { a, b, scale });
        }
        if let Some(name) = factors_b.into_keys().next() {
            return Err(failure(&path, format!("{name} has B but no A")));
        }
        let adapter = Adapter {
            config,
            modules,
            saved,
        };
        adapter.check().map_err(|message| failure(&path, message))?;
        Ok(adapter)
    }

    /// Writes a PEFT folder, whole or not at all. An adapter's folder that was there is replaced, and an empty one; nothing else is.
    ///
    /// # Errors
    /// A folder that cannot be written or holds something else, or settings that contradict the factors.
    pub fn save(&self, folder: &Path) -> Result<()> {
        self.check().map_err(|message| failure(folder, message))?;
        persist::write_folder(folder, CONFIG, |content| self.save_into(content))
    }

    /// Writes the files of a PEFT folder into one that is there, each whole or not at all: for who puts more into the folder, and sees to
    /// it that it appears as a whole.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn save_into(&self, folder: &Path) -> Result<()> {
        self.check().map_err(|message| failure(folder, message))?;
        let factors = self.modules.iter().flat_map(|(name, module)| {
            let key = |factor: &str| format!("{PREFIX}{name}.{factor}.weight");
            [
                (key("lora_A"), module.a.clone().into()),
                (key("lora_B"), module.b.clone().into()),
            ]
        });
        let saved = self
            .saved
            .iter()
            .map(|(name, weight)| (format!("{PREFIX}{name}.weight"), weight.clone().into()));
        safetensors::write(&folder.join(MODEL), factors.chain(saved))?;
        let json = serde_json::to_string_pretty(&self.config)
            .map_err(|e| failure(folder, format!("the settings cannot be written: {e}")))?;
        persist::write_file(&folder.join(CONFIG), format!("{json}\n").as_bytes())
    }

    /// Whether a base whose output head is its embedding gets a head of its own from this adapter: where it changes one of them alone.
    pub fn parts_head_from_embedding(&self) -> bool {
        !self.saved.is_empty() || self.modules.contains_key(HEAD)
    }

    /// An identity: changes with any module, scale or value.
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
        if !self.saved.is_empty() && self.config.saved_names().next().is_none() {
            return Err("modules are stored whole that modules_to_save does not name".into());
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

/// A model with a value that is no number gives no score and no order.
fn check_finite(name: &str, values: &Tensor) -> std::result::Result<(), String> {
    let values = values
        .flatten_all()
        .and_then(|values| values.to_dtype(DType::F32)?.to_vec1::<f32>());
    match values
        .map_err(|e| e.to_string())?
        .iter()
        .all(|value| value.is_finite())
    {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use candle_core::Device;

    fn counting(rows: usize, columns: usize) -> Tensor {
        let values: Vec<f32> = (0..rows * columns).map(|i| (i as f32).cos()).collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    }

    fn adapter() -> Adapter {
        let config: LoraConfig = serde_json::from_str(
            r#"{"r": 2, "lora_alpha": 4, "rank_pattern": {"up_proj": 3}, "target_modules": ["q_proj", "up_proj"]}"#,
        )
        .unwrap();
        let module = |name: &str, rank: usize| {
            let name = format!("model.layers.0.{name}");
            let scale = config.scale_for(&name);
            (
                name,
                LoraModule {
                    a: counting(rank, 6),
                    b: counting(5, rank),
                    scale,
                },
            )
        };
        let modules = [module("self_attn.q_proj", 2), module("mlp.up_proj", 3)].into();
        Adapter {
            config,
            modules,
            saved: BTreeMap::new(),
        }
    }

    #[test]
    fn modules_stored_whole_read_back_and_must_be_those_that_the_settings_name() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a");
        let mut before = adapter();
        before.saved.insert(HEAD.into(), counting(7, 6));
        let failed = before.save(&folder).unwrap_err().to_string();
        assert!(failed.contains("modules_to_save does not name"), "{failed}");
        before.config.modules_to_save = Some(vec!["lm_head".into()]);
        before.save(&folder).unwrap();
        let after = Adapter::load(&folder).unwrap();
        assert_eq!(after.fingerprint().unwrap(), before.fingerprint().unwrap());
        assert_eq!(after.parameters(), 2 * 11 + 3 * 11 + 42);
        assert_ne!(after.fingerprint().unwrap(), adapter().fingerprint().unwrap());
        before.config.modules_to_save = Some(vec!["lm_head".into(), "embed_tokens".into()]);
        let failed = before.save(&folder).unwrap_err().to_string();
        assert!(failed.contains("embed_tokens"), "{failed}");
    }

    #[test]
    fn factors_that_the_settings_do_not_target_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let mut wrong = adapter();
        wrong.config.exclude_modules = Some(crate::lora::config::TargetModules::Names(vec!["q_proj".into()]));
        let failed = wrong.save(&root.path().join("a")).unwrap_err().to_string();
        assert!(
            failed.contains("q_proj") && failed.contains("no target"),
            "{failed}"
        );
    }

    #[test]
    fn factors_that_are_no_numbers_are_neither_written_nor_read() {
        let root = tempfile::tempdir().unwrap();
        let mut wrong = adapter();
        if let Some(module) = wrong.modules.values_mut().next() {
            module.b = (&module.b * f64::NAN).unwrap();
        }
        let failed = wrong.save(&root.path().join("a")).unwrap_err().to_string();
        assert!(failed.contains("other than finite numbers"), "{failed}");
    }

    #[test]
    fn an_adapter_written_reads_back_equal() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a");
        let before = adapter();
        before.save(&folder).unwrap();
        before.save(&folder).unwrap();
        let after = Adapter::load(&folder).unwrap();
        assert_eq!(after.config, before.config);
        assert_eq!(after.fingerprint().unwrap(), before.fingerprint().unwrap());
        assert_eq!(after.parameters(), 2 * 11 + 3 * 11);
        assert_eq!(
            std::fs::read_dir(root.path()).unwrap().count(),
            1,
            "no temporary folders stay behind"
        );
    }

    #[test]
    fn settings_that_contradict_the_factors_are_not_written() {
        let root = tempfile::tempdir().unwrap();
        let mut wrong = adapter();
        wrong.config.r = 5;
        assert!(
            wrong
                .save(&root.path().join("a"))
                .unwrap_err()
                .to_string()
                .contains("rank 2")
        );
        let mut wrong = adapter();
        wrong.config.lora_alpha = 5.0;
        assert!(
            wrong
                .save(&root.path().join("a"))
                .unwrap_err()
                .to_string()
                .contains("scale")
        );
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_not_a_pair_of_factors_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(CONFIG), r#"{"r": 2, "lora_alpha": 2}"#).unwrap();
        let write = |keys: &[&str]| {
            let tensor = counting(2, 2);
            let named = keys.iter().map(|key| (key.to_string(), tensor.clone().into()));
            safetensors::write(&folder.path().join(MODEL), named).unwrap();
            Adapter::load(folder.path()).unwrap_err().to_string()
        };
        let a = "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight";
        assert!(write(&[a]).contains("no B"));
        assert!(write(&[&a.replace("_A", "_B")]).contains("no A"));
        assert!(write(&["base_model.model.lm_head.weight"]).contains("lm_head"));
        std::fs::remove_file(folder.path().join(MODEL)).unwrap();
        assert!(
            Adapter::load(folder.path())
                .unwrap_err()
                .to_string()
                .contains(MODEL)
        );
    }

    #[test]
    fn the_fingerprint_sees_scales_and_values() {
        let base = adapter();
        let name = "model.layers.0.mlp.up_proj";
        for change in [
            |m: &mut LoraModule| m.scale *= 2.0,
            |m: &mut LoraModule| m.b = (&m.b * 2.0).unwrap(),
        ] {
            let mut other = base.clone();
            change(other.modules.get_mut(name).unwrap());
            assert_ne!(other.fingerprint().unwrap(), base.fingerprint().unwrap());
        }
    }
}
