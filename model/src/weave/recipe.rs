//! Rows of the table that are made of adapters: the paper's, and the controls that say what weaving is good for.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Budget, Diet, Portion, Scenario};

/// A row of the table that is made of adapters, merged uniformly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipe {
    /// Adapters of the sources alone.
    SourceOnly,
    /// The adapter of the target alone.
    TargetOnly,
    /// One adapter on everything.
    Joint,
    /// Mean of single-domain adapters.
    NaiveMerge,
    /// Mean of the target-only adapter and the hybrids.
    Weave,
    /// The weave with each source's prompts replaced by as many further ones of the target: same members, initial values, steps and
    /// schedules. What weaving is better in comes of the sources.
    Soup,
    /// Target-only for so many times the passes, in a schedule of its own. With N sources as large as the target, 1 + 2N is as long as
    /// the weave's members together.
    Longer(usize),
    /// Target-only on as many prompts as the weave's members see together, fresh ones first.
    MoreTarget,
    /// Joint training on as many tokens as the weave's members see together.
    JointMatched,
    /// Target-only on as many tokens as the weave's members see together, none of them of a fresh prompt.
    JointSoup,
    /// The weave with the titles of each source permuted among its items: same lengths, words and steps, but no order to learn from.
    Placebo,
}

impl Recipe {
    /// The rows of the paper, in the order of the table.
    pub const PAPER: [Recipe; 5] = [
        Recipe::SourceOnly,
        Recipe::TargetOnly,
        Recipe::Joint,
        Recipe::NaiveMerge,
        Recipe::Weave,
    ];

    /// What the adapters that this recipe merges are trained on.
    pub fn members(self, scenario: &Scenario, budget: &Budget) -> Vec<Diet> {
        let target = scenario.target.as_str();
        let sources = || scenario.sources.iter().map(String::as_str);
        let target_only = || std::iter::once(Diet::plain([target], budget));
        let source_only = || sources().map(|source| Diet::plain([source], budget));
        let weave = || target_only().chain(sources().map(|source| Diet::plain([target, source], budget)));
        let joint = || Diet::plain(sources().chain([target]), budget);
        let woven_tokens = || weave().map(|member| member.tokens(budget)).sum::<f64>();
        match self {
            Recipe::SourceOnly => source_only().collect(),
            Recipe::TargetOnly => target_only().collect(),
            Recipe::Joint => vec![joint()],
            Recipe::NaiveMerge => target_only().chain(source_only()).collect(),
            Recipe::Weave => weave().collect(),
            Recipe::Soup => {
                let stand_ins = sources().map(|source| {
                    Diet::of([Portion {
                        again_for: Some(source.to_string()),
                        ..Portion::further(target, budget.share(source), budget)
                    }])
                });
                target_only().chain(stand_ins).collect()
            }
            Recipe::Longer(times) => target_only().map(|diet| Diet { times, ..diet }).collect(),
            Recipe::MoreTarget => {
                let prompts = weave().map(|member| member.prompts()).sum();
                vec![Diet::of([Portion {
                    pool: (budget.supply)(target).prompts.min(prompts),
                    ..Portion::further(target, prompts - budget.share(target), budget)
                }])]
            }
            Recipe::JointMatched => vec![scaled(joint(), woven_tokens(), budget)],
            Recipe::JointSoup => vec![scaled(Diet::plain([target], budget), woven_tokens(), budget)],
            Recipe::Placebo => {
                let placebos = sources().map(|source| {
                    let disguised = Portion {
                        placebo: true,
                        ..Portion::plain(source, budget)
                    };
                    Diet::of([Portion::plain(target, budget), disguised])
                });
                target_only().chain(placebos).collect()
            }
        }
    }
}

/// The diet with all portions scaled alike, from the same pools, so that it comes to `tokens`, or to less than one prompt more.
fn scaled(diet: Diet, tokens: f64, budget: &Budget) -> Diet {
    let own = diet.tokens(budget);
    if own <= 0.0 {
        return diet;
    }
    let factor = tokens / own;
    let wanted = |portion: &Portion| factor * portion.prompts as f64;
    // A quotient that is a whole number but for rounding is that number.
    let whole = |wanted: f64| match (wanted - wanted.round()).abs() < 1e-9 * wanted {
        true => wanted.round(),
        false => wanted.floor(),
    };
    // Whoever is furthest below what is wanted is rounded up first.
    let mut by_missing: Vec<usize> = (0..diet.portions.len()).collect();
    by_missing.sort_by(|a, b| {
        let missing = |at: usize| wanted(&diet.portions[at]) - whole(wanted(&diet.portions[at]));
        missing(*b).total_cmp(&missing(*a))
    });
    let mut scaled = Diet::of(diet.portions.iter().map(|portion| {
        let prompts = whole(wanted(portion)) as usize;
        Portion {
            prompts,
            further: prompts.saturating_sub(portion.prompts),
            ..portion.clone()
        }
    }));
    for at in by_missing {
        if scaled.tokens(budget) >= tokens * (1.0 - 1e-9) {
            break;
        }
        scaled.portions[at].prompts += 1;
        scaled.portions[at].further += 1;
    }
    scaled
}

/// What every adapter that the recipes need in the scenarios is trained on, each once.
pub fn plan<'a>(
    scenarios: impl IntoIterator<Item = &'a Scenario>,
    recipes: &[Recipe],
    budget: &Budget,
) -> BTreeSet<Diet> {
    scenarios
        .into_iter()
        .flat_map(|scenario| recipes.iter().flat_map(|recipe| recipe.members(scenario, budget)))
        .collect()
}
