//! What the rules `fisher`, `regmean` and, trained, `localize_and_stitch` go by, measured of every member of a merge on training prompts of the
//! domains that it was trained on.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use weaverec_model::lora::Adapter;
use weaverec_model::merge::measure::{Localizing, fisher, localize, write_fisher, write_gram, write_masks};
use weaverec_output::Staged;
use weaverec_pipeline::schema::{PromptFormat, Split};

use super::backbone::LanguageModel;
use super::materials::Materials;
use super::plan::AdapterKey;
use crate::method::{MEASURED_PROMPTS, MergeRule};

/// Bytes for gradients, or for sums of products.
const MEMORY: usize = 1 << 30;

/// What is measured, and on what.
pub(super) struct Measuring<'a> {
    pub model: &'a LanguageModel,
    pub format: PromptFormat,
    /// The domains of the members.
    pub materials: &'a Materials,
    /// What the adapters were trained on, in their order.
    pub members: &'a [AdapterKey],
}

/// Files of statistics, one a member, which are gone with this.
pub(super) struct Measured {
    files: Vec<PathBuf>,
    _folder: Staged,
}

impl Measured {
    /// The files, in the order of the members.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

impl Measuring<'_> {
    /// What a rule goes by; nothing for rules that go by the adapters alone. The files lie beside `place` for as long as they are needed.
    ///
    /// # Errors
    /// Domains without training prompts, and adapters of something that is not measured.
    pub fn of(&self, rule: MergeRule, adapters: &[Adapter], place: &Path) -> Result<Option<Measured>> {
        if !rule.measured {
            return Ok(None);
        }
        let folder = Staged::beside(place)?;
        let mut files = Vec::new();
        for (number, ((diet, _), adapter)) in self.members.iter().zip(adapters).enumerate() {
            let domains = diet.domains();
            let each = MEASURED_PROMPTS.div_ceil(domains.iter().count().max(1));
            let mut examples = Vec::new();
            for name in domains.iter() {
                let domain = self.materials.domain(name)?;
                let prompts = domain.folder.first_prompts(Split::Train, each)?;
                examples.extend(self.model.words.encoder(name, self.format)?.examples(&prompts)?);
            }
            let file = folder.path().join(format!("{number}.safetensors"));
            let decoder = &self.model.decoder;
            let what = || format!("cannot measure what {} goes by of {diet}", rule.name);
            match rule.name {
                "fisher" => {
                    let found = fisher(decoder, adapter, &examples, MEMORY, &mut |_, _| ());
                    write_fisher(&file, &found.with_context(what)?)?;
                }
                "regmean" => {
                    write_gram(&file, decoder, adapter, &examples, MEMORY, &mut |_, _| ())
                        .with_context(what)?;
                }
                "localize_and_stitch" => {
                    let settings = Localizing::default();
                    let found = localize(decoder, adapter, &examples, settings, &mut |_, _| ());
                    write_masks(&file, &found.with_context(what)?.masks)?;
                }
                other => bail!("nothing is known of what the rule {other} goes by"),
            }
            files.push(file);
        }
        Ok(Some(Measured {
            files,
            _folder: folder,
        }))
    }
}
