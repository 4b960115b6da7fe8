//! What settings say about modules by their paths: names, patterns, layers, and values for some of them.

use std::fmt;
use std::marker::PhantomData;

use fancy_regex::Regex;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{EMBEDDING, HEAD};

/// Which modules carry an adapter, or which do not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TargetModules {
    /// Names: a module is meant if its path is one of them or ends in a dot and one of them.
    Names(Vec<String>),
    /// A regular expression for the whole path, or `all-linear`: every linear layer but the output head.
    Pattern(String),
}

impl TargetModules {
    pub(super) fn is_all_linear(&self) -> bool {
        matches!(self, TargetModules::Pattern(pattern) if pattern.eq_ignore_ascii_case("all-linear"))
    }

    pub(super) fn matches(&self, module: &str) -> bool {
        match self {
            TargetModules::Names(names) => names.iter().any(|name| ends_in(module, name)),
            _ if self.is_all_linear() => module != HEAD && module != EMBEDDING,
            TargetModules::Pattern(pattern) => {
                whole(pattern).is_ok_and(|regex| regex.is_match(module).unwrap_or(false))
            }
        }
    }
}

/// One value, or a list of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// A list; an empty one says nothing.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    pub(super) fn values(&self) -> &[T] {
        match self {
            OneOrMany::One(value) => std::slice::from_ref(value),
            OneOrMany::Many(values) => values,
        }
    }
}

/// Values for modules that a regular expression picks; the first that matches counts, so the order is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Patterns<T>(pub Vec<(String, T)>);

impl<T> Default for Patterns<T> {
    fn default() -> Self {
        Patterns(Vec::new())
    }
}

impl<T: Copy> Patterns<T> {
    /// The value of the first key K for which `(.*\.)?(K)$` matches the path, as PEFT decides it.
    pub fn get(&self, module: &str) -> Option<T> {
        let matches = |key: &str| pattern(key).is_ok_and(|regex| regex.is_match(module).unwrap_or(false));
        self.0
            .iter()
            .find(|(key, _)| matches(key))
            .map(|(_, value)| *value)
    }
}

/// Whether a path is a name, or ends in a dot and the name.
pub(super) fn ends_in(module: &str, name: &str) -> bool {
    let rest = module.strip_suffix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The first number between two dots, with a name before it.
pub(super) fn any_layer() -> String {
    r"^.*?\.[^.]*\.(?<layer>\d+)\.".into()
}

pub(super) fn named_layer(pattern: &str) -> String {
    format!(r"^(?:|.*?\.)(?:{pattern})\.(?<layer>\d+)\.")
}

type Compiled = Result<Regex, Box<fancy_regex::Error>>;

pub(super) fn pattern(key: &str) -> Compiled {
    // Python's `re.match`, which PEFT calls, anchors at the start.
    Ok(Regex::new(&format!(r"^(.*\.)?({key})$"))?)
}

pub(super) fn whole(pattern: &str) -> Compiled {
    Ok(Regex::new(&format!("^(?:{pattern})$"))?)
}

impl<T: Serialize> Serialize for Patterns<T> {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        let mut map = output.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patterns<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct InOrder<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Patterns<T>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a table from patterns to numbers")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Patterns(entries))
            }
        }
        input.deserialize_map(InOrder(PhantomData))
    }
}
