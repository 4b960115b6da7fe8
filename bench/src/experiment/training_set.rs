//! The training set of an adapter, read from prepared folders prompt by prompt: no more texts are in memory than one row group's, and no
//! more tokens than those of the prompts that are trained on.

use std::collections::HashMap;

use anyhow::{Context, Result};
use weaverec_model::backbone::Tokenizer;
use weaverec_model::train::Example;
use weaverec_model::weave::{Mixture, mix_domains};
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::{Prompt, Split};
use weaverec_pipeline::stage::Recipe;

use super::encoder::Encoder;
use crate::progress::Meter;

/// A training prompt: which folder's, and its place there.
type Place = (usize, u64);

/// A prepared folder, and what of it chooses the best step.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The folder.
    pub folder: &'a Prepared,
    /// What chooses.
    pub chosen_by: ChosenBy<'a>,
}

/// What chooses the best step of a training.
#[derive(Clone, Copy, Debug)]
pub enum ChosenBy<'a> {
    /// So many prompts: of validation, or, under the paper's recipe, of the training prompts that it holds out.
    First(usize),
    /// These prompts, which belong to users on whom nothing is reported.
    These(&'a [Prompt]),
}

/// What an adapter is trained on.
#[derive(Debug, Default)]
pub struct TrainingSet {
    /// Mixed from all folders.
    pub examples: Vec<Example>,
    /// Of all folders, to choose the best step.
    pub held_out: Vec<Example>,
}

impl TrainingSet {
    /// Mixes the folders' training prompts, the first being the target's.
    pub fn read(
        parts: &[Part],
        tokenizer: &Tokenizer,
        mixture: Mixture,
        seed: u64,
        meter: &Meter,
    ) -> Result<Self> {
        let mut set = TrainingSet::default();
        let mut places: Vec<Vec<Place>> = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let (usable, held_out) = part.usable(number)?;
            set.held_out
                .extend(encoder(part.folder, tokenizer).examples(&held_out)?);
            places.push(usable);
        }
        let names = parts.iter().map(|part| part.folder.manifest().name.as_str());
        let mixed = mix_domains(names.zip(places.iter().map(Vec::as_slice)), mixture, seed);
        drop(places);
        let slots: HashMap<Place, usize> = mixed.into_iter().zip(0..).collect();
        set.examples = vec![Example::default(); slots.len()];
        let mut read = 0;
        for (number, Part { folder, .. }) in parts.iter().enumerate() {
            let encoder = encoder(folder, tokenizer);
            let mut refused = None;
            let mut place = 0;
            folder.each_prompt(Split::Train, |row| {
                if let Some(slot) = slots.get(&(number, place)) {
                    match encoder.example(&row.to_prompt()) {
                        Ok(example) => set.examples[*slot] = example,
                        Err(error) => refused = refused.take().or(Some(error)),
                    }
                    read += 1;
                    meter.update(read, slots.len() as u64, || "prompts read".into());
                }
                place += 1;
                Ok(())
            })?;
            if let Some(error) = refused {
                return Err(error).with_context(|| format!("a prompt of {}", folder.manifest().name));
            }
        }
        Ok(set)
    }
}

fn encoder<'t>(folder: &Prepared, tokenizer: &'t Tokenizer) -> Encoder<'t> {
    Encoder::new(tokenizer, folder.manifest().parameters.format)
}

impl Part<'_> {
    /// The places of the prompts that may be trained on, and the prompts that choose the best step.
    fn usable(&self, number: usize) -> Result<(Vec<Place>, Vec<Prompt>)> {
        let recipe = self.folder.manifest().parameters.recipe;
        let wanted = match self.chosen_by {
            ChosenBy::First(count) if recipe == Recipe::Paper => count,
            _ => 0,
        };
        let (mut usable, mut held_out) = (Vec::new(), Vec::new());
        let mut place = 0;
        self.folder.each_prompt(Split::Train, |row| {
            if !recipe.holds_out(row.key) {
                usable.push((number, place));
            } else if held_out.len() < wanted {
                held_out.push(row.to_prompt());
            }
            place += 1;
            Ok(())
        })?;
        match self.chosen_by {
            ChosenBy::These(prompts) => held_out.extend_from_slice(prompts),
            ChosenBy::First(count) if recipe == Recipe::Clean => {
                held_out = self.folder.first_prompts(Split::Validation, count)?;
            }
            ChosenBy::First(_) => {}
        }
        Ok((usable, held_out))
    }
}
