//! How far apart the titles of two domains are: the proxy A-distance 2 (1 − 2ε) of a linear classifier of their words that errs on a share ε
//! of titles which it has not seen. It is a term of the bound that the theory of weaving rests on, by which training on source and target
//! mixed costs less than training on the source. Titles are not all that a model reads: it is a proxy of a proxy, and no claim rests on it.

use std::collections::BTreeSet;

use weaverec_pipeline::schema::Item;
use weaverec_pipeline::seed;

use crate::experiment::profile::Study;

/// Titles of a domain that are looked at, at most.
const MOST: usize = 4000;
/// Titles without which nothing is said of a domain.
const LEAST: usize = 100;
/// Numbers that words are told by; a few have one in common.
const WORDS: usize = 1 << 16;
/// Passes over the titles that are learnt from.
const PASSES: usize = 10;

/// The words of a title by their numbers, each once, and a further number that all titles have.
type Title = Vec<usize>;

/// Distances from a target; 0: not told apart, 2: always.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Apart {
    /// Of a source.
    pub source: f64,
    /// Of source and target mixed in equal parts, as the prompts of a hybrid are.
    pub mixed: f64,
}

/// The targets of a study, each with the sources that it has in some scenario.
pub(super) fn pairs(study: &Study) -> BTreeSet<(&str, &str)> {
    let scenarios = study.scenarios.iter();
    let sources = scenarios.flat_map(|one| {
        let target = one.target.as_str();
        one.sources.iter().map(move |source| (target, source.as_str()))
    });
    sources.collect()
}

/// How far a source is from a target; none where a domain has too few titles.
pub(super) fn apart(target: (&str, &[Item]), source: (&str, &[Item])) -> Option<Apart> {
    let (target, source) = (titles(target), titles(source));
    if target.len().min(source.len()) < LEAST {
        return None;
    }
    // Titles of the target stand on both sides of the mixture, and none of them on two.
    let (one, other) = target.split_at(target.len() / 2);
    let part = (one.len() / 2).min(source.len());
    let mixed: Vec<Title> = other[..part]
        .iter()
        .zip(&source)
        .flat_map(|(target, source)| [target.clone(), source.clone()])
        .collect();
    Some(Apart {
        source: distance(&target, &source),
        mixed: distance(one, &mixed),
    })
}

/// The titles of a domain, in an order by hash, as many as are looked at.
fn titles((domain, items): (&str, &[Item])) -> Vec<Title> {
    let mut order: Vec<&Item> = items.iter().collect();
    seed::shuffle(&mut seed::rng(0, "a-distance", domain, 0), &mut order);
    let looked_at = order.into_iter().take(MOST);
    looked_at.map(|item| words(&item.title)).collect()
}

/// Runs of letters and digits, in small letters.
fn words(title: &str) -> Title {
    let small = title.to_lowercase();
    let runs = small.split(|letter: char| !letter.is_alphanumeric());
    let number = |word: &str| (seed::key(&[b"word", word.as_bytes()]) % WORDS as u64) as usize;
    let mut words: Title = runs.filter(|run| !run.is_empty()).map(number).collect();
    words.push(WORDS);
    words.sort_unstable();
    words.dedup();
    words
}

/// The distance of as many titles of either side: a half of them is learnt from, and the classifier asked about the other.
fn distance(one: &[Title], other: &[Title]) -> f64 {
    let each = one.len().min(other.len());
    let sides = |from: usize, to: usize| -> Vec<(&Title, i64)> {
        let one = one[from..to].iter().map(|title| (title, 1));
        one.chain(other[from..to].iter().map(|title| (title, -1)))
            .collect()
    };
    let weights = learn(&sides(0, each / 2));
    let asked = sides(each / 2, each);
    let errors = asked
        .iter()
        .map(|(title, side)| match side * score(&weights, title) {
            right if right > 0 => 0.0,
            // Whoever cannot tell guesses.
            0 => 0.5,
            _ => 1.0,
        });
    let share = errors.sum::<f64>() / asked.len().max(1) as f64;
    (2.0 * (1.0 - 2.0 * share)).max(0.0)
}

/// An averaged perceptron. All of its numbers are whole, so that it is the same on every machine.
fn learn(titles: &[(&Title, i64)]) -> Vec<i64> {
    let (mut now, mut added) = (vec![0_i64; WORDS + 1], vec![0_i64; WORDS + 1]);
    let mut order: Vec<usize> = (0..titles.len()).collect();
    let mut step = 1_i64;
    for pass in 0..PASSES {
        seed::shuffle(&mut seed::rng(0, "a-distance", "order", pass as u64), &mut order);
        for place in &order {
            let (title, side) = titles[*place];
            if side * score(&now, title) <= 0 {
                for word in title {
                    now[*word] += side;
                    added[*word] += side * step;
                }
            }
            step += 1;
        }
    }
    // The mean over all steps, times their number.
    let all = now.iter().zip(added);
    all.map(|(now, added)| step * now - added).collect()
}

fn score(weights: &[i64], title: &[usize]) -> i64 {
    title.iter().map(|word| weights[*word]).sum()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Titles of three of the words that a letter begins.
    fn items(letter: char, first: usize, count: usize) -> Vec<Item> {
        let item = |number: usize| Item {
            item: (number - first) as u32 + 1,
            item_id: number.to_string(),
            title: format!(
                "{letter}a{} {letter}b{} {letter}c{}",
                number % 7,
                number % 11,
                number % 13
            ),
            categories: String::new(),
            train_count: 1,
        };
        (first..first + count).map(item).collect()
    }

    #[test]
    fn words_of_their_own_set_domains_apart_and_mixing_halves_it() {
        let (shop, films) = (items('s', 0, 500), items('f', 0, 500));
        let from_shop = |films: &[Item]| apart(("shop", shop.as_slice()), ("films", films)).unwrap();
        let found = from_shop(&films);
        assert!(found.source > 1.9, "{found:?}");
        assert!((0.3..1.4).contains(&found.mixed), "{found:?}");
        assert_eq!(from_shop(&films), found);
        // Case and signs are no words.
        let loud: Vec<Item> = films
            .iter()
            .map(|item| Item {
                title: item.title.to_uppercase().replace(' ', " – "),
                ..item.clone()
            })
            .collect();
        assert_eq!(from_shop(&loud), found);
    }

    #[test]
    fn domains_of_the_same_words_are_not_told_apart() {
        let (one, other) = (items('s', 0, 500), items('s', 500, 500));
        let found = apart(("one", one.as_slice()), ("other", other.as_slice())).unwrap();
        assert!(found.source < 0.5 && found.mixed < 0.5, "{found:?}");
    }

    #[test]
    fn nothing_is_said_of_a_few_titles() {
        let (few, many) = (items('s', 0, LEAST - 1), items('f', 0, 300));
        let (few, many) = (("few", few.as_slice()), ("many", many.as_slice()));
        assert_eq!([apart(few, many), apart(many, few)], [None, None]);
        assert!(apart(many, many).is_some());
    }
}
