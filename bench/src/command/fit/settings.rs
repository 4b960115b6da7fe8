//! Settings of a system by their names, as the command line gives them.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use weaverec_model::recommender::System;

/// What tells systems apart, and is no setting.
const KIND: &str = "kind";

/// The same system with another value of one setting. Settings within others are named with a dot between.
///
/// # Errors
/// A name that the system does not have, with the nearest one, or a value that the setting cannot take.
pub fn with(system: &System, key: &str, value: &str) -> Result<System> {
    let mut json = serde_json::to_value(system)?;
    if key == KIND {
        bail!("which system it is says --method");
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
    *place = match (&before, serde_json::from_str(value)) {
        (_, Ok(read @ (Value::Object(_) | Value::Array(_)))) => read,
        // A word may look like a number.
        (Value::String(_), _) | (_, Err(_)) => Value::String(value.to_owned()),
        (_, Ok(read)) => read,
    };
    serde_json::from_value(json).with_context(|| {
        format!("{path} cannot be {value}, where it was {before}: give a value of that kind")
    })
}

/// The same system with so many epochs at most, in every stage of its fit.
///
/// # Errors
/// A system without such a setting.
pub fn with_epochs(system: &System, epochs: usize) -> Result<System> {
    let known = names(&serde_json::to_value(system)?);
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
    use super::*;
    use crate::method::{How, METHODS};

    fn systems() -> Vec<System> {
        let of = |how| match how {
            How::Fitted { system } => Some(system()),
            _ => None,
        };
        METHODS.iter().filter_map(|row| of(row.how())).collect()
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
    fn words_are_as_far_apart_as_the_letters_that_differ() {
        let of = |one, other| distance(one, other);
        assert_eq!((of("", "abc"), of("abc", ""), of("abc", "abc")), (3, 3, 0));
        assert_eq!((of("kitten", "sitting"), of("hidden", "hiden")), (3, 1));
    }
}
