//! Rows that add what a floor knows to a content score, with a weight that calibration users choose: what one would deploy.

use super::{How, Method};
use crate::family::Family;

/// A row that is a sum of two others.
pub struct Fusion {
    id: &'static str,
    label: &'static str,
    of: &'static str,
    with: &'static str,
}

impl Method for Fusion {
    fn id(&self) -> &'static str {
        self.id
    }

    fn label(&self) -> &'static str {
        self.label
    }

    fn family(&self) -> Family {
        Family::Fusion
    }

    fn reference(&self) -> &'static str {
        "a content score and a weight times a floor's, the weight chosen on C"
    }

    fn how(&self) -> How {
        How::Fusion {
            of: self.of,
            with: self.with,
        }
    }
}

const fn row(id: &'static str, label: &'static str, of: &'static str, with: &'static str) -> Fusion {
    Fusion { id, label, of, with }
}

/// The woven model and popularity.
pub const WEAVEREC_POPULARITY: Fusion = row(
    "weaverec+popularity",
    "WeaveRec + popularity",
    "weaverec",
    "popularity",
);

/// The woven model and counting.
pub const WEAVEREC_COUNTING: Fusion = row("weaverec+counting", "WeaveRec + counting", "weaverec", "counting");

/// The target's adapter and counting.
pub const TARGET_ONLY_COUNTING: Fusion = row(
    "target-only+counting",
    "target-only + counting",
    "target-only",
    "counting",
);

/// The untuned model and counting.
pub const ZERO_SHOT_COUNTING: Fusion = row(
    "zero-shot+counting",
    "untuned + counting",
    "zero-shot",
    "counting",
);

/// Likeness of titles and counting.
pub const TEXT_KNN_COUNTING: Fusion = row("text-knn+counting", "text-kNN + counting", "text-knn", "counting");

/// What a tuned model knows of items alone, and counting.
pub const STRANGER_COUNTING: Fusion = row(
    "stranger+counting",
    "stranger's history + counting",
    "stranger",
    "counting",
);
