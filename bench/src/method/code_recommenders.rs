//! Rows of one small decoder over items as tokens, which differ in what an item's tokens are and in whose sequences are learnt.

use weaverec_model::recommender::{Gencdr, ItemDecoder, Recbase, System};

use super::recommenders::{Recommender, row};
use crate::family::Family;

/// One token an item, and no text.
pub const ITEM_DECODER: Recommender = row(
    "item-decoder",
    "SASRec as a decoder",
    Family::SemanticIds,
    "the decoder and training of tiger, with one token an item and no text",
    || System::ItemDecoder(ItemDecoder::default()),
);

/// Codes of all domains; the sources' sequences alone.
pub const RECBASE: Recommender = row(
    "recbase",
    "RecBase (core), zero-shot",
    Family::SemanticIds,
    "arXiv 2509.03131: codes of all domains, learnt on the sources alone; k-means codes, a small decoder (docs/items.md)",
    || System::Recbase(Recbase::default()),
);

/// A decoder of all domains, and an adapter of the target beside it.
pub const GENCDR: Recommender = row(
    "gencdr",
    "GenCDR (core)",
    Family::SemanticIds,
    "arXiv 2511.08006: a decoder of all domains and LoRA of the target, mixed by a gate; k-means codes, a small decoder (docs/items.md)",
    || System::Gencdr(Gencdr::default()),
);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use weaverec_model::recommender::Needs;

    use crate::method::{How, named};

    #[test]
    fn rows_are_what_their_names_say_and_ask_for_what_they_read() {
        let of = |id: &str| {
            let How::Fitted { system } = named(id).unwrap().how() else {
                panic!("{id} is fitted");
            };
            let system = system();
            let kind = serde_json::to_value(&system).unwrap()["kind"].clone();
            assert_eq!(kind, id);
            system.needs()
        };
        let both = Needs {
            vectors: true,
            sources: true,
        };
        assert_eq!(of("item-decoder"), Needs::default());
        assert_eq!((of("recbase"), of("gencdr")), (both, both));
    }
}
