//! A prepared folder, described for people.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use crate::error::Result;
use crate::prepared::{Manifest, Prepared};
use crate::raw::Reject;
use crate::schema::{Prompt, Split};

/// Rejects shown of each reason.
const REJECT_SAMPLES: usize = 3;

/// What the manifest says of one folder, with samples and rejects; `Display` gives the text of `weaverec inspect`.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The folder's manifest: counts after each stage, lengths of sequences, rejects by reason and everything else it records.
    pub manifest: Manifest,
    /// The first prompts of each split.
    pub samples: Vec<(Split, Prompt)>,
    /// The first rejects of each reason.
    pub rejects: Vec<Reject>,
}

impl Summary {
    /// Reads a folder; `samples` prompts of each split are kept.
    pub fn of(prepared: &Prepared, samples: usize) -> Result<Self> {
        let mut shown = Vec::new();
        for split in Split::ALL {
            let first = prepared.first_prompts(split, samples)?;
            shown.extend(first.into_iter().map(|prompt| (split, prompt)));
        }
        let mut seen = BTreeMap::new();
        let mut rejects = Vec::new();
        prepared.each_reject(|reject| {
            let count = seen
                .entry((reject.file.clone(), reject.reason.clone()))
                .or_insert(0);
            *count += 1;
            if *count <= REJECT_SAMPLES {
                rejects.push(reject);
            }
        })?;
        Ok(Self {
            manifest: prepared.manifest().clone(),
            samples: shown,
            rejects,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let manifest = &self.manifest;
        writeln!(
            f,
            "{}: {} (weaverec {})",
            manifest.name, manifest.dataset.title, manifest.version
        )?;
        if !manifest.synthetic_fields.is_empty() {
            writeln!(
                f,
                "made-up values in the raw files: {}",
                manifest.synthetic_fields.join(", ")
            )?;
        }
        writeln!(
            f,
            "\n{:<14}{:>14}{:>10}{:>10}",
            "stage", "interactions", "users", "items"
        )?;
        for count in &manifest.counts {
            writeln!(
                f,
                "{:<14}{:>14}{:>10}{:>10}",
                count.stage, count.interactions, count.users, count.items
            )?;
        }
        let lengths = &manifest.lengths;
        writeln!(
            f,
            "\nsequence length: min {}, 25 % {}, median {}, 75 % {}, max {}, mean {:.1}",
            lengths.min, lengths.quartile, lengths.median, lengths.upper_quartile, lengths.max, lengths.mean
        )?;
        let widest = lengths.histogram.values().copied().max().unwrap_or(1);
        for (bound, users) in &lengths.histogram {
            let bar = "#".repeat((users * 40).div_ceil(widest) as usize);
            writeln!(f, "  {:>9} {users:>8} {bar}", format!("..={bound}"))?;
        }
        // Folders of older versions did not count them.
        if !manifest.split.is_empty() {
            writeln!(f, "\nstages: {}", manifest.stages)?;
            writeln!(f, "split: {}", manifest.split)?;
            writeln!(f, "ties: {}", manifest.ties)?;
            writeln!(f, "repeats: {}", manifest.repeats)?;
        }
        let prompts = Split::ALL.map(|split| format!("{} {}", split.name(), manifest.prompt_count(split)));
        writeln!(f, "\nprompts: {}", prompts.join(", "))?;
        for (split, prompt) in &self.samples {
            writeln!(
                f,
                "\n[{} · user {} · key {:016x}]",
                split.name(),
                prompt.user_id,
                prompt.key
            )?;
            for turn in &prompt.messages {
                writeln!(f, "{}: {}", turn.role, turn.content.trim_end())?;
            }
        }
        self.fmt_rejects(f)?;
        writeln!(f, "\naudit: {}", manifest.audit)?;
        let warning = manifest.audit.warning(&manifest.parameters.split);
        let advice = manifest.tie_advice();
        let notes = manifest.notes.iter().chain(&manifest.losses);
        for note in notes.chain(&advice).chain(&warning) {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}

impl Summary {
    fn fmt_rejects(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: u64 = self.manifest.rejects.values().sum();
        writeln!(f, "\nrejects: {total} of {} lines", self.manifest.lines)?;
        for (reason, count) in &self.manifest.rejects {
            writeln!(f, "  {count:>8} {reason}")?;
        }
        for reject in &self.rejects {
            writeln!(
                f,
                "  {} line {}, byte {}: {}: {}",
                reject.file, reject.line, reject.offset, reject.reason, reject.text
            )?;
        }
        Ok(())
    }
}

/// What two prepared domains share, by raw id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Names of the two.
    pub domains: (String, String),
    /// Users in both.
    pub users: usize,
    /// Items in both.
    pub items: usize,
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, second) = &self.domains;
        write!(
            f,
            "{first} and {second} share {} users and {} items",
            self.users, self.items
        )
    }
}

/// Shared users and items of every pair of folders.
pub fn overlap(folders: &[Prepared]) -> Result<Vec<Overlap>> {
    let mut sets: Vec<(String, HashSet<String>, HashSet<String>)> = Vec::new();
    for folder in folders {
        let users = folder
            .sequences()?
            .into_iter()
            .map(|sequence| sequence.user_id)
            .collect();
        let items = folder.items()?.into_iter().map(|item| item.item_id).collect();
        sets.push((folder.manifest().name.clone(), users, items));
    }
    let mut pairs = Vec::new();
    for (index, (first, users, items)) in sets.iter().enumerate() {
        for (second, other_users, other_items) in &sets[index + 1..] {
            pairs.push(Overlap {
                domains: (first.clone(), second.clone()),
                users: users.intersection(other_users).count(),
                items: items.intersection(other_items).count(),
            });
        }
    }
    Ok(pairs)
}
