//! What is measured is what a decoder written out plainly reads, and merging by it solves what it is for.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::backbone::decoder::tests::{assert_near, config_of, flat, random, weights_of};
use crate::backbone::{DecoderConfig, Family, Weights};
use crate::lora::LoraModule;
use crate::lora::attach::tests::random_adapter;
use crate::merge::align::{Aligned, Member, STATISTICS};
use crate::merge::draw::Seeded;
use crate::merge::recipe::Recipe;
use crate::merge::run::Run;
use crate::merge::setting::Setting;

type Rows = Vec<Vec<f64>>;

fn examples() -> Vec<Example> {
    let example = |tokens: &[u32], loss_from| Example {
        tokens: tokens.to_vec(),
        loss_from,
    };
    vec![
        example(&[1, 5, 2, 12, 7, 3], 3),
        example(&[4, 9, 8, 11, 10, 0, 6], 2),
        // Of one token nothing is read.
        example(&[6], 1),
    ]
}

fn decoder() -> Decoder {
    Decoder::new(
        &weights_of(Family::Llama),
        &config_of(Family::Llama),
        &Device::Cpu,
    )
    .unwrap()
}

/// What was told of progress: how many texts are read, and of how many.
type Told = Vec<(usize, usize)>;

/// All grams by module.
fn measured(adapter: &Adapter, memory: usize) -> (BTreeMap<String, Vec<f32>>, Told) {
    let (mut found, mut told) = (BTreeMap::new(), Vec::new());
    let mut keep = |gram: &Grams, sum: &Tensor| {
        assert_eq!(sum.dims(), [gram.width, gram.width]);
        for module in &gram.modules {
            assert!(
                found.insert(module.clone(), flat(sum)).is_none(),
                "{module} twice"
            );
        }
        Ok(())
    };
    let mut progress = |done, total| told.push((done, total));
    gram(&decoder(), adapter, &examples(), memory, &mut progress, &mut keep).unwrap();
    (found, told)
}

/// A Llama in f64 without any tricks, of one text at a time, with an adapter added to its weights.
struct Plain<'a> {
    weights: Weights,
    config: DecoderConfig,
    adapter: &'a Adapter,
    /// What each projection read.
    inputs: BTreeMap<String, Rows>,
}

impl Plain<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Vec<f64> {
        let values = flat(&self.weights.get(name, shape).unwrap());
        values.into_iter().map(f64::from).collect()
    }

    /// x (W + s B A)ᵀ, and x is noted.
    fn project(&mut self, module: &str, out: usize, x: &Rows) -> Rows {
        let input = x[0].len();
        let mut weight = self.tensor(&format!("{module}.weight"), &[out, input]);
        let LoraModule { a, b, scale } = &self.adapter.modules[module];
        let (a, b, rank) = (flat(a), flat(b), a.dims()[0]);
        for row in 0..out {
            for column in 0..input {
                for unit in 0..rank {
                    weight[row * input + column] +=
                        scale * f64::from(b[row * rank + unit]) * f64::from(a[unit * input + column]);
                }
            }
        }
        self.inputs
            .entry(module.to_string())
            .or_default()
            .extend(x.clone());
        let dot = |x: &[f64], w: &[f64]| x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>();
        x.iter()
            .map(|x| weight.chunks(input).map(|w| dot(x, w)).collect())
            .collect()
    }

    fn norm(&self, name: &str, x: &Rows) -> Rows {
        let weight = self.tensor(name, &[x[0].len()]);
        let of = |row: &Vec<f64>| {
            let mean = row.iter().map(|value| value * value).sum::<f64>() / row.len() as f64;
            let by = 1.0 / (mean + self.config.rms_norm_eps).sqrt();
            row.iter().zip(&weight).map(|(value, w)| value * by * w).collect()
        };
        x.iter().map(of).collect()
    }

    /// Each head's halves turned by the position.
    fn rope(&self, x: &Rows) -> Rows {
        let width = self.config.head_dim();
        let half = width / 2;
        let turn = |(position, row): (usize, &Vec<f64>)| {
            let mut turned = row.clone();
            for (place, value) in turned.iter_mut().enumerate() {
                let (start, within) = (place - place % width, place % width);
                let nth = within % half;
                let angle = position as f64 / self.config.rope_theta.powf(2.0 * nth as f64 / width as f64);
                let (first, second) = (row[start + nth], row[start + half + nth]);
                *value = match within < half {
                    true => first * angle.cos() - second * angle.sin(),
                    false => second * angle.cos() + first * angle.sin(),
                };
            }
            turned
        };
        x.iter().enumerate().map(turn).collect()
    }

    fn attention(&self, q: &Rows, k: &Rows, v: &Rows) -> Rows {
        let width = self.config.head_dim();
        let share = self.config.num_attention_heads / self.config.num_key_value_heads;
        let mut attended = vec![vec![0.0; q[0].len()]; q.len()];
        for (row, attended) in attended.iter_mut().enumerate() {
            for head in 0..self.config.num_attention_heads {
                let (own, theirs) = (head * width, head / share * width);
                let score = |other: usize| {
                    let product: f64 = (0..width).map(|i| q[row][own + i] * k[other][theirs + i]).sum();
                    (product / (width as f64).sqrt()).exp()
                };
                let scores: Vec<f64> = (0..=row).map(score).collect();
                let all: f64 = scores.iter().sum();
                for (other, score) in scores.iter().enumerate() {
                    for i in 0..width {
                        attended[own + i] += score / all * v[other][theirs + i];
                    }
                }
            }
        }
        attended
    }

    fn read(&mut self, text: &[u32]) {
        let (hidden, inner) = (self.config.hidden_size, self.config.intermediate_size);
        let (vocabulary, key_value) = (
            self.config.vocab_size,
            self.config.num_key_value_heads * self.config.head_dim(),
        );
        let embedding = self.tensor("model.embed_tokens.weight", &[vocabulary, hidden]);
        let row = |token: &u32| embedding[*token as usize * hidden..][..hidden].to_vec();
        let mut x: Rows = text.iter().map(row).collect();
        let add = |x: &mut Rows, other: Rows| {
            for (value, other) in x.iter_mut().flatten().zip(other.into_iter().flatten()) {
                *value += other;
            }
        };
        for layer in 0..self.config.num_hidden_layers {
            let at = |name: &str| format!("model.layers.{layer}.{name}");
            let normed = self.norm(&at("input_layernorm.weight"), &x);
            let q = self.project(&at("self_attn.q_proj"), hidden, &normed);
            let k = self.project(&at("self_attn.k_proj"), key_value, &normed);
            let v = self.project(&at("self_attn.v_proj"), key_value, &normed);
            let attended = self.attention(&self.rope(&q), &self.rope(&k), &v);
            add(&mut x, self.project(&at("self_attn.o_proj"), hidden, &attended));
            let normed = self.norm(&at("post_attention_layernorm.weight"), &x);
            let gate = self.project(&at("mlp.gate_proj"), inner, &normed);
            let mut activated = self.project(&at("mlp.up_proj"), inner, &normed);
            for (up, gate) in activated.iter_mut().flatten().zip(gate.into_iter().flatten()) {
                *up *= gate / (1.0 + (-gate).exp());
            }
            add(&mut x, self.project(&at("mlp.down_proj"), hidden, &activated));
        }
    }
}

