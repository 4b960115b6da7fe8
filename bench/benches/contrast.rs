//! Weaving where the truth is known: logs are generated whose domains have none, half or all of their transitions between topics in common,
//! the topic being the first of an item's codes. A small decoder over codes is adapted to the target alone, and to target and source; what
//! the mean of the two adapters is better in than the first one alone has to rise with what the domains have in common.
//!
//! `cargo bench --bench contrast` prints the table, writes it to the file that the variable REPORT names, and ends with 1 where the difference
//! does not rise.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use candle_core::Device;
use weaverec_bench::statistics::draw::Draws;
use weaverec_model::backbone::Decoder;
use weaverec_model::backbone::nano::NanoConfig;
use weaverec_model::lora::{Adapter, LoraConfig};
use weaverec_model::merge::uniform;
use weaverec_model::rank::{Catalogue, Mass, Ranker, Sought};
use weaverec_model::recommender::ItemCodes;
use weaverec_model::recommender::codes::{Layout, START};
use weaverec_model::train::{Example, Keep, Seeds, TrainConfig, pretrain, train_lora};
use weaverec_model::weave::{Mixture, mix_domains};

const REPLICATES: u64 = 3;
/// Topics of every domain, and items of each of them.
const TOPICS: usize = 8;
const VARIANTS: usize = 4;
/// How often each of a topic's three likely successors follows it, of a hundred times; otherwise any topic does.
const SHARES: [usize; 3] = [55, 25, 12];
/// Items of a user.
const LENGTH: usize = 8;
const TARGET_USERS: usize = 80;
const SOURCE_USERS: usize = 320;
/// Users of every domain that the decoder is pre-trained on. They follow other transitions, the same in all domains: it learns what items are
/// made of and that topics follow topics, and which ones is left to adapters.
const EARLIER_USERS: usize = 300;
const TEST_USERS: usize = 600;
/// How many topics of the source are followed as in the target.
const COMMON: [(&str, usize); 3] = [("none", 0), ("half", TOPICS / 2), ("all", TOPICS)];
const LAYOUT: Layout = Layout { size: 16 };

/// The likely successors of every topic.
type Transitions = Vec<[usize; 3]>;

/// Which domain: it is the third of its items' codes, so that no item is in two.
#[derive(Clone, Copy)]
enum Domain {
    Target,
    Source,
    Elsewhere,
}

impl Domain {
    fn codes(self) -> ItemCodes {
        let item = |place: usize| {
            [
                (place / VARIANTS) as u32,
                (place % VARIANTS) as u32,
                self as u32,
                0,
            ]
        };
        ItemCodes {
            codes: (0..TOPICS * VARIANTS).map(item).collect(),
        }
    }
}

fn transitions(draws: &mut Draws) -> Transitions {
    let of_topic = |_| {
        let mut successors = [TOPICS; 3];
        for place in 0..successors.len() {
            let mut topic = draws.below(TOPICS);
            while successors.contains(&topic) {
                topic = draws.below(TOPICS);
            }
            successors[place] = topic;
        }
        successors
    };
    (0..TOPICS).map(of_topic).collect()
}

/// The topic that comes after one.
fn next(topic: usize, transitions: &Transitions, draws: &mut Draws) -> usize {
    let mut left = draws.below(100);
    for (share, successor) in SHARES.into_iter().zip(transitions[topic]) {
        if left < share {
            return successor;
        }
        left -= share;
    }
    draws.below(TOPICS)
}

/// The items (from 1) of so many users.
fn walks(transitions: &Transitions, users: usize, draws: &mut Draws) -> Vec<Vec<u32>> {
    let mut walk = |_| {
        let mut topic = draws.below(TOPICS);
        let mut items = Vec::with_capacity(LENGTH);
        for _ in 0..LENGTH {
            items.push((topic * VARIANTS + draws.below(VARIANTS)) as u32 + 1);
            topic = next(topic, transitions, draws);
        }
        items
    };
    (0..users).map(&mut walk).collect()
}

