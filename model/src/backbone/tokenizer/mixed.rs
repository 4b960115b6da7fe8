//! Texts that templates and data make together: who wrote what decides where a control token may stand.

use std::ops::Range;

/// A text, and which of its bytes are data: titles, histories, answers. A control token that is spelt with any of these bytes is text
/// to [`encode_mixed`](super::Tokenizer::encode_mixed); all others are the template's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mixed {
    text: String,
    /// In ascending order, disjoint, none empty.
    data: Vec<Range<usize>>,
}

impl Mixed {
    /// A text that is data as a whole.
    pub fn of_data(text: &str) -> Self {
        let mut mixed = Mixed::default();
        mixed.push_data(text);
        mixed
    }

    /// A text that is a template's as a whole.
    pub fn of_template(text: &str) -> Self {
        let mut mixed = Mixed::default();
        mixed.push_template(text);
        mixed
    }

    /// Appends what a template wrote.
    pub fn push_template(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Appends data.
    pub fn push_data(&mut self, text: &str) {
        let start = self.text.len();
        self.text.push_str(text);
        match self.data.last_mut() {
            Some(last) if last.end == start => last.end = self.text.len(),
            _ if text.is_empty() => {}
            _ => self.data.push(start..self.text.len()),
        }
    }

    /// The text as a whole.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text as a whole, without who wrote what.
    pub fn into_text(self) -> String {
        self.text
    }

    /// Whether any of these bytes is data.
    pub(super) fn has_data_in(&self, bytes: Range<usize>) -> bool {
        let after = self.data.partition_point(|data| data.end <= bytes.start);
        self.data.get(after).is_some_and(|data| data.start < bytes.end)
    }

    /// The text in parts, each with whether it is data.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&str, bool)> {
        let mut at = 0;
        let known = self.data.iter().flat_map(move |data| {
            let before = at..data.start;
            at = data.end;
            [(before, false), (data.clone(), true)]
        });
        let rest = self.data.last().map_or(0, |data| data.end)..self.text.len();
        let all = known.chain([(rest, false)]);
        all.filter(|(bytes, _)| !bytes.is_empty())
            .map(|(bytes, is_data)| (&self.text[bytes], is_data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_give_back_the_text_and_who_wrote_it() {
        let mut mixed = Mixed::of_template("[");
        mixed.push_data("a");
        mixed.push_data("");
        mixed.push_data("b");
        mixed.push_template("]");
        mixed.push_data("c");
        assert_eq!(mixed.text(), "[ab]c");
        let parts: Vec<(&str, bool)> = mixed.parts().collect();
        assert_eq!(parts, [("[", false), ("ab", true), ("]", false), ("c", true)]);
        let data: Vec<bool> = (0..5).map(|at| mixed.has_data_in(at..at + 1)).collect();
        assert_eq!(data, [false, true, true, false, true]);
        assert!(mixed.has_data_in(0..2) && !mixed.has_data_in(3..4));
        assert_eq!(Mixed::of_data("x").parts().collect::<Vec<_>>(), [("x", true)]);
        assert_eq!(Mixed::default().parts().count(), 0);
    }
}
