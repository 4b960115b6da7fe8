//! The arithmetic of fitting a recommender and of ranking by one, by a formula of its settings.
//!
//! A position (an item that is read) goes through every layer, and where its next item is predicted through a product with the vectors of all
//! items that the loss scores. In multiplications with an addition, of width d and mean length n:
//!
//! | system | a position in a layer | a prediction |
//! |---|---|---|
//! | SASRec | 4 d² + 2 d × inner (queries, keys, values, output; feed-forward) + d n (attention to what came before) | d × items; sampled: d × (1 + negatives) |
//! | BERT4Rec | 4 d² + 2 d × inner + 2 d n (attention to all); every sequence is read twice an epoch | the same, at masked positions |
//! | TIGER-like | four tokens, each 4 d² + 3 d × inner + 4 d n | four products with all tokens |
//! | SASRecText, UniSRec | as SASRec; the adapter is left out | the same |
//! | GRU4Rec | 3 h (input + h) (three gates of a state of width h), and once h d (the map back) | the same |
//!
//! Forward that is two operations each; with the gradients of activations and of weights six. Every look at the users who choose an epoch is one
//! forward pass over their histories and a score of every item. Norms, dropout and what is element by element are left out.

use weaverec_model::recommender::{Flavour, Loss, System, codes};

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
    /// Share of the items that are masked, where some are, and every sequence is read twice.
    mask: Option<f64>,
    /// Most items of a history that are read.
    longest: usize,
    /// Passes over the data.
    epochs: usize,
}

impl Sizes {
    fn of(system: &System) -> Self {
        let block = |width: usize, inner: usize| (width * (4 * width + 2 * inner)) as f64;
        let scored = |loss: Loss| match loss {
            Loss::Ce => None,
            Loss::Sampled { negatives } | Loss::Gbce { negatives, .. } => Some(1 + negatives),
            Loss::Bce => Some(2),
        };
        let inner = |flavour: Flavour, width: usize, inner: usize| match flavour {
            Flavour::Original => width,
            Flavour::Recbole => inner,
        };
        match system {
            System::Sasrec(sasrec) => {
                let inner = inner(sasrec.flavour, sasrec.width, sasrec.inner);
                Sizes {
                    position: sasrec.blocks as f64 * block(sasrec.width, inner),
                    length: (sasrec.blocks * sasrec.width) as f64,
                    item: sasrec.width as f64,
                    scored: scored(sasrec.loss),
                    mask: None,
                    longest: sasrec.length,
                    epochs: sasrec.schedule.epochs,
                }
            }
            System::Gru4rec(gru) => {
                let layer = |nth: usize| {
                    let input = if nth == 0 { gru.width } else { gru.hidden };
                    3 * gru.hidden * (input + gru.hidden)
                };
                let layers: usize = (0..gru.layers).map(layer).sum();
                Sizes {
                    position: (layers + gru.hidden * gru.width) as f64,
                    length: 0.0,
                    item: gru.width as f64,
                    scored: scored(gru.loss),
                    mask: None,
                    longest: gru.length,
                    epochs: gru.schedule.epochs,
                }
            }
            System::Bert4rec(bert) => Sizes {
                position: bert.blocks as f64 * block(bert.width, bert.inner),
                length: (2 * bert.blocks * bert.width) as f64,
                item: bert.width as f64,
                scored: scored(bert.loss),
                mask: Some(bert.mask),
                longest: bert.length,
                epochs: bert.schedule.epochs,
            },
            System::SasrecText(text) => Sizes {
                position: text.blocks as f64 * block(text.width, inner(text.flavour, text.width, text.inner)),
                length: (text.blocks * text.width) as f64,
                item: text.width as f64,
                scored: scored(text.loss),
                mask: None,
                longest: text.length,
                epochs: text.schedule.epochs,
            },
            System::Unisrec(text) => Sizes {
                position: text.blocks as f64 * block(text.width, inner(text.flavour, text.width, text.inner)),
                length: (text.blocks * text.width) as f64,
                item: text.width as f64,
                scored: None,
                mask: None,
                longest: text.length,
                epochs: match text.zero_shot {
                    true => text.pretraining.epochs,
                    false => text.pretraining.epochs + text.schedule.epochs,
                },
            },
            System::Tiger(tiger) => {
                let tokens = codes::TOKENS as f64;
                let layer = tiger.width * (4 * tiger.width + 3 * tiger.inner);
                Sizes {
                    position: tokens * (tiger.layers * layer) as f64,
                    length: tokens * tokens * (tiger.layers * tiger.width) as f64,
                    item: tokens * tiger.width as f64,
                    scored: Some(
                        codes::Layout {
                            size: tiger.codes.size,
                        }
                        .vocabulary(),
                    ),
                    mask: None,
                    longest: tiger.history,
                    epochs: tiger.train.epochs,
                }
            }
        }
    }