#[test]
fn a_gram_is_the_product_of_what_a_plain_decoder_reads() {
    let adapter = random_adapter("one", 3);
    let mut plain = Plain {
        weights: weights_of(Family::Llama),
        config: config_of(Family::Llama),
        adapter: &adapter,
        inputs: BTreeMap::new(),
    };
    for text in [&[1, 5, 2, 12, 7][..], &[4, 9, 8, 11, 10, 0]] {
        plain.read(text);
    }
    let (found, _) = measured(&adapter, usize::MAX);
    assert_eq!(found.len(), 14);
    assert_eq!(plain.inputs.len(), 14);
    for (module, inputs) in &plain.inputs {
        assert_eq!(inputs.len(), 11);
        let width = inputs[0].len();
        let product = |place: usize| {
            let (row, column) = (place / width, place % width);
            inputs.iter().map(|x| x[row] * x[column]).sum::<f64>() as f32
        };
        let expected: Vec<f32> = (0..width * width).map(product).collect();
        // Sums of positive and negative products lose digits against the largest entry.
        let largest = expected.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        for (ours, expected) in found[module].iter().zip(&expected) {
            assert!(
                (ours - expected).abs() < 1e-4 * largest,
                "{module}: {ours} against {expected}"
            );
        }
    }
}

#[test]
fn memory_decides_how_often_texts_are_read_and_nothing_else() {
    let adapter = random_adapter("one", 3);
    let (whole, told) = measured(&adapter, usize::MAX);
    assert_eq!(told, [(1, 2), (2, 2)]);
    // Four inputs a layer, one at a time.
    let (little, told) = measured(&adapter, 1);
    assert_eq!((told.len(), told.last()), (16, Some(&(16, 16))));
    for (module, gram) in &whole {
        assert_near(&little[module], gram, 1e-6);
    }
    let of_some = |modules: &[&str]| {
        let mut adapter = adapter.clone();
        adapter
            .modules
            .retain(|name, _| modules.iter().any(|module| name.ends_with(module)));
        grams_of(&decoder(), &adapter)
    };
    let some = of_some(&["v_proj", "k_proj", "up_proj"]).unwrap();
    let names: Vec<usize> = some.iter().map(|gram| gram.modules.len()).collect();
    assert_eq!(names, [2, 1, 2, 1]);
    assert_eq!(some[0].modules[0], "model.layers.0.self_attn.k_proj");
    assert!(of_some(&["embed_tokens"]).is_err());
}

