//! A tree of keys and values that knows its lines: what recipes are read into, whatever they are written in.

use serde_json::{Map, Number, Value};

/// A value, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The line, from 1; 0 where there are none.
    pub line: usize,
    /// The value.
    pub content: Content,
}

/// A value of a recipe.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
    /// Values in a row.
    List(Vec<Node>),
    /// Values by key, in the order written.
    Table(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Its line, as that of a [`Node`].
    pub line: usize,
    /// The value.
    pub value: Node,
}

impl Node {
    /// A tree without lines.
    pub fn of_json(value: Value) -> Self {
        let content = match value {
            Value::Null => Content::Null,
            Value::Bool(value) => Content::Bool(value),
            Value::Number(value) => Content::Number(value),
            Value::String(value) => Content::Text(value),
            Value::Array(values) => Content::List(values.into_iter().map(Node::of_json).collect()),
            Value::Object(values) => Content::Table(
                values
                    .into_iter()
                    .map(|(key, value)| Entry {
                        key,
                        line: 0,
                        value: Node::of_json(value),
                    })
                    .collect(),
            ),
        };
        Node { line: 0, content }
    }

    /// The tree without its lines.
    pub fn json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => (*value).into(),
            Content::Number(value) => value.clone().into(),
            Content::Text(value) => value.clone().into(),
            Content::List(values) => values.iter().map(Node::json).collect(),
            Content::Table(entries) => Value::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.value.json()))
                    .collect::<Map<String, Value>>(),
            ),
        }
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self.content {
            Content::Null => "nothing",
            Content::Bool(_) => "a yes or no",
            Content::Number(_) => "a number",
            Content::Text(_) => "a text",
            Content::List(_) => "a list",
            Content::Table(_) => "keys with values",
        }
    }
}

/// A message with the line that it is about.
pub(super) fn at(line: usize, message: impl std::fmt::Display) -> String {
    match line {
        0 => message.to_string(),
        line => format!("line {line}: {message}"),
    }
}

/// The known word with the fewest letters to change, by Levenshtein's distance.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known.iter().copied().min_by_key(|other| distance(word, other))
}

fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, theirs) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *theirs);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_the_one_meant() {
        let known = ["density", "weight", "normalize", "lambda"];
        for (word, meant) in [
            ("densty", "density"),
            ("wieght", "weight"),
            ("normalise", "normalize"),
            ("lamda", "lambda"),
        ] {
            assert_eq!(nearest(word, &known), Some(meant));
        }
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(nearest("x", &[]), None);
    }
}
