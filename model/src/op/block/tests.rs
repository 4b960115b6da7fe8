//! The fused block against the block composed of candle's operations, and against finite differences.
#![allow(clippy::unwrap_used)]

use candle_core::Var;

use super::*;
use crate::op::composed;
use crate::op::tests::{check, random, segments, variable};

const ROWS: usize = 7;
const HEADS: Heads = Heads {
    query: 4,
    key_value: 2,
    width: 4,
};
/// `(out, in)` of the projections for rows of width 10 and an inner width of 12.
const SIZES: [(usize, usize); 7] = [(16, 10), (8, 10), (8, 10), (10, 16), (12, 10), (12, 10), (10, 12)];

/// A block with updates on the projections named, of different ranks and scales; and its factors.
fn weights(adapted: &[usize], dropout: Option<f32>) -> (BlockWeights, Vec<Var>) {
    let mut factors = Vec::new();
    let mut projection = |i: usize| {
        let ((out, input), rank, key) = (SIZES[i], 2 + i % 2, 10 * i as u64);
        let lora = adapted.contains(&i).then(|| {
            let (a, b) = (variable(&[rank, input], key + 1), variable(&[out, rank], key + 2));
            factors.extend([a.clone(), b.clone()]);
            LoraFactors {
                a: a.as_tensor().clone(),
                b: b.as_tensor().clone(),
                scale: 0.5 + 0.1 * i as f64,
                dropout: dropout.map(|p| (p, key)),
            }
        });
        Projection {
            weight: (random(&[out, input], key) * 0.4).unwrap().into(),
            bias: None,
            lora,
        }
    };
    let weights = BlockWeights {
        projections: std::array::from_fn(&mut projection),
        input_norm: random(&[10], 101),
        post_attention_norm: random(&[10], 102),
        head_norms: None,
        output_norms: None,
        activation: Activation::Silu,
    };
    (weights, factors)
}

/// A block that keeps only what it must.
fn block(
    x: &Tensor,
    weights: &BlockWeights,
    surroundings: &Surroundings,
    cache: Option<(&Tensor, &Tensor)>,
    wanted: Option<&[u32]>,
) -> Result<(Tensor, Option<(Tensor, Tensor)>)> {
    super::block(x, weights, surroundings, cache, wanted, Kept::default())
}

fn surroundings() -> Surroundings {
    Surroundings {
        heads: HEADS,
        scale: HEADS.scale(),
        window: None,
        segments: segments(&[4, 3]),
        table: RopeTable::new(&[0, 1, 2, 3, 0, 1, 2], &[1.0, 0.1]),
        eps: 1e-5,
    }
}

/// The same composed of candle's operations, as on other devices.
fn composed_block(
    x: &Tensor,
    weights: &BlockWeights,
    surroundings: &Surroundings,
    cache: Option<(&Tensor, &Tensor)>,
) -> Result<(Tensor, Option<(Tensor, Tensor)>)> {
    let cached = cache.map_or(Ok(0), |(k, _)| k.dim(0))?;
    let around = composed::Surroundings::new(surroundings, cached, x.device(), x.dtype())?;
    composed::block(x, weights, &around, cache, None, None)
}

fn check_block(adapted: &[usize], dropout: Option<f32>) {
    let (weights, factors) = weights(adapted, dropout);
    let (around, x) = (surroundings(), variable(&[ROWS, 10], 7));
    let mut inputs = factors;
    inputs.push(x.clone());
    check(
        &inputs,
        &|| block(&x, &weights, &around, None, None).unwrap().0,
        &|| composed_block(&x, &weights, &around, None).unwrap().0,
    );
}

#[test]
fn updates_everywhere() {
    check_block(&[Q, K, V, O, GATE, UP, DOWN], None);
}

#[test]
fn updates_on_some_projections_of_a_group_and_none_of_another() {
    check_block(&[Q, V, UP, DOWN], None);
}

#[test]
fn every_update_has_its_own_dropout_mask() {
    check_block(&[Q, K, O, GATE, UP, DOWN], Some(0.4));
}

#[test]
fn rows_that_nobody_asks_for_change_nothing_in_the_others() {
    let (adapted, mut factors) = weights(&[Q, K, V, O, GATE, UP, DOWN], None);
    let (x, around) = (variable(&[ROWS, 10], 7), surroundings());
    factors.push(x.clone());
    let wanted = [1u32, 4, 6];
    let rows = Tensor::new(&wanted, x.device()).unwrap();
    check(
        &factors,
        &|| block(&x, &adapted, &around, None, Some(&wanted)).unwrap().0,
        &|| {
            let (y, _) = composed_block(&x, &adapted, &around, None).unwrap();
            y.index_select(&rows, 0).unwrap()
        },
    );
    let (weights, _) = weights(&[], None);
    let x = random(&[ROWS, 10], 7);
    for wrong in [[2, 1], [1, 7]] {
        let refused = block(&x, &weights, &surroundings(), None, Some(&wrong));
        assert!(refused.unwrap_err().to_string().contains("no ascending rows"));
    }
}

