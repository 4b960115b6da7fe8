//! Recipes, diets and mixing as the table at the head of this folder states them.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const CONTROLS: [Recipe; 7] = [
    Recipe::Soup,
    Recipe::Longer(2),
    Recipe::Longer(5),
    Recipe::MoreTarget,
    Recipe::JointMatched,
    Recipe::JointSoup,
    Recipe::Placebo,
];

fn scenario(target: &str, sources: &[&str]) -> Scenario {
    Scenario {
        target: target.into(),
        sources: sources.iter().map(|s| s.to_string()).collect(),
    }
}

fn names(recipe: Recipe, scenario: &Scenario, budget: &Budget) -> Vec<String> {
    let members = recipe.members(scenario, budget);
    members.iter().map(Diet::to_string).collect()
}

/// Domains of unequal size and prompts of unequal length, some below a cap of 1,000 and one with nothing to spare beyond it.
fn unequal(domain: &str) -> Supply {
    let (prompts, tokens) = match domain {
        "beauty" => (700, 61.5),
        "sports" => (5_000, 83.25),
        "pantry" => (130, 40.1),
        _ => (1_000, 97.7),
    };
    Supply { prompts, tokens }
}

fn equal(_: &str) -> Supply {
    Supply {
        prompts: 9_000,
        tokens: 50.0,
    }
}

/// Every scenario of up to three sources among four domains, under unequal and equal supplies.
fn everywhere(check: impl Fn(&Scenario, &Budget)) {
    let domains = ["beauty", "sports", "pantry", "toys"];
    for supply in [&unequal as &dyn Fn(&str) -> Supply, &equal] {
        for cap in [100, 1_000, usize::MAX] {
            let budget = Budget { cap, supply };
            for target in domains {
                let others: Vec<&str> = domains.into_iter().filter(|d| *d != target).collect();
                for sources in [&others[..1], &others[1..2], &others[..2], &others] {
                    check(&scenario(target, sources), &budget);
                }
            }
        }
    }
}

fn prompts(recipe: Recipe, scenario: &Scenario, budget: &Budget) -> Vec<usize> {
    let members = recipe.members(scenario, budget);
    members.iter().map(Diet::prompts).collect()
}

fn tokens(recipe: Recipe, scenario: &Scenario, budget: &Budget) -> f64 {
    let members = recipe.members(scenario, budget);
    members.iter().map(|member| member.tokens(budget)).sum()
}

#[test]
fn weaving_takes_the_target_and_one_hybrid_a_source() {
    let s = scenario("beauty", &["sports", "pantry"]);
    let budget = Budget {
        cap: 1_000,
        supply: &unequal,
    };
    let names = |recipe| names(recipe, &s, &budget);
    assert_eq!(names(Recipe::Weave), ["beauty", "beauty+sports", "beauty+pantry"]);
    assert_eq!(names(Recipe::NaiveMerge), ["beauty", "sports", "pantry"]);
    assert_eq!(names(Recipe::SourceOnly), ["sports", "pantry"]);
    assert_eq!(names(Recipe::Joint), ["beauty+pantry+sports"]);
    assert_eq!(prompts(Recipe::Weave, &s, &budget), [700, 1_700, 830]);
    for recipe in Recipe::PAPER {
        assert!(recipe.members(&s, &budget).iter().all(Diet::is_plain));
    }
}

#[test]
fn a_hybrid_serves_both_directions_and_is_planned_once() {
    let both = [scenario("a", &["b"]), scenario("b", &["a"])];
    let budget = Budget {
        cap: 10,
        supply: &equal,
    };
    let planned = plan(&both, &Recipe::PAPER, &budget);
    let planned: Vec<String> = planned.iter().map(Diet::to_string).collect();
    assert_eq!(planned, ["a", "a+b", "b"]);
}

