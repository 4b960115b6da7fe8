#![allow(clippy::unwrap_used)]

use super::load::BUILTIN;
use super::*;
use weaverec_model::device::{Arithmetic, DeviceName};
use weaverec_model::train::Keep;

#[test]
fn the_profiles_that_come_along_are_valid() {
    for (name, _) in BUILTIN {
        let profile = Profile::load(name).unwrap();
        assert_eq!(profile.name, name);
        assert!(!profile.studies(&Data::Default).unwrap().is_empty());
    }
}

#[test]
fn an_unknown_key_or_domain_is_named() {
    let text = BUILTIN[0].1.replacen("replicates =", "replicas =", 1);
    let error = toml::from_str::<Profile>(&text).unwrap_err().to_string();
    assert!(error.contains("replicas"), "{error}");
    let mut profile = Profile::load("quick").unwrap();
    profile.studies[0].scenarios[0].target = "nowhere".into();
    assert!(profile.check().unwrap_err().to_string().contains("nowhere"));
}

#[test]
fn keys_of_earlier_versions_say_what_to_write() {
    let with = |from: &str, to: &str| {
        let text = BUILTIN[0].1.replacen(from, to, 1);
        assert_ne!(text, BUILTIN[0].1, "{from}");
        Profile::parse(&text).unwrap_err().to_string()
    };
    let error = with("replicates = 3", "seeds = [1, 2, 3, 4]");
    assert!(error.contains("`replicates = 4`"), "{error}");
    let error = with("kind = \"nano\"", "kind = \"nano\"\nseed = 1");
    assert!(error.contains("one_backbone"), "{error}");
}

#[test]
fn what_nothing_could_be_reported_on_is_refused() {
    let of = |change: &dyn Fn(&mut Profile)| {
        let mut profile = Profile::load("quick").unwrap();
        change(&mut profile);
        format!("{:#}", profile.check().unwrap_err())
    };
    assert!(of(&|profile| profile.replicates = 0).contains("`replicates`"));
    assert!(of(&|profile| profile.report_on = Cut::Calibration).contains("\"dev\" or \"final\""));
    assert!(of(&|profile| profile.prepare.users = 0).contains("`users`"));
    assert!(of(&|profile| profile.prepare.split = Split::GlobalTime).contains("cut = \"0.9\""));
    assert!(of(&|profile| profile.prepare.cut = Some("0.9".into())).contains("no effect"));
    assert!(of(&|profile| profile.prepare.tie_window = Some("soon".into())).contains("tie_window"));
    assert!(of(&|profile| profile.claims.woven = "spun".into()).contains("weaverec"));
    assert!(of(&|profile| profile.methods.retain(|row| row != "weaverec")).contains("weaverec"));
    assert!(of(&|profile| profile.methods.push("weave".into())).contains("weave is no row"));
    assert!(of(&|profile| profile.studies[0].scenarios[0].also = vec!["random".into()]).contains("twice"));
    assert!(of(&|profile| profile.adapter.train.keep = Keep::Best).contains("keep = \"last\""));
    assert!(of(&|profile| profile.rank.scales = vec![0.5, 2.0]).contains("1 must be one of them"));
    assert!(of(&|profile| profile.rank.scales = vec![1.0, 2.0]).contains("no effect"));
    assert!(of(&|profile| profile.rank.calibration = 200).contains("fewer than 300"));
    let of_study = |profile: &mut Profile| {
        let claims = profile.studies[1].claims.get_or_insert_default();
        claims.margin = 0.0;
    };
    assert!(of(&of_study).contains("margin"));
    assert!(of(&|profile| profile.claims.scenarios = vec!["nowhere".into()]).contains("comedy → drama"));
}

