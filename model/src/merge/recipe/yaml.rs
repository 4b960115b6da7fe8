//! As much of YAML as merge recipes are written in: blocks by indentation, `[lists]` and `{keys: values}` on one line, quoted and plain
//! scalars, comments. Anchors, tags, texts over several lines and several documents are refused by name, never read as something else.

use super::flow::inline;
use super::node::{Content, Entry, Node, at};

/// How deep values may lie in each other.
pub(super) const DEEPEST: usize = 32;

/// Reads a document.
///
/// # Errors
/// What is none, or uses what is not read here, with its line.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let content = without_comment(line).trim_end();
        let inner = content.trim_start_matches(' ');
        if inner.is_empty() || (inner == "---" && lines.is_empty()) {
            continue;
        }
        if inner == "---" || inner == "..." {
            return Err(at(number, "a second document; a recipe is one"));
        }
        if inner.starts_with('\t') {
            return Err(at(number, "a tab in the indentation; YAML wants blanks"));
        }
        lines.push(Line {
            number,
            indent: content.len() - inner.len(),
            text: inner.to_string(),
        });
    }
    let mut reader = Reader { lines, next: 0 };
    let Some(indent) = reader.peek().map(|line| line.indent) else {
        return Err("the recipe is empty".into());
    };
    let node = reader.block(indent, 0)?;
    match reader.peek() {
        None => Ok(node),
        Some(line) => Err(at(
            line.number,
            "less indented than what it belongs to, or more than its neighbours",
        )),
    }
}

struct Line {
    number: usize,
    indent: usize,
    text: String,
}

struct Reader {
    lines: Vec<Line>,
    next: usize,
}

impl Reader {
    fn peek(&self) -> Option<&Line> {
        self.lines.get(self.next)
    }

    /// The value whose lines begin at this indentation.
    fn block(&mut self, indent: usize, depth: usize) -> Result<Node, String> {
        let Some(line) = self.peek() else {
            return Ok(null(0));
        };
        if depth > DEEPEST {
            return Err(at(line.number, "too many values in each other"));
        }
        if is_item(&line.text) {
            self.list(indent, depth)
        } else if split_key(&line.text).is_some() {
            self.table(indent, depth)
        } else {
            let node = inline(&line.text, line.number)?;
            self.next += 1;
            Ok(node)
        }
    }

    fn list(&mut self, indent: usize, depth: usize) -> Result<Node, String> {
        let mut items = Vec::new();
        let first = self.peek().map_or(0, |line| line.number);
        while let Some(line) = self.lines.get_mut(self.next) {
            if line.indent != indent || !is_item(&line.text) {
                break;
            }
            let number = line.number;
            let rest = line.text[1..].trim_start().to_string();
            if rest.is_empty() {
                self.next += 1;
                items.push(self.below(indent, number, depth)?);
                continue;
            }
            // What follows the dash is a line of its own, further in.
            line.indent += line.text.len() - rest.len();
            line.text = rest;
            let inner = line.indent;
            items.push(self.block(inner, depth + 1)?);
        }
        Ok(Node {
            line: first,
            content: Content::List(items),
        })
    }

    fn table(&mut self, indent: usize, depth: usize) -> Result<Node, String> {
        let mut entries: Vec<Entry> = Vec::new();
        let first = self.peek().map_or(0, |line| line.number);
        while let Some(line) = self.peek() {
            if line.indent != indent || is_item(&line.text) {
                break;
            }
            let number = line.number;
            let Some((key, rest)) = split_key(&line.text) else {
                return Err(at(number, format!("\"{}\" is no key with a value", line.text)));
            };
            let (key, rest) = (key?, rest.to_string());
            if let Some(other) = entries.iter().find(|entry| entry.key == key) {
                return Err(at(
                    number,
                    format!("{key} is there twice, first on line {}", other.line),
                ));
            }
            self.next += 1;
            let value = match rest.is_empty() {
                false => inline(&rest, number)?,
                true => match self.peek() {
                    // A list may stand as far out as its key.
                    Some(line) if line.indent == indent && is_item(&line.text) => {
                        self.list(indent, depth + 1)?
                    }
                    _ => self.below(indent, number, depth)?,
                },
            };
            entries.push(Entry {
                key,
                line: number,
                value,
            });
        }
        Ok(Node {
            line: first,
            content: Content::Table(entries),
        })
    }

