//! A study as its profile states it: a plan without logs and without a model, to learn what it would take.

use anyhow::{Context, Result};
use weaverec_pipeline::stage::Recipe;

use super::cell::Record;
use super::cost::Cost;
use super::environment::Environment;
use super::materials::Bench;
use super::profile::{Length, Profile, Stated, StatedDomain, Study};
use super::study_record::{DomainFacts, Facts, StudyRecord};
use super::work::{OpCounts, Text};
use crate::cut::Sizes;

/// What stands where a study that was prepared has hashes: no cell of it can be taken for one of a run.
const STATED: &str = "stated";

/// A study on the bench by what its profile states. Nothing of it can be run, and none of its cells has the key of one that can.
///
/// # Errors
/// A profile that states nothing, or not all.
pub fn bench(profile: &Profile, study: &Study, here: &Environment) -> Result<Bench> {
    let stated = profile
        .stated
        .as_ref()
        .with_context(|| format!("profile {} has no table [stated]", profile.name))?;
    let cell = StudyRecord::cell(profile, study)?;
    let mut record = Record::new(&cell, here.clone(), Cost::default());
    record.study = Some(serde_json::to_value(facts(stated, profile, study)?)?);
    Bench::of_record(&record)
}

fn facts(stated: &Stated, profile: &Profile, study: &Study) -> Result<Facts> {
    let profile = &Profile {
        rank: profile.rank_of(study),
        ..profile.clone()
    };
    let mut facts = Facts {
        operations: OpCounts::of(&stated.model),
        decoder: Some(stated.model.clone()),
        bases: vec![STATED.into()],
        ..StudyRecord::named(profile, study)?.facts
    };
    for domain in &study.domains {
        let sizes = stated.domains.get(&domain.name);
        let sizes = sizes.with_context(|| format!("[stated] lacks the domain {}", domain.name))?;
        facts
            .domains
            .insert(domain.name.clone(), sizes_of(*sizes, stated, profile));
    }
    Ok(facts)
}

/// A domain of a leave-one-out split: of every user all but the first item, which has no history, and the last two are trained on.
fn sizes_of(domain: StatedDomain, stated: &Stated, profile: &Profile) -> DomainFacts {
    let users = Sizes::expected(domain.users);
    let ranked = users.of(profile.report_on).min(profile.prepare.users);
    let training = domain.interactions.saturating_sub(3 * domain.users);
    let written = training.min(profile.prepare.max_train);
    let trained_on = match profile.prepare.recipe {
        Recipe::Clean => written,
        // Everybody's validation prompt as well, and one in fifty of all is held out.
        Recipe::Paper => (written + domain.users) * 49 / 50,
    };
    DomainFacts {
        fingerprint: STATED.into(),
        candidate_hash: STATED.into(),
        split: STATED.into(),
        order: STATED.into(),
        notes: Vec::new(),
        items: domain.items,
        // Of every user all but the last two.
        interactions: domain.interactions.saturating_sub(2 * domain.users),
        users,
        ranked,
        selection: users.selection.min(profile.adapter.held_out),
        calibration: users.calibration.min(profile.rank.calibration),
        distinct: profile.prepare.candidates,
        titles: text(stated.title, domain.items),
        training: text(held(stated.training, 0.0, profile), trained_on),
        queries: text(held(stated.query, stated.query.targets, profile), ranked),
    }
}

/// A length with prompts held to what they may have; `beside` of its tokens are behind the prompt, which each of several candidates follows
/// anew. It is that of the mean prompt, which is no shorter than the mean of prompts of which only long ones are shortened.
fn held(length: Length, beside: f64, profile: &Profile) -> Length {
    let most = profile
        .prepare
        .most_tokens()
        .map_or(f64::INFINITY, |most| most as f64);
    let tokens = (length.tokens - beside).min(most) + beside;
    Length {
        tokens,
        targets: length.targets.min(tokens),
    }
}

