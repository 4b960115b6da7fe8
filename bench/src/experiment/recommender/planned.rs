//! The cell of a recommender: what it is fitted to, what it reads besides, and the key that follows from that.

use anyhow::{Context, Result, bail};
use serde_json::json;
use weaverec_model::recommender::vectors::TextVectors;
use weaverec_model::recommender::{Needs, System};

use super::{CHOOSING, work};
use crate::experiment::cell::{Cell, Kind};
use crate::experiment::replicate::{self, Replicate, written};
use crate::experiment::study_record::{DomainFacts, StudyRecord};
use crate::experiment::work::Work;
use crate::method::{self, How};

/// Names a recommender.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecommenderKey {
    /// The domain that it is fitted to.
    pub target: String,
    /// Its row.
    pub method: &'static str,
    /// The replicate.
    pub replicate: Replicate,
    /// The other domains that it learns from, in the order of their names; none for rows that read the target alone, which all scenarios of
    /// a target share.
    pub sources: Vec<String>,
}

/// A recommender to fit.
#[derive(Clone, Debug)]
pub struct RecommenderCell {
    /// Its cell.
    pub cell: Cell,
    /// The domain that it is fitted to.
    pub target: String,
    /// The other domains that it learns from.
    pub sources: Vec<String>,
    /// The system with its settings, how long it is fitted among them.
    pub system: System,
    /// What it is drawn from.
    pub seed: u64,
    /// What there is to compute.
    pub work: Work,
}

/// The cell of a recommender.
///
/// # Errors
/// A row that is not fitted, or a domain that the record lacks.
pub fn cell(study: &StudyRecord, key: &RecommenderKey) -> Result<RecommenderCell> {
    let RecommenderKey {
        target,
        method,
        replicate,
        sources,
    } = key;
    let row = method::named(method).with_context(|| format!("{method} is no row"))?;
    let How::Fitted { system } = row.how() else {
        bail!("{method} is not fitted");
    };
    let fitted = study.profile.fitted_of(study.study());
    let system = fitted.system(method, system()).context("[fitted]")?;
    let configuration = configuration(study, key, &system, system.needs())?;
    let with = match sources.as_slice() {
        [] => String::new(),
        _ => format!(" with {}", sources.join(" + ")),
    };
    let label = format!("{} fitted to {target}{with}, replicate {replicate}", row.label());
    let domains: Vec<&DomainFacts> = std::iter::once(target)
        .chain(sources)
        .map(|name| study.domain(name))
        .collect::<Result<_>>()?;
    Ok(RecommenderCell {
        cell: Cell::new(Kind::Recommender, label, configuration),
        target: target.clone(),
        sources: sources.clone(),
        work: work::planned(&system, &domains),
        system,
        seed: replicate::recommender_seed(*replicate),
    })
}

/// All that decides what comes of a fit. What a system does not read is not in it.
fn configuration(
    study: &StudyRecord,
    key: &RecommenderKey,
    system: &System,
    needs: Needs,
) -> Result<serde_json::Value> {
    let target = &key.target;
    let mut configuration = json!({
        "system": system,
        "domains": { target: study.domain(target)?.fingerprint },
        "selection": { "cut_seed": study.profile.cut_seed, "most": CHOOSING },
        "seed": written(replicate::recommender_seed(key.replicate)),
    });
    let fingerprints = |domains: Vec<&String>| -> Result<serde_json::Map<String, serde_json::Value>> {
        let of = |name: &String| Ok((name.clone(), json!(study.domain(name)?.fingerprint)));
        domains.into_iter().map(of).collect()
    };
    if needs.sources {
        configuration["sources"] = fingerprints(key.sources.iter().collect())?.into();
    }
    if needs.vectors {
        configuration["vectors"] = space(study);
    }
    Ok(configuration)
}

