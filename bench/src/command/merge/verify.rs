//! `weaverec merge verify`: a result is what its receipt says, and merging again gives it again.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use weaverec_model::backbone::Weights;
use weaverec_model::lora::Adapter;
use weaverec_model::merge::align::WEIGHT;
use weaverec_model::merge::base::{BaseModel, Nowhere};
use weaverec_model::merge::draw::Seeded;
use weaverec_model::merge::receipt::{FileRecord, MemberRecord, Receipt, TOLERANCE, difference};
use weaverec_model::merge::recipe::{Node, Recipe};
use weaverec_model::merge::run::Run;
use weaverec_model::merge::weights::Chosen;

use super::KEPT_FOR;
use super::weights::Whom;
use crate::allocator::return_memory_after;
use crate::command::adapter::{Adapters, base_of};
use crate::output::MERGE;
use crate::progress::say;

/// Which result, and how its adapters are read.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The folder of a merge's result.
    result: PathBuf,
    /// The base that the adapters were trained on [default: what the result was folded into, or what an adapter names, where that is
    /// found].
    #[arg(long, value_name = "MODEL")]
    base: Option<PathBuf>,
    #[command(flatten)]
    reading: Adapters,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let folder = &arguments.result;
    let path = folder.join(MERGE);
    let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let receipt: Receipt = serde_json::from_slice(&text)
        .with_context(|| format!("{}: no receipt of this version; merge again", path.display()))?;
    let recipe =
        Recipe::of(&Node::of_json(receipt.recipe.clone())).with_context(|| path.display().to_string())?;
    if recipe.members.len() != receipt.adapters.len() {
        bail!(
            "{}: the recipe has {} adapters and the receipt {}; it was changed",
            path.display(),
            recipe.members.len(),
            receipt.adapters.len()
        );
    }
    same_files(&recipe, &receipt, &path)?;
    let folders: Vec<PathBuf> = receipt
        .adapters
        .iter()
        .map(|member| member.folder.clone().into())
        .collect();
    let folded_into = receipt.base.as_ref().map(|base| PathBuf::from(&base.folder));
    let base = match arguments.base.clone().or(folded_into) {
        Some(base) => Some((base.clone(), Weights::config(&base)?)),
        None => folders.iter().find_map(|folder| base_of(folder)),
    };
    let mut adapters = super::read(&folders, base.as_ref(), &arguments.reading)?;
    for (record, adapter) in receipt.adapters.iter().zip(&mut adapters) {
        if adapter.fingerprint()? != record.fingerprint {
            bail!(
                "{} is not what was merged: its factors have changed since, so that nothing can be said of {}",
                record.folder,
                folder.display()
            );
        }
        same_statistics(record, folder)?;
        // As it was when it was merged: bases that differ were merged on purpose.
        adapter.base = record.base.clone();
    }
    if let Some(chosen) = &receipt.weights {
        same_weights(&recipe, chosen, &path)?;
    }
    let members = super::aligned(&recipe, &adapters)?;
    let seeded = Seeded(recipe.seed);
    let run = Run {
        rule: &recipe.rule,
        rank: recipe.rank,
        draws: &seeded,
    };
    let modules = match &receipt.base {
        None => {
            let stored = Adapter::load(folder)?;
            let (again, modules) = run.adapter(&members)?;
            compare(&receipt, &stored, &again, folder)?;
            modules
        }
        Some(base) => {
            if BaseModel::open(folder)?.fingerprint()? != receipt.result {
                bail!(
                    "{} was changed after it was merged: its weights are not those of the receipt",
                    folder.display()
                );
            }
            return_memory_after(KEPT_FOR);
            let model = BaseModel::open(base.folder.as_ref())?;
            let folded = run.into_files(&members, &model)?.write(&mut Nowhere)?;
            if folded.base != base.fingerprint {
                bail!(
                    "{} is not the base that was merged into: its weights have changed",
                    base.folder
                );
            }
            let same = folded.result == receipt.result;
            say(match same {
                true => "merged again it is the same to the last bit",
                false => "merged again it differs in the last bits; the norms of its modules are compared",
            });
            folded.modules
        }
    };
    for (then, now) in receipt.modules.iter().zip(&modules) {
        let scale = then.norm.abs().max(now.norm.abs());
        if then.module != now.module || (then.norm - now.norm).abs() > TOLERANCE * scale {
            bail!(
                "{}: {} has a norm of {} in the receipt and of {} merged again",
                path.display(),
                then.module,
                then.norm,
                now.norm
            );
        }
    }
    if receipt.modules.len() != modules.len() {
        bail!(
            "{}: {} modules in the receipt, and {} merged again",
            path.display(),
            receipt.modules.len(),
            modules.len()
        );
    }
    if let (Some(chosen), Some(by)) = (&receipt.weights, &receipt.choice) {
        let folders: Vec<&str> = by.prompts.iter().map(|prompts| &*prompts.folder).collect();
        say(format!(
            "weights chosen by {} on {} {} of {}",
            chosen.objective.as_deref().unwrap_or("nobody, as equal parts,"),
            chosen.cases,
            Whom::of(&chosen.weights).name(),
            folders.join(", ")
        ));
    }
    let gap = modules.iter().map(|module| module.gap).fold(0.0, f64::max);
    say(format!(
        "{} is the {} of {} adapters: {} modules, norm {:.4}, cut off {:.4}, largest gap to the members' updates {gap:.1e}",
        folder.display(),
        recipe.rule.name(),
        adapters.len(),
        modules.len(),
        receipt.norm,
        receipt.lost
    ));
    Ok(())
}

