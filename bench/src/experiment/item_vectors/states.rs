//! Vectors by a language model, with or without an adapter.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use weaverec_model::backbone::{Decoder, Tokenizer};
use weaverec_model::device::{Arithmetic, Compute};
use weaverec_model::lora::{Adapter, Reading};
use weaverec_model::recommender::Vectors;
use weaverec_model::recommender::vectors;
use weaverec_pipeline::fetch::{MODELS, Model};

use super::cache::{self, Cache};
use super::{DomainItems, States, adjusted, by_domain};
use crate::experiment::backbone::{self, LanguageModel};
use crate::progress::say;

impl States {
    /// What tells the model's weights and words from others.
    pub(super) fn model_identity(&self) -> Result<Value> {
        match Model::named(&self.model) {
            // What it is like is known.
            Some(known) => Ok(known.name.into()),
            None => {
                let path = Path::new(&self.model);
                ensure!(
                    path.exists(),
                    "{}: no such file or folder, and no model that is known; these are {}",
                    self.model,
                    MODELS.map(|known| known.name).join(", ")
                );
                Ok(cache::content(path)?.into())
            }
        }
    }

    pub(super) fn of(
        &self,
        domains: &[DomainItems],
        cache: &Cache,
        compute: Compute,
    ) -> Result<Vec<Vectors>> {
        let mut what = json!({
            "kind": "states",
            "model": self.model_identity()?,
            "precision": self.precision,
        });
        if let Some(adapter) = &self.adapter {
            what["adapter"] = cache::content(adapter)?.into();
        }
        if compute.arithmetic != Arithmetic::default() {
            what["arithmetic"] = compute.arithmetic.to_string().into();
        }
        let mut loaded = None;
        let made = by_domain(&what, domains, cache, |titles, meter| {
            let (decoder, tokenizer) = match &loaded {
                Some(loaded) => loaded,
                None => loaded.insert(self.load(compute)?),
            };
            let told = &mut |done: usize, all: usize| meter.update(done as u64, all as u64, String::new);
            Ok(vectors::of_states(titles, decoder, tokenizer, told)?)
        })?;
        adjusted(made, self.centre, self.normalise)
    }

    /// The model with its adapter, and its words.
    fn load(&self, compute: Compute) -> Result<(Decoder, Tokenizer)> {
        let model = backbone::pretrained(&self.model, self.precision, compute)?;
        let tokenizer = model.words.tokenizer()?.clone();
        let decoder = match &self.adapter {
            None => model.decoder,
            Some(folder) => with_adapter(&model, folder)?,
        };
        Ok((decoder, tokenizer))
    }
}

/// The model with an adapter folded in; one that was trained on another base is warned of.
fn with_adapter(model: &LanguageModel, folder: &Path) -> Result<Decoder> {
    let reading = Reading {
        partial: false,
        base: Some(model.decoder.config()),
    };
    let adapter = Adapter::read(folder, reading)?;
    if let Some(base) = adapter.base.as_ref().filter(|base| !base.is(&model.base)) {
        say(format!(
            "warning: {}: trained on {}, whose weights are not those of {}; what it does there it need not do here",
            folder.display(),
            base.name,
            model.base.name
        ));
    }
    let cannot = || format!("{} cannot be used on {}", folder.display(), model.base.name);
    model.decoder.folded(&adapter).with_context(cannot)
}
