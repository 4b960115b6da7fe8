//! Rows that are fitted to sequences of items by gradients, without a language model.

use weaverec_model::recommender::{Bert4rec, Gru4rec, Loss, Sasrec, System, Tiger};

use super::{How, Method};
use crate::report::input::Family;

/// A row that is a fitted recommender.
pub struct Recommender {
    id: &'static str,
    label: &'static str,
    family: Family,
    reference: &'static str,
    system: fn() -> System,
}

impl Method for Recommender {
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
        How::Fitted { system: self.system }
    }
}

/// A row of a system with its settings.
pub(super) const fn row(
    id: &'static str,
    label: &'static str,
    family: Family,
    reference: &'static str,
    system: fn() -> System,
) -> Recommender {
    Recommender {
        id,
        label,
        family,
        reference,
        system,
    }
}

/// Self-attention, its loss over the whole catalogue.
pub const SASREC: Recommender = row(
    "sasrec",
    "SASRec (CE)",
    Family::Sequence,
    "arXiv 1808.09781, with the softmax over all items as its loss",
    || System::Sasrec(Sasrec::default()),
);

/// Self-attention with the loss that it was published with.
pub const SASREC_BCE: Recommender = row(
    "sasrec-bce",
    "SASRec (BCE)",
    Family::Sequence,
    "arXiv 1808.09781, with the published loss: one negative a position",
    || {
        System::Sasrec(Sasrec {
            loss: Loss::Bce,
            ..Sasrec::default()
        })
    },
);

/// A recurrent network.
pub const GRU4REC: Recommender = row(
    "gru4rec",
    "GRU4Rec",
    Family::Sequence,
    "arXiv 1511.06939: a recurrent network over the items of a history",
    || System::Gru4rec(Gru4rec::default()),
);

/// Attention in both directions.
pub const BERT4REC: Recommender = row(
    "bert4rec",
    "BERT4Rec",
    Family::Sequence,
    "arXiv 1904.06690: attention in both directions, fitted to masked items",
    || System::Bert4rec(Bert4rec::default()),
);

/// A decoder over items as codes of their titles.
pub const TIGER: Recommender = row(
    "tiger",
    "TIGER-like",
    Family::SemanticIds,
    "arXiv 2305.05065: a decoder over codes of titles; without encoder, RQ-VAE and user token (docs/items.md)",
    || System::Tiger(Tiger::default()),
);
