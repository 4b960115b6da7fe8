#![allow(clippy::unwrap_used)]
use super::super::tiger::tests::{tiger, walks};
use super::super::{Needs, Recommender, Source, Vectors, load};
use super::*;
use crate::op::mix;

/// Items of each domain: so many that what is learnt of users is the groups, which take turns.
pub(in crate::recommender) const ITEMS: usize = 96;
pub(in crate::recommender) const GROUPS: usize = 4;

/// Vectors of items whose groups lie far from each other, and at the same places in every domain.
pub(in crate::recommender) fn vectors(domain: u64) -> Vectors {
    let value = |item: usize, place: usize| {
        let drawn = (mix(domain << 40 | (item as u64) << 8 | place as u64) % 1000) as f32 / 1000.0;
        let group = if place == item % GROUPS { 100.0 } else { 0.0 };
        group + drawn
    };
    let all = (0..ITEMS).flat_map(|item| (0..6).map(move |place| value(item, place)));
    Vectors {
        width: 6,
        values: all.collect(),
    }
}

/// Users who go from group to group in turn, to any item of each.
pub(in crate::recommender) fn rounds(users: u64) -> Vec<Vec<u32>> {
    let item = |user: u64, step: u64| {
        let group = (mix(user) % GROUPS as u64 + step) % GROUPS as u64;
        let within = mix(user << 8 | step) % (ITEMS / GROUPS) as u64;
        (group + GROUPS as u64 * within) as u32 + 1
    };
    (0..users)
        .map(|user| (0..6).map(|step| item(user, step)).collect())
        .collect()
}

fn recbase(epochs: usize) -> Recbase {
    let tiger = tiger(epochs);
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

fn course<'a>(progress: &'a mut dyn FnMut(crate::train::Progress)) -> Course<'a> {
    Course {
        seed: 3,
        checkpoint: None,
        progress,
    }
}

fn fitted(
    settings: &Recbase,
    train: &[Vec<u32>],
    validation: &[(Vec<u32>, u32)],
    source: &[Vec<u32>],
) -> Fitted {
    let (target, other) = (vectors(1), vectors(2));
    let sources = [Source {
        items: ITEMS,
        train: source,
        vectors: Some(&other),
    }];
    let data = Data {
        items: ITEMS,
        train,
        validation,
        vectors: Some(&target),
        sources: &sources,
    };
    settings.fit(&data, course(&mut |_| ())).unwrap().0
}

fn scores(fitted: &dyn Recommender, histories: &[&[u32]]) -> Vec<Vec<f32>> {
    let mut out = vec![0.0; histories.len() * ITEMS];
    fitted.scores(histories, &mut out).unwrap();
    out.chunks_exact(ITEMS).map(<[f32]>::to_vec).collect()
}

/// The chance that the items of the next group have after an item, in the mean over all items.
fn of_next_group(fitted: &Fitted) -> f64 {
    let histories: Vec<[u32; 1]> = (1..=ITEMS as u32).map(|item| [item]).collect();
    let histories: Vec<&[u32]> = histories.iter().map(<[u32; 1]>::as_slice).collect();
    let found = scores(fitted, &histories);
    let chance = |item: usize| -> f64 {
        let next = (0..ITEMS).filter(|other| other % GROUPS == (item + 1) % GROUPS);
        next.map(|other| f64::from(found[item][other]).exp()).sum()
    };
    (0..ITEMS).map(chance).sum::<f64>() / ITEMS as f64
}

