//! The composed operations against the fused ones, on the CPU and, where `WEAVEREC_TEST_DEVICE` names one, on a GPU.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, OnceLock};

use candle_core::{DType, Device, Result, Tensor, Var};

use super::attention::{Plan, Wanted, attention};
use super::elementwise::{Angles, rope as composed_rope};
use super::{COMPOSED, applies, with_composed};
use crate::device::DeviceName;
use crate::op::attention::Attention;
use crate::op::matrix::Matrix;
use crate::op::tests::{assert_close, random, segments};
use crate::op::{
    Activation, Heads, LoraFactors, RopeTable, Segment, cross_entropy, gated, linear, log_probabilities,
    rms_norm, rope,
};

/// The device that `WEAVEREC_TEST_DEVICE` names (`cuda`, `cuda:1`, `metal`); the CPU without it.
pub(crate) fn test_device() -> Device {
    // One for all tests: tensors of two openings do not go together.
    static DEVICE: OnceLock<Device> = OnceLock::new();
    let open = || {
        let name = std::env::var("WEAVEREC_TEST_DEVICE").unwrap_or_else(|_| "cpu".into());
        name.parse::<DeviceName>().unwrap().open().unwrap()
    };
    DEVICE.get_or_init(open).clone()
}

/// Runs `f` with composed operations on the CPU, and then on the device to be tested, if there is one.
pub(crate) fn on_every_device(f: impl Fn(&Device)) {
    with_composed(|| f(&Device::Cpu));
    let device = test_device();
    match device.is_cpu() {
        true => eprintln!("skipped on a GPU: WEAVEREC_TEST_DEVICE names none"),
        false => f(&device),
    }
}

/// Runs `f` with the fused operations on the CPU, inside of [`with_composed`] too.
pub(crate) fn with_fused<R>(f: impl FnOnce() -> R) -> R {
    let before = COMPOSED.replace(false);
    let result = f();
    COMPOSED.set(before);
    result
}

/// The value of `f` for variables of these values, computed in `dtype`, and their gradients along a fixed random direction; on the CPU in
/// the end.
fn evaluate(
    values: &[Tensor],
    device: &Device,
    dtype: DType,
    f: &dyn Fn(&[Tensor], &Device) -> Tensor,
) -> (Tensor, Vec<Tensor>) {
    let variables: Vec<Var> = values
        .iter()
        .map(|values| values.to_dtype(dtype).unwrap().to_device(device).unwrap())
        .map(|values| Var::from_tensor(&values).unwrap())
        .collect();
    let inputs: Vec<Tensor> = variables.iter().map(|v| v.as_tensor().clone()).collect();
    let value = f(&inputs, device).to_dtype(DType::F32).unwrap();
    let direction = random(value.dims(), 99).to_device(device).unwrap();
    let gradients = (&value * direction)
        .unwrap()
        .sum_all()
        .unwrap()
        .backward()
        .unwrap();
    let home = |t: &Tensor| {
        let t = t.to_device(&Device::Cpu).unwrap();
        t.to_dtype(DType::F32).unwrap()
    };
    let gradients = variables
        .iter()
        .map(|v| home(gradients.get(v).unwrap()))
        .collect();
    (home(&value.detach()), gradients)
}

/// The operation has the same values and gradients on every device as fused on the CPU; and in 16 bits, but for their rounding.
fn check(shapes: &[&[usize]], f: &dyn Fn(&[Tensor], &Device) -> Tensor) {
    let values: Vec<Tensor> = (1..).zip(shapes).map(|(key, shape)| random(shape, key)).collect();
    let (expected, expected_gradients) = with_fused(|| evaluate(&values, &Device::Cpu, DType::F32, f));
    on_every_device(|device| {
        let (value, gradients) = evaluate(&values, device, DType::F32, f);
        assert_close(&value, &expected, 2e-5, "value");
        for (i, (ours, theirs)) in gradients.iter().zip(&expected_gradients).enumerate() {
            assert_close(ours, theirs, 5e-5, &format!("gradient of input {i}"));
        }
        let (value, gradients) = evaluate(&values, device, DType::BF16, f);
        assert_close_in_16_bits(&value, &expected, "value");
        for (i, (ours, theirs)) in gradients.iter().zip(&expected_gradients).enumerate() {
            assert_close_in_16_bits(ours, theirs, &format!("gradient of input {i}"));
        }
    });
}

