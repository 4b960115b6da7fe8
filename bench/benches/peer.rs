//! The engine's half of the comparison with PyTorch and PEFT (`make bench-engine`); the other half is `bench/peers/engine.py`.
//!
//! `peer MODEL FOLDER export` writes to FOLDER what the peer needs to do the same work (the base as a Hugging Face folder, the initial
//! adapter as a PEFT folder, the token ids); the other tasks do the work and print losses, seconds and peak memory as JSON. `DEVICE`
//! is `cpu`, `cuda` or `metal`, `ARITHMETIC` f32 or bf16.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{Device, Tensor};
use serde_json::{Value, json};
use weaverec_model::backbone::{Decoder, DecoderConfig, Precision, Weights};
use weaverec_model::device::{Arithmetic, DeviceName};
use weaverec_model::lora::{Adapter, LoraConfig, TrainableLora};
use weaverec_model::op::linear;
use weaverec_model::rank::{Normalisation, Query, score};
use weaverec_model::train::{Example, TrainConfig, train_lora, training_flops};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const STEPS: usize = 20;
const RANK: usize = 16;
/// Small enough that rounding does not grow into another course of training.
const LEARNING_RATE: f64 = 2e-4;
/// MiB for activations, as a training has them unless told otherwise.
const ACTIVATION_MEMORY: usize = 512;
/// Steps with a packed base or other memory for activations, for time and memory alone.
const FEW_STEPS: usize = 5;
/// Rows of the products that the ceiling is measured with.
const CEILING_ROWS: usize = 1024;
const SEED: u64 = 1;
const USERS: usize = 5;

fn tokens(count: usize, key: usize) -> Vec<u32> {
    (0..count)
        .map(|i| ((i * 7919 + key * 104_729) % 40_000) as u32)
        .collect()
}

