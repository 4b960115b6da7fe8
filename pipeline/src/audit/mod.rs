//! Leak checks on a prepared folder: everything that must not be known when a prompt is answered.

mod binned;
pub mod crossing;
mod known;
mod namesakes;
mod place;
mod popularity;
mod report;
mod text;
mod ties;

use std::collections::HashSet;
use std::path::PathBuf;

use rayon::prelude::*;

use crate::error::Result;
use crate::prepared::{Prepared, PromptRow};
use crate::schema::{Item, PromptFormat, Split};
use crate::stage::{Bins, DedupPolicy, PromptStyle, Recipe, Repeats};
use known::Known;
use namesakes::Namesakes;
pub use popularity::Popularity;
use popularity::Sums;
pub use report::AuditReport;

/// Checks every prompt of a folder against the sequences it was made from, and those against the interactions.
///
/// Leaks are: sequences that are not the interactions in the order of time; events of one moment in another order than the split's
/// name says; a history that is not what came right before the
/// target; a target, in any split, that the split policy puts into another one (by its place, or by its time), or that its user had
/// before, where only new items are asked for; a tie in time that is not said, or one that is none; a candidate
/// other than the target that the user ever touched, unless repeats are kept; a candidate set without the target or with an item twice, and so with
/// binned sets, which hold no title twice either, are as large as the others, leave their bins as often as the manifest says and are none
/// in training; a row key that occurs twice; a text that is not what the prompt's ids and wording give; the target's title in the question more often than
/// its place among the candidates and its namesakes in the history explain.
///
/// Files are checked side by side. Memory: up to 17 bytes an interaction, 40 a user, 8 a prompt, 12 an item, and the catalogue.
pub fn audit(prepared: &Prepared) -> Result<AuditReport> {
    let manifest = prepared.manifest();
    let items = prepared.items()?;
    let mut report = AuditReport::default();
    let (style, bins) = (prepared.style(&items)?, prepared.bins(&items));
    let namesakes = Namesakes::among(&items);
    let known = Known::read(prepared, &namesakes, &mut report)?;
    let shards = Split::ALL.into_iter().flat_map(|split| {
        let shards = prepared.shards(split);
        shards.into_iter().map(move |path| (split, path))
    });
    let shards: Vec<_> = shards.collect();
    let check = |(split, path): &(Split, PathBuf)| -> Result<Checked> {
        let mut auditor = Auditor {
            prepared,
            style: &style,
            known: &known,
            namesakes: &namesakes,
            items: &items,
            bins: &bins,
            found: Checked::default(),
            scratch: String::new(),
        };
        prepared.each_prompt_in(path, |prompt| auditor.check(*split, &prompt))?;
        Ok(auditor.found)
    };
    let checked: Vec<Result<Checked>> = shards.par_iter().map(check).collect();
    let (mut keys, mut popularity) = (Vec::new(), Sums::default());
    // In the order of files, so that sums of fractions come out the same.
    for found in checked {
        let found = found?;
        report.append(found.report);
        popularity.append(found.popularity);
        keys.extend(found.keys);
    }
    keys.par_sort_unstable();
    if keys.windows(2).any(|pair| pair[0] == pair[1]) {
        name_repeated_keys(prepared, &mut report)?;
    }
    if report.left_bins != manifest.bins.left {
        report.leak(
            "binned candidates",
            "the manifest says otherwise of how many sets leave their bin",
        );
    }
    report.popularity = popularity.averages();
    report.findings.extend(report.popularity.finding(items.len()));
    Ok(report)
}