#[test]
fn people_read_what_a_diet_is_and_no_two_of_a_budget_are_written_alike() {
    let budget = Budget {
        cap: 1_000,
        supply: &unequal,
    };
    let s = scenario("beauty", &["pantry", "sports"]);
    for (recipe, expected) in [
        (
            Recipe::Soup,
            &[
                "beauty",
                "beauty + beauty for pantry",
                "beauty + beauty for sports",
            ] as &[&str],
        ),
        (Recipe::Longer(2), &["beauty ×2"]),
        (Recipe::MoreTarget, &["beauty (3230 prompts, 700 different)"]),
        (
            Recipe::Placebo,
            &["beauty", "beauty + placebo pantry", "beauty + placebo sports"],
        ),
    ] {
        assert_eq!(names(recipe, &s, &budget), expected);
    }
    let placebo = &Recipe::Placebo.members(&scenario("sports", &["pantry"]), &budget)[1];
    assert_eq!(placebo.to_string(), "sports + placebo pantry");
    assert_eq!(
        Recipe::MoreTarget.members(&scenario("sports", &["pantry"]), &budget)[0].to_string(),
        "sports (2130 prompts)"
    );

    let all = std::cell::RefCell::new(BTreeMap::<String, BTreeMap<String, Diet>>::new());
    everywhere(|scenario, budget| {
        let of_budget = format!("{} {}", budget.cap, (budget.supply)("beauty").prompts);
        let mut all = all.borrow_mut();
        let known = all.entry(of_budget).or_default();
        for diet in plan([scenario], &[&Recipe::PAPER as &[_], &CONTROLS].concat(), budget) {
            let first = known.entry(diet.to_string()).or_insert_with(|| diet.clone());
            assert_eq!(*first, diet, "{diet}");
        }
    });
    assert!(all.borrow().values().all(|known| known.len() > 60));
}

#[test]
fn a_control_is_never_an_adapter_of_the_paper_but_for_the_target_only_one() {
    everywhere(|scenario, budget| {
        let target_only = Recipe::TargetOnly.members(scenario, budget);
        let paper = plan([scenario], &Recipe::PAPER, budget);
        for diet in plan([scenario], &CONTROLS, budget) {
            if !target_only.contains(&diet) {
                assert!(!diet.is_plain() && !paper.contains(&diet), "{diet}");
            }
        }
    });
}

#[test]
fn the_soup_and_the_placebo_have_the_steps_of_the_weave_member_by_member() {
    everywhere(|scenario, budget| {
        let weave = prompts(Recipe::Weave, scenario, budget);
        assert_eq!(prompts(Recipe::Soup, scenario, budget), weave);
        assert_eq!(prompts(Recipe::Placebo, scenario, budget), weave);
        let soup = Recipe::Soup.members(scenario, budget);
        let different: BTreeSet<&Diet> = soup.iter().collect();
        assert_eq!(different.len(), weave.len(), "no member counts twice");
        let share = budget.share(&scenario.target);
        for portion in soup.iter().flat_map(|member| &member.portions) {
            assert_eq!((&portion.domain, portion.pool), (&scenario.target, share));
        }
        let tokens_of = |recipe| tokens(recipe, scenario, budget);
        assert_eq!(tokens_of(Recipe::Placebo), tokens_of(Recipe::Weave));
    });
}

#[test]
fn joint_matched_and_joint_soup_have_the_tokens_of_the_weave_to_a_prompt() {
    everywhere(|scenario, budget| {
        let weave = tokens(Recipe::Weave, scenario, budget);
        for recipe in [Recipe::JointMatched, Recipe::JointSoup] {
            let [member] = recipe.members(scenario, budget).try_into().unwrap();
            let longest = member
                .portions
                .iter()
                .map(|portion| (budget.supply)(&portion.domain).tokens)
                .fold(0.0, f64::max);
            let over = member.tokens(budget) - weave;
            let rounding = 1e-9 * weave;
            assert!(
                over > -rounding && over < longest + rounding,
                "{over} over {weave}"
            );
        }
        // One factor for all portions, to a prompt.
        let [joint] = Recipe::Joint.members(scenario, budget).try_into().unwrap();
        let [matched] = Recipe::JointMatched.members(scenario, budget).try_into().unwrap();
        let factor = weave / joint.tokens(budget);
        assert!(factor > 1.0);
        for (scaled, plain) in matched.portions.iter().zip(&joint.portions) {
            assert!((scaled.prompts as f64 - factor * plain.prompts as f64).abs() < 1.0 + 1e-6);
            assert_eq!(
                (&scaled.domain, scaled.pool, scaled.further),
                (&plain.domain, plain.pool, scaled.prompts - plain.prompts)
            );
        }
    });
    // Where prompts are equally long and sources as large as the target, it comes out even.
    let budget = Budget {
        cap: 300,
        supply: &equal,
    };
    let s = scenario("a", &["b", "c"]);
    let [soup] = Recipe::JointSoup.members(&s, &budget).try_into().unwrap();
    assert_eq!(soup.to_string(), "a (1500 prompts, 300 different)");
    let [matched] = Recipe::JointMatched.members(&s, &budget).try_into().unwrap();
    assert!(matched.portions.iter().all(|portion| portion.prompts == 500));
}

