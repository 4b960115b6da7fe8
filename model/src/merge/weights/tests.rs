//! Choosing λ on a decoder of a few thousand parameters.
#![allow(clippy::unwrap_used)]

use super::descent::Weighing;
use super::*;
use crate::backbone::decoder::tests::{TEXTS, assert_near, flat, random, tiny};
use crate::lora::attach::tests::random_adapter;
use crate::lora::config::{EMBEDDING, TargetModules};
use crate::merge::align::{Aligned, Member, WEIGHT};
use crate::merge::draw::Seeded;
use crate::merge::rule::Rule;
use crate::merge::run::Run;
use crate::merge::weighted;
use crate::op::with_threads;
use crate::rank::{Normalisation, Query};

pub(super) const ROOM: Room = Room {
    tokens: 12,
    activation_memory: 0,
};

pub(super) fn two() -> [Adapter; 2] {
    [random_adapter("one", 3), random_adapter("two", 5)]
}

/// Prompts whose candidates begin alike, or do not, with what a teacher says of them.
pub(super) fn cases() -> Vec<Case> {
    let case = |prompt: &[u32], candidates: &[&[u32]], target, teacher: &[f32]| Case {
        query: Query {
            prompt: prompt.to_vec(),
            candidates: candidates.iter().map(|tokens| tokens.to_vec()).collect(),
        },
        target: Some(target),
        teacher: Some(teacher.to_vec()),
    };
    let first: &[&[u32]] = &[&[3, 0], &[4, 7, 0], &[9, 0], &[4, 2, 0]];
    vec![
        case(&[1, 5, 2], first, 1, &[-1.0, -3.0, -2.0, -4.0]),
        case(
            &[6, 6, 8, 1],
            &[&[2, 0], &[11, 0], &[5, 12, 0]],
            0,
            &[-2.5, -1.0, -2.0],
        ),
        case(&[7], &[&[8, 3, 0], &[8, 0]], 1, &[-0.5, -1.5]),
    ]
}

/// Other weights in every module.
fn by_module(stacked: &Stacked) -> Lambda {
    let numbered = (0..).zip(stacked.modules());
    let weights = numbered.map(|(i, name)| {
        (
            name.to_string(),
            vec![0.1 * f64::from(i), 1.0 - 0.15 * f64::from(i)],
        )
    });
    Lambda::Module(weights.collect())
}

#[test]
fn scaled_columns_give_the_logits_of_the_merge_folded_anew() {
    let [one, two] = two();
    let decoder = tiny();
    let mut stacked = Stacked::new(&decoder, &[&one, &two]).unwrap();
    let logits = |decoder: &Decoder| flat(&decoder.logits(TEXTS[0]).unwrap());
    for weights in [[0.3, 0.7], [-0.5, 1.2], [0.0, 1.0], [0.3, 0.7]] {
        let merged = weighted(&[(&one, weights[0]), (&two, weights[1])]).unwrap();
        let beside = stacked.at(&Lambda::Adapter(weights.to_vec())).unwrap();
        assert_near(&logits(beside), &logits(&decoder.folded(&merged).unwrap()), 1e-4);
    }
    // The weights of a recipe mean the same, module by module.
    let lambda = by_module(&stacked);
    let members = [&one, &two]
        .into_iter()
        .enumerate()
        .map(|(place, adapter)| Member {
            adapter,
            settings: [(WEIGHT.to_string(), lambda.setting(place))].into(),
        });
    let (rule, draws) = (Rule::named("cat").unwrap(), Seeded(0));
    let run = Run {
        rule: &rule,
        rank: None,
        draws: &draws,
    };
    let (merged, _) = run.adapter(&Aligned::new(members.collect()).unwrap()).unwrap();
    let beside = logits(stacked.at(&lambda).unwrap());
    assert_near(&beside, &logits(&decoder.folded(&merged).unwrap()), 1e-4);
}