/// Refuses statistics that are not what a member was merged by.
fn same_statistics(record: &MemberRecord, folder: &Path) -> Result<()> {
    let Some(then) = &record.statistics else {
        return Ok(());
    };
    if FileRecord::of(then.file.as_ref())? != *then {
        bail!(
            "{} is not what {} was merged by: what was measured has changed since, so that nothing can be said of {}",
            then.file,
            record.folder,
            folder.display()
        );
    }
    Ok(())
}

/// Refuses a recipe whose weights are not those that were chosen.
fn same_weights(recipe: &Recipe, chosen: &Chosen, path: &Path) -> Result<()> {
    for (place, source) in recipe.members.iter().enumerate() {
        if source.settings.get(WEIGHT) != Some(&chosen.lambda.setting(place)) {
            bail!(
                "{}: the recipe weighs {} otherwise than was chosen (weights); it was changed",
                path.display(),
                source.folder.display()
            );
        }
    }
    Ok(())
}

/// Refuses a recipe that goes by other files of statistics than the receipt has.
fn same_files(recipe: &Recipe, receipt: &Receipt, path: &Path) -> Result<()> {
    for (source, record) in recipe.members.iter().zip(&receipt.adapters) {
        let named = super::statistics_of(source).map(|file| file.to_string_lossy());
        match (&named, &record.statistics) {
            (Some(named), Some(then)) if *named != then.file => bail!(
                "{}: the recipe has {named} as what was measured of {}, and the receipt {}; it was changed",
                path.display(),
                record.folder,
                then.file
            ),
            (Some(named), None) => say(format!(
                "warning: the receipt does not say what {named} held when it was merged by; it is taken as it is"
            )),
            _ => {}
        }
    }
    Ok(())
}

/// Refuses an adapter that is not what its receipt says, or not what merging gives.
fn compare(receipt: &Receipt, stored: &Adapter, again: &Adapter, folder: &Path) -> Result<()> {
    if stored.fingerprint()? != receipt.result {
        bail!(
            "{} was changed after it was merged: its factors are not those of the receipt",
            folder.display()
        );
    }
    if again.fingerprint()? == receipt.result {
        say("merged again it is the same to the last bit");
        return Ok(());
    }
    let (share, module) = difference(stored, again)?;
    if share > TOLERANCE {
        bail!(
            "{}: {module} differs by {share:.1e} of its norm from what merging its adapters gives",
            folder.display()
        );
    }
    say(format!(
        "merged again it differs by rounding, {share:.1e} of a module's norm"
    ));
    Ok(())
}
