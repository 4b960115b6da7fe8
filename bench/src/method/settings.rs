//! Settings of a fitted row's system by their names, as the command line and profiles give them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use weaverec_model::recommender::System;

/// What tells systems apart, and is no setting.
const KIND: &str = "kind";

/// Where systems have how long and how fast they are fitted: those over items as tokens as a training has it.
const SCHEDULES: [&str; 2] = ["schedule", "train"];

/// The same system with another value of one setting, as text. Settings within others are named with a dot between.
///
/// # Errors
/// A name that the system does not have, with the nearest one, or a value that the setting cannot take.
pub fn with(system: &System, key: &str, value: &str) -> Result<System> {
    set(system, key, |before| {
        match (before, serde_json::from_str(value)) {
            (_, Ok(read @ (Value::Object(_) | Value::Array(_)))) => read,
            // A word may look like a number.
            (Value::String(_), _) | (_, Err(_)) => Value::String(value.to_owned()),
            (_, Ok(read)) => read,
        }
    })
}

/// The same system with the settings of a table, in the order of their names. Of a table within it the settings that it has are set, and the
/// others stay; a choice that has settings itself may be another one.
///
/// # Errors
/// Those of [`with`].
pub fn with_table(system: &System, table: &Map<String, Value>) -> Result<System> {
    let sorted: BTreeMap<&String, &Value> = table.iter().collect();
    let one = |system: System, (key, value): (&String, &Value)| with_value(&system, key, value);
    sorted.into_iter().try_fold(system.clone(), one)
}

fn with_value(system: &System, key: &str, value: &Value) -> Result<System> {
    let json = whole(system)?;
    if let (Value::Object(table), Some(Value::Object(own))) = (value, at(&json, key))
        && table.keys().any(|name| own.contains_key(name))
    {
        let within = table.iter();
        let within: Map<String, Value> = within
            .map(|(name, value)| (format!("{key}.{name}"), value.clone()))
            .collect();
        return with_table(system, &within);
    }
    set(system, key, |_| value.clone())
}

/// The same system with keys of a common [schedule](weaverec_model::recommender::Schedule); where a system has a training in its place, those
/// keys that this has too. A system of which nobody chooses an epoch stays as it is: it would go through all that it is given.
///
/// # Errors
/// A value that a setting cannot take.
pub fn with_schedule(system: &System, schedule: &Map<String, Value>) -> Result<System> {
    if schedule.is_empty() || system.is_zero_shot() {
        return Ok(system.clone());
    }
    let json = whole(system)?;
    let mut found = system.clone();
    for place in SCHEDULES {
        let own = at(&json, place).and_then(Value::as_object);
        for (key, value) in schedule {
            if own.is_some_and(|own| own.contains_key(key)) {
                found = set(&found, &format!("{place}.{key}"), |_| value.clone())?;
            }
        }
    }
    Ok(found)
}

/// All settings of a system, also those that are not written where they ask for nothing.
fn whole(system: &System) -> Result<Value> {
    let mut json = serde_json::to_value(system)?;
    if let Some(Value::Object(schedule)) = json.get_mut("schedule") {
        schedule.entry("patience_steps").or_insert_with(|| 0.into());
    }
    Ok(json)
}

/// What stands under a whole name.
fn at<'v>(json: &'v Value, name: &str) -> Option<&'v Value> {
    name.split('.').try_fold(json, |at, part| at.get(part))
}

/// The same system with what `value` makes of the value that a setting has.
fn set(system: &System, key: &str, value: impl FnOnce(&Value) -> Value) -> Result<System> {
    let mut json = whole(system)?;
    if key == KIND {
        bail!("`kind` is no setting: which system it is says the row (--method)");
    }
    let known = names(&json);
    // The last part of a name is enough where one setting alone is called so.
    let called = called(&known, key);
    let path = match (known.iter().any(|name| name == key), called.as_slice()) {
        (true, _) | (false, []) => key,
        (false, [one]) => *one,
        (false, several) => bail!(
            "several settings are called {key}: {}; give the whole name of one",
            several.join(", ")
        ),
    };
    let place = path.split('.').try_fold(&mut json, |at, part| at.get_mut(part));
    let Some(place) = place else {
        let last = |name: &str| distance(name.rsplit('.').next().unwrap_or(name), key);
        // Of two that are as near, the one that is meant without what it lies in.
        let nearest = known.iter().min_by_key(|name| {
            let whole = distance(name, key);
            (whole.min(last(name)), whole)
        });
        let nearest = nearest.context("this system has no settings")?;
        bail!(
            "there is no setting {key}; the nearest is {nearest}, and all are {}",
            known.join(", ")
        );
    };
    let before = place.clone();
    *place = value(&before);
    let given = said(place);
    serde_json::from_value(json).with_context(|| {
        format!("{path} cannot be {given}, where it was {before}: give a value of that kind")
    })
}

