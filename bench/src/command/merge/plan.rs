//! `weaverec merge --dry-run`: what would be merged, module kind by module kind.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use anyhow::Result;
use weaverec_model::merge::align::{Aligned, Site};
use weaverec_model::merge::recipe::Recipe;
use weaverec_model::merge::rule::Method;
use weaverec_model::merge::run::Run;

/// Prints the plan.
pub(super) fn print(recipe: &Recipe, run: Run, members: &Aligned, into_base: bool) -> Result<()> {
    let json = recipe.json()?;
    let place = match recipe.rule.merging().method() {
        Method::Sum(_) => "a sum of the updates, exact in the factors".to_string(),
        Method::Matrices(space, _) => format!("in the space {}", space.name()),
    };
    super::super::print(format!("{}: {place}", recipe.rule.name()))?;
    super::super::print(format!("  settings {}", json["parameters"]))?;
    for (member, source) in members.members().iter().zip(kept(recipe)) {
        let own = serde_json::to_string(&source.settings)?;
        let modules = member.adapter.modules.len();
        super::super::print(format!("  {}: {modules} modules, {own}", source.folder.display()))?;
    }
    // Modules of one kind are alike in every layer.
    let mut kinds: BTreeMap<(String, (usize, usize), String), usize> = BTreeMap::new();
    let (mut result, mut working) = (0, 0);
    for site in members.sites() {
        let rank = result_rank(run, &site, into_base);
        let ranks: Vec<String> = site.ranks().iter().map(ToString::to_string).collect();
        let becomes = rank.map_or("whole".to_string(), |rank| format!("rank {rank}"));
        let kind = site.name().rsplit('.').next().unwrap_or_default().to_string();
        let line = format!("ranks {} → {becomes}", ranks.join(" + "));
        *kinds.entry((kind, site.shape, line)).or_default() += 1;
        result += rank.map_or(0, |rank| (site.shape.0 + site.shape.1) * rank * size_of::<f32>());
        working = working.max(run.memory_of(&site));
    }
    for ((kind, (out, input), line), count) in &kinds {
        super::super::print(format!("  {count} × {kind} {out} × {input}: {line}"))?;
    }
    let whole: BTreeSet<&String> = members.whole();
    for name in whole {
        super::super::print(format!(
            "  {name}, stored whole: averaged where the weights sum to 1"
        ))?;
    }
    let stored: usize = members
        .adapters()
        .iter()
        .map(|adapter| adapter.parameters() * size_of::<f32>())
        .sum();
    super::super::print(format!(
        "memory: adapters {}, result {}, largest module {}",
        mebibytes(stored),
        mebibytes(result),
        mebibytes(working)
    ))
}

/// Adapters of a weight other than 0 everywhere, which are those that are merged.
fn kept(recipe: &Recipe) -> impl Iterator<Item = &weaverec_model::merge::recipe::Source> {
    recipe.members.iter().filter(|source| {
        let weight = source.settings.get(weaverec_model::merge::align::WEIGHT);
        weight.and_then(|weight| weight.constant()) != Some(0.0)
    })
}

/// The rank of the result in a module, at most; none where it is folded whole.
fn result_rank(run: Run, site: &Site, into_base: bool) -> Option<usize> {
    if into_base {
        return None;
    }
    let most = site.ranks().iter().sum::<usize>();
    let side = site.shape.0.min(site.shape.1);
    let merged = match run.rule.merging().method() {
        Method::Matrices(weaverec_model::merge::space::Space::Dense, _) => side,
        Method::Matrices(weaverec_model::merge::space::Space::Factors, _) => {
            site.ranks().iter().max().copied().unwrap_or(0)
        }
        Method::Matrices(..) => most.min(side),
        Method::Sum(_) => most,
    };
    Some(run.rank_in(site).map_or(merged, |rank| rank.min(merged)))
}

fn mebibytes(bytes: usize) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