/// What decides the vectors of a study's items: how they are made, and all domains. One title more in any of them turns the space.
pub fn space(study: &StudyRecord) -> serde_json::Value {
    let domains: serde_json::Map<String, serde_json::Value> = study
        .facts
        .domains
        .iter()
        .map(|(name, domain)| (name.clone(), json!(domain.fingerprint)))
        .collect();
    let settings = match &study.facts.vectors {
        Some(said) => said.clone(),
        None => json!(TextVectors::default()),
    };
    json!({ "of": "titles", "settings": settings, "domains": domains })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use weaverec_model::device::Compute;
    use weaverec_model::recommender::Sasrec;

    use super::*;
    use crate::experiment::environment::Environment;
    use crate::experiment::materials::Bench;
    use crate::experiment::plan::{Plan, Scorer};
    use crate::experiment::profile::Profile;
    use crate::experiment::stated;
    use crate::method::METHODS;

    /// The study of the paper, as it is stated, with more rows.
    fn paper(more: &[&str]) -> Bench {
        let here = Environment::here(2, Compute::default());
        let mut profile = Profile::load("paper").unwrap();
        profile.methods.extend(more.iter().map(|row| (*row).to_owned()));
        stated::bench(&profile, &profile.studies[0], &here).unwrap()
    }

    #[test]
    fn a_fitted_row_is_a_cell_a_domain_and_replicate_and_moves_no_other_cell() {
        let keys = |bench: &Bench| -> BTreeSet<String> {
            let units = bench.plan.units.iter();
            units
                .flat_map(|unit| bench.plan.cells(unit))
                .map(|cell| cell.key.clone())
                .collect()
        };
        let (plain, fitted) = (paper(&[]), paper(&["sasrec", "gru4rec"]));
        assert!(plain.plan.recommenders.is_empty());
        // Four domains are targets, of several scenarios each.
        let fits = 2 * 4 * fitted.study.profile.replicates as usize;
        assert_eq!(fitted.plan.recommenders.len(), fits);
        let (before, after) = (keys(&plain), keys(&fitted));
        assert!(before.is_subset(&after));
        assert_eq!(after.len(), before.len() + 2 * fits, "a fit and its ranking");
        for recommender in fitted.plan.recommenders.values() {
            assert!(recommender.work.flops > 0.0 && recommender.work.tokens > 0);
        }
        // Whoever needs a fit comes after it.
        let cells = fitted.plan.cells(&fitted.plan.units[0]);
        let last = cells.iter().rposition(|cell| cell.kind == Kind::Recommender);
        let first = cells.iter().position(|cell| cell.kind == Kind::Ranking);
        assert!(last.unwrap() < first.unwrap());
    }

    #[test]
    fn a_profile_may_have_rows_fitted_longer_which_their_keys_and_what_they_take_say() {
        let here = Environment::here(2, Compute::default());
        let bench = |fitted: &str| {
            let mut profile = Profile::load("paper").unwrap();
            profile.methods.extend(["sasrec", "gru4rec"].map(str::to_owned));
            profile.fitted = toml::from_str(fitted).unwrap();
            stated::bench(&profile, &profile.studies[0], &here).unwrap()
        };
        let of = |bench: &Bench, method: &str| {
            let mut all = bench.plan.recommenders.iter();
            let (_, cell) = all.find(|(key, _)| key.method == method).unwrap();
            let epochs = cell.cell.configuration["system"]["schedule"]["epochs"].clone();
            (cell.cell.key.clone(), cell.work.tokens, epochs)
        };
        let plain = bench("");
        let long = bench("schedule = { epochs = 40 }\n[rows.gru4rec]\nschedule.epochs = 20");
        let (before, after) = (of(&plain, "sasrec"), of(&long, "sasrec"));
        assert_eq!((&before.2, &after.2), (&json!(20), &json!(40)));
        assert_ne!(before.0, after.0);
        assert!(after.1.abs_diff(2 * before.1) <= 1, "{} {}", before.1, after.1);
        // What comes to the settings that a row has by itself is the same cell.
        assert_eq!(of(&plain, "gru4rec"), of(&long, "gru4rec"));
    }

    #[test]
    fn what_a_system_reads_is_in_its_key_and_nothing_else() {
        let study = paper(&[]).study;
        let key = |sources: &[&str]| RecommenderKey {
            target: "beauty".into(),
            method: "tiger",
            replicate: 0,
            sources: sources.iter().map(|name| (*name).to_owned()).collect(),
        };
        let of = |study: &StudyRecord, sources: &[&str], needs| {
            let system = System::Sasrec(Sasrec::default());
            configuration(study, &key(sources), &system, needs).unwrap()
        };
        let names = |found: &serde_json::Value| -> Vec<String> {
            let mut names: Vec<String> = found.as_object().unwrap().keys().cloned().collect();
            names.sort();
            names
        };
        let plain = of(&study, &[], Needs::default());
        assert_eq!(names(&plain), ["domains", "seed", "selection", "system"]);
        let both = Needs {
            vectors: true,
            sources: true,
        };
        let whole = of(&study, &["grocery"], both);
        assert_eq!(names(&whole["domains"]), ["beauty"]);
        assert_eq!(names(&whole["sources"]), ["grocery"]);
        let all: Vec<String> = study.facts.domains.keys().cloned().collect();
        assert!(all.len() > 2 && names(&whole["vectors"]["domains"]) == all);
        assert_eq!(whole["vectors"]["settings"]["width"], 256);
        assert_ne!(whole, of(&study, &["sports"], both));
        // Another preparation of a domain is another key for whoever reads it: as a source, or for the space of its vectors.
        let mut other = study.clone();
        let grocery = other.facts.domains.get_mut("grocery").unwrap();
        grocery.fingerprint = "prepared anew".into();
        assert_eq!(of(&other, &[], Needs::default()), plain);
        for needs in [
            both,
            Needs {
                vectors: false,
                ..both
            },
            Needs {
                sources: false,
                ..both
            },
        ] {
            assert_ne!(of(&other, &["grocery"], needs), of(&study, &["grocery"], needs));
        }
        let lacking = configuration(&study, &key(&["toys"]), &System::Sasrec(Sasrec::default()), both);
        assert!(format!("{:#}", lacking.unwrap_err()).contains("lacks the domain toys"));
    }

    #[test]
    fn text_knn_is_another_ranking_where_a_profile_makes_vectors_and_no_other_floor_is() {
        let plain = paper(&[]).study;
        let mut other = plain.clone();
        other.facts.vectors = Some(json!({ "kind": "minilm" }));
        let of = |study: &StudyRecord| {
            let plan = Plan::new(study).unwrap();
            let counted = plan
                .rankings
                .into_values()
                .filter_map(|ranking| match ranking.scorer {
                    Scorer::Counted { method, .. } => Some((method, ranking.cell.configuration)),
                    _ => None,
                });
            counted.collect::<Vec<_>>()
        };
        let mut moved = 0;
        for ((method, before), (same, after)) in of(&plain).into_iter().zip(of(&other)) {
            assert_eq!(method, same);
            assert!(before["vectors"].is_null(), "{method}");
            if method == "text-knn" {
                assert_eq!(after["vectors"]["settings"]["kind"], "minilm");
                let domains = after["vectors"]["domains"].as_object().unwrap();
                assert_eq!(domains.len(), plain.facts.domains.len());
                moved += 1;
            } else {
                assert_eq!(before, after, "{method}");
            }
        }
        assert_eq!(moved, 4, "of every target");
    }

    #[test]
    fn a_row_is_fitted_once_a_target_or_once_for_each_choice_of_sources_that_it_reads() {
        let fitted = METHODS.iter().filter_map(|row| match row.how() {
            How::Fitted { system } => Some((row.id(), system())),
            _ => None,
        });
        for (method, system) in fitted {
            let bench = paper(&[method]);
            let scenarios = &bench.study.study().scenarios;
            let mut read: Vec<(String, Vec<String>)> = scenarios
                .iter()
                .map(|scenario| {
                    let mut sources = scenario.sources.clone();
                    sources.sort();
                    sources.retain(|_| system.needs().sources);
                    (scenario.target.clone(), sources)
                })
                .collect();
            read.sort();
            read.dedup();
            let replicates = bench.study.profile.replicates as usize;
            assert_eq!(bench.plan.recommenders.len(), read.len() * replicates, "{method}");
            for cell in bench.plan.recommenders.values() {
                let configuration = &cell.cell.configuration;
                assert_eq!(
                    !configuration["vectors"].is_null(),
                    system.needs().vectors,
                    "{method}"
                );
                assert_eq!(
                    !configuration["sources"].is_null(),
                    system.needs().sources,
                    "{method}"
                );
                assert!(cell.work.flops > 0.0 && cell.work.tokens > 0, "{method}");
            }
        }
    }
}
