//! The keys of a recipe's tables: unknown ones are errors with their line and the nearest that is known.

use super::node::{Content, Entry, Node, at, nearest};
use crate::merge::setting::Setting;

/// Keys of mergekit that mean nothing for adapters.
const REFUSED: [(&str, &str); 6] = [
    (
        "slices",
        "adapters are merged module by module, and layers cannot be put together anew; name them under models, and give \
                gradients or filters as their parameters",
    ),
    (
        "modules",
        "a language model's adapters have no parts to name; name them under models",
    ),
    ("tokenizer", "an adapter has no tokenizer; leave it out"),
    ("tokenizer_source", "an adapter has no tokenizer; leave it out"),
    ("chat_template", "an adapter has no chat template; leave it out"),
    (
        "layer_range",
        "whole adapters are merged; give a filter or a gradient as the weight",
    ),
];

/// The keys of a table.
pub(super) struct Keys<'a> {
    pub entries: &'a [Entry],
}

impl<'a> Keys<'a> {
    /// Those of a node that must be a table.
    pub fn of(node: &'a Node, what: &str) -> Result<Self, String> {
        match &node.content {
            Content::Table(entries) => Ok(Keys { entries }),
            _ => Err(at(
                node.line,
                format!("{what} is {}; give keys with values", node.kind()),
            )),
        }
    }

    /// The value of one.
    pub fn get(&self, key: &str) -> Option<&'a Node> {
        let found = self.entries.iter().find(|entry| entry.key == key)?;
        Some(&found.value)
    }

    /// Refuses others than those that are known, with the line and the nearest.
    pub fn check(&self, known: &[&str]) -> Result<(), String> {
        self.check_of(known, "")
    }

    /// The same, with words that say whose keys they are.
    pub fn check_of(&self, known: &[&str], whose: &str) -> Result<(), String> {
        let mut entries = self.entries.iter();
        let Some(entry) = entries.find(|entry| !known.contains(&entry.key.as_str())) else {
            return Ok(());
        };
        let key = &entry.key;
        if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| refused == key) {
            return Err(at(entry.line, format!("{key}: {why}")));
        }
        let hint = match nearest(key, known) {
            None => "there are none".to_string(),
            Some(meant) => format!("the nearest is {meant}, and all are {}", known.join(", ")),
        };
        Err(at(entry.line, format!("unknown key {key}{whose}; {hint}")))
    }
}

/// A value that must be a text.
pub(super) fn text<'a>(node: &'a Node, key: &str) -> Result<&'a str, String> {
    match &node.content {
        Content::Text(text) => Ok(text),
        _ => Err(at(
            node.line,
            format!("{key} is {}; give a text, in quotes", node.kind()),
        )),
    }
}

/// A value that must be a whole number.
pub(super) fn number(node: &Node, key: &str) -> Result<u64, String> {
    let found = match &node.content {
        Content::Number(number) => number.as_u64(),
        _ => None,
    };
    found.ok_or_else(|| {
        at(
            node.line,
            format!("{key} is {}; give a whole number", node.json()),
        )
    })
}

/// A value that must be a setting.
pub(super) fn setting(entry: &Entry) -> Result<Setting, String> {
    Setting::try_from(entry.value.json()).map_err(|error| at(entry.line, format!("{}: {error}", entry.key)))
}
