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

/// Categories of an item that are kept. No shop has as many; a hostile line of 16 MiB could hold millions, each of which would be
/// compared with all before it.
const MOST_WORDS: usize = 1_000;

/// Adds a word unless it is blank or there already, or there are too many.
pub(crate) fn add<'a>(text: &'a str, words: &mut Vec<&'a str>) {
    let text = text.trim();
    if words.len() < MOST_WORDS && !text.is_empty() && !words.contains(&text) {
        words.push(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_once_and_not_without_end() {
        let many: Vec<String> = (0..5_000).map(|word| format!("w{}", word % 3_000)).collect();
        let mut words = Vec::new();
        many.iter().for_each(|word| add(word, &mut words));
        assert_eq!(words.len(), MOST_WORDS);
        assert_eq!((words[0], words[MOST_WORDS - 1]), ("w0", "w999"));
        let mut words = vec!["a"];
        for word in [" a ", "", " ", "b"] {
            add(word, &mut words);
        }
        assert_eq!(words, ["a", "b"]);
    }
}
