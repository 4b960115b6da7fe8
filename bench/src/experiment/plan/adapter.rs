//! The cells of adapters.

use anyhow::Result;
use serde_json::json;
use weaverec_model::train::Seeds;
use weaverec_model::weave::Diet;

use super::super::cell::{Cell, Kind};
use super::super::replicate::{self, Replicate, written};
use super::super::study_record::StudyRecord;
use super::super::work::Work;

/// Names an adapter: what it is trained on, and the replicate.
pub type AdapterKey = (Diet, Replicate);

/// An adapter to train.
#[derive(Clone, Debug)]
pub struct AdapterCell {
    /// Its cell.
    pub cell: Cell,
    /// What it is trained on.
    pub diet: Diet,
    /// The replicate that draws it.
    pub replicate: Replicate,
    /// What it is drawn from.
    pub seeds: Seeds,
    /// What there is to compute.
    pub work: Work,
}

pub(super) fn cell(study: &StudyRecord, (diet, replicate): &AdapterKey) -> Result<AdapterCell> {
    let (profile, facts) = (&study.profile, &study.facts);
    let (mut data, mut work) = (serde_json::Map::new(), Work::default());
    let passes = profile.adapter.train.epochs * diet.times;
    for portion in &diet.portions {
        let domain = study.domain(&portion.domain)?;
        data.insert(portion.domain.clone(), json!(domain.fingerprint));
        work = work
            + facts
                .operations
                .training(domain.training.times(portion.prompts), passes);
    }
    let seeds = replicate::seeds(*replicate, diet);
    let mut configuration = json!({
        "model": study.base_key(*replicate)?,
        "domains": data,
        "diet": diet,
        "format": profile.prepare.format,
        "adapter": profile.adapter,
        "cut_seed": profile.cut_seed,
        "init_seed": written(seeds.init),
        "subset_seed": written(replicate::subset_seed(*replicate)),
        "data_seed": written(seeds.data),
    });
    if let Some(most) = profile.prepare.most_tokens() {
        configuration["max_tokens"] = json!(most);
    }
    let placebos: serde_json::Map<String, serde_json::Value> = diet
        .portions
        .iter()
        .filter(|portion| portion.placebo)
        .map(|portion| {
            let seed = replicate::placebo_seed(*replicate, &portion.domain);
            (portion.domain.clone(), json!(written(seed)))
        })
        .collect();
    if !placebos.is_empty() {
        configuration["placebo_seeds"] = placebos.into();
    }
    Ok(AdapterCell {
        cell: Cell::new(
            Kind::Adapter,
            format!("{diet}, replicate {replicate}"),
            configuration,
        ),
        diet: diet.clone(),
        replicate: *replicate,
        seeds,
        work,
    })
}
