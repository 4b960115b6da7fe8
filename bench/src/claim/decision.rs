//! What a contrast comes to: better, worse, equivalent or undecided. This is the one place that says so; marks, sentences, the summary, the
//! gate and `compare` ask it.

use crate::claim::Claims;
use crate::statistics::Contrast;
use serde::{Deserialize, Serialize};

/// What was found of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The mean difference is above 0.
    Better,
    /// The mean difference is below 0.
    Worse,
    /// Not told apart from 0, and within the margin of it.
    Equivalent,
    /// None of these was shown.
    Undecided,
}

impl Outcome {
    /// The outcome in a word.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Equivalent => "equivalent",
            Self::Undecided => "undecided",
        }
    }
}

/// How much may be made of an outcome. The order is that of strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Too few replicates for any outcome: the numbers are shown and nothing is decided.
    Described,
    /// An outcome is said to be indicated, and bears no mark.
    Indicated,
    /// An outcome may be claimed.
    Claim,
}

impl Standing {
    /// The fewest replicates that a claim rests on.
    pub const CLAIM_REPLICATES: usize = 5;
    /// The fewest replicates that indicate anything.
    pub const INDICATED_REPLICATES: usize = 3;

    /// The standing of so many replicates.
    #[must_use]
    pub fn of(replicates: usize) -> Self {
        match replicates {
            Self::CLAIM_REPLICATES.. => Self::Claim,
            Self::INDICATED_REPLICATES.. => Self::Indicated,
            _ => Self::Described,
        }
    }

    /// The standing in a word.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Described => "described",
            Self::Indicated => "indicated",
            Self::Claim => "claim",
        }
    }
}

/// What was decided of a contrast, and from what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// What was found.
    pub outcome: Outcome,
    /// How much may be made of it.
    pub standing: Standing,
    /// The p-value it rests on, adjusted for the other tests of its family; absent where no test could be made.
    pub p: Option<f64>,
    /// Whether the 90 % interval lies within the margin: an outcome that is better or worse may still be of no consequence.
    pub within_margin: bool,
    /// The numbers.
    pub contrast: Contrast,
}

impl Decision {
    /// The mark in a table: † better, ‡ worse, and none for what is not claimed.
    #[must_use]
    pub fn mark(&self) -> &'static str {
        match (self.standing, self.outcome) {
            (Standing::Claim, Outcome::Better) => "†",
            (Standing::Claim, Outcome::Worse) => "‡",
            _ => "",
        }
    }
}

/// Decides a contrast.
///
/// `adjusted_p` is its p-value in its family; without one the contrast's own counts, as that of a test made alone. `standing` is the most
/// that the study allows; the number of replicates may lower it. Shown differences come first: what is better by less than the margin is
/// better, and [`Decision::within_margin`] tells.
#[must_use]
pub fn decide(contrast: Contrast, adjusted_p: Option<f64>, rules: &Claims, standing: Standing) -> Decision {
    let standing = standing.min(Standing::of(contrast.replicates));
    let p = contrast.p.map(|own| adjusted_p.unwrap_or(own));
    let within_margin = contrast
        .interval_90
        .is_some_and(|interval| interval.within(rules.margin));
    let shown = p.is_some_and(|p| p < rules.alpha);
    let outcome = match standing {
        Standing::Described => Outcome::Undecided,
        _ if shown && contrast.mean > 0.0 => Outcome::Better,
        _ if shown && contrast.mean < 0.0 => Outcome::Worse,
        _ if within_margin => Outcome::Equivalent,
        _ => Outcome::Undecided,
    };
    Decision {
        outcome,
        standing,
        p,
        within_margin,
        contrast,
    }
}

/// Whether it is shown, one-sided at the level `alpha`, that nothing worse than a drop of `margin` happened. What could not be tested is not
/// shown.
#[must_use]
pub fn non_inferior(contrast: &Contrast, margin: f64, alpha: f64) -> bool {
    contrast
        .interval_at(2.0 * alpha)
        .is_some_and(|interval| interval.above(-margin))
}

