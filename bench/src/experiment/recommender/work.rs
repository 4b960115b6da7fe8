//! The arithmetic of fitting a recommender and of ranking by one, by a formula of its settings.
//!
//! A position (an item that is read) goes through every layer, and where its next item is predicted through a product with the vectors of all
//! items that the loss scores. In multiplications with an addition, of width d and mean length n:
//!
//! | system | a position in a layer | a prediction |
//! |---|---|---|
//! | SASRec | 6 d² (queries, keys, values, output, two of the feed-forward) + d n (attention to what came before) | d × items; sampled: d × (1 + negatives) |
//! | BERT4Rec | 12 d² (a feed-forward four times as wide) + 2 d n (attention to all) | d × items, at masked positions |
//! | GRU4Rec | 6 d² (three gates of input and state) | d × items |
//!
//! Forward that is two operations each; with the gradients of activations and of weights six. Every look at the users who choose an epoch is one
//! forward pass over their histories and a score of every item. Norms, dropout and what is element by element are left out.

use weaverec_model::recommender::{Loss, System};
use weaverec_model::train::Outcome;

use super::{CHOOSING, Log};
use crate::experiment::study_record::DomainFacts;
use crate::experiment::work::Work;

/// Multiplications of a system.
struct Sizes {
    /// Of a position, in all layers, but for attention.
    position: f64,
    /// Of a position's attention, in all layers, for each position of its history.
    length: f64,
    /// Of the score of an item.
    item: f64,
    /// Items that the loss scores, where not all.
    scored: Option<usize>,
    /// Share of positions at which something is predicted.
    predicted: f64,
    /// Most items of a history that are read.
    longest: usize,
    /// Most passes.
    epochs: usize,
}

impl Sizes {
    fn of(system: &System) -> Self {
        let square = |width: usize| (width * width) as f64;
        match system {
            System::Sasrec(sasrec) => Sizes {
                position: sasrec.layers as f64 * 6.0 * square(sasrec.hidden),
                length: (sasrec.layers * sasrec.hidden) as f64,
                item: sasrec.hidden as f64,
                scored: match sasrec.loss {
                    Loss::Ce => None,
                    Loss::SampledSoftmax => Some(1 + sasrec.negatives),
                    Loss::Bce => Some(2),
                },
                predicted: 1.0,
                longest: sasrec.max_length,
                epochs: sasrec.epochs,
            },
            System::Gru4rec(gru) => Sizes {
                position: gru.layers as f64 * 6.0 * square(gru.hidden),
                length: 0.0,
                item: gru.hidden as f64,
                scored: None,
                predicted: 1.0,
                longest: gru.max_length,
                epochs: gru.epochs,
            },
            System::Bert4rec(bert) => Sizes {
                position: bert.layers as f64 * 12.0 * square(bert.hidden),
                length: (2 * bert.layers * bert.hidden) as f64,
                item: bert.hidden as f64,
                scored: None,
                predicted: bert.mask,
                longest: bert.max_length,
                epochs: bert.epochs,
            },
        }
    }

    /// Floating-point operations of training on so many positions.
    fn training(&self, positions: f64, length: f64, items: usize) -> f64 {
        let scored = self.scored.unwrap_or(items) as f64;
        let one = self.position + self.length * length + self.predicted * scored * self.item;
        6.0 * positions * one
    }

    /// Floating-point operations of scoring all items for so many histories.
    fn scoring(&self, histories: f64, length: f64, items: usize) -> f64 {
        let one = length * (self.position + self.length * length) + items as f64 * self.item;
        2.0 * histories * one
    }
}

/// What fitting a system to a domain takes, if no epoch is left out.
pub(super) fn planned(system: &System, domain: &DomainFacts) -> Work {
    let sizes = Sizes::of(system);
    let (users, length) = lengths(&sizes, domain);
    // Of every user all but the first item are predicted.
    let positions = users * (length - 1.0).max(0.0) * sizes.epochs as f64;
    let choosing = (domain.users.selection.min(CHOOSING) * sizes.epochs) as f64;
    Work {
        tokens: positions as u64,
        flops: sizes.training(positions, length, domain.items)
            + sizes.scoring(choosing, length, domain.items),
    }
}