#[test]
fn a_module_that_a_member_lacks_is_zero_and_has_no_gradient_for_it() {
    let [one, mut other] = two();
    other.modules.retain(|name, _| name.ends_with("q_proj"));
    other.config.target_modules = TargetModules::Names(vec!["q_proj".into()]);
    let decoder = tiny();
    let mut stacked = Stacked::new(&decoder, &[&one, &other]).unwrap();
    let merged = weighted(&[(&one, 0.4), (&other, 0.9)]).unwrap();
    let beside = stacked.at(&Lambda::Adapter(vec![0.4, 0.9])).unwrap();
    assert_near(
        &flat(&beside.logits(TEXTS[0]).unwrap()),
        &flat(&decoder.folded(&merged).unwrap().logits(TEXTS[0]).unwrap()),
        1e-4,
    );
    let objective = VocabularyEntropy { tokens: 1 };
    let weighing = Weighing::new(&stacked, &objective, Form::Free, Grain::Module, Start::Equal).unwrap();
    let (_, gradient) = weighing.sum_and_gradient(&cases(), ROOM).unwrap();
    assert_eq!(gradient.len(), 14);
    for (name, slopes) in gradient {
        assert_eq!(slopes[1] != 0.0, name.ends_with("q_proj"), "{name}: {slopes:?}");
    }
}

/// The gradient of a sum over λ against finite differences of its values, which come from other passes: candidates after one prompt.
fn check_gradient(objective: &dyn Differentiable, grain: Grain) {
    let [one, two] = two();
    let stacked = Stacked::new(&tiny(), &[&one, &two]).unwrap();
    let weighing = Weighing::new(&stacked, objective, Form::Free, grain, Start::Equal).unwrap();
    let cases = cases();
    let (sum, gradient) = weighing.sum_and_gradient(&cases, ROOM).unwrap();
    let value = |lambda: &Lambda| {
        stacked.weigh(lambda).unwrap();
        objective.value(stacked.frozen(), &cases, ROOM).unwrap() * cases.len() as f64
    };
    let start = weighing.lambda().unwrap();
    assert!((value(&start) - sum).abs() < 1e-4 * (1.0 + sum.abs()));
    let step = 0.01;
    for (name, slopes) in &gradient {
        for (member, slope) in slopes.iter().enumerate() {
            let moved = |by: f64| {
                let mut lambda = start.clone();
                match &mut lambda {
                    Lambda::Adapter(values) => values[member] += by,
                    Lambda::Module(modules) => modules.get_mut(name).unwrap()[member] += by,
                }
                value(&lambda)
            };
            let estimate = (moved(step) - moved(-step)) / (2.0 * step);
            assert!(
                (estimate - slope).abs() < 0.005 + 0.02 * slope.abs(),
                "{} {name} {member}: {slope} against {estimate}",
                objective.name()
            );
        }
    }
    assert!(gradient.values().flatten().any(|slope| slope.abs() > 0.01));
}

#[test]
fn the_gradient_over_lambda_is_that_of_finite_differences() {
    let entropy = |normalisation| CandidateEntropy { normalisation };
    let likelihood = |normalisation| Likelihood { normalisation };
    for grain in [Grain::Adapter, Grain::Module] {
        check_gradient(&entropy(Normalisation::Sum), grain);
        check_gradient(&entropy(Normalisation::Mean), grain);
        check_gradient(&likelihood(Normalisation::Sum), grain);
        check_gradient(&likelihood(Normalisation::Mean), grain);
        check_gradient(&VocabularyEntropy { tokens: 1 }, grain);
        check_gradient(&VocabularyEntropy { tokens: 3 }, grain);
        check_gradient(&Answer::default(), grain);
        for temperature in [1.0, 2.0] {
            let distillation = Distillation {
                temperature,
                ..Distillation::default()
            };
            check_gradient(&distillation, grain);
        }
    }
}

#[test]
fn equal_adapters_have_equal_gradients_so_that_shares_stay_equal() {
    let one = random_adapter("one", 3);
    let decoder = tiny();
    let descent = Descent {
        per: Grain::Module,
        ..Descent::default()
    };
    let stacked = Stacked::new(&decoder, &[&one, &one]).unwrap();
    let objective = descent.objective.objective().differentiable().unwrap();
    let weighing = Weighing::new(&stacked, objective, descent.form, descent.per, Start::Equal).unwrap();
    let (_, gradient) = weighing.sum_and_gradient(&cases(), ROOM).unwrap();
    for slopes in gradient.values() {
        assert!(
            (slopes[0] - slopes[1]).abs() < 1e-5 * (1.0 + slopes[0].abs()),
            "{slopes:?}"
        );
    }
}

