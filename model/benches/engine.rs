//! What a user waits for: a LoRA step and the ranking of one user's candidates, on decoders with random weights.
//!
//! `nano` is the quick profile's backbone, `smollm2` has the sizes of SmolLM2-135M. Rates are tokens a second.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use candle_core::{Device, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weaverec_model::backbone::nano::NanoConfig;
use weaverec_model::backbone::{Decoder, DecoderConfig};
use weaverec_model::lora::LoraConfig;
use weaverec_model::rank::{Normalisation, Query, score};
use weaverec_model::train::{Example, Seeds, TrainConfig, train_lora};

fn decoder(config: &DecoderConfig) -> Decoder {
    Decoder::from_parameters(config, |_, shape| {
        Ok(match shape.len() {
            1 => Tensor::ones(shape, candle_core::DType::F32, &Device::Cpu)?,
            _ => Tensor::randn(0f32, 0.02, shape, &Device::Cpu)?,
        })
    })
    .unwrap()
}

fn nano() -> Decoder {
    let sizes = NanoConfig {
        vocabulary: 2048,
        width: 128,
        inner: 352,
        layers: 4,
        heads: 4,
        key_value_heads: 2,
    };
    decoder(&sizes.llama(0))
}

fn smollm2() -> Decoder {
    let sizes = NanoConfig {
        vocabulary: 49_152,
        width: 576,
        inner: 1536,
        layers: 30,
        heads: 9,
        key_value_heads: 3,
    };
    decoder(&sizes.llama(0))
}

fn tokens(count: usize, key: usize) -> Vec<u32> {
    (0..count)
        .map(|i| ((i * 7919 + key * 104_729) % 2000) as u32)
        .collect()
}

/// One optimiser step on `count` examples of `length` tokens, loss on the last `answer` of each.
fn step(
    c: &mut Criterion,
    name: &str,
    decoder: &Decoder,
    rank: usize,
    (count, length, answer): (usize, usize, usize),
) {
    let examples: Vec<Example> = (0..count)
        .map(|i| Example {
            tokens: tokens(length + 1, i),
            loss_from: length + 1 - answer,
        })
        .collect();
    let config = TrainConfig {
        learning_rate: 1e-4,
        epochs: 1,
        batch_size: count,
        micro_batch_tokens: count * length,
        activation_memory: 512,
        warmup: 0.0,
        weight_decay: 0.0,
        clip: 1.0,
        evaluate_every: 0,
        patience: 0,
        keep: Default::default(),
        flat: None,
        checkpoint_every: 0,
    };
    let mut group = c.benchmark_group("lora step");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5))
        .throughput(Throughput::Elements((count * length) as u64));
    group.bench_function(name, |b| {
        b.iter(|| {
            let lora = LoraConfig::new(rank, 2.0 * rank as f64);
            let seeds = Seeds::both(1);
            black_box(train_lora(decoder, lora, &examples, &[], &config, seeds, None, &mut |_| ()).unwrap())
        });
    });
    group.finish();
}

fn ranking(c: &mut Criterion, name: &str, decoder: &Decoder, prompt: usize, candidates: usize) {
    let candidates = (0..candidates).map(|i| tokens(10, i + 1)).collect();
    let query = [Query {
        prompt: tokens(prompt, 0),
        candidates,
    }];
    let mut group = c.benchmark_group("ranking one user");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    group.bench_function(name, |b| {
        b.iter(|| black_box(score(decoder, &query, Normalisation::Sum, 1024).unwrap()));
    });
    group.finish();
}

fn engine(c: &mut Criterion) {
    let small = nano();
    step(c, "nano, 8 × 80, loss on 72", &small, 8, (8, 80, 72));
    ranking(c, "nano, 80 + 10 × 10", &small, 80, 10);
    let large = smollm2();
    step(c, "smollm2, 2 × 512, loss on 64", &large, 16, (2, 512, 64));
    ranking(c, "smollm2, 400 + 30 × 10", &large, 400, 30);
}

criterion_group!(benches, engine);
criterion_main!(benches);
