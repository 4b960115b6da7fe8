//! Items as vectors, of several domains in one space: of their titles' words, of what a sentence encoder or a language model makes of their
//! titles, or one's own.

mod named;
mod pooled;
mod sentence;
mod states;

use serde::{Deserialize, Serialize};

pub use self::named::{Given, Named, by_id};
pub use self::pooled::Told;
pub use self::sentence::{SentenceEncoder, of_sentences};
pub use self::states::of_states;
use super::svd::Sparse;
use super::text::tf_idf;
use crate::{Error, Result};

/// Vectors of items: `width` numbers each, item 1 first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vectors {
    /// Numbers a vector.
    pub width: usize,
    /// The vectors one after another.
    pub values: Vec<f32>,
}

impl Vectors {
    /// Number of items.
    pub fn items(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// The vectors, item 1 first.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.width.max(1))
    }

    /// Fails where they are not one vector of finite numbers for each of `items` items.
    ///
    /// # Errors
    /// The first item that has none, or whose vector holds no number.
    pub fn check(&self, items: usize) -> Result<()> {
        if self.width == 0 {
            return Err(Error::Usage("vectors of width 0: give at least 1".into()));
        }
        if self.values.len() != items * self.width {
            return Err(Error::Usage(format!(
                "{} numbers are not {items} vectors of width {}: give every item of the catalogue one vector",
                self.values.len(),
                self.width
            )));
        }
        let broken = self.values.iter().position(|value| !value.is_finite());
        if let Some(at) = broken {
            return Err(Error::Usage(format!(
                "the vector of item {} holds {} at place {}: vectors hold finite numbers alone; leave no gaps for items without a text, \
                 give them zeros",
                at / self.width + 1,
                self.values[at],
                at % self.width + 1
            )));
        }
        Ok(())
    }

    /// Items whose vector is all zero: of a title without words there is nothing to tell.
    pub fn empty(&self) -> usize {
        self.rows().filter(|row| is_zero(row)).count()
    }
}

/// How vectors are made of titles, and what is done to vectors before anything reads them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TextVectors {
    /// Numbers a vector, where they are made here.
    pub width: usize,
    /// Seed of the random subspace.
    pub seed: u64,
    /// Whether every direction is made as wide as any other: what is rare counts as much as what is common.
    pub whiten: bool,
    /// Whether the mean of all items is taken away.
    pub centre: bool,
    /// Whether every vector is brought to length 1; zeros stay zeros.
    pub normalise: bool,
}

impl Default for TextVectors {
    /// Latent semantic analysis as it is usual: 256 directions, not whitened, each title of length 1.
    fn default() -> Self {
        TextVectors {
            width: 256,
            seed: 0,
            whiten: false,
            centre: false,
            normalise: true,
        }
    }
}

/// Vectors of titles, one set a domain, all in one space: hashed TF-IDF over the titles of all domains, and its leading singular vectors.
/// Seconds for tens of thousands of titles, and the same bytes on any number of threads.
///
/// # Errors
/// A width of 0.
pub fn of_titles<S: AsRef<str>>(domains: &[&[S]], how: &TextVectors) -> Result<Vec<Vectors>> {
    if how.width == 0 {
        return Err(Error::Usage("text vectors of width 0: give at least 1".into()));
    }
    let titles: Vec<&str> = domains.iter().copied().flatten().map(AsRef::as_ref).collect();
    let words = tf_idf(&titles);
    let (mut values, strengths) = Sparse::of_rows(&words).leading(how.width, how.seed)?;
    if how.whiten {
        // Directions that are rounding stay what they are.
        let least = strengths.first().copied().unwrap_or(0.0) * 1e-6;
        for row in values.chunks_exact_mut(how.width) {
            for (value, strength) in row.iter_mut().zip(&strengths) {
                *value = if *strength > least {
                    (f64::from(*value) / strength) as f32
                } else {
                    0.0
                };
            }
        }
    }
    let mut all = Vectors {
        width: how.width,
        values,
    };
    adjust(&mut all, how.centre, how.normalise);
    // Of a title without words there is nothing to tell, and rounding is no direction.
    for (row, words) in all.values.chunks_exact_mut(how.width).zip(&words) {
        if words.is_empty() {
            row.fill(0.0);
        }
    }
    let sizes: Vec<usize> = domains.iter().map(|titles| titles.len()).collect();
    Ok(split(all, &sizes))
}

