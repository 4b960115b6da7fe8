//! Rows that are fitted to sequences of items by gradients, without a language model.

use weaverec_model::recommender::{Bert4rec, Gru4rec, Loss, Sasrec, System, Tiger};

use super::{How, Method};
use crate::family::Family;

/// Items that a target is told from where a sample stands for the catalogue: as gSASRec and public runs of SASRec on the same files have it.
const NEGATIVES: usize = 256;

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

/// Self-attention, its loss over a sample of the catalogue that a part of a batch shares.
pub const SASREC_SS: Recommender = row(
    "sasrec-ss",
    "SASRec (sampled)",
    Family::Sequence,
    "arXiv 1808.09781, with a softmax over the next item and 256 others, drawn uniformly",
    || {
        System::Sasrec(Sasrec {
            loss: Loss::Sampled { negatives: NEGATIVES },
            ..Sasrec::default()
        })
    },
);

/// Self-attention with binary losses of many others, weighed so that scores are not overconfident.
pub const SASREC_GBCE: Recommender = row(
    "sasrec-gbce",
    "gSASRec (gBCE)",
    Family::Sequence,
    "arXiv 2308.07192: SASRec with 256 negatives a position and the generalised binary cross-entropy, t .75",
    || {
        System::Sasrec(Sasrec {
            loss: Loss::Gbce {
                negatives: NEGATIVES,
                t: 0.75,
            },
            ..Sasrec::default()
        })
    },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_sasrec_differ_in_their_loss_alone() {
        let rows = [SASREC, SASREC_SS, SASREC_GBCE, SASREC_BCE];
        let losses = rows.map(|row| {
            let System::Sasrec(sasrec) = (row.system)() else {
                panic!("{} is no SASRec", row.id);
            };
            let common = Sasrec {
                loss: Loss::default(),
                ..sasrec.clone()
            };
            assert_eq!(common, Sasrec::default(), "{}", row.id);
            sasrec.loss
        });
        assert_eq!(
            losses,
            [
                Loss::Ce,
                Loss::Sampled { negatives: 256 },
                Loss::Gbce {
                    negatives: 256,
                    t: 0.75
                },
                Loss::Bce,
            ]
        );
    }
}
