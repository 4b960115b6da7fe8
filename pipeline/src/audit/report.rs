//! What the audit says.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::audit::Popularity;
use crate::error::{Error, Result};
use crate::prepared::Share;
use crate::stage::SplitPolicy;

/// What was checked and found. Leaks are errors, findings fail the audit; the counts below them are remarks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditReport {
    /// Prompts looked at.
    pub prompts: u64,
    /// Test prompts among them.
    pub tests: u64,
    /// Leaks, one sentence each (the first few of a kind).
    pub leaks: Vec<String>,
    /// What makes results on the folder say less than they seem to, one sentence each: nothing is known that must not be, so the folder
    /// is made, but it does not pass.
    pub findings: Vec<String>,
    /// Where popularity alone stands among the candidates of test prompts.
    pub popularity: Popularity,
    /// Binned candidate sets of evaluation prompts that hold an item of another bin than their target's, which had too few.
    pub left_bins: Share,
    /// Evaluation prompts whose target also stands in the history shown: true repeats, where the deduplication keeps them.
    pub repeated_targets: u64,
    /// Evaluation prompts whose history shows another item with the target's title.
    pub namesakes_in_history: u64,
    /// Negatives of evaluation prompts that are another item than any the user touched and bear the title of one: to a language model,
    /// which sees titles alone, they were touched.
    pub touched_titles: Share,
    /// Negatives of evaluation prompts that the user touched: where repeats are kept, else a leak.
    pub touched_negatives: Share,
    /// Test prompts whose target is at the moment of the item before it.
    pub tied_tests: Share,
    /// Evaluation prompts whose target nobody had before the period it is asked in: global time only.
    pub first_seen_targets: Share,
    /// The same of their negatives.
    pub first_seen_negatives: Share,
    /// Evaluation prompts with fewer candidates than asked for, because the domain has no more.
    pub short_candidate_sets: u64,
    /// Training prompts that are validation prompts, as the paper's recipe wants.
    pub validation_in_train: u64,
    /// Evaluation prompts whose target nobody has in training: items first seen after the cut, or by this user alone.
    pub unseen_targets: u64,
    /// Test prompts that are older than another user's training interaction.
    pub tests_before_training: u64,
}

/// Leaks of a kind that are spelled out.
const EXAMPLES: usize = 5;

impl AuditReport {
    /// Fails if there is a leak or a finding.
    pub fn check(&self) -> Result<()> {
        self.check_leaks()?;
        fails(&self.findings)
    }

    /// Fails if there is a leak.
    pub fn check_leaks(&self) -> Result<()> {
        fails(&self.leaks)
    }

    /// What a user of leave-one-out should know, where training does see the future of a test.
    pub fn warning(&self, split: &SplitPolicy) -> Option<String> {
        (*split == SplitPolicy::LeaveOneOut && self.tests_before_training > 0).then(|| {
            format!(
                "leave-one-out trains on the future of other users' tests: {} of {} test prompts are older than some training \
                 interaction; use it to compare methods with each other and with the literature, and the global-time split to \
                 estimate what a live system would reach",
                self.tests_before_training, self.tests
            )
        })
    }

    pub(super) fn leak(&mut self, subject: &str, what: &str) {
        self.add_leak(format!("{subject}: {what}"), what);
    }

    fn add_leak(&mut self, leak: String, what: &str) {
        let seen = self.leaks.iter().filter(|leak| leak.ends_with(what)).count();
        if seen < EXAMPLES {
            self.leaks.push(leak);
        }
    }

    /// Adds what was found in other prompts.
    pub(super) fn append(&mut self, other: Self) {
        self.prompts += other.prompts;
        self.tests += other.tests;
        self.repeated_targets += other.repeated_targets;
        self.namesakes_in_history += other.namesakes_in_history;
        self.touched_titles.append(other.touched_titles);
        self.touched_negatives.append(other.touched_negatives);
        self.left_bins.append(other.left_bins);
        self.tied_tests.append(other.tied_tests);
        self.first_seen_targets.append(other.first_seen_targets);
        self.first_seen_negatives.append(other.first_seen_negatives);
        self.short_candidate_sets += other.short_candidate_sets;
        self.validation_in_train += other.validation_in_train;
        self.unseen_targets += other.unseen_targets;
        self.tests_before_training += other.tests_before_training;
        for leak in other.leaks {
            // A subject may hold anything, what is wrong with it holds no colon.
            let what = leak.rsplit(": ").next().unwrap_or_default().to_owned();
            self.add_leak(leak, &what);
        }
    }
}

fn fails(sentences: &[String]) -> Result<()> {
    match sentences {
        [] => Ok(()),
        some => Err(Error::Leak(some.join("; "))),
    }
}

impl fmt::Display for AuditReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leaks = match self.leaks.len() {
            0 => "no leak".to_owned(),
            count => format!("LEAKS ({count})"),
        };
        write!(
            f,
            "{} prompts, {leaks}; {} repeated targets, {} namesakes in histories, {} negatives bear a touched item's title, \
             {} short candidate sets, {} targets unseen in training, {} validation prompts in training, {} tests tie in time",
            self.prompts,
            self.repeated_targets,
            self.namesakes_in_history,
            self.touched_titles,
            self.short_candidate_sets,
            self.unseen_targets,
            self.validation_in_train,
            self.tied_tests
        )?;
        if self.touched_negatives.count > 0 {
            write!(f, ", {} negatives were touched", self.touched_negatives)?;
        }
        if self.first_seen_targets.of > 0 {
            write!(
                f,
                ", first seen after the cut: {} targets and {} negatives",
                self.first_seen_targets, self.first_seen_negatives
            )?;
        }
        if self.popularity.tests > 0 {
            write!(f, "; {}", self.popularity)?;
        }
        if self.left_bins.count > 0 {
            write!(f, "; {} binned sets leave their bin", self.left_bins)?;
        }
        let mut sentences = self.leaks.iter().chain(&self.findings);
        sentences.try_for_each(|sentence| write!(f, "\n  {sentence}"))
    }
}
