//! Many short texts in one buffer.

use std::ops::Range;

/// Texts one after another, without an allocation each.
#[derive(Debug)]
pub struct Texts {
    text: String,
    /// Where each text begins, and where the last one ends.
    bounds: Vec<u32>,
}

impl Default for Texts {
    fn default() -> Self {
        Self {
            text: String::new(),
            bounds: vec![0],
        }
    }
}

impl Texts {
    /// Adds a text; not where the buffer would pass 4 GiB.
    #[must_use]
    pub fn push(&mut self, text: &str) -> bool {
        let Ok(end) = u32::try_from(self.text.len() + text.len()) else {
            return false;
        };
        self.text.push_str(text);
        self.bounds.push(end);
        true
    }

    /// The text of a number, from 0 in the order in which they came.
    #[inline]
    pub fn get(&self, number: u32) -> &str {
        &self.text[self.span(number)]
    }

    /// Where it lies in the buffer.
    #[inline]
    pub fn span(&self, number: u32) -> Range<usize> {
        let number = number as usize;
        self.bounds[number] as usize..self.bounds[number + 1] as usize
    }

    /// All of them.
    pub fn buffer(&self) -> &str {
        &self.text
    }

    /// Puts the texts of these numbers into another, in place of what is there, as many as fit.
    ///
    /// First all places are looked up and then all bytes copied, so that reads which miss the cache wait together.
    pub fn gather(&self, numbers: impl Iterator<Item = u32>, into: &mut Texts) {
        into.clear();
        let spans: Vec<Range<usize>> = numbers.map(|number| self.span(number)).collect();
        let mut bytes = Vec::new();
        for span in spans {
            let Ok(end) = u32::try_from(bytes.len() + span.len()) else {
                break;
            };
            // To cut a text out of the buffer as text would look at its ends, and wait for each.
            bytes.extend_from_slice(&self.text.as_bytes()[span]);
            into.bounds.push(end);
        }
        // They are whole texts, so nothing is replaced.
        into.text.push_str(&String::from_utf8_lossy(&bytes));
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len() as u32).map(|number| self.get(number))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.bounds.len() - 1
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all and keeps their room.
    pub fn clear(&mut self) {
        self.text.clear();
        self.bounds.truncate(1);
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.text.capacity() + self.bounds.capacity() * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gathered_texts_are_those_that_were_pushed() {
        let (mut all, mut some) = (Texts::default(), Texts::default());
        for text in ["a", "", "żółw", "b", "長い名前"] {
            assert!(all.push(text));
        }
        for numbers in [vec![4, 2, 1, 4, 0], vec![], vec![1], vec![3, 3]] {
            all.gather(numbers.iter().copied(), &mut some);
            let expected: Vec<&str> = numbers.iter().map(|number| all.get(*number)).collect();
            assert_eq!(some.iter().collect::<Vec<_>>(), expected);
            assert_eq!(some.len(), expected.len());
        }
    }
}
