//! Readings of recorded cases made by hand.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::statistics::draw::Draws;

/// So many users of a part at a scale. `lead` is what the history says of the target; likelihood is that and how common words are. The
/// last two of eight candidates are uniform alone, the two before binned alone.
fn some(cut: Cut, count: usize, scale: f32, lead: f64) -> Vec<ScoredCase> {
    let user = |user: usize| {
        let mut draws = Draws::new(cut.name(), user as u64);
        let neutral: Vec<f64> = (0..8).map(|_| 4.0 * draws.normal() - 10.0).collect();
        let says: Vec<f64> = (0..8)
            .map(|item| draws.normal() + if item == 0 { lead } else { 0.0 })
            .collect();
        ScoredCase {
            user_id: format!("{} {user}", cut.name()),
            cut,
            scale,
            target: 0,
            candidates: (0..8).map(|item| 1 + (item * 7 + user as u32) % 40).collect(),
            protocols: vec![3, 3, 3, 3, 2, 2, 1, 1],
            scores: says
                .iter()
                .zip(&neutral)
                .map(|(says, neutral)| (says + neutral) as f32)
                .collect(),
            neutral: neutral.iter().map(|neutral| *neutral as f32).collect(),
            tokens: vec![3; 8],
            popularity: (0..8).map(|item| 10 * item).collect(),
            catalogue: None,
            history: 4,
            descends: false,
            ties: false,
        }
    };
    (0..count).map(user).collect()
}

fn record(scales: &[(f32, f64)], chosen: f32) -> Vec<ScoredCase> {
    let mut all = some(Cut::Dev, 50, 1.0, scales[0].1);
    if chosen != 1.0 {
        all.extend(some(Cut::Dev, 50, chosen, 2.0));
    }
    for (scale, lead) in scales {
        all.extend(some(Cut::Calibration, LEAST, *scale, *lead));
    }
    all
}

#[test]
fn the_chosen_scale_is_read_with_scale_1_beside_it() {
    let all = record(&[(1.0, 0.0), (1.6, 2.0)], 1.6);
    let setting = Setting::of(&all, Cut::Dev).unwrap();
    assert_eq!(
        (setting.scale.value, setting.scale.chosen, setting.content),
        (1.6, true, true)
    );
    assert_eq!(setting.primary(), Reading::PRIMARY);
    let places = own(&all, Cut::Dev, &setting);
    let level = |places: &[Place]| {
        let values: Vec<f64> = places
            .iter()
            .map(|place| Metric::PRIMARY.expected(*place))
            .collect();
        mean(&values)
    };
    assert_eq!(places.by_reading.len(), 4);
    assert!(places.by_reading.iter().all(|places| places.len() == 50));
    let at_one = places.at_one.as_ref().unwrap();
    assert!(level(&places.by_reading[0]) > level(at_one) + 0.1);
    // Raw likelihood is noise here, whatever the history says.
    assert!(level(&places.by_reading[0]) > level(&places.by_reading[1]) + 0.1);
    assert!(places.calibration.is_some());
    // By hand: six binned candidates of the first user under the content score.
    let case = Case::from(users(&all, Cut::Dev, 1.6)[0]);
    let scores = scored(&case, Scoring::Content, setting.alpha.value);
    let above = scores[1..6].iter().filter(|score| **score > scores[0]).count() as u32;
    assert_eq!(places.by_reading[0][0], Place { above, tied: 0 });
}

#[test]
fn without_enough_calibration_users_everything_stands_at_1() {
    let mut all = some(Cut::Dev, 20, 1.0, 1.0);
    all.extend(some(Cut::Calibration, LEAST - 1, 1.0, 1.0));
    let setting = Setting::of(&all, Cut::Dev).unwrap();
    assert_eq!(
        (setting.scale, setting.alpha),
        (Chosen::standing(1.0, LEAST - 1), setting.alpha_at_one)
    );
    assert_eq!((setting.alpha.value, setting.alpha.chosen), (1.0, false));
    let places = own(&all, Cut::Dev, &setting);
    assert!(places.at_one.is_none() && places.calibration.is_none());
    assert!(fused(&all, None, Cut::Dev, &setting).unwrap().is_none());
}

#[test]
fn reported_users_who_were_not_scored_at_the_chosen_scale_are_an_error() {
    let all = record(&[(1.0, 0.0), (1.6, 2.0)], 1.0);
    let error = Setting::of(&all, Cut::Dev).unwrap_err().to_string();
    assert!(
        error.contains("the scale 1.6") && error.contains("run the cell again"),
        "{error}"
    );
    let error = Setting::of(&all, Cut::Final).unwrap_err().to_string();
    assert!(error.contains("no final user"), "{error}");
}

#[test]
fn records_without_binned_candidates_are_read_among_uniform_ones() {
    let mut all = some(Cut::Dev, 20, 1.0, 1.0);
    for case in &mut all {
        case.protocols = vec![1; 8];
    }
    let setting = Setting::of(&all, Cut::Dev).unwrap();
    assert_eq!(setting.protocol, Protocol::Uniform);
    assert_eq!(own(&all, Cut::Dev, &setting).by_reading.len(), 2);
}