/// What a fit took: the positions that it read, and so many histories of users who choose.
pub(super) fn done(system: &System, log: &Log, outcome: &Outcome, chosen_by: usize) -> f64 {
    let sizes = Sizes::of(system);
    let long = log.sequences().iter().filter(|items| items.len() > 1);
    let lengths: Vec<usize> = long.map(|items| items.len().min(sizes.longest)).collect();
    let length = lengths.iter().sum::<usize>() as f64 / lengths.len().max(1) as f64;
    sizes.training(outcome.tokens as f64, length, log.items())
        + sizes.scoring(chosen_by as f64, length, log.items())
}

/// What scoring the whole catalogue of a domain takes for its ranked users and those who calibrate.
pub fn ranking(system: &System, domain: &DomainFacts) -> Work {
    let sizes = Sizes::of(system);
    let (_, length) = lengths(&sizes, domain);
    let histories = (domain.ranked + domain.calibration) as f64;
    Work {
        tokens: (histories * length) as u64,
        flops: sizes.scoring(histories, length, domain.items),
    }
}

/// Users of a domain, and items of one in training, as far as they are read.
fn lengths(sizes: &Sizes, domain: &DomainFacts) -> (f64, f64) {
    let parts = domain.users;
    let users = (parts.selection + parts.calibration + parts.dev + parts.r#final) as f64;
    let length = domain.interactions as f64 / users.max(1.0);
    (users, length.min(sizes.longest as f64))
}

#[cfg(test)]
mod tests {
    use weaverec_model::recommender::{Bert4rec, Gru4rec, Sasrec};

    use super::*;

    fn sasrec(loss: Loss) -> System {
        System::Sasrec(Sasrec {
            hidden: 8,
            layers: 2,
            max_length: 20,
            epochs: 3,
            loss,
            ..Sasrec::default()
        })
    }

    #[test]
    fn a_fit_takes_what_its_settings_say_by_hand() {
        // A position: 2 × (6 × 64 + 8 × 5) in the blocks, 8 × 100 for the scores of all items; each counts six.
        let outcome = Outcome {
            tokens: 30,
            ..Outcome::default()
        };
        let users = vec![vec![1; 5]; 4];
        let Ok(log) = Log::new(users, 100) else {
            panic!("items are 1 to 100")
        };
        let of = |system: &System, choosing| done(system, &log, &outcome, choosing);
        let blocks = 2.0 * (6.0 * 64.0 + 8.0 * 5.0);
        assert_eq!(of(&sasrec(Loss::Ce), 0), 6.0 * 30.0 * (blocks + 800.0));
        assert_eq!(of(&sasrec(Loss::Bce), 0), 6.0 * 30.0 * (blocks + 16.0));
        // Seven users choose: five positions and the scores of all items, forward alone.
        let looks = of(&sasrec(Loss::Ce), 7) - of(&sasrec(Loss::Ce), 0);
        assert!((looks - 2.0 * 7.0 * (5.0 * blocks + 800.0)).abs() < 1e-6);
        let gru = System::Gru4rec(Gru4rec {
            hidden: 8,
            layers: 1,
            ..Gru4rec::default()
        });
        assert_eq!(of(&gru, 0), 6.0 * 30.0 * (6.0 * 64.0 + 800.0));
        let bert = System::Bert4rec(Bert4rec {
            hidden: 8,
            layers: 1,
            mask: 0.25,
            ..Bert4rec::default()
        });
        assert_eq!(of(&bert, 0), 6.0 * 30.0 * (12.0 * 64.0 + 2.0 * 8.0 * 5.0 + 200.0));
    }
}
