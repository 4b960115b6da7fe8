#![allow(clippy::unwrap_used)]

use super::load::BUILTIN;
use super::*;
use crate::claim::Against;
use crate::experiment::study_record::StudyRecord;
use weaverec_model::device::{Arithmetic, DeviceName};
use weaverec_pipeline::schema::PromptFormat;
use weaverec_pipeline::stage::Recipe;

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
fn a_study_may_take_more_passes_over_fewer_prompts() {
    let mut profile = Profile::load("quick").unwrap();
    let epochs = |profile: &Profile| {
        profile
            .studies
            .iter()
            .map(|study| {
                let alone: Profile = serde_json::from_value(profile.identity(study).unwrap()).unwrap();
                alone.adapter.train.epochs
            })
            .collect::<Vec<usize>>()
    };
    let usual = epochs(&profile);
    let more = usual[0] + 7;
    profile.studies[0].adapter = Some(Training { epochs: more });
    assert_eq!(epochs(&profile)[0], more);
    assert_eq!(epochs(&profile)[1..], usual[1..]);
    profile.check().unwrap();
    profile.studies[0].adapter = Some(Training { epochs: 0 });
    let error = profile.check().unwrap_err().to_string();
    assert!(error.contains("[study.adapter]"), "{error}");
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

#[test]
fn the_papers_setting_is_what_is_known_of_the_paper() {
    let paper = Profile::load("paper").unwrap();
    let adapter = &paper.adapter;
    assert_eq!((adapter.rank, adapter.prompts_per_domain), (16, 30_000));
    assert_eq!([adapter.alpha, adapter.dropout], [32.0, 0.05]);
    let train = &adapter.train;
    assert_eq!((train.epochs, train.batch_size), (2, 128));
    assert_eq!([train.learning_rate, train.warmup], [2e-4, 0.05]);
    assert_eq!(paper.prepare.candidates, 30);
    assert!(paper.prepare.format.lists_candidates());
    assert_eq!(
        (paper.compute.arithmetic, paper.replicates),
        (Arithmetic::Bf16, 5)
    );
    let scenarios = &paper.studies[0].scenarios;
    let names: std::collections::BTreeSet<String> = scenarios.iter().map(Scenario::name).collect();
    assert_eq!((scenarios.len(), names.len()), (16, 16));
    assert_eq!(scenarios.iter().filter(|one| one.sources.len() == 3).count(), 4);
    assert_eq!(
        (paper.prepare.most_tokens(), paper.prepare.recipe),
        (Some(1200), Recipe::Clean)
    );
    // The same weave times 1.3 is among what calibration users choose.
    assert!(paper.rank.scales.contains(&1.3) && paper.rank.calibration >= crate::scoring::LEAST);
    // Every claim has the rows that it is made against, where it is made: everywhere.
    for scenario in scenarios {
        assert!(paper.claims.concerns(&scenario.name()), "{}", scenario.name());
        let rows: Vec<&str> = scenario
            .rows(&paper)
            .unwrap()
            .iter()
            .map(|row| row.id())
            .collect();
        for row in ["target-only", "soup", "longer", "joint-matched", "naive-merge"] {
            assert!(rows.contains(&row), "{}: {row}", scenario.name());
        }
    }
}

#[test]
fn a_file_extends_a_profile_or_another_file_with_few_keys() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    write(
        "first.toml",
        "extends = \"quick\"\nname = \"first\"\n[adapter]\nrank = 2\n",
    );
    let second = write(
        "below/second.toml",
        "extends = \"../first.toml\"\nname = \"second\"\n[adapter.train]\nepochs = 7\n",
    );
    let (quick, second) = (Profile::load("quick").unwrap(), Profile::load(&second).unwrap());
    let adapter = &second.adapter;
    assert_eq!(
        (second.name.as_str(), adapter.rank, adapter.train.epochs),
        ("second", 2, 7)
    );
    assert_eq!(adapter.train.batch_size, quick.adapter.train.batch_size);
    // It is what a file with all of it would be, and what it was made of is in no key.
    let mut same = quick.clone();
    same.name = "second".into();
    (same.adapter.rank, same.adapter.train.epochs) = (2, 7);
    assert_eq!(
        second.identity(&second.studies[0]).unwrap(),
        same.identity(&same.studies[0]).unwrap()
    );

    let error = |text: &str| {
        let path = write("wrong.toml", text);
        format!("{:#}", Profile::load(&path).unwrap_err())
    };
    assert!(error("extends = \"quick\"").contains("`name` is missing"));
    assert!(
        error("extends = \"quik\"\nname = \"x\"")
            .contains("neither a profile (quick, order, small, merges, power, rivals, outside, paper)")
    );
    assert!(error("extends = 3\nname = \"x\"").contains("in quotes"));
    assert!(error("extends = \"wrong.toml\"\nname = \"x\"").contains("in a circle"));
    let unknown = error("extends = \"quick\"\nname = \"x\"\n[adapter]\nranks = 2");
    assert!(
        unknown.contains("ranks") && unknown.contains("wrong.toml"),
        "{unknown}"
    );
    assert!(error("extends = \"quick\"\nname = \"x\"\nseeds = [1]").contains("`replicates = 1`"));
}

