//! Rows of the language model: as it is, with one adapter, or with the uniform merge of several.

use weaverec_model::weave::Recipe;

use super::{How, MergeBy, MergeRule, Method};
use crate::family::Family;

/// A row that is made of adapters.
pub struct Adapters {
    id: &'static str,
    label: &'static str,
    family: Family,
    reference: &'static str,
    recipe: fn(usize) -> Option<Recipe>,
    by: Option<MergeBy>,
    stranger: bool,
}

impl Adapters {
    /// The same adapters merged by another rule than the uniform mean.
    pub(super) const fn by(self, name: &'static str, settings: &'static str) -> Self {
        Adapters {
            by: Some(MergeBy::Rule(MergeRule {
                name,
                settings,
                adds: false,
                measured: false,
            })),
            ..self
        }
    }

    /// The same, by what is measured of each adapter, or learnt, on training prompts of its domain.
    pub(super) const fn by_measured(self, name: &'static str, settings: &'static str) -> Self {
        Adapters {
            by: Some(MergeBy::Rule(MergeRule {
                name,
                settings,
                adds: false,
                measured: true,
            })),
            ..self
        }
    }

    /// The sum of the same adapters times a number.
    pub(super) const fn summed(self, settings: &'static str) -> Self {
        Adapters {
            by: Some(MergeBy::Rule(MergeRule {
                name: "task_arithmetic",
                settings,
                adds: true,
                measured: false,
            })),
            ..self
        }
    }

    /// The sum of the same adapters by weights that are chosen.
    pub(super) const fn weighed(self, settings: &'static str) -> Self {
        Adapters {
            by: Some(MergeBy::Weights(settings)),
            ..self
        }
    }
}

impl Method for Adapters {
    fn id(&self) -> &'static str {
        self.id
    }

    fn label(&self) -> &'static str {
        self.label
    }

    fn family(&self) -> Family {
        self.family
    }

    fn reference(&self) -> &'static str {
        self.reference
    }

    fn how(&self) -> How {
        How::Adapters {
            recipe: self.recipe,
            by: self.by,
            stranger: self.stranger,
        }
    }
}

pub(super) const fn row(
    id: &'static str,
    label: &'static str,
    family: Family,
    reference: &'static str,
    recipe: fn(usize) -> Option<Recipe>,
) -> Adapters {
    Adapters {
        id,
        label,
        family,
        reference,
        recipe,
        by: None,
        stranger: false,
    }
}

/// The model as it is.
pub const ZERO_SHOT: Adapters = row(
    "zero-shot",
    "zero-shot",
    Family::Untuned,
    "the language model without an adapter",
    |_| None,
);

/// The sources' adapters.
pub const SOURCE_ONLY: Adapters = row(
    "source-only",
    "source-only",
    Family::Single,
    "the sources' adapters; of several their uniform mean",
    |_| Some(Recipe::SourceOnly),
);

/// The target's adapter.
pub const TARGET_ONLY: Adapters = row(
    "target-only",
    "target-only",
    Family::Single,
    "one adapter on the target's prompts",
    |_| Some(Recipe::TargetOnly),
);

/// The target's adapter, asked about somebody else.
pub const STRANGER: Adapters = Adapters {
    stranger: true,
    ..row(
        "stranger",
        "stranger's history",
        Family::Floor,
        "target-only, each user given another one's history: what a tuned model knows of items alone",
        |_| Some(Recipe::TargetOnly),
    )
};

/// One adapter on everything.
pub const JOINT: Adapters = row(
    "joint",
    "joint training",
    Family::Joint,
    "one adapter on the prompts of all domains",
    |_| Some(Recipe::Joint),
);

/// The mean of single-domain adapters.
pub const NAIVE_MERGE: Adapters = row(
    "naive-merge",
    "naive merge",
    Family::NaiveMerging,
    "the uniform mean of single-domain adapters",
    |_| Some(Recipe::NaiveMerge),
);

/// The method under test.
pub const WEAVEREC: Adapters = row(
    "weaverec",
    "WeaveRec",
    Family::Woven,
    "arXiv 2510.26546: the uniform mean of target-only and a hybrid a source",
    |_| Some(Recipe::Weave),
);

/// The weave without sources.
pub const SOUP: Adapters = row(
    "soup",
    "soup",
    Family::Control,
    "the weave with every source prompt replaced by one more pass over the target's",
    |_| Some(Recipe::Soup),
);

/// Twice the steps.
pub const LONGER_TWICE: Adapters = row(
    "longer-2",
    "target-only ×2",
    Family::Control,
    "target-only for twice the steps, with a schedule of its own",
    |_| Some(Recipe::Longer(2)),
);

/// As many steps as the weave's members take together, or more.
pub const LONGER_MOST: Adapters = row(
    "longer-most",
    "target-only ×(1+2N)",
    Family::Control,
    "target-only for 1 + 2N times the steps, N being the number of sources",
    |sources| Some(Recipe::Longer(1 + 2 * sources)),
);

/// As many prompts as the weave's members see.
pub const MORE_TARGET: Adapters = row(
    "more-target",
    "more target",
    Family::Control,
    "target-only on as many prompts as the weave's members see together, fresh ones first",
    |_| Some(Recipe::MoreTarget),
);

/// Joint training for the weave's tokens.
pub const JOINT_LONGER: Adapters = row(
    "joint-longer",
    "joint, longer",
    Family::Control,
    "joint training at the tokens of all of the weave's members",
    |_| Some(Recipe::JointMatched),
);

/// The target's prompts alone for the weave's tokens.
pub const JOINT_SOUP: Adapters = row(
    "joint-soup",
    "joint soup",
    Family::Control,
    "one adapter on the target's prompts alone at the tokens of all of the weave's members",
    |_| Some(Recipe::JointSoup),
);

/// The weave with sources that say nothing.
pub const PLACEBO: Adapters = row(
    "placebo",
    "placebo weave",
    Family::Control,
    "the weave with the sources' titles permuted among their items",
    |_| Some(Recipe::Placebo),
);