#[test]
fn a_study_is_known_by_all_that_decides_it_and_by_nothing_else() {
    let profile = Profile::load("quick").unwrap();
    let identity = |change: &dyn Fn(&mut Profile)| {
        let mut profile = profile.clone();
        change(&mut profile);
        profile.identity(&profile.studies[0]).unwrap()
    };
    let as_it_is = identity(&|_| ());
    assert_eq!(as_it_is, identity(&|profile| profile.description = "else".into()));
    assert_eq!(
        as_it_is,
        identity(&|profile| profile.compute.device = DeviceName::Cuda(0))
    );
    assert_eq!(as_it_is, identity(&|profile| profile.studies.truncate(1)));
    for change in [
        &(|profile: &mut Profile| profile.replicates += 1) as &dyn Fn(&mut Profile),
        &|profile| profile.report_on = Cut::Final,
        &|profile| profile.cut_seed = 1,
        &|profile| profile.claims.margin = 0.05,
        &|profile| profile.adapter.train.learning_rate = 1.0,
        &|profile| profile.compute.arithmetic = Arithmetic::Bf16,
        &|profile| profile.studies[0].scenarios.truncate(1),
    ] {
        assert_ne!(as_it_is, identity(change));
    }
    // What was named after it can be made from it again.
    let again: Profile = serde_json::from_value(as_it_is.clone()).unwrap();
    assert_eq!(again.identity(&again.studies[0]).unwrap(), as_it_is);
}

#[test]
fn a_key_without_an_effect_is_named() {
    let of = |change: &dyn Fn(&mut Study)| {
        let mut profile = Profile::load("quick").unwrap();
        change(&mut profile.studies[0]);
        profile.check().unwrap_err().to_string()
    };
    assert!(of(&|study| study.synthetic = Some(toml::Table::new())).contains("[study.synthetic]"));
    assert!(of(&|study| study.domains[0].raw = Some("logs".into())).contains("`raw`"));
    assert!(of(&|study| study.domains[0].exclude = vec!["War".into()]).contains("`exclude`"));
    // A backbone that is pre-trained here has keys of its own, and no other.
    let text = BUILTIN[0]
        .1
        .replacen("kind = \"nano\"", "kind = \"nano\"\nprecision = \"q8\"", 1);
    let error = toml::from_str::<Profile>(&text).unwrap_err().to_string();
    assert!(error.contains("precision"), "{error}");
}

#[test]
fn a_profile_says_what_to_compute_with_and_else_it_is_the_cpu() {
    let table = "[compute]\ndevice = \"cuda:1\"\narithmetic = \"bf16\"\n\n[prepare]";
    let text = BUILTIN[1].1.replacen("[prepare]", table, 1);
    let compute = toml::from_str::<Profile>(&text).unwrap().compute;
    assert_eq!(
        (compute.device, compute.arithmetic),
        (DeviceName::Cuda(1), Arithmetic::Bf16)
    );
    assert_eq!(Profile::load("small").unwrap().compute, Compute::default());
    let wrong = toml::from_str::<Profile>(&text.replacen("cuda:1", "gpu", 1)).unwrap_err();
    assert!(wrong.to_string().contains("cuda:1"), "{wrong}");
}

#[test]
fn data_chooses_the_studies() {
    let profile = Profile::load("quick").unwrap();
    let synthetic = profile.studies(&Data::Synthetic).unwrap();
    assert!(synthetic.iter().all(|s| s.source == Source::Synthetic) && !synthetic.is_empty());
    let error = profile
        .studies(&Data::parse(Some("somewhere")))
        .unwrap_err()
        .to_string();
    assert!(error.contains("--data"), "{error}");
}

#[test]
fn a_study_may_see_the_order_of_events_otherwise() {
    let profile = Profile::load("order").unwrap();
    let of = |name: &str| {
        let study = profile.studies.iter().find(|study| study.name == name).unwrap();
        profile.prepare_of(study)
    };
    assert_eq!(of("ties").tie_window_ms().unwrap(), 0);
    assert_eq!(of("bursts").tie_window_ms().unwrap(), 60_000);
    assert!(of("bursts").cut().unwrap().is_none() && of("global-time").cut().unwrap().is_some());
    let mut wrong = profile.clone();
    wrong.studies[0].prepare = Some(Order {
        split: Some(Split::GlobalTime),
        ..Order::default()
    });
    let error = format!("{:#}", wrong.check().unwrap_err());
    assert!(
        error.contains("study ties") && error.contains("needs a cut"),
        "{error}"
    );
}
