//! Everything that decides the content of a prepared folder, besides the raw files.

use serde::{Deserialize, Serialize};

use crate::dataset::DatasetDescription;
use crate::error::{Error, Result};
use crate::schema::{LETTERS, PromptFormat};
use crate::stage::domain::OTHER;
use crate::stage::prompt::PromptStyle;
use crate::stage::{
    DedupPolicy, DomainFilter, KCore, Negatives, Recipe, Repeats, SplitPolicy, Ties, TimeCut, TimeWindow,
    Wording, window,
};
use crate::title;

/// The configuration of every stage. Threads and memory are no part of it: they do not reach the result.
///
/// The manifest records it as it is. What later versions added has a default, so that folders written before stay readable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// Key of all randomness but the order of ties.
    pub seed: u64,
    /// Which part of the data set.
    pub filter: DomainFilter,
    /// Interactions rated lower, or not rated, are left out.
    #[serde(default)]
    pub min_rating: Option<f64>,
    /// Interactions at other times are left out.
    #[serde(default)]
    pub window: TimeWindow,
    /// What orders a user's events of one moment.
    #[serde(default)]
    pub ties: Ties,
    /// Key of that order, and of nothing else.
    #[serde(default)]
    pub tie_seed: u64,
    /// Milliseconds within which an event that follows another is at one moment with it; 0: at the same time only.
    #[serde(default)]
    pub tie_window_ms: i64,
    /// What happens to repeats.
    pub dedup: DedupPolicy,
    /// Least interactions of users and items.
    pub core: KCore,
    /// What is held out for validation and test.
    #[serde(default)]
    pub split: SplitPolicy,
    /// Whether what a user had before is asked for.
    #[serde(default)]
    pub repeats: Repeats,
    /// Longest history shown.
    pub max_history: usize,
    /// Longest title, in characters.
    pub max_title_chars: usize,
    /// Whether titles are put right whose UTF-8 was read as another encoding (`FranÃ§ais`).
    #[serde(default)]
    pub repair_text: bool,
    /// Candidates of a set, target included.
    pub candidates: usize,
    /// How the other candidates are drawn.
    #[serde(default)]
    pub negatives: Negatives,
    /// Structure of the prompts.
    pub format: PromptFormat,
    /// Their words, where they are not the format's own.
    #[serde(default)]
    pub wording: Option<Wording>,
    /// Whether validation prompts are trained on.
    pub recipe: Recipe,
    /// Most training prompts, sampled by key.
    pub max_train: usize,
    /// Most users with a validation and a test prompt, sampled by key.
    pub max_eval: Option<usize>,
    /// Whether there are prompts; without them the folder holds the tables alone.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub prompts: bool,
    /// Share of rejected lines that is put up with.
    pub max_reject_share: f64,
    /// Whether damaged files are read as far as they go.
    pub salvage: bool,
    /// Whether it is put up with that an item file describes fewer than half of the items that the interactions name.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_missing_items: bool,
}

fn yes() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

fn is_false(value: &bool) -> bool {
    !*value
}

impl Default for Parameters {
    /// Everything of the data set, leave-one-out of new items, the paper's top-5 prompts over 30 candidates, the clean recipe, no k-core.
    fn default() -> Self {
        Self {
            seed: 1,
            filter: DomainFilter::default(),
            min_rating: None,
            window: TimeWindow::default(),
            ties: Ties::default(),
            tie_seed: 0,
            tie_window_ms: 0,
            dedup: DedupPolicy::default(),
            core: KCore::default(),
            split: SplitPolicy::default(),
            repeats: Repeats::default(),
            max_history: 20,
            max_title_chars: 80,
            repair_text: false,
            candidates: 30,
            negatives: Negatives::default(),
            format: PromptFormat::Top5,
            wording: None,
            recipe: Recipe::Clean,
            max_train: 30_000,
            max_eval: None,
            prompts: true,
            max_reject_share: 0.01,
            salvage: false,
            allow_missing_items: false,
        }
    }
}