fn text(length: Length, count: usize) -> Text {
    Text {
        count,
        tokens: length.tokens,
        targets: length.targets,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use weaverec_model::device::Compute;

    use super::super::plan::{Plan, Scorer};
    use super::*;

    #[test]
    fn the_paper_is_planned_with_neither_logs_nor_weights() {
        let profile = Profile::load("paper").unwrap();
        let here = Environment::here(2, Compute::default());
        let bench = bench(&profile, &profile.studies[0], &here).unwrap();
        // Of every ordered pair of the four sets a scenario, and one of each with the three others, in every replicate.
        let replicates = profile.replicates as usize;
        assert_eq!(bench.plan.units.len(), 16 * replicates);
        // By hand, of the published counts: 198,502 interactions less three of each of 22,363 users.
        let beauty = bench.study.domain("beauty").unwrap();
        assert_eq!(beauty.training.count, 198_502 - 3 * 22_363);
        assert_eq!((beauty.items, beauty.ranked), (12_101, profile.prepare.users));
        // Adapters of the paper see 30,000 prompts a domain, whatever there is more.
        let mut adapters = bench.plan.adapters.values();
        let single = adapters.find(|adapter| adapter.diet.is_plain() && adapter.diet.to_string() == "beauty");
        let single = single.unwrap();
        let tokens = 30_000.0 * profile.adapter.train.epochs as f64 * profile.stated.unwrap().training.tokens;
        assert_eq!(single.work.tokens, tokens as u64);
        // What is stated is in no key of a study that is run.
        let mut other = Profile::load("paper").unwrap();
        other.stated = None;
        let key = |profile: &Profile| StudyRecord::cell(profile, &profile.studies[0]).unwrap().key;
        assert_eq!(key(&other), key(&Profile::load("paper").unwrap()));
    }

    #[test]
    fn the_papers_recipe_is_planned_with_validation_prompts_and_without_those_that_it_holds_out() {
        let mut profile = Profile::load("paper").unwrap();
        (profile.prepare.recipe, profile.prepare.max_train) = (Recipe::Paper, 30_000);
        let here = Environment::here(2, Compute::default());
        let bench = bench(&profile, &profile.studies[0], &here).unwrap();
        // By hand: everybody's comes to the 30,000, and a fiftieth of all is held out.
        let beauty = bench.study.domain("beauty").unwrap();
        assert_eq!(beauty.training.count, (30_000 + 22_363) * 49 / 50);
    }

    #[test]
    fn prompts_are_planned_no_longer_than_they_may_be() {
        let here = Environment::here(2, Compute::default());
        let of = |max_tokens| {
            let mut profile = Profile::load("paper").unwrap();
            profile.prepare.max_tokens = max_tokens;
            let bench = bench(&profile, &profile.studies[0], &here).unwrap();
            let beauty = bench.study.domain("beauty").unwrap();
            (beauty.training, beauty.queries, bench.plan)
        };
        let stated = Profile::load("paper").unwrap().stated.unwrap();
        let (training, queries, whole) = of(0);
        assert_eq!(
            [training.tokens, training.targets],
            [stated.training.tokens, stated.training.targets]
        );
        assert_eq!(
            [queries.tokens, queries.targets],
            [stated.query.tokens, stated.query.targets]
        );
        let (training, queries, short) = of(500);
        assert_eq!(
            [training.tokens, training.targets],
            [500.0, stated.training.targets]
        );
        // Candidates follow the prompt one by one.
        assert_eq!(
            [queries.tokens, queries.targets],
            [500.0 + stated.query.targets, stated.query.targets]
        );
        let tokens = |plan: &Plan| -> u64 { plan.adapters.values().map(|one| one.work.tokens).sum() };
        assert!(tokens(&short) < tokens(&whole));
        // Cells of other prompts are others; those that read none are the same.
        let keys = |plan: &Plan| -> [BTreeSet<String>; 2] {
            let (mut read, mut counted) = (BTreeSet::new(), BTreeSet::new());
            read.extend(plan.adapters.values().map(|one| one.cell.key.clone()));
            for ranking in plan.rankings.values() {
                match ranking.scorer {
                    Scorer::Counted { .. } => counted.insert(ranking.cell.key.clone()),
                    _ => read.insert(ranking.cell.key.clone()),
                };
            }
            [read, counted]
        };
        let ([read, counted], [read_short, counted_short]) = (keys(&whole), keys(&short));
        assert!(read.is_disjoint(&read_short));
        assert_eq!(counted, counted_short);
    }

    #[test]
    fn a_domain_that_is_not_stated_is_named() {
        let mut profile = Profile::load("paper").unwrap();
        let here = Environment::here(2, Compute::default());
        profile.stated.as_mut().unwrap().domains.remove("grocery");
        let error = bench(&profile, &profile.studies[0], &here).err().unwrap();
        assert!(format!("{error:#}").contains("grocery"), "{error:#}");
    }
}
