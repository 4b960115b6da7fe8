//! What must hold of the weights that FeDecider and MergeRec learn, on a decoder of a few thousand parameters.
#![allow(clippy::unwrap_used)]

use super::descent::Weighing;
use super::tests::{ROOM, cases, two};
use super::*;
use crate::backbone::decoder::tests::{TEXTS, assert_near, flat, tiny};
use crate::lora::attach::tests::random_adapter;
use crate::merge::align::{Aligned, Member, WEIGHT};
use crate::merge::draw::Seeded;
use crate::merge::receipt::difference;
use crate::merge::rule::Rule;
use crate::merge::run::Run;
use crate::merge::weighted;
use crate::rank::{Normalisation, Query};

/// The same update, so many times as long.
fn times(adapter: &Adapter, factor: f64) -> Adapter {
    let mut longer = adapter.clone();
    longer
        .modules
        .values_mut()
        .for_each(|module| module.scale *= factor);
    longer
}

/// What a rule makes of members of these weights.
fn merged(rule: &Rule, adapters: &[&Adapter], lambda: &Lambda) -> Adapter {
    let members = adapters.iter().copied().enumerate();
    let members = members.map(|(place, adapter)| Member {
        adapter,
        settings: [(WEIGHT.to_string(), lambda.setting(place))].into(),
    });
    let run = Run {
        rule,
        rank: None,
        draws: &Seeded(0),
    };
    run.adapter(&Aligned::new(members.collect()).unwrap()).unwrap().0
}

fn sum(adapters: &[&Adapter], lambda: &Lambda) -> Adapter {
    merged(&Rule::named("cat").unwrap(), adapters, lambda)
}

fn apart(one: &Adapter, other: &Adapter) -> f64 {
    difference(one, other).unwrap().0
}

fn chosen(descent: &Descent, adapters: &[&Adapter], cases: &[Case]) -> Chosen {
    let weights = Weights::Descent(descent.clone());
    choose(&tiny(), adapters, &weights, cases, ROOM, &mut |_, _| ()).unwrap()
}

fn short(descent: Descent) -> Descent {
    Descent {
        steps: Some(6),
        batch_size: 3,
        ..descent
    }
}

#[test]
fn fedecider_begins_at_the_target_alone_to_the_last_bit() {
    let [one, two] = two();
    let directions = Directions::new(&[&one, &two], 1).unwrap();
    let start = Lambda::Adapter(vec![1.0, 0.0]);
    let Lambda::Module(weights) = directions.of_updates(&start).unwrap() else {
        panic!("lengths differ from module to module");
    };
    assert_eq!(weights.len(), 14);
    assert!(weights.values().all(|weights| *weights == [1.0, 0.0]));
    let stacked = Stacked::new(&tiny(), &directions.adapters()).unwrap();
    let objective = Answer::default();
    let descent = Descent::fedecider();
    let weighing = Weighing::new(&stacked, &objective, descent.form, descent.per, descent.start).unwrap();
    assert_eq!(weighing.lambda().unwrap(), start);
    stacked.weigh(&start).unwrap();
    assert_near(
        &flat(&stacked.frozen().logits(TEXTS[0]).unwrap()),
        &flat(&tiny().folded(&one).unwrap().logits(TEXTS[0]).unwrap()),
        1e-4,
    );
    let found = chosen(&short(descent), &[&one, &two], &cases());
    assert_eq!(found.curve[0].lambda, [1.0, 0.0]);
    assert!(
        found.after <= found.before,
        "{:?} {:?}",
        found.before,
        found.after
    );
}

#[test]
fn weights_of_directions_are_those_of_the_rule_that_merges_directions() {
    let [one, two] = two();
    let lambda = Lambda::Adapter(vec![0.7, 0.4]);
    for target in [1, 2] {
        let directions = Directions::new(&[&one, &two], target).unwrap();
        let of_updates = directions.of_updates(&lambda).unwrap();
        let settings = serde_json::json!({"target": target});
        let rule = Rule::with("fedecider", settings.as_object().unwrap().clone()).unwrap();
        let expected = merged(&rule, &[&one, &two], &lambda);
        assert!(apart(&sum(&[&one, &two], &of_updates), &expected) < 1e-5);
    }
    assert!(Directions::new(&[&one, &two], 3).is_err());
}