impl Parameters {
    /// What the split is called wherever results are shown: two that order ties differently, or cut elsewhere, have other targets.
    /// `cut` has the moments of a global-time split, once they are known.
    pub fn split_name(&self, cut: Option<TimeCut>) -> String {
        let asked = match self.repeats {
            Repeats::Novel => " of new items",
            Repeats::Keep => " with repeats",
        };
        let cut = cut.map_or(String::new(), |cut| {
            let time = window::time_text;
            let (validation, test) = (time(cut.validation_from), time(cut.test_from));
            format!(" (validation from {validation}, test from {test})")
        });
        let within = match self.tie_window_ms {
            0 => String::new(),
            window => format!(" within {}", window::duration_text(window)),
        };
        let order = match self.ties {
            Ties::Hash => format!("by hash (tie seed {})", self.tie_seed),
            Ties::Line => "by line".to_owned(),
        };
        format!("{}{asked}{cut}, ties{within} {order}", self.split.name())
    }

    /// What is prepared, whatever its folder is called: the data set and the domain of it. It is part of the key that orders ties of
    /// time, so that one data set prepared under two names has one order.
    pub fn domain_name(&self, dataset: &DatasetDescription) -> String {
        let plain = |c: char| if c.is_alphanumeric() { c } else { '-' };
        match &self.filter.domain {
            None => dataset.name.clone(),
            Some(domain) => {
                let domain: String = domain.to_lowercase().chars().map(plain).collect();
                format!("{}-{domain}", dataset.name)
            }
        }
    }

    /// How the titles of a data set are cleaned.
    pub fn title_rules(&self, dataset: &DatasetDescription) -> title::Rules {
        let usual = title::Rules::new(self.max_title_chars);
        title::Rules {
            leading_articles: dataset.leading_articles(),
            repair: self.repair_text,
            missing: match &dataset.missing {
                Some(spellings) => spellings.iter().map(|text| text.trim().to_owned()).collect(),
                None => usual.missing,
            },
            ..usual
        }
    }

    /// Fails where a value makes no sense, alone or beside the others.
    pub fn check(&self, dataset: &DatasetDescription) -> Result<()> {
        self.check_domain(dataset)?;
        for (key, value, least) in [
            ("candidates", self.candidates, 2),
            ("max_history", self.max_history, 1),
            ("max_title_chars", self.max_title_chars, 8),
        ] {
            if value < least {
                return Err(Error::Usage(format!("{key} is {value}; give at least {least}")));
            }
        }
        if !(0.0..=1.0).contains(&self.max_reject_share) {
            let share = self.max_reject_share;
            return Err(Error::Usage(format!(
                "max_reject_share is {share}; it is a share, between 0 and 1"
            )));
        }
        if self.ties == Ties::Line && self.tie_seed != 0 {
            return Err(Error::Usage(format!(
                "tie_seed is {}, but ties are in the order of lines; leave it out or order ties by hash",
                self.tie_seed
            )));
        }
        if self.tie_window_ms < 0 {
            return Err(Error::Usage(format!(
                "tie_window_ms is {}; it is a duration, from 0",
                self.tie_window_ms
            )));
        }
        self.window.check()?;
        self.split.check()?;
        self.check_prompts()
    }

    fn check_domain(&self, dataset: &DatasetDescription) -> Result<()> {
        if self.filter.by_category() && dataset.domain_column.is_none() {
            return Err(Error::Usage(format!(
                "{} has no domain_column to split by; leave the domain out or add the key",
                dataset.name
            )));
        }
        if self.filter.domain.as_deref() == Some(OTHER) && self.filter.exclude.is_empty() {
            return Err(Error::Usage(format!(
                "domain `{OTHER}` needs excluded domains to be other than; name some"
            )));
        }
        Ok(())
    }

    fn check_prompts(&self) -> Result<()> {
        if self.format == PromptFormat::Letter && self.candidates > LETTERS.len() {
            return Err(Error::Usage(format!(
                "the letter format names at most {} candidates, not {}; ask for fewer",
                LETTERS.len(),
                self.candidates
            )));
        }
        match &self.wording {
            Some(wording) => PromptStyle::try_out(self.format, wording),
            None => Ok(()),
        }
    }
}
