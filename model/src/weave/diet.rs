//! What an adapter is trained on, prompt for prompt: its diet. It names the adapter too, so that whatever rows of a table share is
//! trained once.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Budget, Domains};

/// What one domain gives to a training set. Portions sort by domain, the real before the placebo.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Portion {
    /// The domain.
    pub domain: String,
    /// Whether the titles of the domain's items are permuted.
    #[serde(default)]
    pub placebo: bool,
    /// Different prompts that may be taken: the first so many by seed and domain.
    pub pool: usize,
    /// Prompts a pass: where there are more than `pool`, those of the pool come again, in a further order.
    pub prompts: usize,
    /// How many of `prompts` are beyond the domain's [share](Budget::share), which is what it gives to the adapters of the paper.
    #[serde(default)]
    pub further: usize,
    /// The source whose place the further prompts take. It keys the order in which prompts come again, so that the stand-ins for two
    /// sources of equal size are two adapters, as the hybrids are, and not one that counts twice.
    #[serde(default)]
    pub again_for: Option<String>,
}

impl Portion {
    /// What a domain gives to the adapters of the paper.
    pub fn plain(domain: &str, budget: &Budget) -> Self {
        Self::further(domain, 0, budget)
    }

    /// A domain's share and `further` prompts more, none of them new.
    pub(super) fn further(domain: &str, further: usize, budget: &Budget) -> Self {
        let share = budget.share(domain);
        Portion {
            domain: domain.to_string(),
            pool: share,
            prompts: share + further,
            further,
            placebo: false,
            again_for: None,
        }
    }

    fn is_plain(&self) -> bool {
        self.pool == self.prompts && self.further == 0 && !self.placebo && self.again_for.is_none()
    }
}

impl fmt::Display for Portion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Portion {
            domain,
            pool,
            prompts,
            ..
        } = self;
        if self.placebo {
            f.write_str("placebo ")?;
        }
        f.write_str(domain)?;
        match &self.again_for {
            Some(source) => write!(f, " + {domain} for {source}"),
            None if self.further == 0 => Ok(()),
            None if pool < prompts => write!(f, " ({prompts} prompts, {pool} different)"),
            None => write!(f, " ({prompts} prompts)"),
        }
    }
}

/// What an adapter is trained on, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diet {
    /// What each domain gives, sorted by domain: a diet is the same whichever of its domains is the target.
    pub portions: Vec<Portion>,
    /// The profile's passes are multiplied by this.
    #[serde(default = "once")]
    pub times: usize,
}

fn once() -> usize {
    1
}

impl Diet {
    /// The portions, in their order, for the profile's passes.
    pub fn of(portions: impl IntoIterator<Item = Portion>) -> Self {
        let mut portions: Vec<Portion> = portions.into_iter().collect();
        portions.sort();
        Diet { portions, times: 1 }
    }

    /// What the adapters of the paper are trained on: each domain's share.
    pub fn plain<'a>(domains: impl IntoIterator<Item = &'a str>, budget: &Budget) -> Self {
        Self::of(domains.into_iter().map(|domain| Portion::plain(domain, budget)))
    }

    /// The domains it takes prompts of.
    pub fn domains(&self) -> Domains {
        Domains::of(self.portions.iter().map(|portion| portion.domain.as_str()))
    }

    /// Whether it is one of the paper's: each domain's share once, with real titles, for the profile's passes.
    pub fn is_plain(&self) -> bool {
        let names = self.portions.iter().map(|portion| &portion.domain);
        self.times == 1 && self.portions.iter().all(Portion::is_plain) && names.is_sorted_by(|a, b| a < b)
    }

    /// Prompts that are read in each pass of the profile: `times` as many as the portions have.
    pub fn prompts(&self) -> usize {
        self.times * self.portions.iter().map(|portion| portion.prompts).sum::<usize>()
    }

    /// Their tokens, by the domains' means.
    pub fn tokens(&self, budget: &Budget) -> f64 {
        let of = |portion: &Portion| portion.prompts as f64 * (budget.supply)(&portion.domain).tokens;
        self.times as f64 * self.portions.iter().map(of).sum::<f64>()
    }
}

/// For people, real portions first: `comedy+drama`, `drama ×2`, `drama + drama for comedy`, `drama + placebo comedy`, `drama (900
/// prompts, 300 different)`. Of diets of one budget, no two are written alike.
impl fmt::Display for Diet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut portions: Vec<&Portion> = self.portions.iter().collect();
        portions.sort_by_key(|portion| portion.placebo);
        let between = match portions.iter().all(|portion| portion.is_plain()) {
            true => "+",
            false => " + ",
        };
        let names: Vec<String> = portions.iter().map(|portion| portion.to_string()).collect();
        f.write_str(&names.join(between))?;
        match self.times {
            1 => Ok(()),
            times => write!(f, " ×{times}"),
        }
    }
}
