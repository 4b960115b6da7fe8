//! The arithmetic of fitting a recommender and of ranking by one, by a formula of its settings.
//!
//! A position (an item that is read) goes through every layer, and where its next item is predicted through a product with the vectors of all
//! items that the loss scores. In multiplications with an addition, of width d and mean length n:
//!
//! | system | a position in a layer | a prediction |
//! |---|---|---|
//! | SASRec | 4 d² + 2 d × inner (queries, keys, values, output; feed-forward) + d n (attention to what came before) | d × items; sampled: d × (1 + negatives) |
//! | BERT4Rec | 4 d² + 2 d × inner + 2 d n (attention to all); every sequence is read twice an epoch | the same, at masked positions |
//! | TIGER-like, RecBase, GenCDR | four tokens, each 4 d² + 3 d × inner + 4 d n | four products with all tokens |
//! | SASRecText, UniSRec | as SASRec; the adapter is left out | the same |
//! | SASRec as a decoder | one token of the same | one product with all tokens |
//! | GRU4Rec | 3 h (input + h) (three gates of a state of width h), and once h d (the map back) | the same |
//!
//! Ranking by codes also takes every beginning of a code through the layers: one an item, which is more than there are where items are few.
//! A system that learns from several domains goes through all of their sequences, scoring the items of the domain that it is in.
//!
//! Forward that is two operations each; with the gradients of activations and of weights six. Every look at the users who choose an epoch is one
//! forward pass over their histories and a score of every item. Norms, dropout and what is element by element are left out.

use weaverec_model::recommender::codes::{Layout, TOKENS};
use weaverec_model::recommender::{Data, Flavour, Loss, System, Tiger};