/// Eight bits of a number's digits are left in bf16; inputs, what is between, and outputs are rounded to them.
fn assert_close_in_16_bits(ours: &Tensor, theirs: &Tensor, what: &str) {
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (ours, theirs) = (flat(ours), flat(theirs));
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs
        .iter()
        .fold(0f32, |largest, value| largest.max(value.abs()));
    for (a, b) in ours.iter().zip(&theirs) {
        assert!(
            (a - b).abs() <= 0.03 * largest,
            "{what} in 16 bits: {a} where {b} in 32, of up to {largest}"
        );
    }
}

/// What is no variable, on the device and in the type of what it is computed with.
fn frozen_like(shape: &[usize], key: u64, like: &Tensor) -> Tensor {
    frozen(shape, key, like.device()).to_dtype(like.dtype()).unwrap()
}

fn frozen(shape: &[usize], key: u64, device: &Device) -> Tensor {
    random(shape, key).to_device(device).unwrap()
}

#[test]
fn linear_with_and_without_an_update() {
    check(&[&[5, 8], &[6, 8]], &|t, _| linear(&t[0], &t[1], None).unwrap());
    check(&[&[5, 8]], &|t, _| {
        linear(&t[0], &frozen_like(&[6, 8], 9, &t[0]), None).unwrap()
    });
    let with_update = |x: &Tensor, a: &Tensor, b: &Tensor, device: &Device| {
        // Factors are in 32 bits always.
        let lora = LoraFactors {
            a: a.to_dtype(DType::F32).unwrap(),
            b: b.to_dtype(DType::F32).unwrap(),
            scale: 0.7,
            dropout: device.is_cpu().then_some((0.3, 5)),
        };
        linear(x, &frozen_like(&[6, 8], 9, x), Some(&lora)).unwrap()
    };
    check(&[&[5, 8], &[2, 8], &[6, 2]], &|t, device| {
        with_update(&t[0], &t[1], &t[2], device)
    });
    check(&[&[2, 8], &[6, 2]], &|t, device| {
        with_update(&frozen_like(&[5, 8], 7, &t[0]), &t[0], &t[1], device)
    });
}

#[test]
fn a_frozen_weight_gets_no_gradient() {
    on_every_device(|device| {
        let x = Var::from_tensor(&frozen(&[5, 8], 1, device)).unwrap();
        let w = frozen(&[6, 8], 4, device);
        let y = linear(&x, &w, None).unwrap();
        let gradients = y.sum_all().unwrap().backward().unwrap();
        assert!(gradients.get(&x).is_some() && gradients.get(&w).is_none());
    });
}

#[test]
fn norms_rotations_and_activations() {
    check(&[&[4, 19], &[19]], &|t, _| rms_norm(&t[0], &t[1], 1e-5).unwrap());
    check(&[&[4, 19]], &|t, _| {
        rms_norm(&t[0], &frozen_like(&[19], 3, &t[0]), 1e-5).unwrap()
    });
    for activation in [Activation::Silu, Activation::Gelu] {
        check(&[&[3, 21], &[3, 21]], &|t, _| {
            // Gates of some size, where the activations bend.
            gated(activation, &(&t[0] * 4.0).unwrap(), &t[1]).unwrap()
        });
    }
    let table = RopeTable::new(&[0, 5, 300], &[1.0, 0.3, 0.1, 0.01]);
    check(&[&[3, 16]], &|t, device| match applies(&t[0]) {
        true => composed_rope(&t[0], &Angles::new(&table, device, t[0].dtype()).unwrap()).unwrap(),
        false => rope(&t[0], &table).unwrap(),
    });
}

const HEADS: Heads = Heads {
    query: 4,
    key_value: 2,
    width: 8,
};

fn attend(
    [q, k, v]: [&Tensor; 3],
    segments: &Arc<[Segment]>,
    window: Option<usize>,
    cache: Option<(&Tensor, &Tensor)>,
) -> Result<Tensor> {
    let op = Attention {
        heads: HEADS,
        scale: HEADS.scale(),
        window,
        segments: segments.clone(),
        cache: cache.map(|(k, v)| (k.clone(), v.clone())),
    };
    match applies(q) {
        false => q.apply_op3(k, v, op),
        true => {
            let cached = cache.map_or(0, |(k, _)| k.dims()[0]);
            attention(q, k, v, &Arc::new(Plan::new(&op, cached, q.device())?), cache)
        }
    }
}

#[test]
fn attention_of_packed_sequences_of_any_length() {
    for lengths in [&[9][..], &[5, 1, 3], &[3, 3, 3], &[1, 8, 2, 2, 30, 1], &[70, 2]] {
        let rows = lengths.iter().sum();
        for window in [None, Some(1), Some(4)] {
            check(&[&[rows, 32], &[rows, 16], &[rows, 16]], &|t, _| {
                attend([&t[0], &t[1], &t[2]], &segments(lengths), window, None).unwrap()
            });
        }
    }
}