#[test]
fn more_of_the_target_is_as_many_prompts_as_the_weave_has_and_fresh_as_far_as_they_go() {
    everywhere(|scenario, budget| {
        let weave: usize = prompts(Recipe::Weave, scenario, budget).iter().sum();
        let [member] = Recipe::MoreTarget.members(scenario, budget).try_into().unwrap();
        let [portion] = member.portions.try_into().unwrap();
        let there = (budget.supply)(&scenario.target).prompts;
        assert_eq!((portion.prompts, portion.pool), (weave, there.min(weave)));
        let taken = mix_portions(&[portion], &|_| there, 3, 3).unwrap();
        let mut times = vec![0; there];
        taken.iter().for_each(|(_, prompt)| times[*prompt] += 1);
        let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
        assert!(
            most - least <= 1,
            "nothing comes again before everything came once"
        );
    });
}

#[test]
fn longer_multiplies_the_passes_and_nothing_else() {
    everywhere(|scenario, budget| {
        let [plain] = Recipe::TargetOnly.members(scenario, budget).try_into().unwrap();
        let [longer] = Recipe::Longer(3).members(scenario, budget).try_into().unwrap();
        assert_eq!(longer.portions, plain.portions);
        assert_eq!(longer.prompts(), 3 * plain.prompts());
        assert_eq!(longer.tokens(budget), 3.0 * plain.tokens(budget));
        assert_eq!(Recipe::Longer(1).members(scenario, budget), [plain]);
    });
    // As long as the members of a weave of sources as large as the target.
    let budget = Budget {
        cap: 300,
        supply: &equal,
    };
    let s = scenario("a", &["b", "c"]);
    let weave: usize = prompts(Recipe::Weave, &s, &budget).iter().sum();
    assert_eq!(prompts(Recipe::Longer(5), &s, &budget), [weave]);
}

#[test]
fn a_domain_without_prompts_makes_no_numbers_that_are_none() {
    let supply = |domain: &str| Supply {
        prompts: if domain == "empty" { 0 } else { 40 },
        tokens: if domain == "empty" { 0.0 } else { 7.0 },
    };
    let budget = Budget {
        cap: 30,
        supply: &supply,
    };
    for s in [scenario("a", &["empty"]), scenario("empty", &["a"])] {
        for recipe in [&Recipe::PAPER as &[_], &CONTROLS].concat() {
            for member in recipe.members(&s, &budget) {
                assert!((0.0..2_000.0).contains(&member.tokens(&budget)), "{member}");
            }
        }
    }
}

#[test]
fn recipes_and_diets_are_read_as_they_are_written() {
    let budget = Budget {
        cap: 1_000,
        supply: &unequal,
    };
    let s = scenario("beauty", &["pantry", "sports"]);
    for recipe in [&Recipe::PAPER as &[_], &CONTROLS].concat() {
        let text = serde_json::to_string(&recipe).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), recipe, "{text}");
        for diet in recipe.members(&s, &budget) {
            let text = serde_json::to_string(&diet).unwrap();
            assert_eq!(serde_json::from_str::<Diet>(&text).unwrap(), diet, "{text}");
        }
    }
    let written = serde_json::to_string(&[Recipe::MoreTarget, Recipe::Longer(5)]).unwrap();
    assert_eq!(written, r#"["more-target",{"longer":5}]"#);
}