#[test]
fn without_updates_the_gradient_still_passes_through() {
    check_block(&[], None);
}

#[test]
fn a_first_block_trains_without_a_gradient_of_its_input() {
    let (weights, factors) = weights(&[Q, K, V, O, GATE, UP, DOWN], None);
    let (around, x) = (surroundings(), random(&[ROWS, 10], 7));
    check(
        &factors,
        &|| block(&x, &weights, &around, None, None).unwrap().0,
        &|| composed_block(&x, &weights, &around, None).unwrap().0,
    );
}

#[test]
fn biases_and_head_norms() {
    let (mut weights, mut inputs) = weights(&[Q, K, V, DOWN], None);
    for (i, projection) in weights.projections.iter_mut().enumerate().take(3) {
        projection.bias = Some(random(&[SIZES[i].0], 200 + i as u64));
    }
    weights.head_norms = Some([random(&[4], 301), random(&[4], 302)]);
    let (around, x) = (surroundings(), variable(&[ROWS, 10], 7));
    inputs.push(x.clone());
    check(
        &inputs,
        &|| block(&x, &weights, &around, None, None).unwrap().0,
        &|| composed_block(&x, &weights, &around, None).unwrap().0,
    );
}

#[test]
fn output_norms_a_window_another_scale_and_gelu() {
    let (mut weights, mut inputs) = weights(&[Q, V, O, UP, DOWN], Some(0.3));
    weights.output_norms = Some([random(&[10], 301), random(&[10], 302)]);
    // Outputs of some size: the norm of a small one bends too much for finite differences.
    for i in [O, DOWN] {
        let weight = &mut weights.projections[i].weight;
        *weight = (weight.values().unwrap() * 5.0).unwrap().into();
    }
    weights.activation = Activation::Gelu;
    let around = Surroundings {
        scale: 0.3,
        window: Some(2),
        ..surroundings()
    };
    let x = variable(&[ROWS, 10], 7);
    inputs.push(x.clone());
    check(
        &inputs,
        &|| block(&x, &weights, &around, None, None).unwrap().0,
        &|| composed_block(&x, &weights, &around, None).unwrap().0,
    );
}

#[test]
fn packed_projections_are_their_values() {
    use candle_core::quantized::GgmlDType;
    let (mut packed, mut inputs) = weights(&[Q, V, O, UP, DOWN], None);
    // In formats whose block is one value; the larger blocks are unpacked by the same call.
    for (i, format) in [
        (Q, GgmlDType::BF16),
        (GATE, GgmlDType::F16),
        (DOWN, GgmlDType::BF16),
    ] {
        let weight = &mut packed.projections[i].weight;
        *weight = Matrix::pack(&weight.values().unwrap(), format).unwrap();
    }
    let mut unpacked = packed.clone();
    for projection in &mut unpacked.projections {
        projection.weight = projection.weight.values().unwrap().into();
    }
    let (around, x) = (surroundings(), variable(&[ROWS, 10], 7));
    inputs.push(x.clone());
    check(
        &inputs,
        &|| block(&x, &packed, &around, None, None).unwrap().0,
        &|| composed_block(&x, &unpacked, &around, None).unwrap().0,
    );
}

#[test]
fn weights_that_are_variables_get_gradients() {
    let (mut weights, _) = weights(&[], None);
    let mut variables = vec![variable(&[ROWS, 10], 7)];
    let mut make = |t: &mut Tensor| {
        let variable = Var::from_tensor(t).unwrap();
        *t = variable.as_tensor().clone();
        variables.push(variable);
    };
    make(&mut weights.input_norm);
    make(&mut weights.post_attention_norm);
    for projection in &mut weights.projections {
        let mut values = projection.weight.values().unwrap();
        make(&mut values);
        projection.weight = values.into();
    }
    let (around, x) = (surroundings(), variables[0].clone());
    check(
        &variables,
        &|| block(&x, &weights, &around, None, None).unwrap().0,
        &|| composed_block(&x, &weights, &around, None).unwrap().0,
    );
}

