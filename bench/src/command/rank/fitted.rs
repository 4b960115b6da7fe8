//! Metrics of a fitted recommender, over candidates and over the whole catalogue.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use weaverec_model::op::with_threads;
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::{Prompt, Split};

use super::super::fit::folder::ModelFolder;
use super::reported::Reported;
use super::{metrics, of_binned};
use crate::method::log::Histories;
use crate::metric::{Metric, Place, Tally, place};
use crate::progress::Meter;

/// Histories that go through a recommender at one time.
const BATCH: usize = 64;

/// Where targets stand.
#[derive(Default)]
struct Places {
    uniform: Vec<Place>,
    binned: Vec<Place>,
    catalogue: Vec<Place>,
    /// Items of the catalogue that are ranked, of each user.
    among: Vec<usize>,
}

/// The metrics of the first so many test users of a prepared folder who are reported by the cut that the recommender was fitted with.
///
/// # Errors
/// A recommender of another folder, or a folder without test users to report.
pub fn run(folder: &Path, model: &Path, users: usize, threads: usize) -> Result<Value> {
    let prepared = Prepared::open(folder)?;
    let model = ModelFolder::open(model)?;
    model.check(&prepared)?;
    let reported = Reported::read(&prepared, model.about.cut_seed, users)?;
    let test = &reported.prompts;
    let histories = Histories::read(&prepared)?;
    let meter = Meter::start("ranking");
    let places = with_threads(threads, || of_users(&model, test, &histories, &meter))?;
    meter.finish(reported.said());
    let candidates = test[0].candidates.len();
    let mut found = json!({
        "method": model.about.method,
        "users": test.len(),
        "left_out": reported.left_out,
        "candidates": candidates,
        "metrics": metrics(&places.uniform, candidates),
        "catalogue": { "items": model.items.len(), "metrics": of_catalogue(&places) },
    });
    if !places.binned.is_empty() {
        found["binned"] = of_binned(test, &places.binned);
    }
    Ok(found)
}

fn of_users(model: &ModelFolder, test: &[Prompt], histories: &Histories, meter: &Meter) -> Result<Places> {
    let mut places = Places::default();
    for chunk in test.chunks(BATCH) {
        let before = |prompt: &Prompt| histories.before(Split::Test, prompt);
        let known: Vec<&[u32]> = chunk.iter().map(before).collect::<Result<_>>()?;
        let all = model.scores(&known)?;
        for ((prompt, history), scores) in chunk.iter().zip(&known).zip(all.chunks(model.items.len())) {
            places.add(prompt, history, scores)?;
        }
        meter.update(places.uniform.len() as u64, test.len() as u64, || "users".into());
    }
    Ok(places)
}

impl Places {
    fn add(&mut self, prompt: &Prompt, history: &[u32], scores: &[f32]) -> Result<()> {
        let among = |items: &[u32]| -> Result<Place> {
            let at = items.iter().position(|item| *item == prompt.target);
            let at = at.with_context(|| format!("the target of {} is no candidate", prompt.user_id))?;
            let own: Vec<f32> = items.iter().map(|item| scores[*item as usize - 1]).collect();
            Ok(place(&own, at))
        };
        self.uniform.push(among(&prompt.candidates)?);
        if !prompt.binned.is_empty() {
            self.binned.push(among(&prompt.binned)?);
        }
        let had: HashSet<u32> = history.iter().copied().collect();
        let items = 1..=u32::try_from(scores.len())?;
        let unseen: Vec<u32> = items
            .filter(|item| *item == prompt.target || !had.contains(item))
            .collect();
        self.catalogue.push(among(&unseen)?);
        self.among.push(unseen.len());
        Ok(())
    }
}

/// As of [`metrics`], with the mean chance of users who are ranked among different numbers of items.
fn of_catalogue(places: &Places) -> Map<String, Value> {
    let tally = Tally::of(&places.catalogue);
    let least = places.among.iter().copied().min().unwrap_or_default();
    let mut found = Map::new();
    for metric in Metric::ALL
        .into_iter()
        .filter(|metric| metric.discriminates(least))
    {
        let chances = places.among.iter().map(|items| metric.chance(*items));
        let chance = chances.sum::<f64>() / places.among.len().max(1) as f64;
        let value = tally.mean(metric);
        found.insert(metric.key(), json!({ "value": value, "chance": chance }));
    }
    found
}
