//! Every operation against a composition of candle's differentiable primitives, and against finite differences.
#![allow(clippy::unwrap_used)]

use std::ops::Range;
use std::sync::Arc;

use candle_core::{D, DType, Device, Tensor, Var};

use super::attention::Attention;
use super::*;

pub(super) fn random(shape: &[usize], key: u64) -> Tensor {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count)
        .map(|i| (mix(key ^ mix(i as u64)) >> 40) as f32 / (1 << 23) as f32 - 1.0)
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

pub(super) fn variable(shape: &[usize], key: u64) -> Var {
    Var::from_tensor(&random(shape, key)).unwrap()
}

pub(super) fn flat(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

pub(super) fn assert_close(a: &Tensor, b: &Tensor, tolerance: f32, what: &str) {
    assert_eq!(a.shape(), b.shape(), "{what}");
    for (x, y) in flat(a).into_iter().zip(flat(b)) {
        assert!(
            (x - y).abs() <= tolerance * (1.0 + y.abs()),
            "{what}: {x} is not {y}"
        );
    }
}

/// Values and gradients of `ours` agree with those of `slow`, and the gradients with central differences.
pub(super) fn check(inputs: &[Var], ours: &dyn Fn() -> Tensor, slow: &dyn Fn() -> Tensor) {
    assert_close(&ours(), &slow(), 2e-5, "value");
    // A fixed random direction makes a scalar of any output, with a gradient that differs in every element.
    let direction = random(ours().dims(), 99);
    let scalar = |t: Tensor| (t * &direction).unwrap().sum_all().unwrap();
    let (a, b) = (
        scalar(ours()).backward().unwrap(),
        scalar(slow()).backward().unwrap(),
    );
    for (i, input) in inputs.iter().enumerate() {
        let gradient = a
            .get(input)
            .unwrap_or_else(|| panic!("input {i} got no gradient"));
        assert_close(
            gradient,
            b.get(input).unwrap(),
            5e-5,
            &format!("gradient of input {i}"),
        );
        finite_differences(input, gradient, &|| {
            f64::from(scalar(ours()).to_scalar::<f32>().unwrap())
        });
    }
}

fn finite_differences(input: &Var, gradient: &Tensor, value: &dyn Fn() -> f64) {
    let (start, gradient) = (flat(input), flat(gradient));
    let step = 1e-2f32;
    for at in (0..start.len()).step_by(1 + start.len() / 7) {
        let moved = |by: f32| {
            let mut values = start.clone();
            values[at] += by;
            input
                .set(&Tensor::from_vec(values, input.shape(), &Device::Cpu).unwrap())
                .unwrap();
            value()
        };
        let estimate = (moved(step) - moved(-step)) / f64::from(2.0 * step);
        moved(0.0);
        let exact = f64::from(gradient[at]);
        assert!(
            (estimate - exact).abs() < 5e-3 * (1.0 + exact.abs()),
            "element {at}: {exact} against {estimate}"
        );
    }
}

#[test]
fn linear_with_a_trainable_weight() {
    let (x, w) = (variable(&[5, 8], 1), variable(&[6, 8], 2));
    check(
        &[x.clone(), w.clone()],
        &|| linear(&x, &w, None).unwrap(),
        &|| x.matmul(&w.t().unwrap()).unwrap(),
    );
}

#[test]
fn linear_with_lora_and_a_frozen_weight() {
    let (x, a, b) = (variable(&[5, 8], 1), variable(&[2, 8], 2), variable(&[6, 2], 3));
    let w = random(&[6, 8], 4);
    let lora = LoraFactors {
        a: a.as_tensor().clone(),
        b: b.as_tensor().clone(),
        scale: 0.7,
        dropout: None,
    };
    check(
        &[x.clone(), a.clone(), b.clone()],
        &|| linear(&x, &w, Some(&lora)).unwrap(),
        &|| {
            let low = x
                .matmul(&a.t().unwrap())
                .unwrap()
                .matmul(&b.t().unwrap())
                .unwrap();
            (x.matmul(&w.t().unwrap()).unwrap() + (low * 0.7).unwrap()).unwrap()
        },
    );
}

#[test]
fn a_frozen_weight_gets_no_gradient() {
    let (x, w) = (variable(&[5, 8], 1), random(&[6, 8], 4));
    let gradients = linear(&x, &w, None)
        .unwrap()
        .sum_all()
        .unwrap()
        .backward()
        .unwrap();
    assert!(gradients.get(&w).is_none());
    assert!(gradients.get(&x).is_some());
}

#[test]
fn dropout_masks_the_backward_as_it_masked_the_forward() {
    let (x, a, b) = (variable(&[40, 8], 1), variable(&[2, 8], 2), variable(&[6, 2], 3));
    let w = random(&[6, 8], 4).zeros_like().unwrap();
    let with_key = |key| {
        let dropout = Some((0.25, key));
        let lora = LoraFactors {
            a: a.as_tensor().clone(),
            b: b.as_tensor().clone(),
            scale: 1.0,
            dropout,
        };
        linear(&x, &w, Some(&lora)).unwrap()
    };
    // With A the identity of the inputs, what comes through is the mask.
    let identity = LoraFactors {
        a: Tensor::eye(8, DType::F32, &Device::Cpu).unwrap(),
        b: Tensor::eye(8, DType::F32, &Device::Cpu).unwrap(),
        scale: 1.0,
        dropout: Some((0.25, 5)),
    };
    let zero = Tensor::zeros((8, 8), DType::F32, &Device::Cpu).unwrap();
    let mask = (linear(&x, &zero, Some(&identity)).unwrap() / x.as_tensor())
        .unwrap()
        .detach();
    let dropped = flat(&mask).iter().filter(|m| **m == 0.0).count() as f64 / 320.0;
    assert!(
        (0.17..0.33).contains(&dropped),
        "{dropped} of the inputs were dropped"
    );
    check(&[x.clone(), a.clone(), b.clone()], &|| with_key(5), &|| {
        let masked = (x.as_tensor() * &mask).unwrap();
        masked
            .matmul(&a.t().unwrap())
            .unwrap()
            .matmul(&b.t().unwrap())
            .unwrap()
    });
    assert_ne!(flat(&with_key(5)), flat(&with_key(6)));
}

#[test]
fn rms_norm_with_a_trainable_weight() {
    let (x, w) = (variable(&[4, 19], 1), variable(&[19], 2));
    check(
        &[x.clone(), w.clone()],
        &|| rms_norm(&x, &w, 1e-5).unwrap(),
        &|| candle_nn::ops::rms_norm_slow(&x, &w, 1e-5).unwrap(),
    );
}

#[test]
fn rope_at_scattered_positions() {
    let x = variable(&[3, 16], 1); // two heads of width 8
    let positions = [0u32, 5, 300];
    let frequencies = [1.0f32, 0.3, 0.1, 0.01];
    let table = RopeTable::new(&positions, &frequencies);
    let angles: Vec<f32> = positions
        .iter()
        .flat_map(|p| frequencies.map(|f| *p as f32 * f))
        .collect();
    let angles = Tensor::from_vec(angles, (3, 4), &Device::Cpu).unwrap();
    let (cos, sin) = (angles.cos().unwrap(), angles.sin().unwrap());
    check(std::slice::from_ref(&x), &|| rope(&x, &table).unwrap(), &|| {
        let heads: Vec<Tensor> = (0..2)
            .map(|h| {
                let head = x
                    .narrow(1, h * 8, 8)
                    .unwrap()
                    .contiguous()
                    .unwrap()
                    .reshape((1, 1, 3, 8))
                    .unwrap();
                candle_nn::rotary_emb::rope_slow(&head, &cos, &sin)
                    .unwrap()
                    .reshape((3, 8))
                    .unwrap()
            })
            .collect();
        Tensor::cat(&heads, 1).unwrap()
    });
}

#[test]
fn gated_activations_of_both_inputs() {
    let (gate, up) = (variable(&[3, 21], 1), variable(&[3, 21], 2));
    let inputs = [gate.clone(), up.clone()];
    check(&inputs, &|| gated(Activation::Silu, &gate, &up).unwrap(), &|| {
        (candle_nn::ops::silu(&gate).unwrap() * up.as_tensor()).unwrap()
    });
    check(&inputs, &|| gated(Activation::Gelu, &gate, &up).unwrap(), &|| {
        (gate.gelu().unwrap() * up.as_tensor()).unwrap()
    });
}

/// Attention written out with candle's primitives: a head and a segment at a time, a mask of large negative numbers.
fn slow_attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: Heads, lengths: &[usize]) -> Tensor {
    slow_attention_in_a_window([q, k, v], heads, lengths, usize::MAX)
}

