//! What a row has been given, and so how it may be spoken about.

use serde::{Deserialize, Serialize};

/// What a method has been given; it decides how a row may be spoken about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Learns nothing from text: random order, popularity, counting.
    Floor,
    /// Reads an answer from what must not hold one, such as the order of ids; it measures a leak, and is no competitor.
    Probe,
    /// A recommender over sequences of items that is fitted to the target; it competes, and is no tuned language model.
    Sequence,
    /// A recommender over sequences of items that are read by their texts, of several domains or of the target alone; likewise.
    TextTransfer,
    /// A recommender over sequences of items that are read as codes of their texts; likewise.
    SemanticIds,
    /// The language model as it is, without training.
    Untuned,
    /// One adapter of one domain.
    Single,
    /// One adapter trained on the data of all domains.
    Joint,
    /// A merge of single-domain adapters.
    NaiveMerging,
    /// A merge of the target's adapter with hybrids, as in WeaveRec.
    Woven,
    /// The sum of a row's score and a floor's; it competes with floors, and says nothing of tuning.
    Fusion,
    /// A trained row that lacks the one thing under test, such as a weave without sources.
    Control,
    /// A part of some merge, evaluated alone on the target; shown in the diagnosis and never as a competitor.
    Member,
    /// Another program's ranking of the same cases, imported; what it was given and what it took is not known here, and it is in no claim.
    Outside,
}

impl Family {
    /// The family in words.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Probe => "probe",
            Self::Sequence => "sequence model",
            Self::TextTransfer => "text transfer",
            Self::SemanticIds => "semantic ids",
            Self::Untuned => "untuned",
            Self::Single => "single",
            Self::Joint => "joint",
            Self::NaiveMerging => "naive merging",
            Self::Woven => "woven",
            Self::Fusion => "fusion",
            Self::Control => "control",
            Self::Member => "member",
            Self::Outside => "outside",
        }
    }

    /// Whether its scores are likelihoods of titles.
    #[must_use]
    pub fn has_likelihoods(self) -> bool {
        !matches!(
            self,
            Self::Floor
                | Self::Probe
                | Self::Sequence
                | Self::TextTransfer
                | Self::SemanticIds
                | Self::Outside
        )
    }

    /// Whether the row stands for a trained language model that competes in the table.
    #[must_use]
    pub fn is_tuned(self) -> bool {
        matches!(
            self,
            Self::Single | Self::Joint | Self::NaiveMerging | Self::Woven | Self::Control
        )
    }

    /// Whether two reports are gated by the row unless others are asked for: neither floors, nor probes, nor other programs, which no
    /// training of ours changes.
    #[must_use]
    pub fn is_gated(self) -> bool {
        !matches!(self, Self::Floor | Self::Probe | Self::Outside)
    }

    /// Whether the row competes: neither a part of another nor a probe, which reads what no recommender may.
    #[must_use]
    pub fn competes(self) -> bool {
        !matches!(self, Self::Member | Self::Probe)
    }
}