#[test]
fn what_is_stated_must_be_all_of_it_and_of_a_model_that_is_not_made_here() {
    let of = |change: &dyn Fn(&mut Profile)| {
        let mut profile = Profile::load("paper").unwrap();
        change(&mut profile);
        format!("{:#}", profile.check().unwrap_err())
    };
    let stated = |profile: &mut Profile| profile.stated.clone().unwrap();
    let without = |profile: &mut Profile| {
        let mut stated = stated(profile);
        stated.domains.remove("sports");
        profile.stated = Some(stated);
    };
    assert!(of(&without).contains("[stated.domain.sports]"));
    assert!(
        of(&|profile| {
            profile.stated = Some(Stated {
                flops_per_second: 0.0,
                ..stated(profile)
            });
        })
        .contains("flops_per_second")
    );
    let mut quick = Profile::load("quick").unwrap();
    quick.stated = Profile::load("paper").unwrap().stated;
    assert!(format!("{:#}", quick.check().unwrap_err()).contains("[stated]"));
}

#[test]
fn a_backbone_that_reads_codes_asks_for_sequences_and_for_auxiliary_domains_and_writes_no_titles() {
    let of = |change: &dyn Fn(&mut Profile)| {
        let mut profile = Profile::load("power").unwrap();
        change(&mut profile);
        format!("{:#}", profile.check().unwrap_err())
    };
    let top = PromptFormat::Top5;
    assert!(of(&|profile| profile.prepare.format = top).contains("`format = \"sequence\"`"));
    assert!(of(&|profile| profile.rank.contamination = 10).contains("contamination"));
    assert!(of(&|profile| profile.studies[0].domains.truncate(2)).contains("a codes backbone"));
    let profile = Profile::load("power").unwrap();
    let Some(Own::Codes(sizes)) = profile.backbone.own() else {
        panic!("it reads codes")
    };
    assert_eq!(sizes.nano().vocabulary, 2 + 3 * 256 + 256);
    assert!(!Own::Codes(sizes).is_shared());
}

#[test]
fn a_study_may_ask_more_users_who_choose() {
    let mut profile = Profile::load("quick").unwrap();
    let calibration = |profile: &Profile| {
        let ranked = |study: &Study| {
            let alone: Profile = serde_json::from_value(profile.identity(study).unwrap()).unwrap();
            alone.rank.calibration
        };
        profile.studies.iter().map(ranked).collect::<Vec<usize>>()
    };
    assert_eq!(calibration(&profile), [0, 0]);
    let other = profile.identity(&profile.studies[0]).unwrap();
    profile.studies[1].rank = Some(Choosing { calibration: 400 });
    profile.check().unwrap();
    assert_eq!(calibration(&profile), [0, 400]);
    // A study that has none is named as before there were any.
    assert_eq!(profile.identity(&profile.studies[0]).unwrap(), other);
    assert!(other["study"][0].get("rank").is_none());
    profile.studies[1].rank = Some(Choosing { calibration: 20 });
    let error = format!("{:#}", profile.check().unwrap_err());
    assert!(
        error.contains(&profile.studies[1].name) && error.contains("fewer than 300"),
        "{error}"
    );
}

#[test]
fn power_asks_a_thousand_users_where_there_are_and_its_records_of_film_genres_are_still_its_own() {
    let power = Profile::load("power").unwrap();
    let of = |name: &str| power.studies.iter().find(|study| study.name == name).unwrap();
    let (amazon, films) = (of("amazon"), of("movielens-genres"));
    assert_eq!(power.rank_of(amazon).calibration, 1000);
    let rows = amazon.scenarios[0].rows(&power).unwrap();
    assert!(rows.iter().any(|row| row.id() == "more-target"));
    let key = StudyRecord::cell(&power, films).unwrap().key;
    let records = concat!(env!("CARGO_MANIFEST_DIR"), "/../results/power/records/studies");
    let record = std::path::Path::new(records).join(&key).join("record.json");
    assert!(
        record.is_file(),
        "no record {key} of film genres: what was changed is in its key, and five units would have to be run again"
    );
}

#[test]
fn claims_are_made_where_their_rows_are() {
    for name in ["small", "quick"] {
        let profile = Profile::load(name).unwrap();
        for study in &profile.studies {
            let claims = profile.claims_of(study);
            let concerned = study.scenarios.iter().filter(|one| claims.concerns(&one.name()));
            for scenario in concerned {
                let rows: Vec<&str> = scenario
                    .rows(&profile)
                    .unwrap()
                    .iter()
                    .map(|row| row.id())
                    .collect();
                for kind in &claims.kinds {
                    if let Against::Rows(against) = kind.against() {
                        let missing: Vec<_> = against.iter().filter(|row| !rows.contains(row)).collect();
                        assert!(
                            missing.is_empty(),
                            "{name}, {}: {kind:?} lacks {missing:?}",
                            scenario.name()
                        );
                    }
                }
            }
        }
    }
}