/// What the decoder learns of each user: all items but the first.
fn examples(walks: &[Vec<u32>], codes: &ItemCodes) -> Vec<Example> {
    let example = |items: &Vec<u32>| Example {
        tokens: LAYOUT.history(codes, items).unwrap(),
        loss_from: 5,
    };
    walks.iter().map(example).collect()
}

fn training(learning_rate: f64, epochs: usize) -> TrainConfig {
    TrainConfig {
        flat: None,
        learning_rate,
        epochs,
        batch_size: 8,
        micro_batch_tokens: 1024,
        activation_memory: 512,
        warmup: 0.05,
        weight_decay: 0.0,
        clip: 1.0,
        evaluate_every: 0,
        patience: 0,
        keep: Keep::Last,
        checkpoint_every: 0,
    }
}

/// One laboratory's logs, decoder and target-only adapter, which sources of all kinds are set beside.
struct Replicate {
    number: u64,
    decoder: Decoder,
    target: Vec<Example>,
    target_only: Adapter,
    transitions: Transitions,
    /// What test users had, and the place of what came next.
    asked: Vec<(Vec<u32>, usize)>,
    catalogue: Catalogue,
}

impl Replicate {
    fn new(number: u64) -> Self {
        let draws = |what: &str| Draws::new(&format!("contrast, {what}"), number);
        let config = NanoConfig {
            vocabulary: LAYOUT.vocabulary(),
            width: 64,
            inner: 128,
            layers: 2,
            heads: 4,
            key_value_heads: 4,
        }
        .llama(START);
        let before = transitions(&mut draws("transitions before"));
        let mut earlier = Vec::new();
        for domain in [Domain::Target, Domain::Source, Domain::Elsewhere] {
            let users = &mut draws(&format!("users before, {}", domain as u32));
            earlier.extend(examples(&walks(&before, EARLIER_USERS, users), &domain.codes()));
        }
        let (weights, _) = pretrain(
            &config,
            &earlier,
            &[],
            &training(3e-3, 8),
            number,
            None,
            &mut |_| (),
        )
        .unwrap();
        let decoder = Decoder::new(&weights, &config, &Device::Cpu).unwrap();
        let transitions = transitions(&mut draws("target"));
        let codes = Domain::Target.codes();
        let target = examples(&walks(&transitions, TARGET_USERS, &mut draws("users")), &codes);
        let asked = walks(&transitions, TEST_USERS, &mut draws("test users"));
        let asked = asked.iter().map(|items| {
            let (history, next) = (&items[..LENGTH - 1], items[LENGTH - 1]);
            (LAYOUT.history(&codes, history).unwrap(), next as usize - 1)
        });
        Replicate {
            number,
            target_only: adapter(&decoder, &target, number),
            asked: asked.collect(),
            catalogue: Catalogue::new(&LAYOUT.items(&codes)).unwrap(),
            decoder,
            target,
            transitions,
        }
    }

    /// Users of a source that follows the first so many topics as the target does, and the others by transitions of its own.
    fn source(&self, common: usize) -> Vec<Example> {
        let draws = |what: &str| Draws::new(&format!("contrast, {what}"), self.number);
        let mut own = transitions(&mut draws("source"));
        own[..common].copy_from_slice(&self.transitions[..common]);
        examples(
            &walks(&own, SOURCE_USERS, &mut draws("users of the source")),
            &Domain::Source.codes(),
        )
    }

    /// Of every test user the NDCG@10 of what came next, in the whole catalogue.
    fn ndcg_at_10(&self, adapter: &Adapter) -> f64 {
        let decoder = self.decoder.folded(adapter).unwrap();
        let ranker = Ranker {
            decoder: &decoder,
            catalogue: &self.catalogue,
            mass: Mass::Catalogue,
        };
        let sought: Vec<Sought> = self
            .asked
            .iter()
            .map(|(prompt, target)| Sought {
                prompt,
                target: *target,
                excluded: &[],
            })
            .collect();
        let places = ranker.places(&sought, 10, &mut |_| ()).unwrap();
        let gain = |(above, tied): (usize, usize)| match above + tied {
            place if place < 10 => 1.0 / (place as f64 + 2.0).log2(),
            _ => 0.0,
        };
        places.into_iter().map(gain).sum::<f64>() / TEST_USERS as f64
    }