/// Goes through the prompts once more, one after another, for those whose key was there before.
fn name_repeated_keys(prepared: &Prepared, report: &mut AuditReport) -> Result<()> {
    let mut keys = HashSet::new();
    for split in Split::ALL {
        prepared.each_prompt(split, |prompt| {
            if !keys.insert(prompt.key) {
                report.leak(&subject(&prompt), "its key occurs twice");
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// What the prompts of one file showed.
#[derive(Default)]
struct Checked {
    report: AuditReport,
    popularity: Sums,
    keys: Vec<u64>,
}

struct Auditor<'a> {
    prepared: &'a Prepared,
    items: &'a [Item],
    style: &'a PromptStyle,
    known: &'a Known,
    namesakes: &'a Namesakes,
    bins: &'a Bins,
    found: Checked,
    /// Where texts are worded again.
    scratch: String,
}

impl Auditor<'_> {
    fn check(&mut self, split: Split, prompt: &PromptRow<'_>) -> Result<()> {
        self.found.report.prompts += 1;
        self.found.report.tests += u64::from(split == Split::Test);
        self.found.keys.push(prompt.key);
        let mut shown = prompt
            .history
            .iter()
            .chain(prompt.candidates)
            .chain(prompt.binned)
            .chain([&prompt.target]);
        if !shown.all(|item| (1..=self.items.len()).contains(&(*item as usize))) {
            self.leak(prompt, "it names an item that is not in the catalogue");
            return Ok(());
        }
        if !self.known.has(prompt.user, prompt.user_id) {
            self.leak(prompt, "its user has no sequence");
            return Ok(());
        }
        if self.check_history(prompt) {
            self.check_place(split, prompt);
        }
        self.check_candidates(split, prompt);
        self.check_binned(split, prompt);
        self.check_text(split, prompt)
    }

    /// Whether history and target are where the prompt says.
    fn check_history(&mut self, prompt: &PromptRow<'_>) -> bool {
        let target = prompt.position as usize;
        let before = (target.max(1) - 1).checked_sub(prompt.history.len());
        let items = self.known.items(prompt.user);
        let cut = before.and_then(|start| items.get(start..target));
        let right = cut.and_then(|cut| cut.split_last()) == Some((&prompt.target, prompt.history));
        if !right {
            self.leak(
                prompt,
                "its history and target are not consecutive in the user's sequence",
            );
        }
        right
    }

    fn check_place(&mut self, split: Split, prompt: &PromptRow<'_>) {
        let paper = self.prepared.manifest().parameters.recipe == Recipe::Paper;
        let in_place = match split {
            Split::Train if paper && self.belongs(Split::Validation, prompt) => {
                self.found.report.validation_in_train += 1;
                true
            }
            split => self.belongs(split, prompt),
        };
        if !in_place {
            self.leak(prompt, "its target belongs to another split");
        }
        let ties = self.known.ties(prompt.user, prompt.position as usize - 1);
        if ties != prompt.ties {
            self.leak(prompt, "the times say otherwise of a tie with the item before");
        }
        if split == Split::Test {
            self.found.report.tied_tests.add(ties);
            let newest = self.known.newest_training_of_others(prompt.user);
            let time = self.known.times(prompt.user)[prompt.position as usize - 1];
            self.found.report.tests_before_training += u64::from(newest.is_some_and(|newest| time < newest));
        }
    }

    /// Whether the target is one of the split's.
    fn belongs(&self, split: Split, prompt: &PromptRow<'_>) -> bool {
        let (place, target) = (self.known.place(prompt.user), prompt.position - 1);
        match split {
            Split::Train => target < place.trained,
            Split::Validation => place.validation == Some(target),
            Split::Test => place.test == Some(target),
        }
    }

    fn check_candidates(&mut self, split: Split, prompt: &PromptRow<'_>) {
        let parameters = &self.prepared.manifest().parameters;
        if split == Split::Train && parameters.format == PromptFormat::Sequence {
            return;
        }
        let mut sorted = prompt.candidates.to_vec();
        sorted.sort_unstable();
        let repeated = sorted.windows(2).any(|pair| pair[0] == pair[1]);
        if repeated || sorted.binary_search(&prompt.target).is_err() {
            self.leak(prompt, "its candidates lack the target or repeat an item");
        }
        let novel = parameters.repeats == Repeats::Novel;
        if novel && self.known.touched_any(prompt.user, &sorted, prompt.target) {
            self.leak(prompt, "a candidate was touched by the user");
        }
        if split == Split::Train {
            return;
        }
        self.found.report.short_candidate_sets += u64::from(prompt.candidates.len() < parameters.candidates);
        let touched = self.known.items(prompt.user);
        for candidate in prompt.candidates.iter().filter(|item| **item != prompt.target) {
            let bears = self.namesakes.touched(*candidate, touched);
            let report = &mut self.found.report;
            report.touched_titles.add(bears);
            report
                .touched_negatives
                .add(!novel && touched.contains(candidate));
        }
        if let Some(cut) = self.prepared.manifest().cut {
            let from = match split {
                Split::Test => cut.test_from,
                _ => cut.validation_from,
            };
            let new = |item: u32| self.known.first_seen(item).is_none_or(|first| first >= from);
            let report = &mut self.found.report;
            for candidate in prompt.candidates {
                match *candidate == prompt.target {
                    true => report.first_seen_targets.add(new(*candidate)),
                    false => report.first_seen_negatives.add(new(*candidate)),
                }
            }
        }
        let target = &self.items[prompt.target as usize - 1];
        self.found.report.unseen_targets += u64::from(target.train_count == 0);
        if prompt.history.contains(&prompt.target) {
            self.found.report.repeated_targets += 1;
            if matches!(parameters.dedup, DedupPolicy::First | DedupPolicy::Last) {
                self.leak(
                    prompt,
                    "its target is in the history although repeats were removed",
                );
            }
        }
    }

    fn check_text(&mut self, split: Split, prompt: &PromptRow<'_>) -> Result<()> {
        if !text::agrees(self.style, split, prompt, &mut self.scratch)? {
            self.leak(prompt, "its text is not what its ids say");
        }
        if split == Split::Train {
            return Ok(());
        }
        let format = self.prepared.manifest().parameters.format;
        self.found.report.namesakes_in_history += u64::from(text::namesake(self.items, prompt));
        if text::gives_away(self.items, format, prompt) {
            self.leak(
                prompt,
                "the target's title stands in the question outside history and candidates",
            );
        }
        Ok(())
    }

    fn leak(&mut self, prompt: &PromptRow<'_>, what: &str) {
        self.found.report.leak(&subject(prompt), what);
    }
}

fn subject(prompt: &PromptRow<'_>) -> String {
    let (user, position) = (&prompt.user_id, prompt.position);
    format!("prompt of user {user} at position {position}")
}
