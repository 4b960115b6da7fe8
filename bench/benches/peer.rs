//! The engine's half of the comparison with PyTorch and PEFT (`make bench-engine`); the other half is `bench/peers/engine.py`.
//!
//! `peer MODEL PREPARED FOLDER export` writes to FOLDER what the peer needs to do the same work (the base as a Hugging Face folder, the
//! initial adapter as a PEFT folder, the token ids, among them those of prompts of the folder PREPARED); the other tasks do the work
//! and print losses, seconds and peak memory as JSON. `DEVICE` is `cpu`, `cuda` or `metal`, `ARITHMETIC` f32 or bf16.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{Device, Tensor};
use serde_json::{Value, json};
use weaverec_bench::command::rank::BATCH_TOKENS;
use weaverec_bench::experiment::encoder::Encoder;
use weaverec_model::backbone::{Decoder, DecoderConfig, Precision, Tokenizer, Weights};
use weaverec_model::device::{Arithmetic, DeviceName, peak_memory as peak_of_tensors};
use weaverec_model::lora::{Adapter, LoraConfig, TrainableLora};
use weaverec_model::op::linear;
use weaverec_model::rank::{Normalisation, Query, score};
use weaverec_model::train::{Example, Seeds, TrainConfig, train_lora, training_flops};
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::Split;

const STEPS: usize = 20;
const RANK: usize = 16;
/// Small enough that rounding does not grow into another course of training.
const LEARNING_RATE: f64 = 2e-4;
/// MiB for activations, as a training has them unless told otherwise.
const ACTIVATION_MEMORY: usize = 512;
/// Steps for time and memory alone.
const FEW_STEPS: usize = 5;
/// Rows of the products that the ceiling is measured with.
const CEILING_ROWS: usize = 1024;
/// Products between two looks at the clock on a GPU, where waiting for one alone takes longer than the product.
const PRODUCTS: usize = 50;
const SEED: u64 = 1;
/// Users with prompts of made-up tokens, the first to warm up.
const USERS: usize = 5;
/// Users with real prompts, the first to warm up.
const REAL_USERS: usize = 25;
/// Real prompts in a batch of training.
const REAL_PROMPTS: usize = 4;

fn tokens(count: usize, key: usize) -> Vec<u32> {
    (0..count)
        .map(|i| ((i * 7919 + key * 104_729) % 40_000) as u32)
        .collect()
}

/// A batch to train on, seen by every step.
struct Batch {
    name: String,
    examples: Vec<Example>,
}

/// Users to rank candidates for: one by one, or as many at a time as the engine likes.
struct Ranking {
    name: String,
    queries: Vec<Query>,
    together: bool,
}

/// What is measured.
struct Work {
    batches: Vec<Batch>,
    rankings: Vec<Ranking>,
}

impl Work {
    fn new(prepared: &Path, tokenizer: &Tokenizer) -> Self {
        let prepared = Prepared::open(prepared).unwrap();
        let (items, manifest) = (prepared.items().unwrap(), prepared.manifest());
        let encoder = Encoder::new(tokenizer, manifest.parameters.format);
        let prompts = prepared.first_prompts(Split::Train, REAL_PROMPTS).unwrap();
        let prompts = encoder.examples(&prompts).unwrap();
        let users = prepared.first_prompts(Split::Test, REAL_USERS).unwrap();
        let users: Vec<Query> = users
            .iter()
            .map(|p| encoder.query(p, &p.candidates, &items).unwrap())
            .collect();

        let example = |length: usize, loss_from: usize, key: usize| Example {
            tokens: tokens(length + 1, key),
            loss_from,
        };
        let lengths = prompts.iter().map(|e| e.tokens.len() - 1);
        let (shortest, longest) = (lengths.clone().min().unwrap(), lengths.max().unwrap());
        let answers: usize = prompts.iter().map(|e| e.tokens.len() - e.loss_from).sum();
        let batches = vec![
            Batch {
                name: "2 × 512, loss on 64".into(),
                examples: (0..2).map(|i| example(512, 513 - 64, i)).collect(),
            },
            Batch {
                name: "16 of 30 to 105, loss on all but 10".into(),
                examples: (0..16).map(|i| example(30 + 5 * i, 11, i)).collect(),
            },
            Batch {
                name: format!(
                    "{} prompts of {} of {shortest} to {longest}, loss on {}",
                    prompts.len(),
                    manifest.name,
                    answers / prompts.len()
                ),
                examples: prompts,
            },
        ];
        let mean = |count: &dyn Fn(&Query) -> usize| users.iter().map(count).sum::<usize>() / users.len();
        let titles = mean(&|q| q.candidates.len());
        let rankings = vec![
            Ranking {
                name: "30 candidates of 10 tokens after 400".into(),
                queries: (0..USERS)
                    .map(|user| Query {
                        prompt: tokens(400, 100 + user),
                        candidates: (0..30).map(|i| tokens(10, 1000 * user + i)).collect(),
                    })
                    .collect(),
                together: false,
            },
            Ranking {
                name: format!(
                    "{titles} titles of {} tokens after {}, mean of {}",
                    mean(&|q| q.candidates.iter().map(Vec::len).sum()) / titles,
                    mean(&|q| q.prompt.len()),
                    manifest.name
                ),
                queries: users,
                together: true,
            },
        ];
        Work { batches, rankings }
    }