#[test]
fn what_the_head_reads_is_measured_where_it_is_adapted() {
    let mut adapter = random_adapter("one", 3);
    let factor = |part: &str, shape: [usize; 2]| random(part, &shape, 0.3);
    let module = LoraModule {
        a: factor("a", [3, 16]),
        b: factor("b", [13, 3]),
        scale: 2.0,
    };
    adapter.modules.insert(HEAD.into(), module);
    let (found, _) = measured(&adapter, 1);
    assert_eq!(found.len(), 15);
    let texts: [&[u32]; 2] = [&[1, 5, 2, 12, 7], &[4, 9, 8, 11, 10, 0]];
    let hidden = decoder()
        .folded(&adapter)
        .unwrap()
        .hidden(&Pass::sequences(texts))
        .unwrap();
    let expected = hidden.t().unwrap().matmul(&hidden).unwrap();
    assert_near(&found[HEAD], &flat(&expected), 1e-3);
}

/// Each entry off the diagonal times a number.
fn shrunk(gram: &[f32], width: usize, by: f64) -> Vec<f64> {
    let entry = |(place, value): (usize, &f32)| match place / width == place % width {
        true => f64::from(*value),
        false => by * f64::from(*value),
    };
    gram.iter().enumerate().map(entry).collect()
}

/// D G of matrices row by row, G `(width, width)`.
fn times(d: &[f64], gram: &[f64], width: usize) -> Vec<f64> {
    d.chunks(width)
        .flat_map(|row| {
            (0..width).map(move |column| (0..width).map(|k| row[k] * gram[k * width + column]).sum::<f64>())
        })
        .collect()
}

#[test]
fn merging_by_such_files_comes_nearest_to_each_members_outputs_on_its_inputs() {
    const OFF_DIAGONAL: f64 = 0.9;
    let adapters = [random_adapter("one", 3), random_adapter("two", 2)];
    let folder = tempfile::tempdir().unwrap();
    let paths = ["one", "two"].map(|name| folder.path().join(format!("{name}.gram.safetensors")));
    // What the first layer reads goes by the texts alone: each member has its own.
    let others = vec![Example {
        tokens: vec![2, 7, 3, 9, 1, 12, 5, 4],
        loss_from: 4,
    }];
    let texts = [examples(), others];
    for ((adapter, path), texts) in adapters.iter().zip(&paths).zip(&texts) {
        let written = write_gram(path, &decoder(), adapter, texts, 1, &mut |_, _| ()).unwrap();
        assert_eq!(written, 14);
    }
    let settings = json!({"off_diagonal": OFF_DIAGONAL});
    let rule = Recipe::rule("regmean", settings.as_object().unwrap().clone()).unwrap();
    let members = adapters.iter().zip(&paths).map(|(adapter, path)| Member {
        adapter,
        settings: [(STATISTICS.to_string(), Setting::File(path.clone()))].into(),
    });
    let run = Run {
        rule: &rule,
        rank: None,
        draws: &Seeded(0),
    };
    let (merged, _) = run.adapter(&Aligned::new(members.collect()).unwrap()).unwrap();
    assert_eq!(merged.modules.len(), 14);
    let files = paths.map(|path| candle_core::safetensors::load(path, &Device::Cpu).unwrap());
    let update = |adapter: &Adapter, module: &str| -> Vec<f64> {
        let values = flat(&adapter.modules[module].delta().unwrap());
        values.into_iter().map(f64::from).collect()
    };
    for (module, factors) in &merged.modules {
        let width = factors.a.dims()[1];
        let grams = [0, 1].map(|member: usize| {
            let gram = flat(&files[member][&format!("{module}.gram")]);
            shrunk(&gram, width, OFF_DIAGONAL)
        });
        let own = [0, 1].map(|member: usize| update(&adapters[member], module));
        // Σ ‖(τ − τ_i) X_i‖², and the slope of that in τ, halved.
        let residual = |tau: &[f64]| {
            let (mut sum, mut slope) = (0.0, vec![0.0; tau.len()]);
            for (own, gram) in own.iter().zip(&grams) {
                let apart: Vec<f64> = tau.iter().zip(own).map(|(tau, own)| tau - own).collect();
                let through = times(&apart, gram, width);
                sum += apart.iter().zip(&through).map(|(d, g)| d * g).sum::<f64>();
                slope.iter_mut().zip(through).for_each(|(slope, g)| *slope += g);
            }
            (sum, slope.iter().map(|value| value * value).sum::<f64>().sqrt())
        };
        let (ours, slope) = residual(&update(&merged, module));
        let mean: Vec<f64> = own[0].iter().zip(&own[1]).map(|(a, b)| (a + b) / 2.0).collect();
        let (of_mean, slope_of_mean) = residual(&mean);
        assert!(ours < of_mean, "{module}: {ours} against {of_mean} of the mean");
        assert!(
            slope < 1e-3 * slope_of_mean,
            "{module}: {slope} of {slope_of_mean}"
        );
    }
}

#[test]
fn texts_of_one_token_measure_nothing() {
    let error = gram(
        &decoder(),
        &random_adapter("one", 3),
        &examples()[2..],
        1,
        &mut |_, _| (),
        &mut |_, _| Ok(()),
    );
    assert!(error.unwrap_err().to_string().contains("two tokens"));
}
