//! The same training over packed bases and on other devices.

use candle_core::Device;

use super::*;
use crate::backbone::decoder::tests::{tiny_on, weights_of_whole_blocks};
use crate::backbone::{Decoder, Precision, Weights};
use crate::op::composed::tests::{on_every_device, with_fused};

#[test]
fn a_base_in_fewer_bits_trains_as_its_values_do_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (weights, config_of_base) = weights_of_whole_blocks();
    weights.save(folder.path(), &config_of_base).unwrap();
    let trained = |weights: &Weights| {
        let decoder = Decoder::new(weights, &config_of_base, &Device::Cpu).unwrap();
        let (adapter, _) = train_lora(
            &decoder,
            lora(0.1),
            &examples(18),
            &examples(5),
            &config(),
            SEEDS,
            None,
            &mut |_| (),
        )
        .unwrap();
        values(&adapter)
    };
    with_fused(|| {
        let plain = trained(&weights);
        for precision in [Precision::Bf16, Precision::Q8, Precision::Q4] {
            let (packed, _) = Weights::open_as(folder.path(), precision).unwrap();
            assert!(packed.bytes() < weights.bytes(), "{precision:?}");
            let unpacked = tempfile::tempdir().unwrap();
            packed.save(unpacked.path(), &config_of_base).unwrap();
            let (unpacked, _) = Weights::open(unpacked.path()).unwrap();
            let adapter = trained(&packed);
            assert!(adapter == trained(&unpacked), "{precision:?}");
            assert!(
                adapter != plain,
                "{precision:?}: the base has lost no bit in the packing"
            );
        }
    });
}

/// An adapter trained on a device without dropout, whose masks differ between devices.
fn train_on(
    device: &Device,
    checkpoint: Option<&Path>,
    progress: &mut dyn FnMut(Progress),
) -> (Adapter, Outcome) {
    train_lora(
        &tiny_on(device),
        lora(0.0),
        &examples(18),
        &examples(5),
        &config(),
        SEEDS,
        checkpoint.map(kept_in).as_ref(),
        progress,
    )
    .unwrap()
}

#[test]
fn every_device_trains_the_adapter_that_the_cpu_trains_and_resumes_it() {
    let (expected, outcome) = with_fused(|| train_on(&Device::Cpu, None, &mut |_| ()));
    on_every_device(|device| {
        let (adapter, ours) = train_on(device, None, &mut |_| ());
        for ((_, a), (_, b)) in ours.curve.iter().zip(&outcome.curve) {
            assert!((a - b).abs() < 1e-3 * b, "{a} {b}");
        }
        for (a, b) in values(&adapter)
            .iter()
            .flatten()
            .zip(values(&expected).iter().flatten())
        {
            assert!((a - b).abs() < 5e-3, "{a} {b}");
        }
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = folder.path().join("state");
        let killed = std::panic::AssertUnwindSafe(|| {
            train_on(device, Some(&checkpoint), &mut |p| assert!(p.step < 11, "killed"));
        });
        assert!(std::panic::catch_unwind(killed).is_err() && checkpoint.is_dir());
        let mut first = None;
        let (resumed, _) = train_on(device, Some(&checkpoint), &mut |p| {
            first.get_or_insert(p.step);
        });
        assert_eq!(first, Some(11));
        assert_eq!(values(&resumed), values(&adapter));
    });
}
