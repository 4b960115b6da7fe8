//! Review texts of a length like real ones: words and turns of phrase in the proportions of a language, so that a gzip of them
//! shrinks and inflates as one of real reviews does.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::structure::stream;

/// Words of the vocabulary, and phrases made of them.
const WORDS: usize = 3_000;
const PHRASES: usize = 2_000;

/// Share of draws that take a whole phrase: with it, reviews compress to about a fifth.
const PHRASED: f64 = 0.85;

const SYLLABLES: [&str; 20] = [
    "ba", "re", "ti", "lo", "ing", "er", "st", "an", "ou", "th", "e", "in", "on", "at", "en", "al", "le",
    "or", "is", "it",
];

/// What texts are drawn from.
pub struct Language {
    /// Words on average.
    length: usize,
    words: Vec<String>,
    phrases: Vec<String>,
    /// Zipf's law: cumulative weights by rank.
    word_ranks: Vec<f64>,
    phrase_ranks: Vec<f64>,
}

impl Language {
    /// For texts of `length` words on average, of half of it at least and half as much again at most.
    pub fn new(seed: u64, length: usize) -> Self {
        let mut rng = stream(seed, "", "language", 0);
        let mut seen = std::collections::HashSet::new();
        let mut words = Vec::with_capacity(WORDS);
        while words.len() < WORDS {
            let parts = rng.random_range(1..=3);
            let word: String = (0..parts)
                .map(|_| SYLLABLES[rng.random_range(0..SYLLABLES.len())])
                .collect();
            if seen.insert(word.clone()) {
                words.push(word);
            }
        }
        let (word_ranks, phrase_ranks) = (ranks(WORDS), ranks(PHRASES));
        let phrases = (0..PHRASES)
            .map(|_| {
                let parts: Vec<&str> = (0..rng.random_range(2..=6))
                    .map(|_| words[rank(&word_ranks, &mut rng)].as_str())
                    .collect();
                parts.join(" ")
            })
            .collect();
        Language {
            length,
            words,
            phrases,
            word_ranks,
            phrase_ranks,
        }
    }

    /// One text.
    pub fn text(&self, rng: &mut ChaCha8Rng) -> String {
        let wanted = rng.random_range(self.length / 2..=self.length + self.length / 2);
        let mut text = String::with_capacity(wanted * 7);
        let mut count = 0;
        while count < wanted {
            let part = if rng.random_bool(PHRASED) {
                &self.phrases[rank(&self.phrase_ranks, rng)]
            } else {
                &self.words[rank(&self.word_ranks, rng)]
            };
            count += 1 + part.bytes().filter(|byte| *byte == b' ').count();
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(part);
        }
        text
    }
}

fn ranks(count: usize) -> Vec<f64> {
    let weights = (1..=count).map(|rank| 1.0 / rank as f64);
    weights
        .scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        })
        .collect()
}

fn rank(ranks: &[f64], rng: &mut ChaCha8Rng) -> usize {
    let at = rng.random_range(0.0..ranks[ranks.len() - 1]);
    ranks.partition_point(|upto| *upto <= at).min(ranks.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_the_length_asked_for_and_repeat_nothing_but_words() {
        let language = Language::new(1, 100);
        let mut rng = stream(1, "d", "user", 0);
        let texts: Vec<String> = (0..50).map(|_| language.text(&mut rng)).collect();
        for text in &texts {
            assert!((50..=156).contains(&text.split(' ').count()), "{text}");
        }
        let distinct: std::collections::HashSet<&String> = texts.iter().collect();
        assert_eq!(distinct.len(), texts.len());
    }
}
