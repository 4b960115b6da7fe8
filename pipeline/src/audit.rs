//! Leak checks on a prepared folder: everything that must not be known when a prompt is answered.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::prepared::{PlacedPrompt, Prepared, Sequence};
use crate::schema::{Item, PromptFormat, Split, TITLE_SEPARATOR};
use crate::stage::{DedupPolicy, Recipe};

/// What every user of leave-one-out should know.
pub const LEAVE_ONE_OUT_WARNING: &str = "leave-one-out lets a model see, in other users' histories, interactions \
    that are later than the one it is asked for; use it to compare methods with each other and with the literature, not to \
    estimate what a live system would reach";

/// What was checked and found. Leaks are errors; the counts below them are remarks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    /// Prompts looked at.
    pub prompts: u64,
    /// Leaks, one sentence each (the first few of a kind).
    pub leaks: Vec<String>,
    /// Evaluation prompts whose target also stands in the history shown: true repeats, where the deduplication keeps them.
    pub repeated_targets: u64,
    /// Evaluation prompts whose history shows another item with the target's title.
    pub namesakes_in_history: u64,
    /// Evaluation prompts with fewer candidates than asked for, because the domain has no more.
    pub short_candidate_sets: u64,
    /// Training prompts that are validation prompts, as the paper's recipe wants.
    pub validation_in_train: u64,
}

/// Leaks of a kind that are spelled out.
const EXAMPLES: usize = 5;

impl AuditReport {
    /// Fails if there is a leak.
    pub fn check(&self) -> Result<()> {
        if self.leaks.is_empty() {
            Ok(())
        } else {
            Err(Error::Leak(self.leaks.join("; ")))
        }
    }
}

/// Checks every prompt of a folder against the sequences it was made from.
///
/// Leaks are: a history that is not what came right before the target; a candidate other than the target that the user ever
/// touched; a candidate set without the target or with an item twice; a row key that occurs twice; a validation or test
/// interaction that is trained on under the clean recipe; the target's title in the question more often than its place among the
/// candidates and its namesakes in the history explain.
pub fn audit(prepared: &Prepared) -> Result<AuditReport> {
    let sequences: HashMap<String, Sequence> = prepared
        .sequences()?
        .into_iter()
        .map(|sequence| (sequence.user_id.clone(), sequence))
        .collect();
    let mut auditor = Auditor {
        prepared,
        items: prepared.items()?,
        sequences,
        keys: HashSet::new(),
        report: AuditReport::default(),
    };
    for split in Split::ALL {
        prepared.each_prompt(split, |placed| {
            auditor.check(split, &placed);
            Ok(())
        })?;
    }
    Ok(auditor.report)
}

struct Auditor<'a> {
    prepared: &'a Prepared,
    items: Vec<Item>,
    sequences: HashMap<String, Sequence>,
    keys: HashSet<u64>,
    report: AuditReport,
}

impl Auditor<'_> {
    fn check(&mut self, split: Split, placed: &PlacedPrompt) {
        self.report.prompts += 1;
        if !self.keys.insert(placed.prompt.key) {
            self.leak(placed, "its key occurs twice");
        }
        let Some(sequence) = self
            .sequences
            .get(&placed.prompt.user_id)
            .map(|sequence| sequence.items.clone())
        else {
            return self.leak(placed, "its user has no sequence");
        };
        self.check_place(split, placed, &sequence);
        self.check_candidates(split, placed, &sequence);
        if split != Split::Train {
            self.check_text(placed);
        }
    }

    fn check_place(&mut self, split: Split, placed: &PlacedPrompt, sequence: &[u32]) {
        let (prompt, target) = (&placed.prompt, placed.position as usize);
        let before = (target.max(1) - 1).checked_sub(prompt.history.len());
        let cut = before.and_then(|start| sequence.get(start..target));
        if cut.and_then(|cut| cut.split_last()) != Some((&prompt.target, prompt.history.as_slice())) {
            self.leak(
                placed,
                "its history and target are not consecutive in the user's sequence",
            );
        }
        let last = sequence.len();
        let paper = self.prepared.manifest().parameters.recipe == Recipe::Paper;
        let in_place = match split {
            Split::Test => target == last,
            Split::Validation => target + 1 == last,
            Split::Train if paper && target + 1 == last => {
                self.report.validation_in_train += 1;
                true
            }
            Split::Train => target + 2 <= last,
        };
        if !in_place {
            self.leak(placed, "its target belongs to another split");
        }
    }

    fn check_candidates(&mut self, split: Split, placed: &PlacedPrompt, sequence: &[u32]) {
        let prompt = &placed.prompt;
        let parameters = &self.prepared.manifest().parameters;
        if split == Split::Train && parameters.format == PromptFormat::Sequence {
            return;
        }
        let distinct: HashSet<u32> = prompt.candidates.iter().copied().collect();
        if distinct.len() != prompt.candidates.len() || !distinct.contains(&prompt.target) {
            self.leak(placed, "its candidates lack the target or repeat an item");
        }
        if sequence
            .iter()
            .any(|item| *item != prompt.target && distinct.contains(item))
        {
            self.leak(placed, "a candidate was touched by the user");
        }
        if split == Split::Train {
            return;
        }
        self.report.short_candidate_sets += u64::from(prompt.candidates.len() < parameters.candidates);
        if prompt.history.contains(&prompt.target) {
            self.report.repeated_targets += 1;
            if matches!(parameters.dedup, DedupPolicy::First | DedupPolicy::Last) {
                self.leak(
                    placed,
                    "its target is in the history although repeats were removed",
                );
            }
        }
    }

    fn check_text(&mut self, placed: &PlacedPrompt) {
        let prompt = &placed.prompt;
        let title = |item: u32| {
            self.items
                .get(item as usize - 1)
                .map_or("", |item| item.title.as_str())
        };
        let wanted = title(prompt.target);
        let namesakes = prompt
            .history
            .iter()
            .filter(|&&item| title(item) == wanted)
            .count();
        let others = prompt
            .history
            .iter()
            .any(|&item| item != prompt.target && title(item) == wanted);
        let shown = usize::from(self.prepared.manifest().parameters.format == PromptFormat::CandidateList);
        let question = prompt.messages.iter().filter(|turn| turn.role != "assistant");
        let parts = question
            .flat_map(|turn| turn.content.lines())
            .flat_map(|line| line.split(TITLE_SEPARATOR));
        let leaked = parts.filter(|part| part.trim() == wanted).count() > namesakes + shown;
        self.report.namesakes_in_history += u64::from(others);
        if leaked {
            self.leak(
                placed,
                "the target's title stands in the question outside history and candidates",
            );
        }
    }

    fn leak(&mut self, placed: &PlacedPrompt, what: &str) {
        let seen = self
            .report
            .leaks
            .iter()
            .filter(|leak| leak.ends_with(what))
            .count();
        if seen < EXAMPLES {
            let (user, position) = (&placed.prompt.user_id, placed.position);
            self.report
                .leaks
                .push(format!("prompt of user {user} at position {position}: {what}"));
        }
    }
}
