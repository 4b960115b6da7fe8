//! Values of YAML on one line: scalars, `[lists]` and `{keys: values}`.

use serde_json::Number;

use super::node::{Content, Entry, Node, at};
use super::yaml::DEEPEST;

/// A value on one line.
pub(super) fn inline(text: &str, line: usize) -> Result<Node, String> {
    let mut flow = Flow { text, line };
    let node = flow.value(false, 0)?;
    match flow.text.trim() {
        "" => Ok(node),
        rest => Err(at(line, format!("\"{rest}\" follows a value that is complete"))),
    }
}

struct Flow<'a> {
    text: &'a str,
    line: usize,
}

impl Flow<'_> {
    fn value(&mut self, within: bool, depth: usize) -> Result<Node, String> {
        self.text = self.text.trim_start();
        if depth > DEEPEST {
            return Err(at(self.line, "too many values in each other"));
        }
        let content = match self.text.chars().next() {
            Some('[') => self.list(depth)?,
            Some('{') => self.table(depth)?,
            Some(quote @ ('"' | '\'')) => Content::Text(self.quoted(quote)?),
            Some(mark @ ('&' | '*' | '!' | '|' | '>' | '%' | '@' | '`')) => {
                return Err(at(
                    self.line,
                    format!(
                        "{mark} begins an anchor, a tag or a text over several lines, which are not read here; quote it if it is a text"
                    ),
                ));
            }
            _ => {
                let end = match within {
                    true => self.text.find([',', ']', '}']).unwrap_or(self.text.len()),
                    false => self.text.len(),
                };
                let (word, rest) = self.text.split_at(end);
                self.text = rest;
                plain(word.trim())
            }
        };
        Ok(Node {
            line: self.line,
            content,
        })
    }

    fn list(&mut self, depth: usize) -> Result<Content, String> {
        self.text = &self.text[1..];
        let mut items = Vec::new();
        while !self.closes(']')? {
            items.push(self.value(true, depth + 1)?);
            self.comma(']')?;
        }
        Ok(Content::List(items))
    }

    fn table(&mut self, depth: usize) -> Result<Content, String> {
        self.text = &self.text[1..];
        let mut entries: Vec<Entry> = Vec::new();
        while !self.closes('}')? {
            self.text = self.text.trim_start();
            let key = match self.text.chars().next() {
                Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
                _ => {
                    let end = self.text.find([':', ',', '}']).unwrap_or(self.text.len());
                    let (word, rest) = self.text.split_at(end);
                    self.text = rest;
                    word.trim().to_string()
                }
            };
            let rest = self.text.trim_start().strip_prefix(':');
            self.text = rest.ok_or_else(|| at(self.line, format!("{key} in braces has no value")))?;
            if entries.iter().any(|entry| entry.key == key) {
                return Err(at(self.line, format!("{key} is there twice")));
            }
            let value = self.value(true, depth + 1)?;
            entries.push(Entry {
                key,
                line: self.line,
                value,
            });
            self.comma('}')?;
        }
        Ok(Content::Table(entries))
    }

    /// Whether the end of a list or table is here, which is then passed over.
    fn closes(&mut self, end: char) -> Result<bool, String> {
        self.text = self.text.trim_start();
        if self.text.is_empty() {
            return Err(at(
                self.line,
                format!("no {end} on the line; write lists and braces on one line"),
            ));
        }
        match self.text.strip_prefix(end) {
            Some(rest) => {
                self.text = rest;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn comma(&mut self, end: char) -> Result<(), String> {
        self.text = self.text.trim_start();
        match self.text.strip_prefix(',') {
            Some(rest) => self.text = rest,
            None if self.text.starts_with(end) => {}
            None => {
                return Err(at(
                    self.line,
                    format!(
                        "no comma or {end} before \"{}\"; write lists and braces on one line",
                        self.text
                    ),
                ));
            }
        }
        Ok(())
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        let mut letters = self.text.char_indices().skip(1).peekable();
        while let Some((place, letter)) = letters.next() {
            match letter {
                // Twice in single quotes it is itself.
                '\'' if quote == '\'' && letters.peek().is_some_and(|(_, next)| *next == '\'') => {
                    letters.next();
                    text.push('\'');
                }
                letter if letter == quote => {
                    self.text = &self.text[place + 1..];
                    return Ok(text);
                }
                '\\' if quote == '"' => match letters.next().map(|(_, next)| next) {
                    Some(next @ ('"' | '\\' | '/')) => text.push(next),
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    _ => {
                        return Err(at(
                            self.line,
                            "an escape in quotes that is not read here; use single quotes",
                        ));
                    }
                },
                letter => text.push(letter),
            }
        }
        Err(at(self.line, format!("no closing {quote}")))
    }
}

/// A scalar without quotes.
fn plain(word: &str) -> Content {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => return Content::Null,
        "true" | "True" | "TRUE" => return Content::Bool(true),
        "false" | "False" | "FALSE" => return Content::Bool(false),
        _ => {}
    }
    let like_number = word.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first))
        && word.contains(|letter: char| letter.is_ascii_digit());
    let whole = word.parse::<i64>().map(Number::from).ok();
    let number = whole.or_else(|| word.parse::<f64>().ok().and_then(Number::from_f64));
    match number {
        Some(number) if like_number => Content::Number(number),
        _ => Content::Text(word.to_string()),
    }
}
