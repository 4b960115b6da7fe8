#![allow(clippy::unwrap_used)]
use candle_core::{Device, Tensor};

use super::*;
use crate::lora::Adapter;
use crate::merge::align::Member;
use crate::merge::tests::{K, Q, UP, adapter, dense};

fn inspected(adapters: &[&Adapter]) -> Vec<ModuleInspection> {
    let members = adapters.iter().map(|adapter| Member::weighing(adapter, 1.0));
    inspect(&Aligned::new(members.collect()).unwrap()).unwrap()
}

fn of<'a>(modules: &'a [ModuleInspection], name: &str) -> &'a ModuleInspection {
    modules.iter().find(|module| module.module == name).unwrap()
}

fn norm(update: &[f64]) -> f64 {
    update.iter().map(|value| value * value).sum::<f64>().sqrt()
}

fn near(one: f64, other: f64) {
    assert!((one - other).abs() < 1e-5, "{one} {other}");
}

#[test]
fn what_is_found_in_the_factors_is_what_the_dense_updates_have() {
    let (one, other) = (adapter(1, 2, 3.0, &[Q, K, UP]), adapter(2, 3, 8.0, &[Q, UP]));
    let modules = inspected(&[&one, &other]);
    assert_eq!(modules.len(), 3);
    for name in [Q, UP] {
        let (x, y) = (dense(&[(&one, 1.0)], name), dense(&[(&other, 1.0)], name));
        let inner: f64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
        let opposite = x.iter().zip(&y).filter(|(x, y)| *x * *y < 0.0).count();
        let module = of(&modules, name);
        assert_eq!(
            (&module.ranks[..], &module.true_ranks[..]),
            (&[2, 3][..], &[2, 3][..])
        );
        near(module.norms[0], norm(&x));
        near(module.norms[1], norm(&y));
        let [pair] = &module.pairs[..] else {
            panic!("{module:?}")
        };
        near(pair.inner / (norm(&x) * norm(&y)), pair.cosine);
        near(pair.cosine, inner / (norm(&x) * norm(&y)));
        assert_eq!(pair.signs.both, x.len());
        assert_eq!(pair.signs.opposite, opposite);
        assert_eq!((pair.outputs.cosines.len(), pair.inputs.cosines.len()), (2, 2));
        assert!(pair.inputs.share > 0.0 && pair.inputs.share < 1.0);
        near(pair.inputs.by_chance, 3.0 / 12.0);
    }
    let alone = of(&modules, K);
    assert!(alone.pairs.is_empty() && alone.norms[1] == 0.0 && alone.ranks == [2, 0]);
}

#[test]
fn an_update_is_one_with_itself_and_opposite_to_its_reverse() {
    let one = adapter(1, 2, 3.0, &[Q]);
    let mut reverse = one.clone();
    for module in reverse.modules.values_mut() {
        module.b = module.b.neg().unwrap();
    }
    let modules = inspected(&[&one, &one, &reverse]);
    let pairs = &modules[0].pairs;
    let places: Vec<[usize; 2]> = pairs.iter().map(|pair| pair.adapters).collect();
    assert_eq!(places, [[0, 1], [0, 2], [1, 2]]);
    for (pair, cosine) in pairs.iter().zip([1.0, -1.0, -1.0]) {
        near(pair.cosine, cosine);
        assert_eq!(pair.signs.conflict(), Some(if cosine > 0.0 { 0.0 } else { 1.0 }));
        for overlap in [&pair.outputs, &pair.inputs] {
            near(overlap.share, 1.0);
        }
    }
}

/// An adapter of rank 2 in Q that reads from two inputs and writes with these B.
fn reading(first: usize, b: &[f32]) -> Adapter {
    let mut adapter = adapter(1, 2, 2.0, &[Q]);
    let module = adapter.modules.get_mut(Q).unwrap();
    let mut a = vec![0.0f32; 24];
    a[first] = 1.0;
    a[12 + first + 1] = 2.0;
    module.a = Tensor::from_vec(a, (2, 12), &Device::Cpu).unwrap();
    module.b = Tensor::from_vec(b.to_vec(), (12, 2), &Device::Cpu).unwrap();
    adapter
}

#[test]
fn updates_of_other_inputs_have_nothing_in_common_but_where_they_write() {
    let b: Vec<f32> = (0..24).map(|place| (place as f32 * 0.9).sin()).collect();
    let modules = inspected(&[&reading(0, &b), &reading(4, &b)]);
    let pair = &modules[0].pairs[0];
    near(pair.cosine, 0.0);
    near(pair.inputs.share, 0.0);
    assert_eq!(pair.inputs.cosines.len(), 2);
    near(pair.inputs.cosines[0], 0.0);
    near(pair.outputs.share, 1.0);
    assert_eq!(pair.signs.conflict(), None, "no entry is moved by both");
}

#[test]
fn a_rank_is_what_is_used_of_it() {
    // Both columns of B are the same, so that one direction is written to.
    let b: Vec<f32> = (0..12)
        .flat_map(|place| [(place as f32 * 0.9).sin(); 2])
        .collect();
    let modules = inspected(&[&reading(0, &b)]);
    assert_eq!(
        (&modules[0].ranks[..], &modules[0].true_ranks[..]),
        (&[2][..], &[1][..])
    );
}

#[test]
fn modules_together_are_one_long_vector() {
    let (one, other) = (adapter(1, 2, 3.0, &[Q, K, UP]), adapter(2, 3, 8.0, &[Q, UP]));
    let modules = inspected(&[&one, &other]);
    let all = |adapter: &Adapter| -> Vec<f64> {
        let names = [Q, K, UP].into_iter();
        names.flat_map(|name| dense(&[(adapter, 1.0)], name)).collect()
    };
    let (x, y) = (all(&one), all(&other));
    let total = total(&modules);
    near(total.norms[0], norm(&x));
    let inner: f64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
    near(total.pairs[0].cosine, inner / (norm(&x) * norm(&y)));
    assert_eq!(total.pairs[0].signs.both, 12 * 12 + 20 * 12);
    assert_eq!(total.true_ranks, [Some([2, 2]), Some([3, 3])]);
    let names = |groups: Vec<Group>| {
        groups
            .into_iter()
            .map(|group| (group.name, group.modules))
            .collect::<Vec<_>>()
    };
    let named = |names: &[(&str, usize)]| {
        names
            .iter()
            .map(|(name, count)| (name.to_string(), *count))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(by_kind(&modules)),
        named(&[("k_proj", 1), ("q_proj", 1), ("up_proj", 1)])
    );
    assert_eq!(
        names(by_layer(&modules)),
        named(&[("layer 0", 2), ("layer 1", 1)])
    );
    assert!(by_kind(&modules)[0].pairs.is_empty() && by_kind(&modules)[0].true_ranks[1].is_none());
}
