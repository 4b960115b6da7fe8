//! Rows that are fitted to sequences of items by gradients and know items by vectors of their texts, so that what is learnt on one domain
//! means something in another; without a language model.

use weaverec_model::recommender::{SasrecText, System, Unisrec};

use super::recommenders::{Recommender, row};
use crate::family::Family;

/// Self-attention over the texts of items, fitted to the target alone.
pub const SASREC_TEXT: Recommender = row(
    "sasrec-text",
    "SASRecText",
    Family::TextTransfer,
    "arXiv 2403.03952: SASRec over frozen vectors of titles, fitted to the target alone",
    || System::SasrecText(SasrecText::default()),
);

/// One network learnt on all domains together and then fitted to the target.
pub const UNISREC: Recommender = row(
    "unisrec",
    "UniSRec",
    Family::TextTransfer,
    "arXiv 2206.05941: learnt on sources and target together, then fitted to the target; titles as hashed TF-IDF in place of BERT",
    || System::Unisrec(Unisrec::default()),
);

/// One network learnt on the sources, asked about the target as it is.
pub const UNISREC_ZERO_SHOT: Recommender = row(
    "unisrec-zero-shot",
    "UniSRec, zero-shot",
    Family::TextTransfer,
    "arXiv 2206.05941: learnt on the sources alone, for a fixed number of epochs; it sees no interaction of the target but histories it is asked about",
    || {
        System::Unisrec(Unisrec {
            zero_shot: true,
            ..Unisrec::default()
        })
    },
);

#[cfg(test)]
mod tests {
    use super::super::{How, Method};
    use super::*;

    #[test]
    fn the_rows_are_three_systems_of_one_family() {
        let rows = [SASREC_TEXT, UNISREC, UNISREC_ZERO_SHOT];
        let of = |row: &Recommender| match row.how() {
            How::Fitted { system } => system(),
            _ => System::Sasrec(Default::default()),
        };
        assert!(rows.iter().all(|row| row.family() == Family::TextTransfer));
        assert!(matches!(of(&rows[0]), System::SasrecText(_)));
        assert!(matches!(of(&rows[1]), System::Unisrec(unisrec) if !unisrec.zero_shot));
        assert!(matches!(of(&rows[2]), System::Unisrec(unisrec) if unisrec.zero_shot));
        // What reads other domains says so, and what does not does not.
        let sources = rows.each_ref().map(|row| of(row).needs().sources);
        assert_eq!(sources, [false, true, true]);
        assert!(rows.iter().all(|row| of(row).needs().vectors));
    }
}