fn chosen(weights: Weights, threads: usize) -> Chosen {
    let [one, two] = two();
    let decoder = tiny();
    let mut told = 0;
    let found = with_threads(threads, || {
        choose(
            &decoder,
            &[&one, &two],
            &weights,
            &cases(),
            ROOM,
            &mut |done, total| {
                told += 1;
                assert!(done == told && done <= total);
            },
        )
    })
    .unwrap();
    let text = serde_json::to_string(&found).unwrap();
    let read: Chosen = serde_json::from_str(&text).unwrap();
    assert_eq!((&read.lambda, &read.weights), (&found.lambda, &found.weights));
    found
}

#[test]
fn a_grid_finds_the_point_that_merging_anew_finds() {
    let [one, two] = two();
    for objective in [
        Goal::Ndcg(Ndcg::default()),
        Goal::Likelihood(Likelihood::default()),
        Goal::CandidateEntropy(CandidateEntropy::default()),
    ] {
        let grid = Grid {
            divisions: 4,
            objective: objective.clone(),
        };
        let found = chosen(Weights::Grid(grid.clone()), 1);
        assert_eq!(found, chosen(Weights::Grid(grid), 2));
        // Equal parts first.
        assert_eq!((found.curve.len(), &found.curve[0].lambda), (6, &vec![0.5, 0.5]));
        assert_eq!(found.before, Some(found.curve[0].value));
        for point in &found.curve {
            let merged = weighted(&[(&one, point.lambda[0]), (&two, point.lambda[1])]).unwrap();
            let folded = tiny().folded(&merged).unwrap();
            let value = objective.objective().value(&folded, &cases(), ROOM).unwrap();
            assert!((value - point.value).abs() < 1e-4, "{value} {}", point.value);
            assert!(found.after.unwrap() <= point.value);
        }
    }
}

#[test]
fn a_search_stays_in_its_bounds_and_ends_no_worse_than_it_began() {
    let search = Search {
        evaluations: 12,
        bound: 0.6,
        ..Search::default()
    };
    let found = chosen(Weights::Search(search.clone()), 1);
    assert_eq!(found, chosen(Weights::Search(search.clone()), 2));
    assert_eq!(found.curve.len(), 12);
    let with = |point: &Point| point.value + search.penalty(&Lambda::Adapter(point.lambda.clone()));
    assert!(
        found
            .curve
            .iter()
            .all(|point| point.lambda.iter().all(|weight| weight.abs() <= 0.6))
    );
    let best = found.after.unwrap() + search.penalty(&found.lambda);
    assert!(found.curve.iter().all(|point| best <= with(point) + 1e-12));
    let other = Search { seed: 1, ..search };
    assert_ne!(chosen(Weights::Search(other), 1).curve, found.curve);
}

#[test]
fn a_descent_makes_entropy_smaller_per_adapter_and_per_module() {
    for (per, objective) in [
        (
            Grain::Adapter,
            Goal::CandidateEntropy(CandidateEntropy::default()),
        ),
        (
            Grain::Module,
            Goal::VocabularyEntropy(VocabularyEntropy { tokens: 1 }),
        ),
    ] {
        let descent = Descent {
            per,
            learning_rate: 0.02,
            batch_size: 3,
            objective,
            ..Descent::default()
        };
        let found = chosen(Weights::Descent(descent.clone()), 1);
        assert_eq!(found, chosen(Weights::Descent(descent), 2));
        assert!(found.after < found.before, "{:?} {:?}", found.before, found.after);
        // The start, four more of five steps, and what they ended with.
        assert_eq!((found.curve.len(), found.tried.len()), (6, 6));
        assert_eq!(found.curve[0].lambda, [0.5, 0.5]);
        assert_eq!(found.tried[5], found.lambda);
        let sum: f64 = found.lambda.mean().iter().sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        assert_eq!(matches!(found.lambda, Lambda::Module(_)), per == Grain::Module);
    }
}

