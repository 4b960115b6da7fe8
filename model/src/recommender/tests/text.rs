//! SASRecText and UniSRec: what carries over from one domain to another, and nothing where only the texts were cut; and what they depend on.

use candle_core::Device;

use super::super::next_item::{Fitted, Lesson};
use super::super::rows::{Align, Rows};
use super::super::sasrec_text::{Network, OverTexts};
use super::*;
use crate::nn::Parameters;
use crate::op::with_threads;
use crate::recommender::ndcg_at_10;
use crate::train::Task;
use crate::train::task::Mode;

mod course;
mod pytorch;
mod refused;
mod resume;

const TOPICS: u64 = 6;
const ITEMS: usize = 36;
const TEXT: usize = 12;

/// From −1 to 1.
fn signed(key: u64) -> f32 {
    drawn(key, 2001) as f32 / 1000.0 - 1.0
}

/// Texts of a domain's items: six to a topic, which domains have in common, and each with something of its own.
fn topics(domain: u64) -> Vectors {
    let mut values = Vec::new();
    for item in 0..ITEMS as u64 {
        let value =
            |k: u64| signed(1000 + item % TOPICS * 64 + k) + 0.3 * signed((domain + 1) << 32 | item << 8 | k);
        let row: Vec<f32> = (0..TEXT as u64).map(value).collect();
        let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        values.extend(row.iter().map(|v| v / length));
    }
    Vectors { width: TEXT, values }
}

/// Users who go from a topic to the next nine times of ten, and take any item of it.
fn users(domain: u64, first: u64, count: u64, length: u64) -> Vec<Vec<u32>> {
    let sequence = |user: u64| {
        let key = (domain + 1) << 40 | user << 16;
        let mut topic = drawn(key, TOPICS);
        let mut items = Vec::new();
        for i in 0..length {
            if i > 0 {
                topic = match drawn(key | i << 4, 10) {
                    0 => drawn(key | i << 4 | 1, TOPICS),
                    _ => (topic + 1) % TOPICS,
                };
            }
            items.push((drawn(key | i << 4 | 2, 6) * TOPICS + topic) as u32 + 1);
        }
        items
    };
    (first..first + count).map(sequence).collect()
}

/// The texts given to other items.
fn permuted(vectors: &Vectors) -> Vectors {
    let mut order: Vec<usize> = (0..vectors.items()).collect();
    order.sort_by_key(|item| mix(0x7065_726D ^ mix(*item as u64)));
    let rows: Vec<&[f32]> = vectors.rows().collect();
    Vectors {
        width: vectors.width,
        values: order.iter().flat_map(|item| rows[*item]).copied().collect(),
    }
}

pub(super) fn sasrec_text(adapter: Adapter, schedule: Schedule) -> SasrecText {
    SasrecText {
        adapter,
        width: 32,
        heads: 2,
        inner: 48,
        dropout: 0.1,
        length: 8,
        schedule,
        ..SasrecText::default()
    }
}

pub(super) fn mlp() -> Adapter {
    Adapter::Mlp {
        hidden: 24,
        dropout: 0.2,
    }
}

pub(super) fn unisrec(zero_shot: bool, epochs: usize, schedule: Schedule) -> Unisrec {
    Unisrec {
        zero_shot,
        width: 32,
        heads: 2,
        inner: 48,
        dropout: 0.1,
        length: 8,
        pretraining: Pretraining {
            epochs,
            learning_rate: 5e-3,
            batch_size: 20,
            ..Pretraining::default()
        },
        schedule,
        ..Unisrec::default()
    }
}

/// Every system over texts.
fn over_texts() -> Vec<(&'static str, System)> {
    vec![
        (
            "sasrec-text",
            System::SasrecText(sasrec_text(mlp(), schedule(2, 1e-2))),
        ),
        ("unisrec", System::Unisrec(unisrec(false, 2, schedule(2, 1e-2)))),
        (
            "unisrec, zero-shot",
            System::Unisrec(unisrec(true, 2, schedule(2, 1e-2))),
        ),
    ]
}

/// Two domains, of which the target's users are few.
struct Planted {
    target: Vectors,
    train: Vec<Vec<u32>>,
    source: Vectors,
    others: Vec<Vec<u32>>,
}

impl Planted {
    fn new(few: u64, many: u64) -> Self {
        Planted {
            target: topics(1),
            train: users(1, 0, few, 3),
            source: topics(0),
            others: users(0, 0, many, 8),
        }
    }

    fn source(&self) -> [Source<'_>; 1] {
        [Source {
            items: ITEMS,
            train: &self.others,
            vectors: Some(&self.source),
        }]
    }

