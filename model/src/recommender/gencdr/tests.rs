#![allow(clippy::unwrap_used)]
mod choice;

use std::panic::{AssertUnwindSafe, catch_unwind};

use candle_core::{Device, Var};

use super::super::tiger::tests::{choosing, scores as all_scores, tiger, vectors, walks};
use super::super::{Source, Vectors, load};
use super::*;
use crate::backbone::Pass;
use crate::lora::TrainableLora;
use crate::op::with_threads;
use crate::train::{Checkpoint, Example, Seeds, train_lora};

fn gencdr(epochs: usize, gate: Gate) -> Gencdr {
    let tiger = tiger(epochs);
    Gencdr {
        codes: tiger.codes,
        width: tiger.width,
        inner: tiger.inner,
        layers: tiger.layers,
        heads: tiger.heads,
        history: tiger.history,
        item_dropout: tiger.item_dropout,
        mass: tiger.mass,
        train: tiger.train,
        adapter_rate: 5e-3,
        rank: 2,
        alpha: 4.0,
        gate,
    }
}

/// Fifty users of another domain with the same vectors, who walk the other way.
fn source() -> Vec<Vec<u32>> {
    let backwards = |walk: Vec<u32>| walk.into_iter().rev().collect();
    walks().into_iter().map(backwards).collect()
}

struct World {
    vectors: Vectors,
    train: Vec<Vec<u32>>,
    source: Vec<Vec<u32>>,
    validation: Vec<(Vec<u32>, u32)>,
}

impl World {
    fn new() -> Self {
        World {
            vectors: vectors(),
            train: walks(),
            source: source(),
            validation: choosing(),
        }
    }

    /// Where nobody chooses: adapter and gate stay, whatever they come to.
    fn without_choice() -> Self {
        World {
            validation: Vec::new(),
            ..World::new()
        }
    }

    fn fit(
        &self,
        settings: &Gencdr,
        checkpoint: Option<&Checkpoint>,
        progress: &mut dyn FnMut(Progress),
    ) -> (Fitted, Outcome) {
        let sources = [Source {
            items: 24,
            train: &self.source,
            vectors: Some(&self.vectors),
        }];
        let data = Data {
            items: 24,
            train: &self.train,
            validation: &self.validation,
            vectors: Some(&self.vectors),
            sources: &sources,
        };
        let course = Course {
            seed: 3,
            checkpoint,
            progress,
        };
        settings.fit(&data, course).unwrap()
    }

    /// The decoder of all domains by itself.
    fn joint(&self, settings: &Gencdr) -> (tiger::Fitted, Outcome) {
        let (codes, _) = codes::encode(&[&self.vectors, &self.vectors], &settings.codes).unwrap();
        let learnt: [(&ItemCodes, &[Vec<u32>]); 2] = [(&codes[0], &self.train), (&codes[1], &self.source)];
        let course = Course {
            seed: 3,
            checkpoint: None,
            progress: &mut |_| (),
        };
        let tiger = settings.tiger();
        tiger
            .fit_domains(24, &codes[0], &learnt, &self.validation, course)
            .unwrap()
    }
}

const HISTORIES: [&[u32]; 3] = [&[5, 6, 7], &[], &[20]];

#[test]
fn a_gate_that_is_shut_leaves_the_decoder_of_all_domains() {
    let world = World::new();
    let settings = gencdr(2, Gate::Fixed(0.0));
    let (ours, outcome) = world.fit(&settings, None, &mut |_| ());
    let (joint, other) = world.joint(&settings);
    assert_eq!(all_scores(&ours, &HISTORIES), all_scores(&joint, &HISTORIES));
    assert_eq!(ours.validation_ndcg(), joint.validation_ndcg());
    assert_eq!((outcome.curve, outcome.ndcg), (other.curve, other.ndcg));
    assert!(ours.adapter().is_none());
}