    fn save(&self, folder: &Path) {
        let example = |e: &Example| json!({ "tokens": e.tokens, "loss_from": e.loss_from });
        let query = |q: &Query| json!({ "prompt": q.prompt, "candidates": q.candidates });
        let batches = self.batches.iter().map(
            |b| json!({ "name": b.name, "examples": b.examples.iter().map(example).collect::<Vec<_>>() }),
        );
        let rankings = self
            .rankings
            .iter()
            .map(|r| json!({ "name": r.name, "queries": r.queries.iter().map(query).collect::<Vec<_>>() }));
        let work = json!({
            "steps": STEPS,
            "few_steps": FEW_STEPS,
            "learning_rate": LEARNING_RATE,
            "batches": batches.collect::<Vec<_>>(),
            "rankings": rankings.collect::<Vec<_>>(),
        });
        std::fs::write(folder.join("work.json"), work.to_string()).unwrap();
    }
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
        keep: Default::default(),
        flat: None,
        checkpoint_every: 0,
    };
    let (mut losses, mut seconds, mut before) = (Vec::new(), Vec::new(), 0.0);
    let mut news = |p: weaverec_model::train::Progress| {
        losses.push(p.loss);
        seconds.push(p.seconds - before);
        before = p.seconds;
    };
    let seeds = Seeds::both(SEED);
    let (adapter, _) = train_lora(decoder, lora(), examples, &[], &config, seeds, None, &mut news).unwrap();
    (adapter, json!({ "losses": losses, "seconds": seconds }))
}

/// Scores and seconds a user; the first user alone, to warm up. The scores come from the device, so the clock has seen its work.
fn rank(decoder: &Decoder, ranking: &Ranking) -> Value {
    let (first, others) = ranking.queries.split_at(1);
    let at_a_time = if ranking.together { others.len() } else { 1 };
    let (mut seconds, mut scores) = (Vec::new(), Vec::new());
    for queries in std::iter::once(first).chain(others.chunks(at_a_time)) {
        let start = Instant::now();
        scores.extend(score(decoder, queries, Normalisation::Sum, BATCH_TOKENS).unwrap());
        let share = start.elapsed().as_secs_f64() / queries.len() as f64;
        seconds.extend(std::iter::repeat_n(share, queries.len()));
    }
    json!({ "scores": scores, "seconds": seconds })
}

