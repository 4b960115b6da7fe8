//! The words in nested lists, as several formats have them.

use serde_json::Value as Json;

use super::python_literal::Value as Literal;

/// What a category is called where it is a structure, in the order in which they are looked for; capitals do not matter. Beside one of
/// them the other texts (an address, a code) are no names. Without any, every text is one.
const NAMES: [&str; 6] = ["name", "title", "label", "text", "value", "category"];

/// Which members of a structure hold its name: by what they are called and whether they hold text.
pub(crate) fn naming<'m>(members: impl Iterator<Item = (&'m str, bool)> + Clone) -> Vec<usize> {
    let texts = members.enumerate().filter(|(_, (_, text))| *text);
    let called = |name: &str| {
        let mut found = texts
            .clone()
            .filter(|(_, (member, _))| member.eq_ignore_ascii_case(name));
        found.next().map(|(at, _)| at)
    };
    match NAMES.iter().find_map(|name| called(name)) {
        Some(at) => vec![at],
        None => texts.map(|(at, _)| at).collect(),
    }
}

/// The texts in nested lists, and the names of structures in them, in order, each once.
pub(crate) fn json_words<'a>(value: Option<&'a Json>, words: &mut Vec<&'a str>) {
    match value {
        Some(Json::String(text)) => add(text, words),
        Some(Json::Array(values)) => values.iter().for_each(|value| json_words(Some(value), words)),
        Some(Json::Object(members)) => {
            let holds = |value: &Json| value.is_string() || value.is_array() || value.is_object();
            let names = naming(members.iter().map(|(name, value)| (name.as_str(), holds(value))));
            names
                .into_iter()
                .for_each(|at| json_words(members.values().nth(at), words));
        }
        _ => {}
    }
}

/// The same of Python literals.
pub(crate) fn literal_words<'a>(value: Option<&'a Literal>, words: &mut Vec<&'a str>) {
    match value {
        Some(Literal::Text(text) | Literal::Cut(text)) => add(text, words),
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