#[test]
fn a_gate_that_is_open_leaves_the_decoder_with_an_adapter() {
    // Nobody chooses, as in the other training.
    let world = World::without_choice();
    let settings = gencdr(2, Gate::Fixed(1.0));
    let (ours, _) = world.fit(&settings, None, &mut |_| ());
    let (joint, _) = world.joint(&settings);
    let mut examples = Vec::new();
    for items in &world.train {
        let windows = joint.tokens().windows(items, settings.history).unwrap();
        examples.extend(windows.into_iter().map(|window| Example {
            tokens: window.tokens,
            loss_from: window.loss_from,
        }));
    }
    let config = TrainConfig {
        learning_rate: settings.adapter_rate,
        ..settings.train.clone()
    };
    let (adapter, _) = train_lora(
        joint.decoder(),
        settings.lora(),
        &examples,
        &[],
        &config,
        Seeds::both(3),
        None,
        &mut |_| (),
    )
    .unwrap();
    let values = |adapter: &Adapter| -> Vec<Vec<f32>> {
        let factors = adapter.modules.values().flat_map(|module| [&module.a, &module.b]);
        factors
            .map(|factor| factor.flatten_all().unwrap().to_vec1().unwrap())
            .collect()
    };
    assert_eq!(values(ours.adapter().unwrap()), values(&adapter));
    let folded = joint.decoder().folded(&adapter).unwrap();
    let ranker = Ranker {
        decoder: &folded,
        catalogue: joint.catalogue(),
        mass: settings.mass,
    };
    let mut alone = vec![0.0; 3 * 24];
    scores(ranker, joint.tokens(), settings.history, &HISTORIES, &mut alone).unwrap();
    assert_eq!(all_scores(&ours, &HISTORIES).concat(), alone);
    assert_ne!(
        alone,
        all_scores(&joint, &HISTORIES).concat(),
        "the adapter has learnt"
    );
}

/// Chances of all tokens by a row of logits.
fn chances(logits: &[f32]) -> Vec<f64> {
    let powers: Vec<f64> = logits.iter().map(|logit| f64::from(*logit).exp()).collect();
    let all: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / all).collect()
}

#[test]
fn an_items_chance_is_that_of_the_mixture_token_by_token_and_all_sum_to_one() {
    let world = World::without_choice();
    for gate in [Gate::Learned, Gate::Fixed(0.3)] {
        let (ours, _) = world.fit(&gencdr(3, gate), None, &mut |_| ());
        let (tokens, universal) = (ours.universal.tokens(), ours.universal.decoder());
        let adapted = ours.adapted.as_ref().unwrap();
        let folded = universal.folded(&adapted.adapter).unwrap();
        let history: [u32; 3] = [4, 9, 2];
        let found = all_scores(&ours, &[&history]).remove(0);
        let sum: f64 = found.iter().map(|score| f64::from(*score).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-4, "{sum}");
        let prompt = tokens.prompt(&history, 6).unwrap();
        let items: Vec<Vec<u32>> = (1..=24)
            .map(|item| tokens.held_out(&[], item, 6).unwrap().tokens[1..].to_vec())
            .collect();
        for (item, own) in items.iter().enumerate() {
            let text = [prompt.as_slice(), own].concat();
            let rows =
                |decoder: &crate::backbone::Decoder| decoder.logits(&text).unwrap().to_vec2::<f32>().unwrap();
            let (common, special) = (rows(universal), rows(&folded));
            let states = universal.hidden(&Pass::sequences([text.as_slice()])).unwrap();
            let states = states.to_vec2::<f32>().unwrap();
            let mut expected = 0.0;
            for depth in 0..own.len() {
                let row = prompt.len() + depth - 1;
                let share = match &adapted.gate {
                    None => 0.3,
                    Some(weight) => {
                        let weight = weight.to_vec2::<f32>().unwrap();
                        let pairs = weight[0].iter().zip(&states[row]);
                        let logit: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                        1.0 / (1.0 + (-logit).exp())
                    }
                };
                let (common, special) = (chances(&common[row]), chances(&special[row]));
                let of =
                    |token: u32| share * special[token as usize] + (1.0 - share) * common[token as usize];
                let alike = items.iter().filter(|other| other[..depth] == own[..depth]);
                let mut next: Vec<u32> = alike.map(|other| other[depth]).collect();
                next.sort_unstable();
                next.dedup();
                let all: f64 = next.into_iter().map(of).sum();
                expected += (of(own[depth]) / all).ln();
            }
            let ours = f64::from(found[item]);
            assert!(
                (ours - expected).abs() < 1e-3,
                "{gate:?} {item}: {ours} {expected}"
            );
        }
    }
}

