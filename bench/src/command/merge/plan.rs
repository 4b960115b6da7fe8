//! `weaverec merge --dry-run`: what would be merged, module kind by module kind, in what memory and for how long.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::Result;
use weaverec_model::merge::align::{Aligned, STATISTICS, Site, WEIGHT};
use weaverec_model::merge::recipe::{Recipe, Source};
use weaverec_model::merge::rule::Method;
use weaverec_model::merge::run::{Run, TOGETHER};
use weaverec_model::merge::setting::Setting;
use weaverec_model::merge::space::Space;

use crate::command::print as line;
use crate::progress::duration;

/// Seconds that are spent at most on trying how long modules take, but for the one that is being tried.
const TRYING: f64 = 5.0;

/// Modules that are alike but for their layer.
struct Kind<'a> {
    name: String,
    /// What becomes of their ranks.
    ranks: String,
    count: usize,
    one: Site<'a>,
    /// Bytes that one takes while it is merged.
    memory: usize,
}

/// Prints the plan.
pub(super) fn print(recipe: &Recipe, run: Run, members: &Aligned, into_base: bool) -> Result<()> {
    let json = recipe.json()?;
    let place = match recipe.rule.merging().method() {
        Method::Sum(_) => "a sum of the updates, exact in the factors".to_string(),
        Method::Matrices(space, _) => format!("in the space {}", space.name()),
    };
    line(format!("{}: {place}", recipe.rule.name()))?;
    line(format!("  settings {}", json["parameters"]))?;
    let mut measured = true;
    for (member, source) in members.members().iter().zip(kept(recipe)) {
        let own = source.settings.iter().filter(|(key, _)| *key != STATISTICS);
        let own = serde_json::to_string(&own.collect::<BTreeMap<&String, &Setting>>())?;
        let modules = member.adapter.modules.len();
        line(format!("  {}: {modules} modules, {own}", source.folder.display()))?;
        if let Some(file) = source.settings.get(STATISTICS).and_then(Setting::file) {
            let size = std::fs::metadata(file).map(|file| file.len());
            measured &= size.is_ok();
            line(match size {
                Ok(size) => format!("    measured in {}, {}", file.display(), mebibytes(size as usize)),
                Err(error) => format!(
                    "    {} cannot be read ({error}); `weaverec merge statistics` measures it",
                    file.display()
                ),
            })?;
        }
    }
    let mut kinds: BTreeMap<(String, (usize, usize), String), Kind> = BTreeMap::new();
    let mut result = 0;
    for site in members.sites() {
        let rank = result_rank(run, &site, into_base);
        let ranks: Vec<String> = site.ranks().iter().map(ToString::to_string).collect();
        let becomes = rank.map_or("whole".to_string(), |rank| format!("rank {rank}"));
        let name = site.name().rsplit('.').next().unwrap_or_default().to_string();
        let ranks = format!("ranks {} → {becomes}", ranks.join(" + "));
        result += rank.map_or(0, |rank| (site.shape.0 + site.shape.1) * rank * size_of::<f32>());
        let key = (name.clone(), site.shape, ranks.clone());
        kinds
            .entry(key)
            .or_insert_with(|| Kind {
                name,
                ranks,
                count: 0,
                memory: run.memory_of(&site),
                one: site,
            })
            .count += 1;
    }
    let mut kinds: Vec<Kind> = kinds.into_values().collect();
    for kind in &kinds {
        let (out, input) = kind.one.shape;
        line(format!(
            "  {} × {} {out} × {input}: {}",
            kind.count, kind.name, kind.ranks
        ))?;
    }
    let whole: BTreeSet<&String> = members.whole();
    for name in whole {
        line(format!(
            "  {name}, stored whole: averaged where the weights sum to 1"
        ))?;
    }
    let stored: usize = members
        .adapters()
        .iter()
        .map(|adapter| adapter.parameters() * size_of::<f32>())
        .sum();
    let largest = kinds.iter().map(|kind| kind.memory).max().unwrap_or(0);
    let all: usize = kinds.iter().map(|kind| kind.count * kind.memory).sum();
    line(format!(
        "memory: adapters {}, result {}, largest module {}{}",
        mebibytes(stored),
        mebibytes(result),
        mebibytes(largest),
        match into_base {
            true => String::new(),
            false => format!(", modules together {}", mebibytes(largest.max(all.min(TOGETHER)))),
        }
    ))?;
    if !measured {
        return line("time: not known before the statistics are there");
    }
    kinds.sort_by_key(|kind| kind.memory);
    let (seconds, tried) = time_of(run, &kinds, into_base)?;
    let of = match tried == kinds.len() {
        true => "one module of each kind".to_string(),
        false => format!(
            "one module of each of the {tried} smallest kinds of {}, the others by their size",
            kinds.len()
        ),
    };
    line(format!("time: about {}, by {of}", duration(seconds)))
}

/// Seconds that the merge takes, and how many kinds were tried for it: the smallest first, until that has taken long enough.
fn time_of(run: Run, kinds: &[Kind], into_base: bool) -> Result<(f64, usize)> {
    let (mut all, mut spent, mut tried) = (0.0, 0.0, 0);
    // Of the last that was tried, which is the nearest in size to those that are not.
    let mut a_byte = 0.0;
    for kind in kinds {
        if spent < TRYING {
            let begin = Instant::now();
            run.rehearse(&kind.one, into_base)?;
            let module = begin.elapsed().as_secs_f64();
            let begin = Instant::now();
            let passes = run.rehearse_passes(&kind.one)?;
            let pass = begin.elapsed().as_secs_f64();
            spent += module + pass;
            tried += 1;
            let own = module + passes as f64 * pass;
            a_byte = own / kind.memory.max(1) as f64;
            all += kind.count as f64 * own;
        } else {
            all += kind.count as f64 * a_byte * kind.memory as f64;
        }
    }
    Ok((all, tried))
}

/// Adapters of a weight other than 0 everywhere, which are those that are merged.
fn kept(recipe: &Recipe) -> impl Iterator<Item = &Source> {
    recipe.members.iter().filter(|source| {
        let weight = source.settings.get(WEIGHT);
        weight.and_then(Setting::constant) != Some(0.0)
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
        Method::Matrices(Space::Dense, _) => side,
        Method::Matrices(Space::Factors, _) => site.ranks().iter().max().copied().unwrap_or(0),
        Method::Matrices(..) => most.min(side),
        Method::Sum(_) => most,
    };
    Some(run.rank_in(site).map_or(merged, |rank| rank.min(merged)))
}

fn mebibytes(bytes: usize) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