    fn data<'a>(&'a self, sources: &'a [Source<'a>]) -> Data<'a> {
        Data {
            items: ITEMS,
            train: &self.train,
            validation: &[],
            vectors: Some(&self.target),
            sources,
        }
    }

    fn fitted(&self, system: &System) -> (Box<dyn Recommender>, Outcome) {
        fitted(system, &self.data(&self.source()))
    }
}

/// The mean over users whom nothing was learnt of.
fn ndcg(recommender: &dyn Recommender) -> f64 {
    let cases = leave_one_out(&users(1, 1000, 200, 5));
    let histories: Vec<&[u32]> = cases.iter().map(|(history, _)| history.as_slice()).collect();
    let found = scores(recommender, ITEMS, &histories);
    let each = found.chunks_exact(ITEMS).zip(&cases);
    let sum: f64 = each
        .map(|(scores, (_, next))| ndcg_at_10(scores, *next as usize - 1, &[]))
        .sum();
    sum / cases.len() as f64
}

#[test]
fn what_texts_carry_over_is_gained_where_it_was_planted_and_lost_with_the_texts() {
    let planted = Planted::new(5, 200);
    let cut = Planted {
        target: permuted(&planted.target),
        ..Planted::new(5, 200)
    };
    let alone = System::SasrecText(sasrec_text(mlp(), schedule(40, 5e-3)));
    let with_sources = System::Unisrec(unisrec(false, 10, schedule(3, 5e-3)));
    let of_sources = System::Unisrec(unisrec(true, 10, Schedule::default()));
    let reached = |planted: &Planted, system: &System| ndcg(&*planted.fitted(system).0);
    // The rule's six items at the first six places nine times of ten give 0.5; any order of 36 items gives 0.13. A prototype in PyTorch with
    // other first values: 0.53 and 0.53 with sources, 0.25 to 0.30 without, 0.10 to 0.17 with texts that belong to other items.
    let (both, sources, target) = (
        reached(&planted, &with_sources),
        reached(&planted, &of_sources),
        reached(&planted, &alone),
    );
    assert!(both > 0.42 && sources > 0.42, "{both} {sources}");
    assert!(target < 0.38 && both > target + 0.1, "{both} {target}");
    for system in [&with_sources, &of_sources, &alone] {
        let lost = reached(&cut, system);
        assert!(lost < 0.25, "{system:?}: {lost}");
    }
}

#[test]
fn zero_shot_reads_no_interaction_of_the_target() {
    let planted = Planted::new(5, 60);
    let sources = planted.source();
    let system = System::Unisrec(unisrec(true, 2, schedule(2, 1e-2)));
    let validation = leave_one_out(&users(1, 0, 9, 4));
    let with = Data {
        validation: &validation,
        ..planted.data(&sources)
    };
    let without = Data {
        train: &[],
        ..planted.data(&sources)
    };
    let ((one, outcome), (other, again)) = (fitted(&system, &with), fitted(&system, &without));
    assert!(tensors(&*one) == tensors(&*other));
    assert_eq!(outcome.curve, again.curve);
    // Nobody chooses: all epochs are gone through and the last is kept.
    assert_eq!(
        (outcome.epochs, outcome.best_epoch, outcome.ndcg.len()),
        (2, 2, 0)
    );
    assert_eq!((outcome.steps, outcome.tokens), (2 * 3, 2 * 60 * 7));
}

#[test]
fn every_parameter_moves_and_a_frozen_encoder_does_not() {
    let planted = Planted::new(40, 40);
    let gates = Adapter::Whitening {
        experts: 4,
        noise: true,
        dropout: 0.2,
    };
    for (name, system) in [
        ("mlp", System::SasrecText(sasrec_text(mlp(), schedule(2, 1e-2)))),
        ("gates", System::SasrecText(sasrec_text(gates, schedule(2, 1e-2)))),
        ("zero-shot", System::Unisrec(unisrec(true, 2, schedule(2, 1e-2)))),
    ] {
        let first = match &system {
            System::SasrecText(settings) => settings.model(&planted.target, 5).unwrap(),
            System::Unisrec(settings) => {
                let network = settings.network(TEXT, 5).unwrap();
                settings.over(network, &planted.target).unwrap()
            }
            _ => unreachable!(),
        };
        let (recommender, outcome) = planted.fitted(&system);
        let after = tensors(&*recommender);
        assert_eq!(
            after["vectors"], planted.target.values,
            "{name}: texts are frozen"
        );
        let (mut count, values) = (0, first.saved().values().unwrap());
        for ((parameter, _), before) in first.saved().iter().zip(values) {
            if parameter == "vectors" {
                continue;
            }
            count += before.len();
            let moved = after[parameter]
                .iter()
                .zip(&before)
                .map(|(after, before)| (after - before).abs());
            let most = moved.fold(0.0, f32::max);
            assert!(most > 2e-3, "{name}: {parameter} moved by {most}");
        }
        assert_eq!(outcome.parameters, count, "{name}");
    }
    // One epoch on the target and two: what was learnt on all domains before is the same.
    let moved_in_the_second = |freeze| {
        let of = |epochs| {
            let settings = Unisrec {
                freeze,
                ..unisrec(false, 1, schedule(epochs, 1e-2))
            };
            tensors(&*planted.fitted(&System::Unisrec(settings)).0)
        };
        let (one, two) = (of(1), of(2));
        let moved = one.into_iter().filter(|(name, values)| two[name] != *values);
        moved.map(|(name, _)| name).collect::<Vec<_>>()
    };
    let (frozen, free) = (moved_in_the_second(true), moved_in_the_second(false));
    let is_encoder = |name: &String| name.starts_with("blocks.") || name.starts_with("positions.");
    assert!(!frozen.iter().any(is_encoder), "{frozen:?}");
    assert!(frozen.iter().any(|name| name.starts_with("adapter.experts.3")));
    assert!(frozen.contains(&"norm.weight".to_owned()));
    assert!(free.iter().any(is_encoder), "{free:?}");
}