    /// Floating-point operations of training on so many positions of sequences of a mean length.
    fn training(&self, positions: f64, length: f64, items: usize) -> f64 {
        let scored = self.scored.unwrap_or(items) as f64;
        let predicted = match self.mask {
            None => 1.0,
            // Masked items at one reading, the last at the other.
            Some(share) => ((share * length).max(1.0) + 1.0) / (2.0 * length.max(1.0)),
        };
        let one = self.position + self.length * length + predicted * scored * self.item;
        6.0 * positions * one
    }

    /// Floating-point operations of scoring all items for so many histories.
    fn scoring(&self, histories: f64, length: f64, items: usize) -> f64 {
        let one = length * (self.position + self.length * length) + items as f64 * self.item;
        2.0 * histories * one
    }

    /// Positions of a sequence of so many items in one epoch.
    fn positions(&self, items: f64) -> f64 {
        match self.mask {
            None => (items - 1.0).max(0.0),
            Some(_) => 2.0 * items,
        }
    }
}

/// What fitting a system to a domain takes, if it goes through all epochs.
pub(super) fn planned(system: &System, domain: &DomainFacts) -> Work {
    let sizes = Sizes::of(system);
    let (users, length) = lengths(&sizes, domain);
    let epochs = sizes.epochs as f64;
    let positions = users * sizes.positions(length) * epochs;
    let choosing = domain.users.selection.min(CHOOSING) as f64 * epochs;
    Work {
        tokens: positions as u64,
        flops: sizes.training(positions, length, domain.items)
            + sizes.scoring(choosing, length, domain.items),
    }
}

/// What a fit took that read so many positions, and as often as `looks` the history of a user who chooses.
pub(super) fn done(system: &System, log: &Log, positions: u64, looks: usize) -> f64 {
    let sizes = Sizes::of(system);
    let long = log.sequences().iter().filter(|items| items.len() > 1);
    let lengths: Vec<usize> = long.map(|items| items.len().min(sizes.longest)).collect();
    let length = lengths.iter().sum::<usize>() as f64 / lengths.len().max(1) as f64;
    sizes.training(positions as f64, length, log.items()) + sizes.scoring(looks as f64, length, log.items())
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

    fn sasrec(flavour: Flavour, loss: Loss) -> System {
        System::Sasrec(Sasrec {
            flavour,
            width: 8,
            blocks: 2,
            inner: 32,
            length: 20,
            loss,
            ..Sasrec::default()
        })
    }

    #[test]
    fn a_fit_takes_what_its_settings_say_by_hand() {
        let Ok(log) = Log::new(vec![vec![1; 5]; 4], 100) else {
            panic!("items are 1 to 100")
        };
        let of = |system: &System, looks| done(system, &log, 30, looks);
        // A position: 2 × (6 × 64 + 8 × 5) in the blocks, 8 × 100 for the scores of all items; each counts six.
        let blocks = 2.0 * (6.0 * 64.0 + 8.0 * 5.0);
        let plain = of(&sasrec(Flavour::Original, Loss::Ce), 0);
        assert_eq!(plain, 6.0 * 30.0 * (blocks + 800.0));
        assert_eq!(
            of(&sasrec(Flavour::Original, Loss::Bce), 0),
            6.0 * 30.0 * (blocks + 16.0)
        );
        let wide = 2.0 * (4.0 * 64.0 + 2.0 * 8.0 * 32.0 + 8.0 * 5.0);
        assert_eq!(
            of(&sasrec(Flavour::Recbole, Loss::Sampled { negatives: 9 }), 0),
            6.0 * 30.0 * (wide + 80.0)
        );
        // Seven looks: five positions and the scores of all items, forward alone.
        let looks = of(&sasrec(Flavour::Original, Loss::Ce), 7) - plain;
        assert!((looks - 2.0 * 7.0 * (5.0 * blocks + 800.0)).abs() < 1e-6);
        let gru = System::Gru4rec(Gru4rec {
            width: 8,
            hidden: 4,
            layers: 2,
            ..Gru4rec::default()
        });
        let gates = 3.0 * 4.0 * (8.0 + 4.0) + 3.0 * 4.0 * (4.0 + 4.0);
        assert_eq!(of(&gru, 0), 6.0 * 30.0 * (gates + 32.0 + 800.0));
        let bert = System::Bert4rec(Bert4rec {
            width: 8,
            blocks: 1,
            inner: 32,
            mask: 0.4,
            ..Bert4rec::default()
        });
        // Two of five items are masked, then one: three targets at ten positions.
        let block = 4.0 * 64.0 + 2.0 * 8.0 * 32.0 + 2.0 * 8.0 * 5.0;
        assert!((of(&bert, 0) - 6.0 * 30.0 * (block + 0.3 * 800.0)).abs() < 1e-6);
    }
}