/// A value as it was given: text without quotes.
fn said(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The same system with so many epochs at most, in every stage of its fit.
///
/// # Errors
/// A system without such a setting.
pub fn with_epochs(system: &System, epochs: usize) -> Result<System> {
    let known = names(&whole(system)?);
    let stages = called(&known, "epochs");
    if stages.is_empty() {
        bail!("this row has no epochs: leave --epochs out");
    }
    let set = |system: System, name: &&str| with(&system, name, &epochs.to_string());
    stages.iter().try_fold(system.clone(), set)
}

/// Those of these names whose last part is this one.
fn called<'n>(names: &'n [String], last: &str) -> Vec<&'n str> {
    let of = names.iter().map(String::as_str);
    of.filter(|name| name.rsplit('.').next() == Some(last)).collect()
}

/// The names of all settings, those within others with a dot between.
fn names(json: &Value) -> Vec<String> {
    let Value::Object(map) = json else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (key, value) in map.iter().filter(|(key, _)| *key != KIND) {
        match names(value) {
            within if within.is_empty() => found.push(key.clone()),
            within => found.extend(within.into_iter().map(|name| format!("{key}.{name}"))),
        }
    }
    found
}

/// Letters that must be put in, left out or changed to make one word of another.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (place, letter) in one.chars().enumerate() {
        let mut corner = row[0];
        row[0] = place + 1;
        for (column, with) in other.iter().enumerate() {
            let changed = corner + usize::from(letter != *with);
            corner = row[column + 1];
            row[column + 1] = changed.min(corner + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;
    use weaverec_model::recommender::{Bert4rec, Sasrec, Tiger, Unisrec};

    use super::*;
    use crate::method::{How, METHODS};

    fn systems() -> Vec<System> {
        let of = |how| match how {
            How::Fitted { system } => Some(system()),
            _ => None,
        };
        METHODS.iter().filter_map(|row| of(row.how())).collect()
    }

    fn table(json: Value) -> Map<String, Value> {
        json.as_object().unwrap().clone()
    }

    /// The value of a setting.
    fn value(json: &Value, name: &str) -> Value {
        name.split('.').fold(json.clone(), |at, part| at[part].clone())
    }

    #[test]
    fn every_system_has_epochs_and_other_ones_keep_all_other_settings() {
        assert!(systems().len() >= 5);
        for system in systems() {
            let before = serde_json::to_value(&system).unwrap();
            let all = names(&before);
            let epochs = called(&all, "epochs");
            assert!(!epochs.is_empty(), "{before}");
            assert!(epochs.iter().all(|name| value(&before, name) != 7));
            let after = serde_json::to_value(with_epochs(&system, 7).unwrap()).unwrap();
            assert_eq!(all, names(&after));
            for name in &all {
                match epochs.contains(&name.as_str()) {
                    true => assert_eq!(value(&after, name), 7, "{name}"),
                    false => assert_eq!(value(&before, name), value(&after, name), "{name}"),
                }
            }
        }
    }

    #[test]
    fn the_last_part_of_a_name_is_enough_where_one_setting_alone_is_called_so() {
        for system in systems() {
            let json = serde_json::to_value(&system).unwrap();
            let all = names(&json);
            for name in &all {
                let last = name.rsplit('.').next().unwrap();
                let own = value(&json, name);
                let text = own.as_str().map_or_else(|| own.to_string(), str::to_owned);
                match called(&all, last).len() {
                    1 => assert_eq!(with(&system, last, &text).unwrap(), system, "{name}"),
                    // A whole name comes first.
                    _ if all.iter().any(|other| other == last) => (),
                    _ => {
                        let error = with(&system, last, &text).unwrap_err().to_string();
                        assert!(
                            error.contains("several settings") && error.contains(name.as_str()),
                            "{error}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn every_setting_is_known_by_its_whole_name_and_takes_the_value_that_it_has() {
        for system in systems() {
            let json = serde_json::to_value(&system).unwrap();
            for name in names(&json) {
                let own = value(&json, &name);
                let text = own.as_str().map_or_else(|| own.to_string(), str::to_owned);
                assert_eq!(with(&system, &name, &text).unwrap(), system, "{name}");
            }
        }
    }

    #[test]
    fn a_name_that_is_none_comes_with_the_nearest_and_a_value_of_another_kind_with_its_setting() {
        for system in systems() {
            let error = |key: &str, value: &str| format!("{:#}", with(&system, key, value).unwrap_err());
            let json = serde_json::to_value(&system).unwrap();
            for name in names(&json) {
                // A letter too many is nearer to the name than to any other.
                let unknown = error(&format!("{name}q"), "64");
                assert!(
                    unknown.contains(&format!("no setting {name}q"))
                        && unknown.contains(&format!("nearest is {name},")),
                    "{unknown}"
                );
                if value(&json, &name).is_number() {
                    let wrong = error(&name, "many");
                    assert!(wrong.contains(&format!("{name} cannot be many")), "{wrong}");
                }
            }
            assert!(error("widht.of", "64").contains("no setting"));
            assert!(error("kind", "sasrec").contains("--method"));
        }
        // Of a setting within others the last part is looked at as well; numbers that count take no negative one.
        let plain = systems().swap_remove(0);
        let error = |key: &str, value: &str| format!("{:#}", with(&plain, key, value).unwrap_err());
        assert!(error("lerning_rate", "1").contains("nearest is schedule.learning_rate"));
        assert!(error("widht", "64").contains("nearest is width"));
        assert!(error("width", "-3").contains("width cannot be -3"));
        assert!(error("schedule.epochs", "few").contains("schedule.epochs cannot be few"));
    }

    #[test]
    fn a_choice_with_settings_of_its_own_is_given_as_json() {
        let plain = systems().swap_remove(0);
        let sampled = with(&plain, "loss", r#"{"sampled": {"negatives": 64}}"#).unwrap();
        assert!(
            serde_json::to_string(&sampled)
                .unwrap()
                .contains(r#""negatives":64"#)
        );
        let fewer = with(&sampled, "negatives", "8").unwrap();
        assert!(
            serde_json::to_string(&fewer)
                .unwrap()
                .contains(r#""negatives":8"#)
        );
        assert_eq!(with(&fewer, "loss", "ce").unwrap(), plain);
    }

    #[test]
    fn a_table_sets_what_it_names_and_leaves_the_rest() {
        let plain = System::Sasrec(Sasrec::default());
        let of = |json: Value| with_table(&plain, &table(json));
        let both = of(json!({ "schedule": { "epochs": 30 }, "width": 8 })).unwrap();
        let expected = with(&with(&plain, "schedule.epochs", "30").unwrap(), "width", "8").unwrap();
        assert_eq!(both, expected);
        // As --set takes them: by the last part of a name, or by the whole.
        assert_eq!(of(json!({ "epochs": 30, "width": 8 })).unwrap(), both);
        assert_eq!(of(json!({ "schedule.epochs": 30, "width": 8 })).unwrap(), both);
        // A choice may be another one, whatever the order that keys are written in, or keep what it has.
        let sampled = json!({ "negatives": 8, "loss": { "sampled": { "negatives": 64 } } });
        let sampled = of(sampled).unwrap();
        assert_eq!(
            value(&serde_json::to_value(&sampled).unwrap(), "loss.sampled.negatives"),
            8
        );
        let gbce = with_table(&sampled, &table(json!({ "loss": { "gbce": { "t": 0.5 } } }))).unwrap();
        let gbce = with_table(&gbce, &table(json!({ "loss": { "gbce": { "negatives": 9 } } }))).unwrap();
        let loss = value(&serde_json::to_value(&gbce).unwrap(), "loss");
        assert_eq!(loss, json!({ "gbce": { "negatives": 9, "t": 0.5 } }));
        let error = |json: Value| format!("{:#}", of(json).unwrap_err());
        let misspelt = error(json!({ "schedule": { "epochs": 3, "patiense": 1 } }));
        assert!(misspelt.contains("no setting schedule.patiense"), "{misspelt}");
        let alone = error(json!({ "schedule": { "patiense": 1 } }));
        assert!(
            alone.contains("patiense") && alone.contains("schedule cannot be"),
            "{alone}"
        );
        assert!(
            error(json!({ "schedule": { "epochs": "many" } })).contains("schedule.epochs cannot be many")
        );
        assert!(error(json!({ "kind": "tiger" })).contains("no setting"));
    }

    #[test]
    fn a_common_schedule_is_of_every_system_whose_epoch_is_chosen_and_of_no_other() {
        let schedule =
            table(json!({ "epochs": 200, "patience": 10, "rate": "cosine", "patience_steps": 500 }));
        for system in systems() {
            assert_eq!(with_schedule(&system, &Map::new()).unwrap(), system);
            let (before, after) = (
                serde_json::to_value(&system).unwrap(),
                serde_json::to_value(with_schedule(&system, &schedule).unwrap()).unwrap(),
            );
            if system.is_zero_shot() {
                assert_eq!(after, before);
                continue;
            }
            let place = SCHEDULES
                .into_iter()
                .find(|place| before[*place].is_object())
                .unwrap();
            assert_eq!(
                (&after[place]["epochs"], &after[place]["patience"]),
                (&json!(200), &json!(10))
            );
            // All else is what it was, a pre-training among it.
            let mut same = before.clone();
            for (key, value) in &schedule {
                if place == "schedule" || before[place].get(key).is_some() {
                    same[place][key] = value.clone();
                }
            }
            assert_eq!(after, same);
        }
        let of = |system: &System| serde_json::to_value(with_schedule(system, &schedule).unwrap()).unwrap();
        assert_eq!(
            of(&System::Bert4rec(Bert4rec::default()))["schedule"]["patience"],
            10
        );
        assert_eq!(of(&System::Tiger(Tiger::default()))["train"]["epochs"], 200);
        let unisrec = System::Unisrec(Unisrec::default());
        let pretraining = serde_json::to_value(&unisrec).unwrap()["pretraining"].clone();
        assert_eq!(of(&unisrec)["pretraining"], pretraining);
    }

    #[test]
    fn words_are_as_far_apart_as_the_letters_that_differ() {
        let of = |one, other| distance(one, other);
        assert_eq!((of("", "abc"), of("abc", ""), of("abc", "abc")), (3, 3, 0));
        assert_eq!((of("kitten", "sitting"), of("hidden", "hiden")), (3, 1));
    }
}