#[test]
fn a_fusion_takes_its_weight_from_calibration_users_of_both_rows() {
    let all = record(&[(1.0, 0.5)], 1.0);
    let setting = Setting::of(&all, Cut::Dev).unwrap();
    let mut knows = all.clone();
    for case in &mut knows {
        case.scores = vec![9.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
        (case.neutral, case.tokens) = (Vec::new(), Vec::new());
    }
    let found = fused(&all, Some(&knows), Cut::Dev, &setting).unwrap().unwrap();
    assert_eq!((found.weights.len(), found.places.by_reading.len()), (4, 4));
    assert!(found.weights[0].value > 0.0);
    let own = own(&all, Cut::Dev, &setting);
    assert!(found.places.calibration > own.calibration);
    // Whoever knows nothing is not listened to.
    let mut nothing = knows.clone();
    nothing.iter_mut().for_each(|case| case.scores = vec![1.0; 8]);
    let alone = fused(&all, Some(&nothing), Cut::Dev, &setting).unwrap().unwrap();
    assert_eq!(alone.weights[0].value, 0.0);
    assert_eq!(alone.places.by_reading[0], own.by_reading[0]);
    knows[3].candidates[0] += 1;
    let error = fused(&all, Some(&knows), Cut::Dev, &setting)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("other dev users or candidates"), "{error}");
}

#[test]
fn the_top_is_described_by_what_it_covers_and_how_popular_it_is() {
    let mut all = some(Cut::Dev, 2, 1.0, 0.0);
    for case in &mut all {
        case.candidates = (1..=8).collect();
        case.neutral.clear();
        case.scores = vec![8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
    }
    let setting = Setting::of(&all, Cut::Dev).unwrap();
    // Five of the six binned candidates, of 0, 10, 20, 30 and 40 interactions.
    let top = own(&all, Cut::Dev, &setting).top.unwrap();
    assert_eq!((top.coverage, top.popularity), (5.0 / 6.0, 20.0));
    all[1].scores.reverse();
    let top = own(&all, Cut::Dev, &setting).top.unwrap();
    assert_eq!(top.coverage, 1.0);
    all[1].popularity.clear();
    assert_eq!(own(&all, Cut::Dev, &setting).top, None);
}

#[test]
fn written_scores_give_the_places_that_are_reported() {
    let all = record(&[(1.0, 0.0), (1.6, 2.0)], 1.6);
    let setting = Setting::of(&all, Cut::Dev).unwrap();
    let reported = users(&all, Cut::Dev, setting.scale.value);
    let placed = |scores: Vec<Vec<f32>>, reading: Reading| -> Vec<Place> {
        assert_eq!(scores.len(), 50);
        let both = reported.iter().zip(scores);
        both.map(|(case, scores)| place(&Case::from(*case), &scores, reading.protocol))
            .collect()
    };
    let own = own(&all, Cut::Dev, &setting);
    let fused = fused(&all, None, Cut::Dev, &setting).unwrap().unwrap();
    for (number, reading) in readings(setting.protocol).enumerate() {
        let written = own_scores(&all, Cut::Dev, &setting, reading);
        assert_eq!(placed(written, reading), own.by_reading[number]);
        let written = fused_scores(&all, None, Cut::Dev, &setting, reading)
            .unwrap()
            .unwrap();
        assert_eq!(placed(written, reading), fused.places.by_reading[number]);
    }
    let few = some(Cut::Dev, 5, 1.0, 2.0);
    let setting = Setting::of(&few, Cut::Dev).unwrap();
    let none = fused_scores(&few, None, Cut::Dev, &setting, Reading::PRIMARY).unwrap();
    assert!(none.is_none(), "nobody chooses a weight");
}

#[test]
fn an_imported_target_that_is_not_listed_is_missed_and_others_rank_below_what_is() {
    let mut cases = some(Cut::Dev, 3, 1.0, 2.0);
    for case in &mut cases {
        case.neutral = Vec::new();
    }
    // Everything but the target; the target and one that beats it; the target alone.
    cases[0].scores[0] = f32::NEG_INFINITY;
    cases[1].scores = vec![1.0, 2.0, f32::NEG_INFINITY, f32::NEG_INFINITY, 0.5, 0.5, 0.5, 1.0];
    cases[2].scores = vec![f32::NEG_INFINITY; 8];
    cases[2].scores[0] = -7.0;
    let (by_reading, top) = imported(&cases, Cut::Dev, Protocol::Binned);
    let at = |above, tied| Place { above, tied };
    assert_eq!(by_reading.len(), 4);
    let of = |protocol| {
        let place = readings(Protocol::Binned).position(|reading| reading.protocol == protocol);
        by_reading[place.unwrap()].clone()
    };
    assert_eq!(of(Protocol::Binned), [Place::MISS, at(1, 0), at(0, 0)]);
    assert_eq!(of(Protocol::Uniform), [Place::MISS, at(1, 1), at(0, 0)]);
    assert!(top.is_some());
}
