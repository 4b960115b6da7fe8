//! Replicates: what a second laboratory would draw anew, and the seeds it is drawn from.
//!
//! Replicate r redraws the training subset, the initial values, the order of the examples, dropout, and the backbone where it is pre-trained
//! here. All adapters of a replicate start from the same values; what they are trained on, and in which order, is each one's own.

use serde::Serialize;
use weaverec_model::train::Seeds;
use weaverec_model::weave::Diet;

/// The number of a replicate, from 0.
pub type Replicate = u32;

/// The first eight bytes of a hash of the parts' JSON.
fn seed(parts: &impl Serialize) -> u64 {
    // Nothing that is hashed here fails to serialise: names and numbers.
    let text = serde_json::to_string(parts).unwrap_or_default();
    let mut first = [0; 8];
    blake3::Hasher::new()
        .update(text.as_bytes())
        .finalize_xof()
        .fill(&mut first);
    u64::from_le_bytes(first)
}

/// The seeds of an adapter that is trained on this.
pub fn seeds(replicate: Replicate, diet: &Diet) -> Seeds {
    let data = match diet.is_plain() {
        true => seed(&("data", replicate, diet.domains())),
        false => seed(&("data", replicate, diet)),
    };
    Seeds {
        init: seed(&("init", replicate)),
        data,
    }
}

/// The seed of the training subset: which prompts of a domain are taken where not all are, the same ones for all adapters of a replicate.
pub fn subset_seed(replicate: Replicate) -> u64 {
    seed(&("subset", replicate))
}

/// The seed by which the titles of a domain change their items in a placebo.
pub fn placebo_seed(replicate: Replicate, domain: &str) -> u64 {
    seed(&("placebo", replicate, domain))
}

/// The seed by which users are given each other's histories.
pub fn stranger_seed(replicate: Replicate) -> u64 {
    seed(&("stranger", replicate))
}

/// The seed of the random masks by which a rule merges adapters.
pub fn merge_seed(replicate: Replicate) -> u64 {
    seed(&("merge", replicate))
}

/// The seed of the backbone that a replicate pre-trains.
pub fn backbone_seed(replicate: Replicate) -> u64 {
    seed(&("backbone", replicate))
}

/// The seed of the recommenders that a replicate fits: of their first values, the order of users, dropout, and whatever is drawn for a loss.
pub fn recommender_seed(replicate: Replicate) -> u64 {
    seed(&("recommender", replicate))
}

/// The seed of the random order that is the floor.
pub fn random_seed(replicate: Replicate) -> u64 {
    seed(&("random", replicate))
}

/// A seed as it stands in records, where 64 bits are more than a JSON number holds everywhere.
pub fn written(seed: u64) -> String {
    format!("{seed:016x}")
}

#[cfg(test)]
mod tests {
    use weaverec_model::weave::{Budget, Supply};

    use super::*;

    fn plain(domains: &[&str]) -> Diet {
        let supply = |_: &str| Supply {
            prompts: 9,
            tokens: 1.0,
        };
        let budget = Budget {
            cap: 9,
            supply: &supply,
        };
        Diet::plain(domains.iter().copied(), &budget)
    }

    #[test]
    fn adapters_of_a_replicate_start_alike_and_see_their_examples_in_orders_of_their_own() {
        let (target, hybrid) = (plain(&["a"]), plain(&["a", "b"]));
        assert_eq!(seeds(0, &target).init, seeds(0, &hybrid).init);
        assert_ne!(seeds(0, &target).data, seeds(0, &hybrid).data);
        assert_eq!(seeds(0, &hybrid), seeds(0, &plain(&["b", "a"])));
        // Names are kept apart, whatever is in them.
        assert_ne!(seeds(0, &hybrid).data, seeds(0, &plain(&["a\",\"b"])).data);
        // What is trained on otherwise is another adapter, of the same domain too.
        let longer = Diet {
            times: 2,
            ..target.clone()
        };
        assert_ne!(seeds(0, &longer).data, seeds(0, &target).data);
    }

    #[test]
    fn another_replicate_redraws_everything() {
        let diet = plain(&["a"]);
        assert_ne!(seeds(0, &diet).init, seeds(1, &diet).init);
        assert_ne!(seeds(0, &diet).data, seeds(1, &diet).data);
        assert_ne!(subset_seed(0), subset_seed(1));
        assert_ne!(stranger_seed(0), stranger_seed(1));
        assert_ne!(placebo_seed(0, "a"), placebo_seed(1, "a"));
        assert_ne!(placebo_seed(0, "a"), placebo_seed(0, "b"));
        assert_ne!(backbone_seed(0), backbone_seed(1));
        assert_ne!(recommender_seed(0), recommender_seed(1));
        assert_ne!(random_seed(0), random_seed(1));
        assert_ne!(backbone_seed(0), random_seed(0));
    }

    #[test]
    fn the_seeds_are_those_of_every_record_made_so_far() {
        // By the blake3 of Python, of ["init",0], ["data",2,["comedy","drama"]] and ["backbone",1].
        assert_eq!(seeds(0, &plain(&["a"])).init, 0x2c45_5188_756a_9003);
        let data = seeds(2, &plain(&["drama", "comedy"])).data;
        assert_eq!(data, 0xe9b6_817e_ae64_9c28);
        assert_eq!(backbone_seed(1), 0x6a0e_5386_6911_75b6);
        assert_eq!(written(0xab), "00000000000000ab");
    }
}