#[test]
fn one_expert_without_pre_training_and_normalisation_is_sasrec_over_texts_bit_for_bit() {
    let planted = Planted::new(40, 20);
    let adapter = Adapter::Whitening {
        experts: 1,
        noise: true,
        dropout: 0.2,
    };
    let alone = System::SasrecText(sasrec_text(adapter, schedule(3, 1e-2)));
    let limit = |normalise| {
        System::Unisrec(Unisrec {
            adapter,
            normalise,
            freeze: false,
            ..unisrec(false, 0, schedule(3, 1e-2))
        })
    };
    let ((one, outcome), (other, again)) = (planted.fitted(&alone), planted.fitted(&limit(false)));
    assert!(tensors(&*one) == tensors(&*other));
    assert_eq!((&outcome.curve, outcome.steps), (&again.curve, again.steps));
    let histories: [&[u32]; 2] = [&[1, 2, 3], &[30]];
    assert_eq!(
        scores(&*one, ITEMS, &histories),
        scores(&*other, ITEMS, &histories)
    );
    let (cosines, _) = planted.fitted(&limit(true));
    assert!(tensors(&*cosines) != tensors(&*one));
}

/// Puts values in the place of a parameter's.
fn set(parameters: &Parameters, name: &str, value: impl Fn(usize) -> f32) {
    let (_, parameter) = parameters.iter().find(|(own, _)| *own == name).unwrap();
    let values: Vec<f32> = (0..parameter.variable.elem_count()).map(value).collect();
    let values = Tensor::from_vec(values, parameter.variable.shape(), &Device::Cpu).unwrap();
    parameter.variable.set(&values).unwrap();
}

#[test]
fn an_encoder_that_passes_texts_on_ranks_by_their_cosine_with_the_last_text() {
    // Rows whose mean is zero: norms of layers take nothing away from them but their length.
    let centred: Vec<f32> = topics(1)
        .rows()
        .flat_map(|row| {
            let mean = row.iter().sum::<f32>() / TEXT as f32;
            row.iter().map(move |value| value - mean).collect::<Vec<_>>()
        })
        .collect();
    let vectors = Vectors {
        width: TEXT,
        values: centred,
    };
    let settings = Unisrec {
        flavour: Flavour::Original,
        adapter: Adapter::Whitening {
            experts: 1,
            noise: true,
            dropout: 0.2,
        },
        width: TEXT,
        ..unisrec(false, 1, schedule(1, 1e-2))
    };
    let network = settings.network(TEXT, 5).unwrap();
    let parameters = network.parameters().clone();
    set(&parameters, "adapter.experts.0.weight", |at| {
        f32::from(u8::from(at / TEXT == at % TEXT))
    });
    set(&parameters, "positions.weight", |_| 0.0);
    for block in 0..2 {
        set(
            &parameters,
            &format!("blocks.{block}.attention.output.weight"),
            |_| 0.0,
        );
        set(
            &parameters,
            &format!("blocks.{block}.feed_forward.outer.weight"),
            |_| 0.0,
        );
    }
    let fitted = Fitted {
        system: System::Unisrec(settings.clone()),
        items: ITEMS,
        model: settings.over(network, &vectors).unwrap(),
    };
    let found = scores(&fitted, ITEMS, &[&[9, 4, 17]]);
    let rows: Vec<&[f32]> = vectors.rows().collect();
    let dot = |a: usize, b: usize| -> f32 { rows[a].iter().zip(rows[b]).map(|(a, b)| a * b).sum() };
    for (item, score) in found.iter().enumerate() {
        let cosine = dot(16, item) / (dot(16, 16) * dot(item, item)).sqrt();
        let expected = cosine / 0.07;
        assert!((score - expected).abs() < 2e-3, "{item}: {score} {expected}");
    }
}