/// Whether a drop of more than `max_drop` is shown: the whole interval of level 1 − `alpha` lies below it. At 0 this is "worse" of a test
/// made alone.
#[must_use]
pub fn shown_drop(contrast: &Contrast, max_drop: f64, alpha: f64) -> bool {
    contrast
        .interval_at(alpha)
        .is_some_and(|interval| interval.below(-max_drop))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::statistics::contrast;

    /// Five replicates of eighty users around a mean, of known spread.
    fn around(mean: f64, spread: f64, replicates: usize) -> Contrast {
        let differences: Vec<Vec<f64>> = (0..replicates)
            .map(|r| {
                (0..80)
                    .map(|u| {
                        let of_user = f64::from((u * 37) % 79) / 39.0 - 1.0;
                        let of_replicate = (r as f64 * 0.7).sin() * 0.1;
                        let rest = f64::from((u * 31 + r as i32 * 17) % 71) / 35.0 - 1.0;
                        mean + spread * (of_user + of_replicate + rest)
                    })
                    .collect()
            })
            .collect();
        let centre = contrast(&differences).unwrap().mean - mean;
        let centred: Vec<Vec<f64>> = differences
            .iter()
            .map(|row| row.iter().map(|d| d - centre).collect())
            .collect();
        contrast(&centred).unwrap()
    }

    fn outcome(contrast: Contrast, adjusted: Option<f64>, standing: Standing) -> Decision {
        decide(contrast, adjusted, &Claims::default(), standing)
    }

    #[test]
    fn each_outcome_has_its_numbers() {
        let of = |mean, spread| outcome(around(mean, spread, 5), None, Standing::Claim);
        let better = of(0.05, 0.05);
        assert_eq!((better.outcome, better.mark()), (Outcome::Better, "†"));
        let worse = of(-0.05, 0.05);
        assert_eq!((worse.outcome, worse.mark()), (Outcome::Worse, "‡"));
        let equivalent = of(0.001, 0.05);
        assert_eq!((equivalent.outcome, equivalent.mark()), (Outcome::Equivalent, ""));
        assert!(equivalent.within_margin);
        let undecided = of(0.01, 0.5);
        assert_eq!((undecided.outcome, undecided.mark()), (Outcome::Undecided, ""));
        assert!(!undecided.within_margin);
    }

    #[test]
    fn better_by_less_than_the_margin_is_better_and_says_so() {
        let small = outcome(around(0.01, 0.005, 5), None, Standing::Claim);
        assert_eq!(small.outcome, Outcome::Better);
        assert!(small.within_margin);
        let large = outcome(around(0.1, 0.005, 5), None, Standing::Claim);
        assert!(!large.within_margin);
    }

    #[test]
    fn the_adjusted_p_decides() {
        let contrast = around(0.05, 0.05, 5);
        assert!(contrast.p.unwrap() < 0.05);
        let adjusted = outcome(contrast.clone(), Some(0.06), Standing::Claim);
        assert_eq!((adjusted.outcome, adjusted.p), (Outcome::Undecided, Some(0.06)));
        let at_the_level = outcome(contrast, Some(0.05), Standing::Claim);
        assert_eq!(at_the_level.outcome, Outcome::Undecided);
    }

    #[test]
    fn few_replicates_and_one_backbone_bear_no_mark() {
        for (replicates, ceiling, standing) in [
            (5, Standing::Claim, Standing::Claim),
            (8, Standing::Indicated, Standing::Indicated),
            (4, Standing::Claim, Standing::Indicated),
            (3, Standing::Claim, Standing::Indicated),
            (2, Standing::Claim, Standing::Described),
            (5, Standing::Described, Standing::Described),
        ] {
            let decision = outcome(around(0.2, 0.001, replicates), None, ceiling);
            assert_eq!(decision.standing, standing, "{replicates}");
            let expected = if standing == Standing::Described {
                Outcome::Undecided
            } else {
                Outcome::Better
            };
            assert_eq!(decision.outcome, expected, "{replicates}");
            assert_eq!(decision.mark().is_empty(), standing != Standing::Claim);
        }
    }

    #[test]
    fn rows_that_agree_everywhere_are_equivalent() {
        let same = outcome(
            contrast(&vec![vec![0.0; 40]; 5]).unwrap(),
            Some(1.0),
            Standing::Claim,
        );
        assert_eq!((same.outcome, same.p), (Outcome::Equivalent, None));
        let alone = outcome(contrast(&[vec![0.0; 40]]).unwrap(), None, Standing::Claim);
        assert_eq!(alone.outcome, Outcome::Undecided);
    }

    #[test]
    fn a_gate_fails_on_what_is_shown_and_passes_on_what_is_shown() {
        let slight = around(-0.01, 0.05, 5);
        let interval = slight.interval.unwrap();
        assert!(interval.low > -0.05 && interval.high < 0.02, "{interval:?}");
        assert!(non_inferior(&slight, 0.05, 0.05));
        assert!(!non_inferior(&slight, 0.01, 0.05));
        assert!(!shown_drop(&slight, 0.02, 0.05));
        let large = around(-0.2, 0.05, 5);
        assert!(shown_drop(&large, 0.1, 0.05) && shown_drop(&large, 0.0, 0.05));
        assert!(!shown_drop(&large, 0.3, 0.05));
        // Noise neither fails a gate nor passes one that asks for proof.
        let noisy = around(0.0, 3.0, 5);
        assert!(!shown_drop(&noisy, 0.0, 0.05) && !non_inferior(&noisy, 0.02, 0.05));
        let lone = around(-0.5, 0.01, 1);
        assert!(!shown_drop(&lone, 0.0, 0.05) && !non_inferior(&lone, 0.9, 0.05));
    }

    #[test]
    fn a_drop_of_nothing_is_the_outcome_worse() {
        for (mean, spread) in [(-0.02, 0.02), (-0.02, 0.2), (-0.01, 0.05), (0.02, 0.01)] {
            let contrast = around(mean, spread, 4);
            let worse = outcome(contrast.clone(), None, Standing::Claim).outcome == Outcome::Worse;
            assert_eq!(shown_drop(&contrast, 0.0, 0.05), worse, "{contrast:?}");
        }
    }
}