/// Seconds a user of each decoder, user by user one decoder after another, since the machine's speed changes.
fn in_turns(decoders: &[(&str, Decoder)], queries: &[Query]) -> Value {
    let mut seconds = vec![Vec::new(); decoders.len()];
    for query in queries {
        for ((_, decoder), seconds) in decoders.iter().zip(&mut seconds) {
            let start = Instant::now();
            score(
                decoder,
                std::slice::from_ref(query),
                Normalisation::Sum,
                BATCH_TOKENS,
            )
            .unwrap();
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    let named = decoders.iter().zip(seconds);
    named
        .map(|((name, _), seconds)| ((*name).to_owned(), json!({ "seconds": seconds })))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// The fastest that products of a block's sizes run, in floating-point operations a second: what a step could at most reach.
fn ceiling(config: &DecoderConfig, device: &Device, arithmetic: Arithmetic) -> f64 {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let random = |rows: usize, cols: usize| {
        let values = Tensor::randn(0f32, 1.0, (rows, cols), device).unwrap();
        values.to_dtype(arithmetic.dtype()).unwrap()
    };
    let products = if device.is_cpu() { 1 } else { PRODUCTS };
    let mut best = 0f64;
    for (out, input) in [(hidden, hidden), (inner, hidden), (hidden, inner)] {
        let (x, weight) = (random(CEILING_ROWS, input), random(out, input));
        for _ in 0..20 {
            let start = Instant::now();
            for _ in 0..products {
                linear(&x, &weight, None).unwrap();
            }
            device.synchronize().unwrap();
            let work = (2 * products * CEILING_ROWS * out * input) as f64;
            best = best.max(work / start.elapsed().as_secs_f64());
        }
    }
    best
}

/// The operations of a step on these examples; the last token of each is only predicted.
fn operations(config: &DecoderConfig, examples: &[Example]) -> (u64, f64) {
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

fn export(folder: &Path, weights: &Weights, config: &DecoderConfig, decoder: &Decoder, work: &Work) {
    weights.save(&folder.join("base"), config).unwrap();
    let initial = TrainableLora::new(decoder, lora(), SEED)
        .unwrap()
        .adapter()
        .unwrap();
    initial.save(&folder.join("adapter")).unwrap();
    work.save(folder);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [model, prepared, folder, task, on @ ..] = arguments.as_slice() else {
        eprintln!(
            "usage: peer MODEL PREPARED FOLDER export|train:N|few:N|packed:PRECISION|kept:MIB|rank:N|adapted [DEVICE [ARITHMETIC]]; \
             `make bench-engine` runs this"
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
    let (model, folder) = (PathBuf::from(model), PathBuf::from(folder));
    let (task, of) = task.split_once(':').unwrap_or((task, ""));
    let precision = match task {
        "packed" => serde_json::from_value(json!(of)).unwrap(),
        _ => Precision::F32,
    };
    let (weights, config) = Weights::open_as(&model, precision).unwrap();
    let device: Device = device.open().unwrap();
    let decoder = Decoder::placed(&weights, &config, &device, arithmetic).unwrap();
    let work = Work::new(Path::new(prepared), &Tokenizer::open(&model).unwrap());
    if task == "export" {
        export(&folder, &weights, &config, &decoder, &work);
        return;
    }
    let base = weights.bytes();
    drop(weights);
    let first = &work.batches[0].examples;
    let mut result = match task {
        "train" => {
            let batch = &work.batches[of.parse::<usize>().unwrap()];
            let (_, mut result) = train(&decoder, &batch.examples, STEPS, ACTIVATION_MEMORY);
            let (tokens, flops) = operations(&config, &batch.examples);
            result["tokens"] = json!(tokens);
            result["flops"] = json!(flops);
            result["ceiling"] = json!(ceiling(&config, &device, arithmetic));
            result
        }
        "few" => {
            let batch = &work.batches[of.parse::<usize>().unwrap()];
            train(&decoder, &batch.examples, FEW_STEPS, ACTIVATION_MEMORY).1
        }
        "packed" => {
            let (_, mut result) = train(&decoder, first, FEW_STEPS, ACTIVATION_MEMORY);
            result["base"] = json!(base);
            result
        }
        "kept" => train(&decoder, first, FEW_STEPS, of.parse().unwrap()).1,
        "rank" => rank(&decoder, &work.rankings[of.parse::<usize>().unwrap()]),
        "adapted" => {
            let adapter = Adapter::load(&folder.join("adapter")).unwrap();
            let decoders = [
                ("plain", decoder.clone()),
                ("merged and folded", decoder.folded(&adapter).unwrap()),
                (
                    "adapter beside the weights",
                    decoder.with_adapter(&adapter).unwrap(),
                ),
            ];
            in_turns(&decoders, &work.rankings[0].queries)
        }
        _ => panic!("no task is called {task}"),
    };
    result["peak_memory"] = json!(peak_memory());
    if let Some(bytes) = peak_of_tensors(&device) {
        result["peak_memory_of_tensors"] = json!(bytes);
    }
    println!("{result}");
}