#[test]
fn attention_to_a_cache_and_to_rows_that_several_segments_see() {
    let run = |rows: std::ops::Range<usize>,
               context: std::ops::Range<usize>,
               after: &[std::ops::Range<usize>]| Segment {
        rows,
        context,
        after: after.to_vec(),
    };
    let tree: Arc<[Segment]> = [
        run(0..5, 0..6, &[]),
        run(5..7, 0..6, &[0..4, 4..5]),
        run(7..10, 2..6, &[0..5, 5..7]),
        run(10..30, 0..0, &[0..3, 3..7]),
    ]
    .into();
    for window in [None, Some(5)] {
        let out = |device: &Device| {
            let [q, k, v] = [32, 16, 16].map(|width| frozen(&[30, width], width as u64, device));
            let [cached_k, cached_v] = [4, 5].map(|key| frozen(&[6, 16], key, device));
            let out = attend([&q, &k, &v], &tree, window, Some((&cached_k, &cached_v))).unwrap();
            out.to_device(&Device::Cpu).unwrap()
        };
        let expected = with_fused(|| out(&Device::Cpu));
        on_every_device(|device| assert_close(&out(device), &expected, 2e-5, "values"));
    }
    on_every_device(|device| {
        let q = Var::from_tensor(&frozen(&[30, 32], 1, device)).unwrap();
        let [k, v, cached_k, cached_v] = [30, 30, 6, 6].map(|rows| frozen(&[rows, 16], rows as u64, device));
        let out = attend([&q, &k, &v], &tree, None, Some((&cached_k, &cached_v))).unwrap();
        let error = out.sum_all().unwrap().backward().unwrap_err().to_string();
        assert!(error.contains("no gradient"), "{error}");
    });
}

#[test]
fn rows_give_their_gradients_back() {
    let rows = |x: &Tensor, rows: &[u32]| match applies(x) {
        true => Wanted::new(rows, x.dims()[0], x.device()).unwrap().of(x).unwrap(),
        false => x
            .index_select(&Tensor::new(rows, x.device()).unwrap(), 0)
            .unwrap(),
    };
    check(&[&[7, 3]], &|t, _| rows(&t[0], &[6, 0, 2]));
    check(&[&[3, 2]], &|t, _| rows(&t[0], &[0, 1, 2]));
    let refused = |rows: &[u32]| Wanted::new(rows, 3, &Device::Cpu).is_err();
    assert!(refused(&[1, 1]) && refused(&[3]));
}

#[test]
fn losses_and_log_probabilities() {
    let targets: Vec<u32> = (0..70).map(|i| (i * 7 % 11) as u32).collect();
    check(&[&[70, 6], &[11, 6]], &|t, _| {
        cross_entropy(&t[0], &t[1], &targets).unwrap()
    });
    check(&[&[70, 6]], &|t, _| {
        cross_entropy(&t[0], &frozen_like(&[11, 6], 8, &t[0]), &targets).unwrap()
    });
    let asked: Vec<(usize, u32)> = (0..200).map(|i| ((i * 37) % 80, (i % 11) as u32)).collect();
    let answers = |device: &Device| {
        let (hidden, head) = (frozen(&[80, 6], 1, device), frozen(&[11, 6], 2, device));
        log_probabilities(&hidden, &head, &asked).unwrap()
    };
    let expected = with_fused(|| answers(&Device::Cpu));
    on_every_device(|device| {
        for (ours, theirs) in answers(device).iter().zip(&expected) {
            assert!((ours - theirs).abs() < 1e-5, "{ours} {theirs}");
        }
        let head = frozen(&[11, 6], 2, device);
        assert!(log_probabilities(&frozen(&[80, 6], 1, device), &head, &[(80, 0)]).is_err());
        assert!(cross_entropy(&frozen(&[1, 6], 1, device), &head, &[11]).is_err());
    });
}

#[test]
fn packed_weights_are_unpacked_where_they_are() {
    use candle_core::quantized::GgmlDType;
    let values = random(&[4, 64], 3);
    for format in [GgmlDType::BF16, GgmlDType::F16, GgmlDType::Q8_0, GgmlDType::Q4_1] {
        let packed = Matrix::pack(&values, format).unwrap();
        let expected = packed.values().unwrap();
        on_every_device(|device| {
            let placed = packed.placed(device, DType::F32).unwrap();
            let unpacked = placed.unpacked(device, DType::F32).unwrap();
            assert_close(
                &unpacked.to_device(&Device::Cpu).unwrap(),
                &expected,
                1e-6,
                "unpacked",
            );
            assert!(placed.bytes() <= 4 * 64 * 2);
        });
    }
}