#[test]
fn rows_after_a_cache_equal_the_rows_of_the_whole() {
    let (mut weights, _) = weights(&[], None);
    weights.projections[Q].lora = Some(LoraFactors {
        a: random(&[3, 10], 61),
        b: random(&[16, 3], 62),
        scale: 0.7,
        dropout: None,
    });
    let x = random(&[ROWS, 10], 7);
    let positions: Vec<u32> = (0..ROWS as u32).collect();
    let around = |segments: Vec<Segment>, positions: &[u32]| Surroundings {
        segments: segments.into(),
        table: RopeTable::new(positions, &[1.0, 0.1]),
        ..surroundings()
    };
    let run = |rows: Range<usize>, context: Range<usize>| Segment {
        rows,
        context,
        ..Segment::default()
    };
    let whole = block(
        &x,
        &weights,
        &around(vec![run(0..ROWS, 0..0)], &positions),
        None,
        None,
    )
    .unwrap();
    let first = x.narrow(0, 0, 4).unwrap();
    let (_, cache) = block(
        &first,
        &weights,
        &around(vec![run(0..4, 0..0)], &positions[..4]),
        None,
        None,
    )
    .unwrap();
    let (keys, values) = cache.unwrap();
    let rest = x.narrow(0, 4, 3).unwrap().copy().unwrap();
    let around = around(vec![run(0..3, 0..4)], &positions[4..]);
    let (rest, _) = block(&rest, &weights, &around, Some((&keys, &values)), None).unwrap();
    let difference = (whole.0.narrow(0, 4, 3).unwrap() - rest).unwrap().abs().unwrap();
    let largest: f32 = difference.max_all().unwrap().to_scalar().unwrap();
    assert!(largest < 1e-5, "{largest}");
}

#[test]
fn weights_that_do_not_fit_are_refused() {
    let (mut weights, _) = weights(&[], None);
    weights.projections[DOWN].weight = random(&[10, 13], 1).into();
    let x = random(&[ROWS, 10], 7);
    assert!(block(&x, &weights, &surroundings(), None, None).is_err());
}

/// Every choice of what to keep.
fn choices() -> impl Iterator<Item = Kept> {
    (0..8).map(|bits| Kept {
        probabilities: bits & 1 != 0,
        activated: bits & 2 != 0,
        normed: bits & 4 != 0,
    })
}

#[test]
fn gradients_are_the_same_bit_for_bit_whatever_is_kept() {
    let (mut weights, mut inputs) = weights(&[Q, K, O, GATE, DOWN], Some(0.3));
    weights.head_norms = Some([random(&[4], 301), random(&[4], 302)]);
    let around = Surroundings {
        window: Some(3),
        // The first has more rows than attention takes at one time.
        segments: segments(&[70, 3]),
        table: RopeTable::new(&(0..70).chain(0..3).collect::<Vec<_>>(), &[1.0, 0.1]),
        ..surroundings()
    };
    let x = variable(&[73, 10], 7);
    inputs.push(x.clone());
    let gradients = |keep: Kept, wanted: Option<&[u32]>| -> Vec<Vec<f32>> {
        let (y, _) = super::block(&x, &weights, &around, None, wanted, keep).unwrap();
        let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        let values = |v: &Var| {
            gradients
                .get(v)
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1()
                .unwrap()
        };
        inputs.iter().map(values).collect()
    };
    for wanted in [None, Some(&[2, 66, 71][..])] {
        let nothing_kept = gradients(Kept::default(), wanted);
        for keep in choices() {
            assert!(gradients(keep, wanted) == nothing_kept, "{keep:?}, {wanted:?}");
        }
    }
}

#[test]
fn a_block_keeps_what_was_planned_and_no_byte_more() {
    let (weights, _) = weights(&[Q, V, UP], None);
    let (around, x) = (surroundings(), random(&[ROWS, 10], 7));
    let wanted = [1, 4, 6];
    let trained = joined(&weights)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1::<f32>()
        .unwrap();
    let x_values = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for wanted in [None, Some(&wanted[..])] {
        let going_on = wanted.map_or(ROWS, <[u32]>::len);
        let planned = KeptBytes::of(&weights, HEADS, &around.segments, ROWS, going_on);
        for keep in choices() {
            let mut op = BlockOp::new(&x, &weights, &around, None, wanted).unwrap();
            op.keep = keep;
            let (_, saved) = op.forward(&x_values, &trained).unwrap();
            let chosen = |keep: bool, bytes: usize| if keep { bytes } else { 0 };
            let expected = KeptBytes {
                probabilities: chosen(keep.probabilities, planned.probabilities),
                activated: chosen(keep.activated, planned.activated),
                normed: chosen(keep.normed, planned.normed),
            };
            assert_eq!(saved.kept.bytes(), expected);
        }
    }
}