#[test]
fn gate_and_adapter_move_and_the_mixtures_loss_falls() {
    let world = World::without_choice();
    let settings = gencdr(6, Gate::Learned);
    let (mut told, mut seconds) = (Vec::new(), Vec::new());
    let (ours, outcome) = world.fit(&settings, None, &mut |p| {
        assert_eq!(p.total, 90);
        told.push(p.step);
        seconds.push(p.seconds);
    });
    let adapted = ours.adapted.as_ref().unwrap();
    let gate = adapted.gate.as_ref().unwrap().flatten_all().unwrap();
    assert!(gate.to_vec1::<f32>().unwrap().iter().all(|value| *value != 0.0));
    let begun = TrainableLora::new(ours.universal.decoder(), settings.lora(), 3).unwrap();
    let begun = begun.adapter().unwrap();
    assert_eq!(begun.modules.len(), adapted.adapter.modules.len());
    for (name, module) in &adapted.adapter.modules {
        for (before, after) in [
            (&begun.modules[name].a, &module.a),
            (&begun.modules[name].b, &module.b),
        ] {
            let values = |factor: &Tensor| factor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_ne!(values(before), values(after), "{name}");
        }
    }
    // Ten steps an epoch of all domains, five of the target.
    assert_eq!((outcome.steps, outcome.epochs), (60 + 30, 12));
    let ends: Vec<usize> = (1..=6)
        .map(|epoch| 10 * epoch)
        .chain((1..=6).map(|epoch| 60 + 5 * epoch))
        .collect();
    assert_eq!(outcome.epoch_steps, ends);
    assert_eq!((outcome.best_epoch, outcome.ndcg.len()), (12, 0), "nobody chose");
    // One course of both: seconds of the second training come after those of the first.
    assert_eq!(told, (1..=90).collect::<Vec<_>>());
    assert!(seconds.is_sorted() && seconds[89] <= outcome.seconds);
    let mean = |steps: &[(u64, f64)]| steps.iter().map(|(_, loss)| loss).sum::<f64>() / steps.len() as f64;
    let target = &outcome.curve[60..];
    assert_eq!(target[0].0, 61);
    assert!(mean(&target[25..]) < mean(&target[..5]));
}

#[test]
fn gradients_of_the_mixtures_loss_are_those_of_differences() {
    let drawn = |shape: &[usize], key: u64| {
        let count: usize = shape.iter().product();
        let value = |at: usize| (mix(key << 32 | at as u64) % 2001) as f32 / 1000.0 - 1.0;
        Tensor::from_vec((0..count).map(value).collect::<Vec<f32>>(), shape, &Device::Cpu).unwrap()
    };
    let adapted = Var::from_tensor(&drawn(&[3, 4], 1)).unwrap();
    let weight = Var::from_tensor(&drawn(&[1, 4], 2)).unwrap();
    let (universal, head) = (drawn(&[3, 4], 3), drawn(&[5, 4], 4));
    let targets = [2, 0, 4];
    for learned in [true, false] {
        let loss = || {
            let weighing = match learned {
                true => Weighing::Learned(weight.as_tensor().clone()),
                false => Weighing::Fixed(-0.7),
            };
            mixture::loss(adapted.as_tensor(), &universal, &head, &weighing, &targets).unwrap()
        };
        let gradients = loss().backward().unwrap();
        let mut variables = vec![&adapted];
        if learned {
            variables.push(&weight);
        }
        for variable in variables {
            let gradient = gradients.get(variable.as_tensor()).unwrap();
            let gradient: Vec<f32> = gradient.flatten_all().unwrap().to_vec1().unwrap();
            let before: Vec<f32> = variable
                .as_detached_tensor()
                .flatten_all()
                .unwrap()
                .to_vec1()
                .unwrap();
            for place in 0..before.len() {
                let at = |by: f32| {
                    let mut values = before.clone();
                    values[place] += by;
                    let values = Tensor::from_vec(values, variable.shape(), &Device::Cpu).unwrap();
                    variable.set(&values).unwrap();
                    loss().to_scalar::<f32>().unwrap()
                };
                let slope = (at(1e-2) - at(-1e-2)) / 2e-2;
                at(0.0);
                assert!(
                    (slope - gradient[place]).abs() < 2e-3,
                    "{place}: {slope} {}",
                    gradient[place]
                );
            }
        }
    }
    // By hand: the mean of both chances, weighed by the gate.
    let rows = |states: &Tensor| {
        states
            .matmul(&head.t().unwrap())
            .unwrap()
            .to_vec2::<f32>()
            .unwrap()
    };
    let (own, common) = (rows(adapted.as_tensor()), rows(&universal));
    let share = 1.0 / (1.0 + 0.7f64.exp());
    let by_hand: f64 = (0..3)
        .map(|row| {
            let target = targets[row] as usize;
            let (own, common) = (chances(&own[row])[target], chances(&common[row])[target]);
            -(share * own + (1.0 - share) * common).ln()
        })
        .sum();
    let ours = mixture::loss(
        adapted.as_tensor(),
        &universal,
        &head,
        &Weighing::Fixed(-0.7),
        &targets,
    )
    .unwrap();
    assert!((f64::from(ours.to_scalar::<f32>().unwrap()) - by_hand).abs() < 1e-4);
}