#[test]
fn another_objective_is_seen_along_what_was_tried() {
    let [one, two] = two();
    let grid = Grid {
        divisions: 2,
        objective: Goal::CandidateEntropy(CandidateEntropy::default()),
    };
    let found = chosen(Weights::Grid(grid), 1);
    let mut stacked = Stacked::new(&tiny(), &[&one, &two]).unwrap();
    let entropy = CandidateEntropy::default();
    let values = along(&mut stacked, &found.tried, &entropy, &cases(), ROOM).unwrap();
    let own: Vec<f64> = found.curve.iter().map(|point| point.value).collect();
    assert_eq!(values, own);
    let levels = along(&mut stacked, &found.tried, &Ndcg::default(), &cases(), ROOM).unwrap();
    assert!(levels.iter().all(|level| (0.0..=1.0).contains(level)));
}

#[test]
fn content_scores_take_away_what_is_likely_whatever_the_history() {
    let decoder = tiny();
    let level = |case: &Case, alpha: f64, histories: Vec<Vec<u32>>| {
        let ndcg = Ndcg {
            at: 4,
            content: Some(Content { alpha, histories }),
            ..Ndcg::default()
        };
        ndcg.value(&decoder, std::slice::from_ref(case), ROOM).unwrap()
    };
    for case in &cases() {
        let plain = Ndcg {
            at: 4,
            ..Ndcg::default()
        };
        let plain = plain.value(&decoder, std::slice::from_ref(case), ROOM).unwrap();
        assert_eq!(level(case, 0.0, vec![vec![3], vec![9]]), plain);
        // Twice what the history itself says turns the order round.
        let most = case.query.candidates.len() - 1;
        let gains: Vec<f64> = (0..=most)
            .map(|place| 1.0 / ((place + 2) as f64).log2())
            .collect();
        let place = gains
            .iter()
            .position(|gain| (1.0 - gain - plain).abs() < 1e-9)
            .unwrap();
        let turned = level(case, 2.0, vec![case.query.prompt.clone()]);
        assert!((turned - (1.0 - gains[most - place])).abs() < 1e-9);
    }
}

#[test]
fn every_form_starts_from_equal_parts() {
    let adapters = [
        random_adapter("one", 2),
        random_adapter("two", 2),
        random_adapter("three", 2),
    ];
    let stacked = Stacked::new(&tiny(), &adapters.each_ref()).unwrap();
    let objective = CandidateEntropy::default();
    for form in [Form::Softmax { temperature: 0.5 }, Form::Sigmoid, Form::Free] {
        let weighing = Weighing::new(&stacked, &objective, form, Grain::Adapter, Start::Equal).unwrap();
        for weight in weighing.lambda().unwrap().mean() {
            assert!((weight - 1.0 / 3.0).abs() < 1e-6, "{form:?}: {weight}");
        }
    }
    let cold = Weighing::new(
        &stacked,
        &objective,
        Form::Softmax { temperature: 0.0 },
        Grain::Adapter,
        Start::Equal,
    );
    assert!(cold.err().unwrap().to_string().contains("temperature"));
}

#[test]
fn what_cannot_be_chosen_is_refused_with_the_reason() {
    let [one, two] = two();
    let decoder = tiny();
    let refused = |adapters: &[&Adapter], weights: Weights, cases: &[Case]| {
        let found = choose(&decoder, adapters, &weights, cases, ROOM, &mut |_, _| ());
        found.unwrap_err().to_string()
    };
    let by = |objective: Goal| {
        Weights::Descent(Descent {
            objective,
            ..Descent::default()
        })
    };
    let ndcg = || by(Goal::Ndcg(Ndcg::default()));
    assert!(refused(&[&one, &two], ndcg(), &cases()).contains("no gradient"));
    assert!(refused(&[&one, &two], ndcg(), &[]).contains("no cases"));
    let mut unlabelled = cases();
    unlabelled[1].target = None;
    let grid = Weights::Grid(Grid::default());
    assert!(refused(&[&one, &two], grid.clone(), &unlabelled).contains("case 1"));
    let mut whole = two.clone();
    whole
        .saved
        .insert(EMBEDDING.into(), random("embedding", &[13, 16], 0.3));
    assert!(refused(&[&one, &whole], grid, &cases()).contains(EMBEDDING));
    // Unlabelled prompts suffice for entropy.
    let entropy = by(Goal::CandidateEntropy(CandidateEntropy::default()));
    choose(
        &decoder,
        &[&one, &two],
        &entropy,
        &unlabelled,
        ROOM,
        &mut |_, _| (),
    )
    .unwrap();
}