    /// Target-only, hybrid and their mean, with a source of so many common topics.
    fn measured(&self, common: usize) -> [f64; 3] {
        let source = self.source(common);
        let both = [("target", self.target.as_slice()), ("source", source.as_slice())];
        let mixed = mix_domains(both, Mixture::capped(usize::MAX), self.number);
        let hybrid = adapter(&self.decoder, &mixed, self.number);
        let woven = uniform(&[&self.target_only, &hybrid]).unwrap();
        [&self.target_only, &hybrid, &woven].map(|adapter| self.ndcg_at_10(adapter))
    }
}

fn adapter(decoder: &Decoder, examples: &[Example], seed: u64) -> Adapter {
    let (lora, seeds) = (LoraConfig::new(8, 16.0), Seeds::both(seed));
    let config = training(5e-3, 4);
    train_lora(decoder, lora, examples, &[], &config, seeds, None, &mut |_| ())
        .unwrap()
        .0
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    (squares / (values.len() as f64 - 1.0)).sqrt()
}

fn main() -> ExitCode {
    let started = Instant::now();
    let replicates: Vec<Replicate> = (0..REPLICATES).map(Replicate::new).collect();
    let mut report = format!(
        "# Weaving where the truth is known\n\nGenerated logs of {TOPICS} topics of {VARIANTS} items, {TARGET_USERS} users of the target and \
         {SOURCE_USERS} of the source with {LENGTH} items each; of the source's topics none, half or all are followed as in the target. A decoder \
         of two layers and width 64 over codes, pre-trained on users of all domains who follow other transitions, LoRA of rank 8; NDCG@10 of {TEST_USERS} test users in the whole \
         catalogue, mean of {REPLICATES} replicates. Made by `make bench-contrast`.\n\n\
         | in common | target-only | hybrid | weave | weave − target-only | by replicate |\n|---|---:|---:|---:|---:|---|\n"
    );
    let mut gains: Vec<Vec<f64>> = Vec::new();
    for (name, common) in COMMON {
        let found: Vec<[f64; 3]> = replicates
            .iter()
            .map(|replicate| replicate.measured(common))
            .collect();
        let of = |row: usize| mean(&found.iter().map(|rows| rows[row]).collect::<Vec<_>>());
        let gain: Vec<f64> = found.iter().map(|rows| rows[2] - rows[0]).collect();
        let each: Vec<String> = gain.iter().map(|gain| format!("{gain:+.4}")).collect();
        writeln!(
            report,
            "| {name} | {:.4} | {:.4} | {:.4} | {:+.4} ± {:.4} | {} |",
            of(0),
            of(1),
            of(2),
            mean(&gain),
            deviation(&gain),
            each.join(", ")
        )
        .unwrap();
        gains.push(gain);
    }
    // Replicates are paired: the same target, decoder and target-only adapter.
    let rises = gains.windows(2).all(|pair| mean(&pair[0]) < mean(&pair[1]))
        && gains[0].iter().zip(&gains[2]).all(|(none, all)| none < all);
    let said = if rises {
        "The difference rises with what the domains have in common, from none to all in every replicate."
    } else {
        "The difference does **not** rise with what the domains have in common."
    };
    write!(report, "\n{said}\n").unwrap();
    println!("{report}\n{:.0} s", started.elapsed().as_secs_f64());
    if let Some(path) = std::env::var_os("REPORT") {
        weaverec_output::write_file(Path::new(&path), report.as_bytes()).unwrap();
    }
    ExitCode::from(u8::from(!rises))
}
