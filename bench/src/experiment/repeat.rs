//! A cell that was run a second time: whether it came to the same numbers.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::scores;
use super::store::{RECORD, SCORES};

/// The keys of a record under which it has what was found along the weights of a merge, and what codes of items came to.
const SINCE: [&str; 2] = ["weights", "codes"];

/// Ending of the files that hold weights.
const WEIGHTS: &str = "safetensors";

/// The first number in which two folders of one cell differ, in words; `None` where they have the same. Costs and environments are not
/// compared.
///
/// # Errors
/// Files that cannot be read.
pub fn difference(first: &Path, second: &Path) -> Result<Option<String>> {
    // Both as they read from their files: writing a number and reading it again may move its last bit.
    let [one, two] = [first, second].map(|folder| numbers(&folder.join(RECORD)));
    let (mut one, mut two) = (one?, two?);
    // A record of before these were kept has none, which is no other number.
    for key in SINCE {
        if one.get(key).is_none() || two.get(key).is_none() {
            for record in [&mut one, &mut two] {
                record.as_object_mut().map(|record| record.shift_remove(key));
            }
        }
    }
    if let Some(found) = values("", &one, &two) {
        return Ok(Some(found));
    }
    if let Some(found) = scored(&first.join(SCORES), &second.join(SCORES))? {
        return Ok(Some(found));
    }
    let [one, two] = [first, second].map(weights);
    let (one, two) = (one?, two?);
    if one != two {
        return Ok(Some(format!("weights in {one:?} and in {two:?}")));
    }
    for name in one {
        if read(&first.join(&name))? != read(&second.join(&name))? {
            return Ok(Some(format!("other weights in {}", name.display())));
        }
    }
    Ok(None)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A record without what differs between two runs of one cell.
fn numbers(path: &Path) -> Result<Value> {
    let mut record: Value =
        serde_json::from_slice(&read(path)?).with_context(|| path.display().to_string())?;
    if let Some(record) = record.as_object_mut() {
        for key in ["environment", "cost", "label"] {
            record.remove(key);
        }
        // What somebody said of an imported file is no number either.
        if let Some(told) = record.get_mut("outside").and_then(Value::as_object_mut) {
            told.remove("made_by");
        }
    }
    strip_times(&mut record);
    Ok(record)
}

fn strip_times(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| key != "seconds" && !key.ends_with("_seconds"));
            map.values_mut().for_each(strip_times);
        }
        Value::Array(values) => values.iter_mut().for_each(strip_times),
        _ => {}
    }
}

