//! Scores of whole catalogues: of rows that count, which are fitted again, and of fitted ones, whose recommenders are in the store.

use anyhow::{Context, Result, bail};
use weaverec_model::op::with_threads;
use weaverec_model::recommender;
use weaverec_pipeline::schema::Split;

use super::{Export, recorded, scenario};
use crate::command::target::Target;
use crate::experiment::domain::DomainData;
use crate::experiment::outside::written::Scored;
use crate::experiment::plan::{self, Plan};
use crate::experiment::ranking::{by_vectors, catalogue_scores, catalogue_scores_by};
use crate::experiment::recommender::RecommenderCell;
use crate::experiment::replicate;
use crate::experiment::study_record::StudyRecord;
use crate::experiment::workshop::stored;
use crate::method::{self, How};

/// All items, or with `top` the first so many that the user did not have.
///
/// # Errors
/// A row whose scores of all items are neither made again nor at hand.
pub(super) fn of_catalogue<'a>(
    target: &Target,
    domain: &'a DomainData,
    asked: &Export,
) -> Result<Vec<Scored<'a>>> {
    let (row, top) = (asked.row.as_str(), asked.top);
    let known =
        method::named(row).with_context(|| format!("{row} is no row: `weaverec methods` lists them"))?;
    let all = match known.how() {
        How::Counted(counted) => {
            let seed = if counted.is_drawn() {
                replicate::random_seed(asked.replicate)
            } else {
                0
            };
            let vectors = match by_vectors(row) && !target.profile.vectors.is_default() {
                true => Some(target.vectors()?),
                false => None,
            };
            let of = (domain, vectors.as_ref());
            catalogue_scores(row, seed, of, target.profile.prepare.format)?
        }
        How::Fitted { .. } => {
            let (study, _) = recorded(target, domain, asked)?;
            let plan = Plan::new(&study)?;
            let cell = planned(&plan, &study, &target.name, asked)?;
            let folder = stored(&target.store, &cell.cell).with_context(|| {
                format!(
                    "the weights of {} ({}) are not in {}, without which there are no scores of all items: run this where it was fitted, or let \
                     `weaverec reproduce` fit it there; its records are enough for --scope candidates",
                    cell.cell.label,
                    cell.cell.key,
                    target.work.display()
                )
            })?;
            let recommender = recommender::load(&folder)?;
            with_threads(target.threads, || catalogue_scores_by(&*recommender, domain))?
        }
        How::Adapters { .. } | How::Best(_) | How::Fusion { .. } => bail!(
            "{row} neither counts nor is fitted to items: its records say where targets stand in the catalogue, and keep the scores of \
             candidates alone; leave --scope catalogue out"
        ),
    };
    let mut scored = Vec::new();
    for (prompt, scores) in domain.ranked.iter().zip(all) {
        let items = domain.items.iter().zip(scores);
        let mut one = Scored {
            user: &prompt.user_id,
            items: items
                .clone()
                .map(|(item, score)| (item.item_id.as_str(), score))
                .collect(),
        };
        if let Some(top) = top {
            let history = domain.histories.before(Split::Test, prompt)?;
            let had: std::collections::HashSet<u32> = history.iter().copied().collect();
            one.items = items
                .filter(|(item, _)| !had.contains(&item.item))
                .map(|(item, score)| (item.item_id.as_str(), score))
                .collect();
            one.sort();
            one.items.truncate(top);
        }
        scored.push(one);
    }
    Ok(scored)
}

/// The recommender of a fitted row, which all scenarios of a target share, or those alone that have its sources.
fn planned<'p>(
    plan: &'p Plan,
    study: &StudyRecord,
    target: &str,
    asked: &Export,
) -> Result<&'p RecommenderCell> {
    let named = asked.scenario.as_deref();
    if named.is_some() {
        scenario(&study.study().scenarios, target, named)?;
    }
    let mut found: Vec<(String, &RecommenderCell)> = Vec::new();
    let of = study.study().scenarios.iter().filter(|one| one.target == target);
    for one in of.filter(|one| named.is_none_or(|name| one.name() == name)) {
        let rows = plan::rows(study, one)?;
        let Some(row) = rows.into_iter().find(|row| row.id() == asked.row) else {
            continue;
        };
        let Some(scorer) = plan::scorer(row, study, one, asked.replicate)? else {
            continue;
        };
        let cell = plan.recommender(&(target.to_owned(), scorer));
        let cell = cell.with_context(|| {
            format!(
                "there is no replicate {}: the profile has {}, of which the first is 0",
                asked.replicate, study.profile.replicates
            )
        })?;
        if found.iter().all(|(_, known)| known.cell.key != cell.cell.key) {
            found.push((one.name(), cell));
        }
    }
    match found.as_slice() {
        [(_, one)] => Ok(*one),
        [] => bail!(
            "{} is a row of no scenario{} with the target {target}",
            asked.row,
            named.map_or_else(String::new, |name| format!(" {name}"))
        ),
        several => {
            let names: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
            bail!(
                "{} is another one in each scenario of the target {target}, as it learns from their sources: name one with --scenario ({})",
                asked.row,
                names.join("; ")
            )
        }
    }
}