fn slow_attention_in_a_window(
    [q, k, v]: [&Tensor; 3],
    heads: Heads,
    lengths: &[usize],
    window: usize,
) -> Tensor {
    let w = heads.width;
    let mut rows = Vec::new();
    let mut start = 0;
    for length in lengths {
        let columns: Vec<Tensor> = (0..heads.query)
            .map(|h| {
                let group = h / (heads.query / heads.key_value);
                let part = |t: &Tensor, head: usize| {
                    t.narrow(0, start, *length)
                        .unwrap()
                        .narrow(1, head * w, w)
                        .unwrap()
                        .contiguous()
                        .unwrap()
                };
                let scores = part(q, h).matmul(&part(k, group).t().unwrap()).unwrap();
                let mask: Vec<f32> = (0..length * length)
                    .map(|i| (i / length, i % length))
                    .map(|(row, seen)| {
                        if seen > row || row - seen >= window {
                            -1e9
                        } else {
                            0.0
                        }
                    })
                    .collect();
                let mask = Tensor::from_vec(mask, (*length, *length), &Device::Cpu).unwrap();
                let scores = ((scores * (1.0 / (w as f64).sqrt())).unwrap() + mask).unwrap();
                candle_nn::ops::softmax(&scores, D::Minus1)
                    .unwrap()
                    .matmul(&part(v, group))
                    .unwrap()
            })
            .collect();
        rows.push(Tensor::cat(&columns, 1).unwrap());
        start += length;
    }
    Tensor::cat(&rows, 0).unwrap()
}

