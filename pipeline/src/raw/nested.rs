//! JSON objects, and the words in nested lists, as several formats have them.

use serde::Deserialize;
use serde_json::Value as Json;

use super::python_literal::Value as Literal;
use super::scan::Refusal;

/// One JSON object; serde alone would take an array for one too.
pub(crate) fn object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Refusal> {
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err("not a JSON object".into());
    }
    serde_json::from_slice(bytes).map_err(refusal)
}

/// Why serde refused a line, in words that many lines share (its own message names columns and values).
fn refusal(error: serde_json::Error) -> Refusal {
    match error.classify() {
        serde_json::error::Category::Data => "a key holds a value of the wrong type or stands twice".into(),
        _ => "not a JSON object".into(),
    }
}

/// The texts in nested lists, in order, each once.
pub(crate) fn json_words<'a>(value: Option<&'a Json>, words: &mut Vec<&'a str>) {
    match value {
        Some(Json::String(text)) => add(text, words),
        Some(Json::Array(values)) => values.iter().for_each(|value| json_words(Some(value), words)),
        _ => {}
    }
}

/// The same of Python literals.
pub(crate) fn literal_words<'a>(value: Option<&'a Literal>, words: &mut Vec<&'a str>) {
    match value {
        Some(Literal::Text(text)) => add(text, words),
        Some(Literal::List(values) | Literal::Tuple(values)) => {
            values.iter().for_each(|value| literal_words(Some(value), words));
        }
        _ => {}
    }
}

/// Adds a word unless it is blank or there already.
pub(crate) fn add<'a>(text: &'a str, words: &mut Vec<&'a str>) {
    let text = text.trim();
    if !text.is_empty() && !words.contains(&text) {
        words.push(text);
    }
}
