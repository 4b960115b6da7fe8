//! A profile over another one: few keys in place of a copy.

use toml::{Table, Value};

/// The keys of one table over those of another.
///
/// Tables meet key by key, and lists of tables that have names (`[[study]]`, `[[study.domain]]`) table by table: one of a new name is
/// added. Everything else is replaced, lists of scenarios and of rows included; and so is a table of another `kind`, whose keys mean
/// something else.
pub fn over(mut below: Table, above: Table) -> Table {
    for (key, value) in above {
        let value = match below.remove(&key) {
            Some(old) => value_over(old, value),
            None => value,
        };
        below.insert(key, value);
    }
    below
}

fn value_over(below: Value, above: Value) -> Value {
    match (below, above) {
        (Value::Table(below), Value::Table(above)) if is_same_kind(&below, &above) => {
            Value::Table(over(below, above))
        }
        (Value::Array(below), Value::Array(above)) if is_named(&below) && is_named(&above) => {
            Value::Array(named_over(below, above))
        }
        (_, above) => above,
    }
}

fn is_same_kind(below: &Table, above: &Table) -> bool {
    above
        .get("kind")
        .is_none_or(|kind| below.get("kind") == Some(kind))
}

fn name(value: &Value) -> Option<&str> {
    value.get("name").and_then(Value::as_str)
}

fn is_named(list: &[Value]) -> bool {
    !list.is_empty() && list.iter().all(|value| name(value).is_some())
}

fn named_over(mut below: Vec<Value>, above: Vec<Value>) -> Vec<Value> {
    for value in above {
        let old = below.iter().position(|old| name(old) == name(&value));
        match old {
            Some(place) => {
                let old = below.remove(place);
                below.insert(place, value_over(old, value));
            }
            None => below.push(value),
        }
    }
    below
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn merged(below: &str, above: &str) -> Table {
        over(toml::from_str(below).unwrap(), toml::from_str(above).unwrap())
    }

    #[test]
    fn keys_are_replaced_one_by_one_and_lists_as_a_whole() {
        let both = merged(
            "a = 1\nlist = [1, 2]\n[t]\nx = 1\ny = 2",
            "b = 3\nlist = [9]\n[t]\ny = 5",
        );
        let expected = "a = 1\nb = 3\nlist = [9]\n[t]\nx = 1\ny = 5";
        assert_eq!(both, toml::from_str(expected).unwrap());
    }

    #[test]
    fn tables_with_names_meet_by_their_names_and_new_ones_come_last() {
        let below =
            "[[study]]\nname = \"a\"\nx = 1\nscenario = [{ target = \"t\" }]\n[[study]]\nname = \"b\"\nx = 2";
        let both = merged(
            below,
            "[[study]]\nname = \"c\"\nx = 3\n[[study]]\nname = \"a\"\nx = 9",
        );
        let expected = "[[study]]\nname = \"a\"\nx = 9\nscenario = [{ target = \"t\" }]\n[[study]]\nname = \"b\"\nx = 2\n\
                        [[study]]\nname = \"c\"\nx = 3";
        assert_eq!(both, toml::from_str(expected).unwrap());
        // What has no name has no counterpart.
        let scenarios = "[[study]]\nname = \"a\"\nscenario = [{ target = \"u\" }]";
        let both = merged(below, scenarios);
        let first = both["study"].as_array().unwrap()[0].as_table().unwrap();
        assert_eq!(
            first["scenario"],
            toml::from_str::<Table>("s = [{ target = \"u\" }]").unwrap()["s"]
        );
        assert_eq!(first["x"], Value::Integer(1));
    }

    #[test]
    fn a_table_of_another_kind_keeps_no_key_of_the_first() {
        let below = "[backbone]\nkind = \"nano\"\nlayers = 2";
        let other = "[backbone]\nkind = \"pretrained\"\nmodel = \"m\"";
        assert_eq!(merged(below, other), toml::from_str(other).unwrap());
        let same = merged(below, "[backbone]\nlayers = 3");
        let expected = "[backbone]\nkind = \"nano\"\nlayers = 3";
        assert_eq!(same, toml::from_str(expected).unwrap());
    }
}
