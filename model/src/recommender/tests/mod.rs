//! Systems as their users see them: what they learn, what their scores depend on, and what they refuse.
#![allow(clippy::unwrap_used)]

mod behaviour;
mod codes_cut;
mod every;
mod known_truth;
mod learning;
mod needs;
mod pytorch;
mod refused;
mod resume;
mod text;

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;

use super::next_item::Model;
use super::*;
use crate::io::safetensors;
use crate::op::mix;

/// A model of the system with first values.
fn model(system: &System, items: usize, seed: u64) -> Box<dyn Model> {
    match system {
        System::Sasrec(settings) => Box::new(settings.model(items, seed).unwrap()),
        System::Gru4rec(settings) => Box::new(settings.model(items, seed).unwrap()),
        System::Bert4rec(settings) => Box::new(settings.model(items, seed).unwrap()),
        _ => panic!("its tests are its own"),
    }
}

fn schedule(epochs: usize, learning_rate: f64) -> Schedule {
    Schedule {
        epochs,
        learning_rate,
        batch_size: 20,
        patience: 0,
        ..Schedule::default()
    }
}

fn sasrec(flavour: Flavour, loss: Loss, schedule: Schedule) -> System {
    System::Sasrec(Sasrec {
        flavour,
        loss,
        width: 32,
        heads: 2,
        inner: 48,
        dropout: 0.1,
        length: 8,
        schedule,
        ..Sasrec::default()
    })
}

fn gru4rec(schedule: Schedule) -> System {
    System::Gru4rec(Gru4rec {
        width: 32,
        hidden: 48,
        dropout: 0.1,
        length: 8,
        schedule,
        ..Gru4rec::default()
    })
}

fn bert4rec(schedule: Schedule) -> System {
    System::Bert4rec(Bert4rec {
        width: 32,
        inner: 48,
        dropout: 0.1,
        length: 8,
        schedule,
        ..Bert4rec::default()
    })
}

/// Every system over items as they are, form and loss; [`every`](every::every) has the others too.
fn all(schedule: &Schedule) -> Vec<(&'static str, System)> {
    let form = |flavour, loss| sasrec(flavour, loss, schedule.clone());
    let original = |loss| form(Flavour::Original, loss);
    vec![
        ("sasrec", original(Loss::Ce)),
        ("sasrec of recbole", form(Flavour::Recbole, Loss::Ce)),
        ("sasrec, sampled", original(Loss::Sampled { negatives: 8 })),
        (
            "sasrec, gbce",
            original(Loss::Gbce {
                negatives: 8,
                t: 0.75,
            }),
        ),
        ("sasrec, bce", original(Loss::Bce)),
        ("gru4rec", gru4rec(schedule.clone())),
        ("bert4rec", bert4rec(schedule.clone())),
    ]
}

/// A number below `below`, another one for every key.
fn drawn(key: u64, below: u64) -> u64 {
    mix(mix(key) ^ 0xD1CE) % below
}

/// Items that follow no rule.
fn noise(users: u64, length: u64, items: u64) -> Vec<Vec<u32>> {
    let sequence = |user| (0..length).map(move |i| drawn(user << 20 | i, items) as u32 + 1);
    (0..users).map(|user| sequence(user).collect()).collect()
}

/// Users whose last item is asked for, and what they had before.
fn leave_one_out(sequences: &[Vec<u32>]) -> Vec<(Vec<u32>, u32)> {
    let split = |items: &Vec<u32>| (items[..items.len() - 1].to_vec(), items[items.len() - 1]);
    sequences.iter().map(split).collect()
}

fn data<'a>(items: usize, train: &'a [Vec<u32>], validation: &'a [(Vec<u32>, u32)]) -> Data<'a> {
    Data {
        items,
        train,
        validation,
        vectors: None,
        sources: &[],
    }
}

fn fitted(system: &System, data: &Data) -> (Box<dyn Recommender>, Outcome) {
    let course = Course {
        seed: 5,
        checkpoint: None,
        progress: &mut |_| (),
    };
    fit(system, data, course).unwrap()
}

fn scores(recommender: &dyn Recommender, items: usize, histories: &[&[u32]]) -> Vec<f32> {
    let mut out = vec![f32::NAN; histories.len() * items];
    recommender.scores(histories, &mut out).unwrap();
    out
}

/// The tensors that a recommender writes.
fn tensors(recommender: &dyn Recommender) -> BTreeMap<String, Vec<f32>> {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved");
    recommender.save(&saved).unwrap();
    let tensors = safetensors::read(&saved.join("model.safetensors")).unwrap();
    let flat = |(name, tensor): (String, Tensor)| (name, tensor.flatten_all().unwrap().to_vec1().unwrap());
    tensors.into_iter().map(flat).collect()
}

/// Where a folder's checkpoint is, over no other weights.
fn kept_in(folder: &Path) -> Checkpoint {
    Checkpoint::new(folder, "")
}
