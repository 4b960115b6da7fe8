//! Every system in a size that is fitted in a moment, and what systems read beside sequences of the target.

use super::text::{mlp, sasrec_text, unisrec};
use super::*;
use crate::nn::Parameters;
use crate::rank::Mass;
use crate::recommender::codes::CodeSettings;
use crate::recommender::tiger::learn::Sizes;
use crate::train::TrainConfig;
use crate::train::pretrain::Nascent;

/// A decoder over codes that is trained as a schedule says.
pub(super) fn tiger(schedule: &Schedule) -> Tiger {
    Tiger {
        codes: CodeSettings {
            size: 4,
            ..CodeSettings::default()
        },
        width: 32,
        inner: 48,
        layers: 2,
        heads: 2,
        history: 8,
        item_dropout: 0.1,
        mass: Mass::Catalogue,
        train: TrainConfig {
            learning_rate: schedule.learning_rate,
            epochs: schedule.epochs,
            batch_size: schedule.batch_size,
            patience: schedule.patience,
            weight_decay: 0.0,
            ..Tiger::default().train
        },
    }
}

pub(super) fn item_decoder(schedule: &Schedule) -> ItemDecoder {
    let tiger = tiger(schedule);
    ItemDecoder {
        width: tiger.width,
        inner: tiger.inner,
        layers: tiger.layers,
        heads: tiger.heads,
        history: tiger.history,
        item_dropout: tiger.item_dropout,
        train: tiger.train,
    }
}

fn recbase(schedule: &Schedule) -> Recbase {
    let tiger = tiger(schedule);
    Recbase {
        codes: tiger.codes,
        width: tiger.width,
        inner: tiger.inner,
        layers: tiger.layers,
        heads: tiger.heads,
        history: tiger.history,
        item_dropout: tiger.item_dropout,
        mass: tiger.mass,
        train: tiger.train,
    }
}

pub(super) fn gencdr(schedule: &Schedule) -> Gencdr {
    let tiger = tiger(schedule);
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
        adapter_rate: schedule.learning_rate,
        rank: 2,
        alpha: 4.0,
        gate: gencdr::Gate::Learned,
    }
}

/// UniSRec with as many epochs of pre-training as of the fit, at the same rate.
fn of_all_domains(zero_shot: bool, schedule: &Schedule) -> System {
    let settings = unisrec(zero_shot, schedule.epochs, schedule.clone());
    System::Unisrec(Unisrec {
        pretraining: Pretraining {
            learning_rate: schedule.learning_rate,
            ..settings.pretraining.clone()
        },
        ..settings
    })
}

/// Systems over items as tokens.
pub(super) fn over_tokens(schedule: &Schedule) -> Vec<(&'static str, System)> {
    vec![
        ("tiger", System::Tiger(tiger(schedule))),
        ("item-decoder", System::ItemDecoder(item_decoder(schedule))),
        ("recbase", System::Recbase(recbase(schedule))),
        ("gencdr", System::Gencdr(gencdr(schedule))),
    ]
}

/// Systems over the texts of items.
pub(super) fn over_texts(schedule: &Schedule) -> Vec<(&'static str, System)> {
    vec![
        (
            "sasrec-text",
            System::SasrecText(sasrec_text(mlp(), schedule.clone())),
        ),
        ("unisrec", of_all_domains(false, schedule)),
        ("unisrec zero-shot", of_all_domains(true, schedule)),
    ]
}

/// All systems that there are.
pub(super) fn every(schedule: &Schedule) -> Vec<(&'static str, System)> {
    let mut every = all(schedule);
    every.extend(over_tokens(schedule));
    every.extend(over_texts(schedule));
    every
}

/// Whether all domains are learnt first and then the target: twice as many epochs, of two lengths.
pub(super) fn is_two_trainings(system: &System) -> bool {
    match system {
        System::Gencdr(_) => true,
        System::Unisrec(settings) => !settings.zero_shot,
        _ => false,
    }
}

/// Items of the source.
const THEIRS: usize = 20;

/// Vectors of the target's items, and forty users of another domain with vectors of its own. Systems that read neither are not hindered.
pub(super) struct Beside {
    vectors: Vectors,
    theirs: Vectors,
    others: Vec<Vec<u32>>,
}

impl Beside {
    /// Of a target of so many items.
    pub fn of(items: usize) -> Self {
        let vectors = |key: u64, items: usize| Vectors {
            width: 12,
            values: (0..12 * items as u64)
                .map(|place| drawn(key << 32 | place, 2001) as f32 / 1000.0 - 1.0)
                .collect(),
        };
        Beside {
            vectors: vectors(1, items),
            theirs: vectors(2, THEIRS),
            others: noise(40, 6, THEIRS as u64),
        }
    }

    pub fn sources(&self) -> [Source<'_>; 1] {
        [Source {
            items: THEIRS,
            train: &self.others,
            vectors: Some(&self.theirs),
        }]
    }

    /// The data with what is beside it.
    pub fn with<'a>(&'a self, sources: &'a [Source<'a>], data: Data<'a>) -> Data<'a> {
        Data {
            vectors: Some(&self.vectors),
            sources,
            ..data
        }
    }
}

/// The first values of what a system trains and saves in one file; of GenCDR the decoder of all domains.
pub(super) fn first_values(system: &System, data: &Data, seed: u64) -> BTreeMap<String, Vec<f32>> {
    let named = |parameters: &Parameters| -> BTreeMap<String, Vec<f32>> {
        let names = parameters.iter().map(|(name, _)| name.to_owned());
        names.zip(parameters.values().unwrap()).collect()
    };
    let mut first = match system {
        System::Sasrec(_) | System::Gru4rec(_) | System::Bert4rec(_) => {
            named(model(system, data.items, seed).parameters())
        }
        System::Tiger(_) | System::ItemDecoder(_) | System::Recbase(_) | System::Gencdr(_) => {
            let sizes = Sizes::of(system, data.items).unwrap();
            named(Nascent::new(&sizes.decoder(), seed).unwrap().parameters())
        }
        System::SasrecText(settings) => {
            let model = settings.model(data.vectors.unwrap(), seed).unwrap();
            named(model.saved())
        }
        System::Unisrec(settings) => {
            let vectors = data.vectors.unwrap();
            let network = settings.network(vectors.width, seed).unwrap();
            named(settings.over(network, vectors).unwrap().saved())
        }
    };
    // Texts are read and not trained.
    first.remove("vectors");
    first
}