pub(super) fn segments(lengths: &[usize]) -> Arc<[Segment]> {
    let ends = lengths.iter().scan(0, |end, n| {
        *end += n;
        Some(*end)
    });
    ends.zip(lengths)
        .map(|(end, n)| Segment {
            rows: end - n..end,
            ..Segment::default()
        })
        .collect()
}

#[test]
fn attention_keeps_packed_sequences_apart() {
    let heads = Heads {
        query: 4,
        key_value: 2,
        width: 8,
    };
    let (q, k, v) = (
        variable(&[9, 32], 1),
        variable(&[9, 16], 2),
        variable(&[9, 16], 3),
    );
    let lengths = [5, 1, 3];
    for threads in [1, 2] {
        let ours = || {
            with_threads(threads, || {
                attention(&q, &k, &v, heads, &segments(&lengths), None).unwrap()
            })
        };
        check(&[q.clone(), k.clone(), v.clone()], &ours, &|| {
            slow_attention(&q, &k, &v, heads, &lengths)
        });
    }
}

#[test]
fn attention_in_a_window_sees_the_last_positions_alone() {
    let heads = Heads {
        query: 2,
        key_value: 1,
        width: 4,
    };
    let (q, k, v) = (
        variable(&[80, 8], 1),
        variable(&[80, 4], 2),
        variable(&[80, 4], 3),
    );
    // Also with more rows than a block.
    for (lengths, window) in [([9, 71], 3), ([70, 10], 1), ([2, 78], 100)] {
        let windowed = |segments: Arc<[Segment]>| Attention {
            heads,
            scale: heads.scale(),
            window: Some(window),
            segments,
            cache: None,
        };
        let inputs = [q.clone(), k.clone(), v.clone()];
        check(
            &inputs,
            &|| q.apply_op3(&k, &v, windowed(segments(&lengths))).unwrap(),
            &|| slow_attention_in_a_window([&q, &k, &v], heads, &lengths, window),
        );
        // A window reaches into what several segments see.
        let whole = q.apply_op3(&k, &v, windowed(segments(&[80]))).unwrap();
        let parts = [0..7, 7..80].map(|rows| Segment {
            after: std::iter::once(0..rows.start).collect(),
            rows,
            ..Segment::default()
        });
        let parts = q.apply_op3(&k, &v, windowed(parts.into())).unwrap();
        assert_close(&parts, &whole, 1e-6, "a window over two segments");
    }
}