fn values(at: &str, one: &Value, two: &Value) -> Option<String> {
    match (one, two) {
        (Value::Object(one), Value::Object(two)) => {
            let keys = one.keys().chain(two.keys().filter(|key| !one.contains_key(*key)));
            let get =
                |map: &serde_json::Map<String, Value>, key| map.get(key).cloned().unwrap_or(Value::Null);
            keys.into_iter().find_map(|key| {
                values(
                    &format!("{at}{}{key}", if at.is_empty() { "" } else { "." }),
                    &get(one, key),
                    &get(two, key),
                )
            })
        }
        (Value::Array(one), Value::Array(two)) if one.len() == two.len() => {
            let pairs = one.iter().zip(two).enumerate();
            pairs
                .into_iter()
                .find_map(|(i, (one, two))| values(&format!("{at}[{i}]"), one, two))
        }
        _ if one == two => None,
        _ => Some(format!("{at} is {} and {}", short(one), short(two))),
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn scored(first: &Path, second: &Path) -> Result<Option<String>> {
    let there = [first, second].map(Path::exists);
    if there == [false, false] {
        return Ok(None);
    }
    if there[0] != there[1] {
        return Ok(Some(format!("only one has {SCORES}")));
    }
    if read(first)? == read(second)? {
        return Ok(None);
    }
    let (one, two) = (scores::read(first)?, scores::read(second)?);
    if one.len() != two.len() {
        return Ok(Some(format!("{} users and {}", one.len(), two.len())));
    }
    // A score that is no number is the same as itself here.
    let bits = |scores: &[f32]| scores.iter().map(|score| score.to_bits()).collect::<Vec<_>>();
    let differ = one.iter().zip(&two).find_map(|(one, two)| {
        let place = bits(&one.scores)
            .iter()
            .zip(&bits(&two.scores))
            .position(|(a, b)| a != b);
        if let Some(place) = place {
            let (a, b) = (one.scores[place], two.scores[place]);
            return Some(format!(
                "user {}'s candidate {place} scores {a} and {b}",
                one.user_id
            ));
        }
        let same = bits(&one.neutral) == bits(&two.neutral)
            && (
                &one.user_id,
                one.cut,
                one.target,
                &one.candidates,
                &one.tokens,
                &one.popularity,
                one.descends,
                one.ties,
            ) == (
                &two.user_id,
                two.cut,
                two.target,
                &two.candidates,
                &two.tokens,
                &two.popularity,
                two.descends,
                two.ties,
            );
        (!same).then(|| format!("user {} has other candidates or values", one.user_id))
    });
    Ok(differ)
}

/// The files of weights below a folder, in order.
fn weights(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        let failed = || format!("cannot read {}", next.display());
        for entry in std::fs::read_dir(&next).with_context(failed)? {
            let path = entry.with_context(failed)?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == WEIGHTS) {
                found.push(path.strip_prefix(folder)?.to_path_buf());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn folder(record: &Value, weights: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(RECORD), record.to_string()).unwrap();
        std::fs::create_dir(folder.path().join("adapter")).unwrap();
        std::fs::write(folder.path().join("adapter/a.safetensors"), weights).unwrap();
        scores::write(&folder.path().join(SCORES), &scores::tests::some()).unwrap();
        folder
    }

    #[test]
    fn times_and_places_are_nobody_s_result_and_everything_else_is() {
        let record = json!({"environment": {"cpu": "a"}, "cost": {"wall_seconds": 1.0}, "key": "k",
            "training": {"outcome": {"seconds": 3.0, "curve": [[1, 0.5], [2, 0.25]]}}});
        let first = folder(&record, b"w");
        let mut again = record.clone();
        again["environment"]["cpu"] = json!("b");
        again["cost"]["wall_seconds"] = json!(2.0);
        again["training"]["outcome"]["seconds"] = json!(4.0);
        let between = |second: &tempfile::TempDir| difference(first.path(), second.path()).unwrap();
        assert_eq!(between(&folder(&again, b"w")), None);

        again["outside"] = json!({"users": 2, "made_by": "a program"});
        let mut silent = again.clone();
        silent["outside"] = json!({"users": 2});
        let said = folder(&again, b"w");
        assert_eq!(
            difference(said.path(), folder(&silent, b"w").path()).unwrap(),
            None
        );
        again["outside"] = Value::Null;

        let found = between(&folder(&again, b"v")).unwrap();
        assert!(found.contains("adapter/a.safetensors"), "{found}");
        let mut other = record.clone();
        other["training"]["outcome"]["curve"][1][1] = json!(0.2500001);
        let found = between(&folder(&other, b"w")).unwrap();
        assert!(
            found.contains("training.outcome.curve[1][1] is 0.25 and 0.2500001"),
            "{found}"
        );
        let mut more = record;
        more["choices"] = json!([1]);
        assert!(
            between(&folder(&more, b"w"))
                .unwrap()
                .contains("choices is null and [1]")
        );

        let mut cases = scores::tests::some();
        cases[1].scores[0] = 0.2;
        let second = folder(&again, b"w");
        scores::write(&second.path().join(SCORES), &cases).unwrap();
        let found = between(&second).unwrap();
        assert!(
            found.contains("user b é's candidate 0 scores 0.1 and 0.2"),
            "{found}"
        );
        cases = scores::tests::some();
        cases[0].neutral[2] = -4.0;
        scores::write(&second.path().join(SCORES), &cases).unwrap();
        assert!(between(&second).unwrap().contains("user a has other"));
        std::fs::remove_file(second.path().join(SCORES)).unwrap();
        assert!(between(&second).unwrap().contains("only one"));
    }
}