#[test]
fn it_is_read_as_it_was_saved_and_the_threads_decide_nothing() {
    let world = World::without_choice();
    for gate in [Gate::Learned, Gate::Fixed(0.0), Gate::Fixed(0.5)] {
        let settings = gencdr(1, gate);
        let (one, _) = with_threads(1, || world.fit(&settings, None, &mut |_| ()));
        let (other, _) = with_threads(2, || world.fit(&settings, None, &mut |_| ()));
        assert_eq!(all_scores(&one, &HISTORIES), all_scores(&other, &HISTORIES));
        assert_eq!(
            all_scores(&one, &HISTORIES)[1],
            [0.0; 24],
            "nobody knows who has done nothing"
        );
        let folder = tempfile::tempdir().unwrap();
        let saved = folder.path().join("saved");
        one.save(&saved).unwrap();
        one.save(&saved).unwrap();
        let read = load(&saved).unwrap();
        assert_eq!(all_scores(&*read, &HISTORIES), all_scores(&one, &HISTORIES));
        assert_eq!(Fitted::load(&saved).unwrap().report(), one.report());
    }
}

#[test]
fn a_fit_that_was_killed_in_its_second_training_goes_on_to_the_same_bits() {
    let world = World::new();
    let settings = gencdr(3, Gate::Learned);
    let (whole, outcome) = world.fit(&settings, None, &mut |_| ());
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let checkpoint = Checkpoint::new(&state, "");
    // Thirty steps for all domains, then fifteen for the target.
    let killed = catch_unwind(AssertUnwindSafe(|| {
        world.fit(&settings, Some(&checkpoint), &mut |p| {
            assert!(p.step <= 38, "killed")
        });
    }));
    assert!(killed.is_err());
    let mut steps = Vec::new();
    let (again, outcome_again) = world.fit(&settings, Some(&checkpoint), &mut |p| steps.push(p.step));
    let expected: Vec<usize> = (21..=30).chain(36..=45).collect();
    assert_eq!(steps, expected, "what was in the checkpoints is not done again");
    assert_eq!(all_scores(&again, &HISTORIES), all_scores(&whole, &HISTORIES));
    assert_eq!(outcome_again.curve, outcome.curve);
    checkpoint.remove().unwrap();
    assert!(!state.exists(), "both are gone");
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let world = World::new();
    let refused = |settings: Gencdr, sources: &[Source]| {
        let data = Data {
            items: 24,
            train: &world.train,
            validation: &[],
            vectors: Some(&world.vectors),
            sources,
        };
        let course = Course {
            seed: 0,
            checkpoint: None,
            progress: &mut |_| (),
        };
        settings.fit(&data, course).unwrap_err().to_string()
    };
    assert!(refused(gencdr(1, Gate::Learned), &[]).contains("give sources"));
    let source = Source {
        items: 24,
        train: &world.source,
        vectors: Some(&world.vectors),
    };
    assert!(refused(gencdr(1, Gate::Fixed(1.5)), &[source]).contains("gate fixed at 1.5"));
    let settings: Gencdr = serde_json::from_str(r#"{"gate": {"fixed": 0.25}, "rank": 4}"#).unwrap();
    assert_eq!((settings.gate, settings.rank), (Gate::Fixed(0.25), 4));
    assert_eq!(serde_json::to_value(Gate::Learned).unwrap(), "learned");
}