#[test]
fn attention_over_more_rows_than_a_block() {
    let heads = Heads {
        query: 2,
        key_value: 1,
        width: 4,
    };
    let lengths = [150, 2];
    let (q, k, v) = (
        variable(&[152, 8], 1),
        variable(&[152, 4], 2),
        variable(&[152, 4], 3),
    );
    check(
        &[q.clone(), k.clone(), v.clone()],
        &|| attention(&q, &k, &v, heads, &segments(&lengths), None).unwrap(),
        &|| slow_attention(&q, &k, &v, heads, &lengths),
    );
}

#[test]
fn attention_over_a_cache_equals_attention_over_the_whole() {
    let heads = Heads {
        query: 2,
        key_value: 1,
        width: 4,
    };
    // Also with more rows after the cache than a block.
    for (seen, rows) in [(4, 3), (5, 100)] {
        let all = seen + rows;
        let (q, k, v) = (random(&[all, 8], 1), random(&[all, 4], 2), random(&[all, 4], 3));
        let whole = attention(&q, &k, &v, heads, &segments(&[all]), None).unwrap();
        let part = |t: &Tensor, from: usize, n: usize| t.narrow(0, from, n).unwrap().contiguous().unwrap();
        let (cached_k, cached_v) = (part(&k, 0, seen), part(&v, 0, seen));
        let later: Arc<[Segment]> = [Segment {
            rows: 0..rows,
            context: 0..seen,
            ..Segment::default()
        }]
        .into();
        let [q, k, v] = [&q, &k, &v].map(|t| part(t, seen, rows));
        let cached = Some((&cached_k, &cached_v));
        let out = attention(&q, &k, &v, heads, &later, cached).unwrap();
        assert_close(&out, &part(&whole, seen, rows), 1e-6, "rows after the cache");
    }
}

#[test]
fn attention_after_rows_that_several_segments_see_equals_attention_over_each_whole() {
    let heads = Heads {
        query: 2,
        key_value: 1,
        width: 4,
    };
    // A prompt of 5 rows, a beginning of 2, and two endings of 3 and 70 (more than a block) that both go on from it.
    let (q, k, v) = (random(&[80, 8], 1), random(&[80, 4], 2), random(&[80, 4], 3));
    let run = |rows: Range<usize>, after: &[Range<usize>]| Segment {
        rows,
        after: after.to_vec(),
        ..Segment::default()
    };
    let tree: Arc<[Segment]> = [
        run(0..5, &[]),
        run(5..7, &[0..4, 4..5]),
        run(7..10, &[0..5, 5..7]),
        run(10..80, &[0..3, 3..7]),
    ]
    .into();
    let ours = attention(&q, &k, &v, heads, &tree, None).unwrap();
    for ending in [7..10, 10..80] {
        let whole = |t: &Tensor| {
            let part = |rows: &Range<usize>| t.narrow(0, rows.start, rows.len()).unwrap();
            Tensor::cat(&[part(&(0..7)), part(&ending)], 0).unwrap()
        };
        let rows = 7 + ending.len();
        let alone = attention(
            &whole(&q),
            &whole(&k),
            &whole(&v),
            heads,
            &segments(&[rows]),
            None,
        )
        .unwrap();
        assert_close(&whole(&ours), &alone, 1e-6, "rows after shared ones");
    }
    let ahead: Arc<[Segment]> = [run(0..5, &[5..6, 6..7]), run(5..80, &[])].into();
    assert!(attention(&q, &k, &v, heads, &ahead, None).is_err());
}