#[test]
fn the_length_of_a_source_changes_nothing_of_directions_and_much_of_updates() {
    let [one, two] = two();
    let longer = times(&two, 3.0);
    let learnt = |descent: Descent| {
        let descent = short(descent);
        [&two, &longer].map(|source| {
            let found = chosen(&descent, &[&one, source], &cases());
            (sum(&[&one, source], &found.lambda), found)
        })
    };
    let [(plain, found), (scaled, again)] = learnt(Descent::fedecider());
    for (point, same) in found.curve.iter().zip(&again.curve) {
        for (weight, other) in point.lambda.iter().zip(&same.lambda) {
            assert!((weight - other).abs() < 1e-3, "{point:?} {same:?}");
        }
    }
    assert!(apart(&plain, &scaled) < 1e-2, "{}", apart(&plain, &scaled));
    // Told of the updates themselves, the weights of a longer one are smaller.
    let Lambda::Module(weights) = &again.lambda else {
        panic!("lengths differ from module to module");
    };
    let Lambda::Module(before) = &found.lambda else {
        panic!("lengths differ from module to module");
    };
    for (module, weights) in weights {
        let ratio = before[module][1] / weights[1];
        assert!(
            before[module][1] == 0.0 || (ratio - 3.0).abs() < 0.3,
            "{module}: {ratio}"
        );
    }
    let [(plain, _), (scaled, _)] = learnt(Descent::learned_sum());
    assert!(apart(&plain, &scaled) > 1e-3);
}

#[test]
fn weights_go_with_their_members_in_whatever_order_these_stand() {
    let [one, two, three] =
        [("one", 3), ("two", 5), ("three", 2)].map(|(name, rank)| random_adapter(name, rank));
    let descent = short(Descent::fedecider());
    let found = chosen(&descent, &[&one, &two, &three], &cases());
    let turned = chosen(&descent, &[&one, &three, &two], &cases());
    assert_eq!(found.curve.len(), turned.curve.len());
    for (point, other) in found.curve.iter().zip(&turned.curve) {
        for (place, weight) in [0, 2, 1].into_iter().zip(&other.lambda) {
            assert!((point.lambda[place] - weight).abs() < 1e-3, "{point:?} {other:?}");
        }
    }
}

/// Pseudo-users of a member, and what it says of them.
fn pseudo_users(teacher: &Adapter, prompts: &[u32]) -> Vec<Case> {
    let candidates: Vec<Vec<u32>> = [[3u32, 0], [9, 0], [4, 0], [11, 0]]
        .map(|title| title.to_vec())
        .into();
    let case = |prompt: &u32| {
        let query = Query {
            prompt: vec![*prompt],
            candidates: candidates.clone(),
        };
        Case::new(query, None)
    };
    let cases = prompts.iter().map(case).collect();
    taught(&tiny(), teacher, cases, Normalisation::Sum, ROOM).unwrap()
}

#[test]
fn mergerec_of_one_domain_finds_that_its_member_weighs_one() {
    let one = times(&random_adapter("one", 3), 0.25);
    let cases = pseudo_users(&one, &[1, 5, 7, 8]);
    // The student that is the teacher has nothing to learn.
    let objective = Distillation::default();
    let itself = tiny().folded(&one).unwrap();
    let value = |decoder: &Decoder| objective.value(decoder, &cases, ROOM).unwrap();
    assert!(value(&itself).abs() < 1e-6, "{}", value(&itself));
    assert!(value(&tiny()) > 1e-4, "{}", value(&tiny()));
    let descent = Descent {
        learning_rate: 0.05,
        steps: Some(80),
        batch_size: 4,
        ..Descent::mergerec()
    };
    let found = chosen(&descent, &[&one], &cases);
    assert_eq!(found.curve[0].lambda, [0.2]);
    let weight = found.lambda.mean()[0];
    assert!((weight - 1.0).abs() < 0.05, "{weight}");
    assert!(found.after.unwrap() < 0.02 * found.before.unwrap());
}