#[test]
fn what_sources_do_is_carried_over_by_codes_alone() {
    let source = rounds(100);
    let mut settings = recbase(60);
    settings.train.learning_rate = 3e-3;
    let known = fitted(&settings, &[], &[], &source);
    assert_eq!(known.report().unwrap().items, 2 * ITEMS);
    let chance = of_next_group(&known);
    assert!(chance > 0.8, "{chance}");
    // The same decoder over codes that were dealt out anew: a quarter is chance.
    let target = known.codes().unwrap().permuted(1);
    let domains = [vectors(1), vectors(2)];
    let (codes, _) = codes::encode(&[&domains[0], &domains[1]], &settings.codes).unwrap();
    assert_eq!(Some(&codes[0]), known.codes());
    let learnt: [(&ItemCodes, &[Vec<u32>]); 1] = [(&codes[1], &source)];
    let (blind, _) = settings.fit_codes(&target, &learnt, course(&mut |_| ())).unwrap();
    let chance = of_next_group(&blind);
    assert!(chance < 0.4, "{chance}");
}

#[test]
fn what_the_target_does_is_never_read() {
    let (source, users) = (rounds(30), walks());
    let validation = vec![(vec![1, 2], 3)];
    let saved = |train: &[Vec<u32>], validation: &[(Vec<u32>, u32)]| {
        let fitted = fitted(&recbase(2), train, validation, &source);
        assert_eq!(fitted.validation_ndcg(), None);
        let folder = tempfile::tempdir().unwrap();
        let saved = folder.path().join("saved");
        fitted.save(&saved).unwrap();
        ["recommender.json", "codes.json", "model.safetensors"]
            .map(|file| std::fs::read(saved.join(file)).unwrap())
    };
    assert!(saved(&users, &validation) == saved(&[], &[]), "bytes differ");
}

#[test]
fn a_source_that_is_the_target_gives_tiger_where_nobody_chooses_an_epoch() {
    let (settings, train) = (recbase(2), rounds(30));
    let codes = codes::encode(&[&vectors(1)], &settings.codes)
        .unwrap()
        .0
        .remove(0);
    let learnt: [(&ItemCodes, &[Vec<u32>]); 1] = [(&codes, &train)];
    let (ours, outcome) = settings.fit_codes(&codes, &learnt, course(&mut |_| ())).unwrap();
    let data = Data {
        items: ITEMS,
        train: &train,
        validation: &[],
        vectors: None,
        sources: &[],
    };
    let tiger = settings.tiger();
    let (theirs, other) = tiger
        .fit_codes(codes.clone(), &data, course(&mut |_| ()))
        .unwrap();
    let histories: [&[u32]; 2] = [&[3, 4], &[17]];
    assert_eq!(scores(&ours, &histories), scores(&theirs, &histories));
    assert_eq!(outcome.curve, other.curve);
}

#[test]
fn it_is_read_as_it_was_saved_and_what_it_lacks_is_said() {
    let source = rounds(20);
    let ours = fitted(&recbase(1), &[], &[], &source);
    assert!(matches!(ours.system(), System::Recbase(_)));
    let needs = Needs {
        vectors: true,
        sources: true,
    };
    assert_eq!(ours.system().needs(), needs);
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved");
    ours.save(&saved).unwrap();
    let histories: [&[u32]; 2] = [&[3, 4], &[17]];
    let read = load(&saved).unwrap();
    assert_eq!(scores(&*read, &histories), scores(&ours, &histories));
    let target = vectors(1);
    let refused = |sources: &[Source], vectors: Option<&Vectors>| {
        let data = Data {
            items: ITEMS,
            train: &[],
            validation: &[],
            vectors,
            sources,
        };
        let found = recbase(1).fit(&data, course(&mut |_| ()));
        found.unwrap_err().to_string()
    };
    assert!(refused(&[], Some(&target)).contains("give sources"));
    let without = Source {
        items: ITEMS,
        train: &source,
        vectors: None,
    };
    assert!(refused(&[without], Some(&target)).contains("source 0 (counted from 0) has none"));
    let with = Source {
        vectors: Some(&target),
        ..without
    };
    assert!(refused(&[with], None).contains("the target has none"));
    let silent = Source { train: &[], ..with };
    assert!(refused(&[silent], Some(&target)).contains("nothing to train on"));
}
