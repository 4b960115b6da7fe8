//! Titles as weighted words: TF-IDF over hashes of words, without a vocabulary that would have to be kept.

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

/// Words are told apart by their hashes.
pub const BUCKETS: usize = 1 << 18;

/// The words of a title, lower-cased, as ascending hashes below [`BUCKETS`], and how often it has them. A word is a run of letters and
/// digits of any script.
pub fn words(title: &str) -> Vec<(u32, f32)> {
    let lower = title.to_lowercase();
    let mut words: Vec<u32> = lower
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(bucket)
        .collect();
    words.sort_unstable();
    words
        .chunk_by(|one, other| one == other)
        .map(|same| (same[0], same.len() as f32))
        .collect()
}

/// XXH3 of the word after its length, as the pipeline hashes a tuple of one.
fn bucket(word: &str) -> u32 {
    let mut bytes = (word.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(word.as_bytes());
    (xxh3_64(&bytes) % BUCKETS as u64) as u32
}

/// Of every title its words and their weights, which are of length 1 together; nothing of a title without words.
///
/// A weight is (1 + ln times) · (1 + ln((1 + titles) / (1 + titles with the word))): as scikit-learn smooths it, so that a word of every
/// title still counts a little.
pub fn tf_idf<S: AsRef<str> + Sync>(titles: &[S]) -> Vec<Vec<(u32, f32)>> {
    let counts: Vec<Vec<(u32, f32)>> = titles.par_iter().map(|title| words(title.as_ref())).collect();
    let mut having = vec![0u32; BUCKETS];
    for (word, _) in counts.iter().flatten() {
        having[*word as usize] += 1;
    }
    let rarity = |word: u32| 1.0 + ((1 + titles.len()) as f32 / (1 + having[word as usize]) as f32).ln();
    let weighted = |counts: Vec<(u32, f32)>| {
        let mut title: Vec<(u32, f32)> = counts
            .into_iter()
            .map(|(word, times)| (word, (1.0 + times.ln()) * rarity(word)))
            .collect();
        let length = title
            .iter()
            .map(|(_, weight)| weight * weight)
            .sum::<f32>()
            .sqrt();
        title.iter_mut().for_each(|(_, weight)| *weight /= length);
        title
    };
    counts.into_par_iter().map(weighted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_same_whatever_their_case_and_what_stands_between_them() {
        let (one, other) = (words("Argan oil, ARGAN"), words("argan/argan (Oil)"));
        assert_eq!(one, other);
        assert_eq!(one.len(), 2);
        assert!(one[0].0 < one[1].0);
        let mut times = [one[0].1, one[1].1];
        times.sort_by(f32::total_cmp);
        assert_eq!(times, [1.0, 2.0]);
        assert!(words("!?").is_empty());
        assert_eq!(words("Öl Шампунь").len(), 2);
    }

    #[test]
    fn titles_are_of_length_one_and_rare_words_weigh_more() {
        let titles = tf_idf(&["oil red", "oil blue", "oil", ""]);
        for title in &titles[..3] {
            let length: f32 = title.iter().map(|(_, weight)| weight * weight).sum();
            assert!((length - 1.0).abs() < 1e-6, "{length}");
        }
        assert!(titles[3].is_empty());
        let weight = |title: usize, word: &str| {
            let word = words(word)[0].0;
            titles[title]
                .iter()
                .find(|(own, _)| *own == word)
                .map(|(_, weight)| *weight)
        };
        assert!(weight(0, "red") > weight(0, "oil"));
        assert_eq!(weight(2, "oil"), Some(1.0));
    }
}