#[test]
fn mergerecs_weights_go_with_their_domains() {
    let [one, two] = two().map(|adapter| times(&adapter, 0.5));
    let cases = [pseudo_users(&one, &[1, 5, 7]), pseudo_users(&two, &[2, 6, 8])].concat();
    let descent = short(Descent::mergerec());
    let found = chosen(&descent, &[&one, &two], &cases);
    let turned = chosen(&descent, &[&two, &one], &cases);
    for (point, other) in found.curve.iter().zip(&turned.curve) {
        assert!(
            (point.lambda[0] - other.lambda[1]).abs() < 1e-3,
            "{point:?} {other:?}"
        );
        assert!(
            (point.lambda[1] - other.lambda[0]).abs() < 1e-3,
            "{point:?} {other:?}"
        );
    }
    assert!(found.after <= found.before);
    // The weights are not normalised.
    let merge = weighted(&[(&one, found.lambda.mean()[0]), (&two, found.lambda.mean()[1])]).unwrap();
    let value = Distillation::default()
        .value(&tiny().folded(&merge).unwrap(), &cases, ROOM)
        .unwrap();
    assert!((value - found.after.unwrap()).abs() < 1e-4);
}

#[test]
fn what_the_rivals_cannot_learn_from_is_refused_with_the_reason() {
    let [one, two] = two();
    let refused = |descent: Descent, cases: &[Case]| {
        let weights = Weights::Descent(short(descent));
        let found = choose(&tiny(), &[&one, &two], &weights, cases, ROOM, &mut |_, _| ());
        found.unwrap_err().to_string()
    };
    let begun = |start: Start| Descent {
        start,
        ..Descent::fedecider()
    };
    assert!(refused(begun(Start::Each(0.2)), &cases()).contains("give start a member"));
    assert!(refused(begun(Start::Member(3)), &cases()).contains('3'));
    assert!(refused(begun(Start::Member(0)), &cases()).contains('0'));
    let softmax = Descent {
        form: Form::Softmax { temperature: 1.0 },
        ..Descent::mergerec()
    };
    assert!(refused(softmax, &cases()).contains("set form to free"));
    let mut untaught = cases();
    untaught[2].teacher = None;
    assert!(refused(Descent::mergerec(), &untaught).contains("case 2"));
    let mut unanswered = cases();
    unanswered[0].target = None;
    assert!(refused(Descent::fedecider(), &unanswered).contains("case 0"));
    let cold = Descent {
        objective: Goal::Distillation(Distillation {
            temperature: 0.0,
            ..Distillation::default()
        }),
        ..Descent::mergerec()
    };
    assert!(refused(cold, &cases()).contains("temperature"));
}

#[test]
fn settings_that_came_later_are_not_written_where_they_change_nothing() {
    let text = |descent: Descent| serde_json::to_string(&Weights::Descent(descent)).unwrap();
    // What names merges of before there was a start.
    assert_eq!(
        text(Descent::default()),
        r#"{"by":"descent","per":"adapter","form":{"softmax":{"temperature":1.0}},"learning_rate":0.1,"epochs":5,"batch_size":16,"seed":0,"#
            .to_owned()
            + r#""objective":{"kind":"candidate-entropy","normalisation":"sum"}}"#
    );
    for descent in [Descent::fedecider(), Descent::learned_sum(), Descent::mergerec()] {
        let read: Weights = serde_json::from_str(&text(descent.clone())).unwrap();
        assert_eq!(read, Weights::Descent(descent));
    }
    let written = text(Descent::fedecider());
    assert!(
        written.contains(r#""start":{"member":1},"directions":true,"weight_decay":0.1"#),
        "{written}"
    );
    assert!(written.contains(r#""objective":{"kind":"answer"}"#), "{written}");
}