#[test]
fn what_comes_later_changes_nothing_before_it_and_neither_does_who_else_is_asked() {
    let vectors = topics(1);
    let of_mlp = sasrec_text(mlp(), schedule(1, 1e-2)).model(&vectors, 3).unwrap();
    let settings = unisrec(false, 1, schedule(1, 1e-2));
    let mixture = settings
        .over(settings.network(TEXT, 3).unwrap(), &vectors)
        .unwrap();
    let items = [3, 17, 5, 5, 24, 0, 9, 11];
    for (name, model) in [("mlp", of_mlp), ("mixture", mixture)] {
        let of = |count: usize, last: u32| {
            let mut rows = Rows::default();
            rows.push(&items[..count], Align::Start, 8);
            rows.items[count - 1] = last;
            let hidden = model.hidden(&rows, Mode::Evaluation).unwrap();
            hidden.to_vec2::<f32>().unwrap()
        };
        let whole = of(8, 11);
        for count in 1..8 {
            let part = of(count, items[count - 1]);
            for (row, (part, whole)) in part.iter().zip(&whole).enumerate() {
                for (part, whole) in part.iter().zip(whole) {
                    let most = 3e-5 * (1.0 + whole.abs());
                    assert!((part - whole).abs() < most, "{name}: row {row} of {count}");
                }
            }
        }
        let other = of(8, 12);
        assert!(other[7] != whole[7] && other[..7] == whole[..7], "{name}");
    }
    let planted = Planted::new(40, 40);
    let histories = users(1, 50, 40, 7);
    for (name, system) in over_texts() {
        let (recommender, _) = planted.fitted(&system);
        let all: Vec<&[u32]> = histories
            .iter()
            .map(Vec::as_slice)
            .chain([[].as_slice()])
            .collect();
        let together = scores(&*recommender, ITEMS, &all);
        for (nth, history) in all.iter().enumerate().step_by(7) {
            let alone = scores(&*recommender, ITEMS, &[history]);
            for (alone, together) in alone.iter().zip(&together[nth * ITEMS..]) {
                assert!((alone - together).abs() < 1e-3, "{name}: {alone} {together}");
            }
        }
        assert!(together[..ITEMS] != together[ITEMS..2 * ITEMS], "{name}");
        assert_eq!(
            together[40 * ITEMS..],
            [0.0; ITEMS],
            "{name}: no history says nothing"
        );
    }
}

#[test]
fn a_saved_one_gives_the_same_scores_and_brings_its_texts() {
    let planted = Planted::new(40, 40);
    let histories: [&[u32]; 3] = [&[1, 2, 3], &[], &[36]];
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved");
    for (name, system) in over_texts() {
        let (recommender, _) = planted.fitted(&system);
        recommender.save(&saved).unwrap();
        let loaded = load(&saved).unwrap();
        let (before, after) = (
            scores(&*recommender, ITEMS, &histories),
            scores(&*loaded, ITEMS, &histories),
        );
        assert_eq!(before, after, "{name}");
    }
    let description = saved.join("recommender.json");
    let text = std::fs::read_to_string(&description).unwrap();
    std::fs::write(&description, text.replace("\"items\": 36", "\"items\": 35")).unwrap();
    let error = load(&saved).err().unwrap().to_string();
    assert!(error.contains("vectors") && error.contains("35 items"), "{error}");
}

#[test]
fn threads_change_no_bit() {
    let planted = Planted::new(60, 100);
    for (name, system) in over_texts() {
        let on = |threads| with_threads(threads, || tensors(&*planted.fitted(&system).0));
        assert!(on(1) == on(3), "{name}");
    }
}

#[test]
fn items_of_domains_are_told_apart_where_they_are_learnt_together() {
    let (one, other) = (topics(0), topics(1));
    let others = [vec![1, 36, 2]];
    let sources = [Source {
        items: ITEMS,
        train: &others,
        vectors: Some(&other),
    }];
    let data = Data {
        items: ITEMS,
        train: &[vec![3, 1], vec![2]],
        validation: &[],
        vectors: Some(&one),
        sources: &sources,
    };
    let of = |zero_shot| {
        let settings = unisrec(zero_shot, 1, schedule(1, 1e-2));
        let network = settings.network(TEXT, 5).unwrap();
        let system = System::Unisrec(settings.clone());
        let together = settings.together(&network, &system, &data, 5).unwrap();
        let items = together.lessons().iter().map(|lesson| lesson.items.clone());
        items.collect::<Vec<_>>()
    };
    // Users of one item teach nothing.
    assert_eq!(of(false), [vec![0, 35, 1], vec![38, 36]]);
    assert_eq!(of(true), [vec![0, 35, 1]]);
}