use super::CHOOSING;
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
            System::Tiger(tiger) => Sizes::of_decoder(tiger, Some(tiger.codes.size)),
            System::Recbase(recbase) => {
                let tiger = recbase.tiger();
                Sizes::of_decoder(&tiger, Some(tiger.codes.size))
            }
            // Every epoch of all domains, and as many of an adapter, whose decoder is read beside the other.
            System::Gencdr(gencdr) => {
                let tiger = gencdr.tiger();
                let universal = Sizes::of_decoder(&tiger, Some(tiger.codes.size));
                Sizes {
                    epochs: 2 * universal.epochs,
                    ..universal
                }
            }
            System::ItemDecoder(decoder) => Sizes::of_decoder(&decoder.tiger(), None),
        }
    }

    /// Of a decoder over items: as codes of such a size, or a token each.
    fn of_decoder(tiger: &Tiger, codes: Option<usize>) -> Self {
        let tokens = if codes.is_some() { TOKENS as f64 } else { 1.0 };
        let layer = tiger.width * (4 * tiger.width + 3 * tiger.inner);
        Sizes {
            position: tokens * (tiger.layers * layer) as f64,
            length: tokens * tokens * (tiger.layers * tiger.width) as f64,
            item: tokens * tiger.width as f64,
            scored: codes.map(|size| Layout { size }.vocabulary()),
            mask: None,
            longest: tiger.history,
            epochs: tiger.train.epochs,
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

/// How a system reads items.
struct Reading {
    /// Tokens of an item, in which its steps are counted: one where an item is read as it is.
    tokens: usize,
    /// Whether a sequence longer than what is read at a time is read in windows, so that every item of it is learnt; else its newest items
    /// alone are.
    windows: bool,
    /// Multiplications of a beginning of an item's tokens when the whole catalogue is scored, in all layers.
    beginning: f64,
}

impl Reading {
    fn of(system: &System) -> Self {
        match system {
            System::Sasrec(_)
            | System::Gru4rec(_)
            | System::Bert4rec(_)
            | System::SasrecText(_)
            | System::Unisrec(_) => Reading {
                tokens: 1,
                windows: false,
                beginning: 0.0,
            },
            System::Tiger(tiger) => Reading::of_decoder(tiger, TOKENS),
            System::Recbase(recbase) => Reading::of_decoder(&recbase.tiger(), TOKENS),
            // Two decoders read every beginning.
            System::Gencdr(gencdr) => {
                let one = Reading::of_decoder(&gencdr.tiger(), TOKENS);
                Reading {
                    beginning: 2.0 * one.beginning,
                    ..one
                }
            }
            System::ItemDecoder(decoder) => Reading::of_decoder(&decoder.tiger(), 1),
        }
    }

    /// Of a decoder that reads so many tokens an item.
    fn of_decoder(tiger: &Tiger, tokens: usize) -> Self {
        let layer = tiger.width * (4 * tiger.width + 3 * tiger.inner);
        Reading {
            tokens,
            windows: true,
            beginning: match tokens {
                // What comes next is told by the history alone.
                1 => 0.0,
                _ => (tiger.layers * layer) as f64,
            },
        }
    }

    /// Positions of a sequence of so many items in one epoch; every window after the first learns half of what it reads.
    fn positions(&self, sizes: &Sizes, items: f64) -> f64 {
        let longest = sizes.longest as f64;
        if !self.windows {
            return sizes.positions(items.min(longest));
        }
        // A pass reads one item less than it learns.
        let more = items - (longest + 1.0);
        if more <= 0.0 {
            return (items - 1.0).max(0.0);
        }
        let new = (sizes.longest + 1).div_ceil(2) as f64;
        longest + (more / new).ceil() * longest
    }
}

/// What fitting a system to domains takes, the target first, if it goes through all epochs.
pub(super) fn planned(system: &System, domains: &[&DomainFacts]) -> Work {
    let (sizes, reading) = (Sizes::of(system), Reading::of(system));
    let epochs = sizes.epochs as f64;
    let mut work = Work::default();
    for (place, domain) in domains.iter().enumerate() {
        let (users, whole) = lengths(domain);
        let length = whole.min(sizes.longest as f64);
        let positions = users * reading.positions(&sizes, whole) * epochs;
        let mut flops = sizes.training(positions, length, domain.items);
        if place == 0 {
            let choosing = domain.users.selection.min(CHOOSING) as f64 * epochs;
            flops += scoring(&sizes, &reading, choosing, length, domain.items);
        }
        work = work
            + Work {
                tokens: (positions * reading.tokens as f64) as u64,
                flops,
            };
    }
    work
}

/// What a fit took that read so many tokens, and as often as `looks` the history of a user who chooses. Which domain they were of is not
/// told: each has the share that one epoch of it has.
pub(super) fn done(system: &System, data: &Data, tokens: u64, looks: usize) -> f64 {
    let (sizes, reading) = (Sizes::of(system), Reading::of(system));
    let positions = tokens as f64 / reading.tokens as f64;
    let sources = data.sources.iter().map(|source| (source.items, source.train));
    let domains: Vec<(usize, &[Vec<u32>])> =
        std::iter::once((data.items, data.train)).chain(sources).collect();
    let epoch = |(_, sequences): &(usize, &[Vec<u32>])| -> f64 {
        let items = sequences.iter().map(|items| items.len() as f64);
        items.map(|items| reading.positions(&sizes, items)).sum()
    };
    let all: f64 = domains.iter().map(epoch).sum();
    let mut flops = 0.0;
    for (place, domain) in domains.iter().enumerate() {
        let share = match domains.len() {
            1 => 1.0,
            _ => epoch(domain) / all.max(1.0),
        };
        let (items, sequences) = *domain;
        let length = mean_length(&sizes, sequences);
        flops += sizes.training(share * positions, length, items);
        if place == 0 {
            flops += scoring(&sizes, &reading, looks as f64, length, items);
        }
    }
    flops
}

/// Items of a mean sequence in training, as far as they are read at a time.
fn mean_length(sizes: &Sizes, sequences: &[Vec<u32>]) -> f64 {
    let long = sequences.iter().filter(|items| items.len() > 1);
    let lengths: Vec<usize> = long.map(|items| items.len().min(sizes.longest)).collect();
    lengths.iter().sum::<usize>() as f64 / lengths.len().max(1) as f64
}

/// What scoring the whole catalogue of a domain takes for its ranked users and those who calibrate.
pub fn ranking(system: &System, domain: &DomainFacts) -> Work {
    let (sizes, reading) = (Sizes::of(system), Reading::of(system));
    let length = lengths(domain).1.min(sizes.longest as f64);
    let histories = (domain.ranked + domain.calibration) as f64;
    Work {
        tokens: (histories * length * reading.tokens as f64) as u64,
        flops: scoring(&sizes, &reading, histories, length, domain.items),
    }
}

/// Floating-point operations of scoring all items for so many histories.
fn scoring(sizes: &Sizes, reading: &Reading, histories: f64, length: f64, items: usize) -> f64 {
    sizes.scoring(histories, length, items) + 2.0 * histories * items as f64 * reading.beginning
}

/// Users of a domain, and items of one in training.
fn lengths(domain: &DomainFacts) -> (f64, f64) {
    let parts = domain.users;
    let users = (parts.selection + parts.calibration + parts.dev + parts.r#final) as f64;
    (users, domain.interactions as f64 / users.max(1.0))
}

#[cfg(test)]
mod tests {
    use weaverec_model::recommender::codes::CodeSettings;
    use weaverec_model::recommender::{Bert4rec, Gru4rec, Sasrec, Source};

    use super::*;

    fn data<'a>(items: usize, train: &'a [Vec<u32>], sources: &'a [Source<'a>]) -> Data<'a> {
        Data {
            items,
            train,
            validation: &[],
            vectors: None,
            sources,
        }
    }

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
        let train = vec![vec![1; 5]; 4];
        let of = |system: &System, looks| done(system, &data(100, &train, &[]), 30, looks);
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

    #[test]
    fn items_as_tokens_are_counted_in_tokens_and_long_sequences_in_windows() {
        let small = Tiger {
            codes: CodeSettings {
                size: 4,
                ..CodeSettings::default()
            },
            width: 8,
            inner: 16,
            layers: 2,
            heads: 2,
            history: 6,
            ..Tiger::default()
        };
        let (longest, system) = (small.history as f64, System::Tiger(small));
        let (sizes, reading) = (Sizes::of(&system), Reading::of(&system));
        let positions = |items: f64| reading.positions(&sizes, items);
        // Seven items are one pass, of which the last is only learnt; four more are another pass, five more are two.
        assert_eq!(
            (positions(1.0), positions(5.0), positions(7.0)),
            (0.0, 4.0, longest)
        );
        assert_eq!((positions(11.0), positions(12.0)), (12.0, 18.0));
        let train = vec![vec![1; 5]; 4];
        // 30 items of four tokens each. Blocks: 2 × 8 × (32 + 48) a token; attention to four tokens of each of five items; a product of
        // each token with the vocabulary, which is 2 + 3 × 4 + 256.
        let block = 2.0 * 8.0 * (4.0 * 8.0 + 3.0 * 16.0);
        let item = 4.0 * block + 16.0 * 16.0 * 5.0 + 270.0 * 4.0 * 8.0;
        let plain = done(&system, &data(100, &train, &[]), 4 * 30, 0);
        assert!((plain - 6.0 * 30.0 * item).abs() < 1e-6, "{plain}");
        // Scoring: the history, the products, and a beginning of each of a hundred items through the layers.
        let looks = done(&system, &data(100, &train, &[]), 4 * 30, 7) - plain;
        let history = 5.0 * (4.0 * block + 16.0 * 16.0 * 5.0);
        assert!(
            (looks - 2.0 * 7.0 * (history + 100.0 * (32.0 + block))).abs() < 1e-6,
            "{looks}"
        );
    }

    #[test]
    fn positions_of_several_domains_score_the_items_of_their_own() {
        let system = sasrec(Flavour::Original, Loss::Ce);
        let (train, theirs) = (vec![vec![1; 5]; 4], vec![vec![1; 5]; 8]);
        let sources = [Source {
            items: 50,
            train: &theirs,
            vectors: None,
        }];
        // A third of the positions are the target's, two thirds the source's, whose catalogue has half as many items.
        let both = done(&system, &data(100, &train, &sources), 30, 0);
        let blocks = 2.0 * (6.0 * 64.0 + 8.0 * 5.0);
        let expected = 6.0 * (10.0 * (blocks + 800.0) + 20.0 * (blocks + 400.0));
        assert!((both - expected).abs() < 1e-6, "{both}, {expected}");
    }
}