#[test]
fn attention_refuses_segments_with_gaps_and_contexts_beyond_the_cache() {
    let heads = Heads {
        query: 1,
        key_value: 1,
        width: 4,
    };
    let x = random(&[4, 4], 1);
    let gap: Arc<[Segment]> = [
        Segment {
            rows: 0..1,
            ..Segment::default()
        },
        Segment {
            rows: 2..4,
            ..Segment::default()
        },
    ]
    .into();
    assert!(attention(&x, &x, &x, heads, &gap, None).is_err());
    let beyond: Arc<[Segment]> = [Segment {
        rows: 0..4,
        context: 0..5,
        ..Segment::default()
    }]
    .into();
    assert!(attention(&x, &x, &x, heads, &beyond, Some((&x, &x))).is_err());
}

#[test]
fn cross_entropy_over_more_rows_than_a_block() {
    let (hidden, head) = (variable(&[70, 6], 1), variable(&[11, 6], 2));
    let targets: Vec<u32> = (0..70).map(|i| (i * 7 % 11) as u32).collect();
    let ids = Tensor::new(targets.as_slice(), &Device::Cpu).unwrap();
    check(
        &[hidden.clone(), head.clone()],
        &|| cross_entropy(&hidden, &head, &targets).unwrap(),
        &|| {
            let logits = hidden.matmul(&head.t().unwrap()).unwrap();
            (candle_nn::loss::cross_entropy(&logits, &ids).unwrap() * 70.0).unwrap()
        },
    );
}

#[test]
fn cross_entropy_reaches_what_its_head_was_computed_from() {
    // A head of vectors that an adapter maps: the adapter is the variable, and the head is none.
    let vectors = random(&[11, 4], 3);
    let targets: Vec<u32> = (0..9).map(|i| (i * 7 % 11) as u32).collect();
    let ids = Tensor::new(targets.as_slice(), &Device::Cpu).unwrap();
    for composed in [false, true] {
        let (hidden, adapter) = (variable(&[9, 6], 1), variable(&[6, 4], 2));
        let ours = || {
            let head = linear(&vectors, &adapter, None).unwrap();
            cross_entropy(&hidden, &head, &targets).unwrap()
        };
        let slow = || {
            let head = vectors.matmul(&adapter.t().unwrap()).unwrap();
            let logits = hidden.matmul(&head.t().unwrap()).unwrap();
            (candle_nn::loss::cross_entropy(&logits, &ids).unwrap() * 9.0).unwrap()
        };
        let inputs = [hidden.clone(), adapter.clone()];
        match composed {
            false => check(&inputs, &ours, &slow),
            true => with_composed(|| check(&inputs, &ours, &slow)),
        }
    }
}

#[test]
fn log_probabilities_answer_in_the_order_asked() {
    let (hidden, head) = (random(&[80, 6], 1), random(&[11, 6], 2));
    let logits = hidden.matmul(&head.t().unwrap()).unwrap();
    let all: Vec<Vec<f32>> = candle_nn::ops::log_softmax(&logits, D::Minus1)
        .unwrap()
        .to_vec2()
        .unwrap();
    let asked: Vec<(usize, u32)> = (0..200).map(|i| ((i * 37) % 80, (i % 11) as u32)).collect();
    let answers = log_probabilities(&hidden, &head, &asked).unwrap();
    for ((row, token), answer) in asked.iter().zip(answers) {
        assert!((answer - all[*row][*token as usize]).abs() < 1e-5);
    }
    assert!(log_probabilities(&hidden, &head, &[(80, 0)]).is_err());
}