#[test]
fn a_plain_diet_is_mixed_as_its_domains_are() {
    let available = |domain: &str| unequal(domain).prompts;
    let examples: BTreeMap<&str, Vec<(&str, usize)>> = ["beauty", "pantry", "sports"]
        .into_iter()
        .map(|domain| (domain, (0..available(domain)).map(|i| (domain, i)).collect()))
        .collect();
    for cap in [100, 1_000, usize::MAX] {
        let budget = Budget {
            cap,
            supply: &unequal,
        };
        let [diet] = Recipe::Joint
            .members(&scenario("sports", &["beauty", "pantry"]), &budget)
            .try_into()
            .unwrap();
        let domains = examples.iter().map(|(name, of)| (*name, of.as_slice()));
        let expected = mix_domains(domains, Mixture::capped(cap), 11);
        let of = |portions: &[Portion]| -> Vec<(String, usize)> {
            let mixed = mix_portions(portions, &available, 11, 11).unwrap();
            let name = |(place, prompt): (usize, usize)| (portions[place].domain.clone(), prompt);
            mixed.into_iter().map(name).collect()
        };
        let ours = of(&diet.portions);
        let same = ours.iter().zip(&expected).all(|(a, b)| (a.0.as_str(), a.1) == *b);
        assert!(same && ours.len() == expected.len());
        let mut reversed = diet.portions.clone();
        reversed.reverse();
        assert_eq!(of(&reversed), ours, "whichever portion comes first");
    }
}

#[test]
fn members_of_a_seed_see_the_same_part_of_a_domain_and_stand_ins_repeat_other_prompts() {
    let available = |domain: &str| unequal(domain).prompts;
    let budget = Budget {
        cap: 400,
        supply: &unequal,
    };
    let s = scenario("beauty", &["pantry", "toys", "sports"]);
    let counts = |diet: &Diet| {
        let mut counts = BTreeMap::<(String, usize), usize>::new();
        for (place, prompt) in mix_portions(&diet.portions, &available, 5, 5).unwrap() {
            *counts
                .entry((diet.portions[place].domain.clone(), prompt))
                .or_default() += 1;
        }
        counts
    };
    let [target] = Recipe::TargetOnly.members(&s, &budget).try_into().unwrap();
    let target: BTreeSet<_> = counts(&target).into_keys().collect();
    assert_eq!(target.len(), 400);
    for recipe in [Recipe::Weave, Recipe::Soup, Recipe::Placebo, Recipe::JointMatched] {
        for member in recipe.members(&s, &budget) {
            let seen = counts(&member)
                .into_keys()
                .filter(|(domain, _)| domain == "beauty");
            assert_eq!(seen.collect::<BTreeSet<_>>(), target, "{member}");
        }
    }
    let weave = Recipe::Weave.members(&s, &budget);
    let placebo = Recipe::Placebo.members(&s, &budget);
    for (weave, placebo) in weave.iter().zip(&placebo) {
        let mix = |diet: &Diet| mix_portions(&diet.portions, &available, 5, 5).unwrap();
        assert_eq!(mix(weave), mix(placebo), "the same prompts in the same order");
    }
    let soup = Recipe::Soup.members(&s, &budget);
    let again: Vec<BTreeSet<_>> = soup
        .iter()
        .map(|member| {
            let counts = counts(member).into_iter();
            counts
                .filter(|(_, times)| *times == 2)
                .map(|(prompt, _)| prompt)
                .collect()
        })
        .collect();
    let sizes: Vec<usize> = again.iter().map(BTreeSet::len).collect();
    assert_eq!(
        sizes,
        [0, 130, 400, 400],
        "toys and sports give as many as the target"
    );
    let mix = |diet: &Diet| mix_portions(&diet.portions, &available, 5, 5).unwrap();
    assert_ne!(mix(&soup[2]), mix(&soup[3]), "in orders of their own");

    // Of two sources of equal size below the target's, other prompts of the target come again.
    let for_source = |source: &str| Portion {
        again_for: Some(source.into()),
        prompts: 530,
        further: 130,
        ..Portion::plain("beauty", &budget)
    };
    let again = |source| counts(&Diet::of([for_source(source)]));
    assert_ne!(again("pantry"), again("garden"));
}

#[test]
fn a_pool_that_is_not_there_is_refused_by_name() {
    let portion = |pool, prompts| Portion {
        pool,
        prompts,
        ..Portion::plain(
            "beauty",
            &Budget {
                cap: 9,
                supply: &equal,
            },
        )
    };
    let refused =
        |pool, prompts, available| mix_portions(&[portion(pool, prompts)], &|_| available, 1, 1).unwrap_err();
    assert!(refused(50, 50, 49).to_string().contains("beauty"));
    assert!(refused(0, 3, 49).to_string().contains("beauty"));
    assert!(mix_portions(&[portion(0, 0)], &|_| 0, 1, 1).unwrap().is_empty());
}