    /// The value on the lines further in than `indent`, if there are any.
    fn below(&mut self, indent: usize, number: usize, depth: usize) -> Result<Node, String> {
        match self.peek().map(|line| line.indent) {
            Some(inner) if inner > indent => self.block(inner, depth + 1),
            _ => Ok(null(number)),
        }
    }
}

fn null(line: usize) -> Node {
    Node {
        line,
        content: Content::Null,
    }
}

fn is_item(text: &str) -> bool {
    text == "-" || text.starts_with("- ")
}

/// The line up to a `#` that begins a comment: at its start or after a blank, and in no quotes.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (place, letter) in line.char_indices() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '"' | '\'') if " [{,:-".contains(before) => quote = Some(letter),
            (None, '#') if before.is_whitespace() => return &line[..place],
            _ => {}
        }
        before = letter;
    }
    line
}

/// The key of a line and what follows its colon; none where there is no key.
fn split_key(text: &str) -> Option<(Result<String, String>, &str)> {
    if let Some(quote) = text.chars().next().filter(|first| "\"'".contains(*first)) {
        let end = text[1..].find(quote)? + 1;
        let rest = text[end + 1..].trim_start().strip_prefix(':')?;
        return Some((Ok(text[1..end].to_string()), rest.trim()));
    }
    if text.starts_with(['[', '{']) {
        return None;
    }
    let (place, _) = text
        .match_indices(':')
        .find(|(place, _)| matches!(text[place + 1..].chars().next(), None | Some(' ')))?;
    let key = text[..place].trim_end();
    let key = match key.chars().next() {
        None => Err("a value without a key".to_string()),
        Some('?' | '&' | '*' | '!') => Err(format!(
            "\"{key}\": anchors, tags and such keys are not read here"
        )),
        Some(_) => Ok(key.to_string()),
    };
    Some((key, text[place + 1..].trim()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_recipe_of_mergekit_is_read_with_its_lines() {
        let text = r#"---
# a comment
merge_method: ties   # another
base_model: "org/base"
models:
  - model: org/base
  - model: adapters/a#1
    parameters:
      weight: 0.5
      density: [0, .5, 1e-1]
  - {model: 'it''s', parameters: {weight: -1}}
parameters:
  normalize: true
  t:
  - filter: self_attn
    value: [0, 1]
  - value: 0.5
dtype: bfloat16
nothing:
"#;
        let node = parse(text).unwrap();
        assert_eq!(
            node.json(),
            json!({
                "merge_method": "ties",
                "base_model": "org/base",
                "models": [
                    {"model": "org/base"},
                    {"model": "adapters/a#1", "parameters": {"weight": 0.5, "density": [0, 0.5, 0.1]}},
                    {"model": "it's", "parameters": {"weight": -1}},
                ],
                "parameters": {"normalize": true, "t": [{"filter": "self_attn", "value": [0, 1]}, {"value": 0.5}]},
                "dtype": "bfloat16",
                "nothing": null,
            })
        );
        let Content::Table(entries) = &node.content else {
            panic!("{node:?}");
        };
        assert_eq!(
            entries.iter().map(|entry| entry.line).collect::<Vec<_>>(),
            [3, 4, 5, 12, 18, 19]
        );
    }

    #[test]
    fn what_is_not_read_is_refused_with_its_line() {
        for (text, line, words) in [
            ("a: 1\na: 2\n", 2, "twice"),
            ("a: &x 1\n", 1, "anchor"),
            ("a: |\n  text\n", 1, "several lines"),
            ("a: [1,\n  2]\n", 1, "on one line"),
            ("a: [1 2\n", 1, "on one line"),
            ("a: 'x\n", 1, "closing"),
            ("a: 'x' y\n", 1, "follows"),
            ("a:\n    b: 1\n  c: 2\n", 3, "indented"),
            ("a: 1\n\tb: 2\n", 2, "tab"),
            ("a: 1\n---\nb: 2\n", 2, "second document"),
            ("a: 1\nno key\n", 2, "no key"),
            ("a: {b}\n", 1, "no value"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                error.starts_with(&format!("line {line}: ")) && error.contains(words),
                "{text:?}: {error}"
            );
        }
        assert!(parse("# nothing\n").unwrap_err().contains("empty"));
    }
}