/// Each workload is one batch, seen by every step.
fn workloads() -> [(&'static str, Vec<Example>); 2] {
    let example = |length: usize, loss_from: usize, key: usize| Example {
        tokens: tokens(length + 1, key),
        loss_from,
    };
    [
        (
            "2 × 512, loss on 64",
            (0..2).map(|i| example(512, 513 - 64, i)).collect(),
        ),
        (
            "16 of 30 to 105, loss on all but 10",
            (0..16).map(|i| example(30 + 5 * i, 11, i)).collect(),
        ),
    ]
}

fn lora() -> LoraConfig {
    LoraConfig::new(RANK, 2.0 * RANK as f64)
}

fn train(
    decoder: &Decoder,
    examples: &[Example],
    steps: usize,
    activation_memory: usize,
) -> (Adapter, Value) {
    let config = TrainConfig {
        learning_rate: LEARNING_RATE,
        epochs: steps,
        batch_size: examples.len(),
        micro_batch_tokens: 1 << 20,
        activation_memory,
        warmup: 0.0,
        weight_decay: 0.0,
        clip: 1.0,
        evaluate_every: 0,
        patience: 0,
        checkpoint_every: 0,
    };
    let (mut losses, mut seconds, mut before) = (Vec::new(), Vec::new(), 0.0);
    let mut news = |p: weaverec_model::train::Progress| {
        losses.push(p.loss);
        seconds.push(p.seconds - before);
        before = p.seconds;
    };
    let (adapter, _) = train_lora(decoder, lora(), examples, &[], &config, SEED, None, &mut news).unwrap();
    (adapter, json!({ "losses": losses, "seconds": seconds }))
}

fn rank(decoder: &Decoder, queries: &[Query]) -> Value {
    let timed: Vec<(f64, Vec<f32>)> = queries
        .chunks(1)
        .map(|query| {
            let start = Instant::now();
            let scores = score(decoder, query, Normalisation::Sum, 1024).unwrap();
            (
                start.elapsed().as_secs_f64(),
                scores.into_iter().flatten().collect(),
            )
        })
        .collect();
    let (seconds, scores): (Vec<_>, Vec<_>) = timed.into_iter().unzip();
    json!({ "scores": scores, "seconds": seconds })
}

/// The fastest that products of a block's sizes run, in floating-point operations a second: what a step could at most reach.
fn ceiling(config: &DecoderConfig, device: &Device, arithmetic: Arithmetic) -> f64 {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let random = |rows: usize, cols: usize| {
        let values = Tensor::randn(0f32, 1.0, (rows, cols), device).unwrap();
        values.to_dtype(arithmetic.dtype()).unwrap()
    };
    let mut best = 0f64;
    for (out, input) in [(hidden, hidden), (inner, hidden), (hidden, inner)] {
        let (x, weight) = (random(CEILING_ROWS, input), random(out, input));
        for _ in 0..20 {
            let start = Instant::now();
            linear(&x, &weight, None).unwrap();
            device.synchronize().unwrap();
            let work = (2 * CEILING_ROWS * out * input) as f64;
            best = best.max(work / start.elapsed().as_secs_f64());
        }
    }
    best
}

/// The operations of a step on these examples; the last token of each is only predicted.
fn work(config: &DecoderConfig, examples: &[Example]) -> (u64, f64) {
    let tokens: u64 = examples.iter().map(|e| e.tokens.len() as u64 - 1).sum();
    let targets: u64 = examples
        .iter()
        .map(|e| (e.tokens.len() - e.loss_from) as u64)
        .sum();
    let length = tokens as f64 / examples.len() as f64;
    (tokens, training_flops(config, tokens, targets, length))
}

/// Largest resident memory of this process so far, bytes; 0 where the system does not say.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

fn export(folder: &Path, weights: &Weights, config: &DecoderConfig, decoder: &Decoder, queries: &[Query]) {
    weights.save(&folder.join("base"), config).unwrap();
    let initial = TrainableLora::new(decoder, lora(), SEED)
        .unwrap()
        .adapter()
        .unwrap();
    initial.save(&folder.join("adapter")).unwrap();
    let batches: serde_json::Map<String, Value> = workloads()
        .into_iter()
        .map(|(name, batch)| {
            let batch = batch
                .iter()
                .map(|e| json!({ "tokens": e.tokens, "loss_from": e.loss_from }))
                .collect();
            (name.to_string(), batch)
        })
        .collect();
    let queries: Vec<Value> = queries
        .iter()
        .map(|q| json!({ "prompt": q.prompt, "candidates": q.candidates }))
        .collect();
    let work =
        json!({ "steps": STEPS, "learning_rate": LEARNING_RATE, "batches": batches, "queries": queries });
    std::fs::write(folder.join("work.json"), work.to_string()).unwrap();
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [model, folder, task, on @ ..] = arguments.as_slice() else {
        eprintln!(
            "usage: peer MODEL FOLDER export|train:N|packed:PRECISION|kept:MIB|rank [DEVICE [ARITHMETIC]]; `make bench-engine` runs this"
        );
        std::process::exit(2);
    };
    let device: DeviceName = on
        .first()
        .map_or(Ok(DeviceName::Cpu), |name| name.parse())
        .unwrap();
    let arithmetic: Arithmetic = on.get(1).map_or(Arithmetic::F32, |name| {
        serde_json::from_value(json!(name)).unwrap()
    });
    let folder = PathBuf::from(folder);
    let packed = task.strip_prefix("packed:");
    let kept: Option<usize> = task.strip_prefix("kept:").map(|mib| mib.parse().unwrap());
    let precision = packed.map_or(Precision::F32, |name| {
        serde_json::from_value(json!(name)).unwrap()
    });
    let (weights, config) = Weights::open_as(Path::new(model), precision).unwrap();
    let device: Device = device.open().unwrap();
    let decoder = Decoder::placed(&weights, &config, &device, arithmetic).unwrap();
    let queries: Vec<Query> = (0..USERS)
        .map(|user| Query {
            prompt: tokens(400, 100 + user),
            candidates: (0..30).map(|i| tokens(10, 1000 * user + i)).collect(),
        })
        .collect();
    if task == "export" {
        export(&folder, &weights, &config, &decoder, &queries);
        return;
    }
    let base = weights.bytes();
    drop(weights);
    let mut result = match task.strip_prefix("train:") {
        Some(n) => {
            let (name, examples) = &workloads()[n.parse::<usize>().unwrap()];
            let (_, mut result) = train(&decoder, examples, STEPS, ACTIVATION_MEMORY);
            result["workload"] = json!(name);
            let (tokens, flops) = work(&config, examples);
            result["tokens"] = json!(tokens);
            result["flops"] = json!(flops);
            result["ceiling"] = json!(ceiling(&config, &device, arithmetic));
            result
        }
        None if packed.is_some() => {
            let (_, mut result) = train(&decoder, &workloads()[0].1, FEW_STEPS, ACTIVATION_MEMORY);
            result["base"] = json!(base);
            result
        }
        None if kept.is_some() => train(&decoder, &workloads()[0].1, FEW_STEPS, kept.unwrap()).1,
        None => {
            let adapter = Adapter::load(&folder.join("adapter")).unwrap();
            let beside = decoder.with_adapter(&adapter).unwrap();
            json!({
                "plain": rank(&decoder, &queries),
                "merged and folded": rank(&decoder.folded(&adapter).unwrap(), &queries),
                "adapter beside the weights": rank(&beside, &queries),
            })
        }
    };
    result["peak_memory"] = json!(peak_memory());
    println!("{result}");
}
