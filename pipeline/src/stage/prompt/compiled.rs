//! Wordings that only put titles into a text, taken apart once: most do no more, and a template engine costs many times the copying.
//!
//! What is understood is text, `{{ name }}`, `{{ name[0] }}` and `{{ name | join("…" ~ separator) }}`; a template with anything else
//! is left to MiniJinja.

use std::fmt::Write as _;

/// A list of titles that a template can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    History,
    Candidates,
    Answer,
}

#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    /// All titles of a list with a text between them.
    Joined(List, String),
    /// One title of a list.
    Title(List, usize),
    /// How many titles the answer has.
    Answers,
    Letter,
}

/// What a template is filled with.
pub(super) struct Filling<'a> {
    /// The titles of an item.
    pub titles: &'a dyn Fn(u32) -> &'a str,
    pub history: &'a [u32],
    pub candidates: &'a [u32],
    pub answer: &'a [u32],
    pub letter: Option<&'a str>,
}

/// A template as pieces one after another.
#[derive(Debug)]
pub(super) struct Compiled {
    pieces: Vec<Piece>,
}

impl Compiled {
    /// Takes a template apart; none for one that MiniJinja must render. Only the turn that knows the answer may name it.
    pub fn of(source: &str, separator: &str, knows_answer: bool) -> Option<Self> {
        // As MiniJinja has it: a line end at the very end is no part of the text.
        let source = source
            .strip_suffix('\n')
            .map_or(source, |text| text.strip_suffix('\r').unwrap_or(text));
        if source.contains("{%") || source.contains("{#") {
            return None;
        }
        let mut pieces = Vec::new();
        let mut rest = source;
        while let Some((text, inside)) = rest.split_once("{{") {
            // Text with an expression inside may hold what looks like the end of one.
            let (expression, after) = inside.split_once("}}")?;
            pieces.push(Piece::Text(text.to_owned()));
            pieces.push(expression_of(expression, separator, knows_answer)?);
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Some(Self { pieces })
    }

    /// Appends the filled template.
    pub fn render(&self, filling: &Filling<'_>, out: &mut String) -> Option<()> {
        let list = |list: &List| match list {
            List::History => filling.history,
            List::Candidates => filling.candidates,
            List::Answer => filling.answer,
        };
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Joined(name, between) => {
                    for (at, item) in list(name).iter().enumerate() {
                        if at > 0 {
                            out.push_str(between);
                        }
                        out.push_str((filling.titles)(*item));
                    }
                }
                // What is not there is for MiniJinja to complain about.
                Piece::Title(name, at) => out.push_str((filling.titles)(*list(name).get(*at)?)),
                Piece::Answers => write!(out, "{}", filling.answer.len()).ok()?,
                Piece::Letter => out.push_str(filling.letter?),
            }
        }
        Some(())
    }
}

fn expression_of(text: &str, separator: &str, knows_answer: bool) -> Option<Piece> {
    // Signs at the ends of an expression take the white space beside it away.
    if text.starts_with(['-', '+']) || text.ends_with(['-', '+']) || text.contains(['{', '}']) {
        return None;
    }
    let text = text.trim();
    if let Some((name, filter)) = text.split_once('|') {
        let between = filter.trim().strip_prefix("join(")?.strip_suffix(')')?;
        return Some(Piece::Joined(
            list(name.trim(), knows_answer)?,
            joined(between, separator)?,
        ));
    }
    if let Some((name, index)) = text.split_once('[') {
        let index = index.strip_suffix(']')?;
        if index.is_empty() || !index.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        return Some(Piece::Title(list(name, knows_answer)?, index.parse().ok()?));
    }
    match text {
        "separator" => Some(Piece::Text(separator.to_owned())),
        "answers" => Some(Piece::Answers),
        "letter" if knows_answer => Some(Piece::Letter),
        _ => None,
    }
}

fn list(name: &str, knows_answer: bool) -> Option<List> {
    match name {
        "history" => Some(List::History),
        "candidates" => Some(List::Candidates),
        "answer" if knows_answer => Some(List::Answer),
        _ => None,
    }
}

/// Plain strings and the separator, put together by `~`.
fn joined(text: &str, separator: &str) -> Option<String> {
    let mut between = String::new();
    for part in text.split('~').map(str::trim) {
        if part == "separator" {
            between.push_str(separator);
            continue;
        }
        let inner = part
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .or_else(|| part.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')))?;
        if inner.contains(['"', '\'', '\\']) {
            return None;
        }
        between.push_str(inner);
    }
    Some(between)
}