/// Vectors that were made elsewhere or by a model, of several domains in one space, after the same adjustments; whitening is left to whoever
/// made them. A vector of zeros says that nothing is known of the item, and stays one.
///
/// # Errors
/// Domains with vectors of several widths, and those of [`Vectors::check`].
pub fn of_ones_own(domains: Vec<Vectors>, how: &TextVectors) -> Result<Vec<Vectors>> {
    if how.whiten {
        return Err(Error::Usage(
            "whiten is about vectors that are made of titles here: whiten your own before you hand them over, or write `whiten = false`".into(),
        ));
    }
    let width = domains.first().map_or(0, |vectors| vectors.width);
    if let Some(other) = domains.iter().find(|vectors| vectors.width != width) {
        return Err(Error::Usage(format!(
            "vectors of width {width} and of width {} are not of one space: make those of all domains with one model",
            other.width
        )));
    }
    domains
        .iter()
        .try_for_each(|vectors| vectors.check(vectors.items()))?;
    let sizes: Vec<usize> = domains.iter().map(Vectors::items).collect();
    let values = domains.into_iter().flat_map(|vectors| vectors.values).collect();
    let mut all = Vectors { width, values };
    let unknown: Vec<bool> = all.rows().map(is_zero).collect();
    adjust(&mut all, how.centre, how.normalise);
    for (row, unknown) in all.values.chunks_exact_mut(width.max(1)).zip(unknown) {
        if unknown {
            row.fill(0.0);
        }
    }
    Ok(split(all, &sizes))
}

fn is_zero(row: &[f32]) -> bool {
    row.iter().all(|value| *value == 0.0)
}

fn adjust(vectors: &mut Vectors, centre: bool, normalise: bool) {
    let (width, items) = (vectors.width, vectors.items());
    if centre && items > 0 {
        let mut mean = vec![0.0f64; width];
        for row in vectors.rows() {
            mean.iter_mut()
                .zip(row)
                .for_each(|(sum, value)| *sum += f64::from(*value));
        }
        for row in vectors.values.chunks_exact_mut(width) {
            let pairs = row.iter_mut().zip(&mean);
            pairs.for_each(|(value, sum)| *value = (f64::from(*value) - sum / items as f64) as f32);
        }
    }
    if normalise {
        for row in vectors.values.chunks_exact_mut(width) {
            let length = row
                .iter()
                .map(|value| f64::from(*value).powi(2))
                .sum::<f64>()
                .sqrt();
            if length > 0.0 {
                row.iter_mut()
                    .for_each(|value| *value = (f64::from(*value) / length) as f32);
            }
        }
    }
}

