//! The training set of an adapter, read from prepared folders prompt by prompt: no more texts are in memory than one row group's, and no
//! more tokens than those of the prompts that are trained on.

use std::collections::HashMap;

use anyhow::{Context, Result};
use weaverec_model::recommender::ItemCodes;
use weaverec_model::train::{Example, Outcome};
use weaverec_model::weave::{Diet, Mixture, mix_domains, mix_portions};
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::{Item, Prompt, Split};
use weaverec_pipeline::seed;
use weaverec_pipeline::stage::Recipe;

use super::cell::Choice;
use super::encoder::Encoder;
use super::words::Words;
use crate::cut::Cut;
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

/// What chance decides of a training set.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    /// Which prompts of a domain are taken.
    pub subset: u64,
    /// In which order.
    pub order: u64,
    /// How the titles of a placebo change their items, by domain.
    pub placebo: &'a dyn Fn(&str) -> u64,
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
    pub fn read(parts: &[Part], words: &Words, mixture: Mixture, seed: u64, meter: &Meter) -> Result<Self> {
        let mut set = TrainingSet::default();
        let mut places: Vec<Vec<Place>> = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let (usable, held_out) = part.usable(number)?;
            set.held_out
                .extend(encoder(part.folder, words)?.examples(&held_out)?);
            places.push(usable);
        }
        let names = parts.iter().map(|part| part.folder.manifest().name.as_str());
        let mixed = mix_domains(names.zip(places.iter().map(Vec::as_slice)), mixture, seed);
        drop(places);
        let folders = parts.iter().map(|part| (part.folder, None));
        set.examples = read(&folders.collect::<Vec<_>>(), &mixed, words, meter)?;
        Ok(set)
    }

    /// Mixes the prompts of a diet, with those that its domains hold out; `part` finds a domain's folder by name.
    ///
    /// # Errors
    /// A folder with fewer prompts than the diet was planned from, or that cannot be read.
    pub fn of_diet<'p>(
        diet: &Diet,
        keys: &Keys,
        part: impl Fn(&str) -> Result<(Part<'p>, &'p [Item])>,
        words: &Words,
        meter: &Meter,
    ) -> Result<Self> {
        let mut set = TrainingSet::default();
        let (mut folders, mut places) = (Vec::new(), Vec::new());
        for (number, portion) in diet.portions.iter().enumerate() {
            let (part, items) = part(&portion.domain)?;
            let (usable, held_out) = part.usable(number)?;
            set.held_out
                .extend(encoder(part.folder, words)?.examples(&held_out)?);
            places.push(usable);
            let titles = match portion.placebo {
                true => Some(Exchanged::new(items, (keys.placebo)(&portion.domain))),
                false => None,
            };
            folders.push((part.folder, titles));
        }
        let available = |domain: &str| {
            let portions = diet.portions.iter().zip(&places);
            portions
                .filter(|(portion, _)| portion.domain == domain)
                .map(|(_, places)| places.len())
                .max()
                .unwrap_or(0)
        };
        let mixed = mix_portions(&diet.portions, &available, keys.subset, keys.order)?;
        let mixed: Vec<Place> = mixed
            .into_iter()
            .map(|(portion, prompt)| places[portion][prompt])
            .collect();
        set.examples = read(&folders, &mixed, words, meter)?;
        Ok(set)
    }
}

/// A domain's items with each other's titles and categories, or codes: the same words and lengths, and nothing to learn from what follows
/// what.
struct Exchanged {
    items: Vec<Item>,
    /// Whose each item has.
    order: Vec<usize>,
}

impl Exchanged {
    fn new(items: &[Item], seed: u64) -> Self {
        let mut order: Vec<usize> = (0..items.len()).collect();
        seed::shuffle(&mut seed::rng(seed, "placebo", "", 0), &mut order);
        let exchanged = items.iter().zip(&order).map(|(item, other)| Item {
            title: items[*other].title.clone(),
            categories: items[*other].categories.clone(),
            ..item.clone()
        });
        Exchanged {
            items: exchanged.collect(),
            order,
        }
    }

    fn codes(&self, codes: &ItemCodes) -> ItemCodes {
        let other = |other: &usize| codes.codes.get(*other).copied();
        ItemCodes {
            codes: self.order.iter().filter_map(other).collect(),
        }
    }
}

/// Reads the prompts at these places, each of a folder by number, in this order; where other items are given, they are worded with their
/// titles, or have their codes. A place may come more than once.
fn read(
    folders: &[(&Prepared, Option<Exchanged>)],
    places: &[Place],
    words: &Words,
    meter: &Meter,
) -> Result<Vec<Example>> {
    let mut slots: HashMap<Place, Vec<usize>> = HashMap::new();
    for (slot, place) in places.iter().enumerate() {
        slots.entry(*place).or_default().push(slot);
    }
    let mut examples = vec![Example::default(); places.len()];
    let mut read = 0;
    for (number, (folder, exchanged)) in folders.iter().enumerate() {
        let codes;
        let (encoder, style) = match (words, exchanged) {
            (_, None) => (encoder(folder, words)?, None),
            (Words::Text(_), Some(exchanged)) => {
                let encoder = encoder(folder, words)?.over(folder, &exchanged.items)?;
                (encoder, Some(folder.style(&exchanged.items)?))
            }
            (Words::Codes(book), Some(exchanged)) => {
                codes = exchanged.codes(book.domain(&folder.manifest().name)?);
                (Encoder::of_codes(book.layout, &codes), None)
            }
        };
        let mut refused = None;
        let mut place = 0;
        folder.each_prompt(Split::Train, |row| {
            if let Some(slots) = slots.get(&(number, place)) {
                let mut prompt = row.to_prompt();
                if let Some(style) = &style {
                    prompt.messages = style.messages(Split::Train, &prompt)?;
                }
                match encoder.example(&prompt) {
                    Ok(example) => slots.iter().for_each(|slot| examples[*slot] = example.clone()),
                    Err(error) => refused = refused.take().or(Some(error)),
                }
                read += slots.len() as u64;
                meter.update(read, places.len() as u64, || "prompts read".into());
            }
            place += 1;
            Ok(())
        })?;
        if let Some(error) = refused {
            return Err(error).with_context(|| format!("a prompt of {}", folder.manifest().name));
        }
    }
    Ok(examples)
}

/// Training prompts of a folder that are trained on: all but those that its recipe holds out.
///
/// # Errors
/// A folder that cannot be read.
pub fn supply(folder: &Prepared) -> Result<u64> {
    let recipe = folder.manifest().parameters.recipe;
    if recipe == Recipe::Clean {
        return Ok(folder.manifest().prompt_count(Split::Train));
    }
    let mut usable = 0;
    folder.each_prompt(Split::Train, |row| {
        usable += u64::from(!recipe.holds_out(row.key));
        Ok(())
    })?;
    Ok(usable)
}

fn encoder<'w>(folder: &Prepared, words: &'w Words) -> Result<Encoder<'w>> {
    let manifest = folder.manifest();
    words.encoder(&manifest.name, manifest.parameters.format)
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

/// The choice of a step, by so many held-out prompts, each of another user.
pub fn chosen_step(outcome: &Outcome, users: usize) -> Vec<Choice> {
    let chosen = outcome.held_out_loss.map(|_| Choice {
        what: "step".into(),
        value: format!("{} of {}", outcome.best_step, outcome.steps).into(),
        cut: Cut::Selection,
        users,
    });
    chosen.into_iter().collect()
}
