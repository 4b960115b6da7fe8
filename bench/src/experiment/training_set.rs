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

/// What an adapter is trained on.
#[derive(Debug, Default)]
pub struct TrainingSet {
    /// Mixed from all folders.
    pub examples: Vec<Example>,
    /// Up to so many of each folder, that choose the best step.
    pub held_out: Vec<Example>,
}

impl TrainingSet {
    /// Mixes the folders' training prompts, the first being the target's; `held_out` of each choose the best step: of validation, or, under
    /// the paper's recipe, of the training prompts that it holds out.
    pub fn read(
        folders: &[&Prepared],
        tokenizer: &Tokenizer,
        mixture: Mixture,
        held_out: usize,
        seed: u64,
        meter: &Meter,
    ) -> Result<Self> {
        let mut set = TrainingSet::default();
        let mut places: Vec<Vec<Place>> = Vec::new();
        for (number, folder) in folders.iter().enumerate() {
            let (usable, chosen_by) = usable(number, folder, held_out)?;
            set.held_out
                .extend(encoder(folder, tokenizer).examples(&chosen_by)?);
            places.push(usable);
        }
        let names = folders.iter().map(|folder| folder.manifest().name.as_str());
        let mixed = mix_domains(names.zip(places.iter().map(Vec::as_slice)), mixture, seed);
        drop(places);
        let slots: HashMap<Place, usize> = mixed.into_iter().zip(0..).collect();
        set.examples = vec![Example::default(); slots.len()];
        let mut read = 0;
        for (number, folder) in folders.iter().enumerate() {
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

/// The places of the prompts that may be trained on, and the prompts that choose the best step.
fn usable(number: usize, folder: &Prepared, held_out: usize) -> Result<(Vec<Place>, Vec<Prompt>)> {
    let recipe = folder.manifest().parameters.recipe;
    let (mut usable, mut chosen_by) = (Vec::new(), Vec::new());
    let mut place = 0;
    folder.each_prompt(Split::Train, |row| {
        if !recipe.holds_out(row.key) {
            usable.push((number, place));
        } else if chosen_by.len() < held_out {
            chosen_by.push(row.to_prompt());
        }
        place += 1;
        Ok(())
    })?;
    if recipe == Recipe::Clean {
        chosen_by = folder.first_prompts(Split::Validation, held_out)?;
    }
    Ok((usable, chosen_by))
}