fn split(all: Vectors, sizes: &[usize]) -> Vec<Vectors> {
    let mut rest = all.values.as_slice();
    let mut domains = Vec::with_capacity(sizes.len());
    for size in sizes {
        let (own, later) = rest.split_at(size * all.width);
        domains.push(Vectors {
            width: all.width,
            values: own.to_vec(),
        });
        rest = later;
    }
    domains
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::op::with_threads;

    const BEAUTY: [&str; 4] = [
        "argan oil shampoo",
        "argan oil conditioner",
        "nail polish red",
        "",
    ];
    const SPORTS: [&str; 3] = ["running shoe red", "nail polish red", "bicycle helmet"];

    fn how(width: usize) -> TextVectors {
        TextVectors {
            width,
            ..TextVectors::default()
        }
    }

    fn dot(one: &[f32], other: &[f32]) -> f32 {
        one.iter().zip(other).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn titles_of_two_domains_lie_in_one_space_and_like_titles_near_each_other() {
        let found = of_titles(&[&BEAUTY[..], &SPORTS[..]], &how(8)).unwrap();
        let [beauty, sports] = found.as_slice() else {
            panic!("two domains")
        };
        beauty.check(4).unwrap();
        sports.check(3).unwrap();
        let (beauty, sports): (Vec<&[f32]>, Vec<&[f32]>) = (beauty.rows().collect(), sports.rows().collect());
        assert!(
            (dot(beauty[2], sports[1]) - 1.0).abs() < 1e-5,
            "one title, one vector"
        );
        assert!(dot(beauty[0], beauty[1]) > 0.4);
        assert!(dot(beauty[0], sports[2]).abs() < 1e-5);
        assert_eq!(found[0].empty(), 1);
    }

    #[test]
    fn vectors_do_not_depend_on_the_threads() {
        let titles: Vec<String> = (0..500u32)
            .map(|i| format!("brand{} kind{} size {}", i % 23, i % 41, i % 7))
            .collect();
        let made = |threads| with_threads(threads, || of_titles(&[&titles[..]], &how(12)).unwrap());
        assert_eq!(made(1), made(3));
    }

    #[test]
    fn whitened_directions_are_equally_wide_and_centred_ones_have_mean_zero() {
        let titles: Vec<String> = (0..300u32)
            .map(|i| format!("a{} b{} c{}", i % 7, i % 11, i % 13))
            .collect();
        let white = TextVectors {
            whiten: true,
            normalise: false,
            ..how(6)
        };
        let found = &of_titles(&[&titles[..]], &white).unwrap()[0];
        for place in 0..6 {
            let width: f32 = found.rows().map(|row| row[place] * row[place]).sum();
            assert!((width - 1.0).abs() < 1e-3, "{width}");
        }
        let centred = TextVectors {
            centre: true,
            normalise: false,
            ..how(6)
        };
        let found = &of_titles(&[&titles[..]], &centred).unwrap()[0];
        for place in 0..6 {
            let mean: f32 = found.rows().map(|row| row[place]).sum::<f32>() / 300.0;
            assert!(mean.abs() < 1e-5, "{mean}");
        }
    }

    #[test]
    fn vectors_with_gaps_are_refused_by_the_item_that_has_them() {
        let vectors = |values: &[f32]| Vectors {
            width: 2,
            values: values.to_vec(),
        };
        assert!(vectors(&[0.0; 6]).check(3).is_ok());
        let error = vectors(&[0.0; 6]).check(4).unwrap_err().to_string();
        assert!(
            error.contains("6 numbers are not 4 vectors of width 2"),
            "{error}"
        );
        let error = vectors(&[0.0, 1.0, 2.0, f32::NAN])
            .check(2)
            .unwrap_err()
            .to_string();
        assert!(error.contains("item 2 holds NaN at place 2"), "{error}");
        assert!(Vectors::default().check(0).is_err());
        assert!(of_titles(&[&BEAUTY[..]], &how(0)).is_err());
    }

    #[test]
    fn what_nothing_is_known_of_stays_zero_when_the_mean_is_taken_away() {
        let own = Vectors {
            width: 2,
            values: vec![3.0, 0.0, 0.0, 0.0, 0.0, 3.0],
        };
        let centred = TextVectors {
            centre: true,
            normalise: false,
            ..how(2)
        };
        let found = of_ones_own(vec![own], &centred).unwrap();
        assert_eq!(found[0].values, [2.0, -1.0, 0.0, 0.0, -1.0, 2.0]);
        let error = of_ones_own(
            Vec::new(),
            &TextVectors {
                whiten: true,
                ..how(2)
            },
        )
        .unwrap_err();
        assert!(error.to_string().contains("whiten"), "{error}");
    }
}
