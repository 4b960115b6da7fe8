//! Text-kNN: candidates by the likeness of their titles to those of the history: cosine of TF-IDF over words, without any model, or of the vectors
//! that a profile says how to make.

use anyhow::Result;
use weaverec_model::recommender::Vectors;
use weaverec_model::recommender::text::{BUCKETS, tf_idf};
use weaverec_pipeline::schema::Item;

use super::links::{DECAY, recency, round};
use super::log::{ItemScores, Log};
use super::{CaseScores, Counted, Everything, Fitted, Fitting, How, Method};
use crate::family::Family;

/// Items by the words of their titles.
#[derive(Clone, Debug)]
pub struct TextKnn {
    /// Of every item the words of its title and their weights, which are of length 1 together.
    titles: Vec<Vec<(u32, f32)>>,
    /// Of every word the items whose title has it.
    items: Vec<Vec<(u32, f32)>>,
}

/// Reads the titles; what users did is nothing to it.
pub fn fit(_: &Log, items: &[Item]) -> TextKnn {
    let titles: Vec<&str> = items.iter().map(|item| item.title.as_str()).collect();
    let titles = tf_idf(&titles);
    let mut by_word = vec![Vec::new(); BUCKETS];
    for (item, title) in (1..).zip(&titles) {
        for (word, weight) in title {
            by_word[*word as usize].push((item, *weight));
        }
    }
    TextKnn {
        titles,
        items: by_word,
    }
}

impl ItemScores for TextKnn {
    /// The cosine between a title and the mean of the history's, the later the heavier.
    fn scores(&self, history: &[u32], out: &mut [f32]) {
        let mut sums = vec![0.0; out.len()];
        let mean = self.mean(history);
        let length = mean.iter().map(|(_, weight)| weight * weight).sum::<f64>().sqrt();
        for (word, weight) in &mean {
            for (item, own) in &self.items[*word as usize] {
                sums[*item as usize - 1] += weight / length * f64::from(*own);
            }
        }
        round(&sums, out);
    }
}

impl TextKnn {
    fn mean(&self, history: &[u32]) -> Vec<(u32, f64)> {
        let title = |item: u32| (item as usize).checked_sub(1).and_then(|at| self.titles.get(at));
        let mut all: Vec<(u32, f64)> = recency(history, DECAY)
            .filter_map(|(item, share)| Some((title(item)?, share)))
            .flat_map(|(title, share)| {
                title
                    .iter()
                    .map(move |(word, own)| (*word, share * f64::from(*own)))
            })
            .collect();
        // Stable, so that sums are of one order.
        all.sort_by_key(|(word, _)| *word);
        all.chunk_by(|one, other| one.0 == other.0)
            .map(|same| (same[0].0, same.iter().map(|(_, weight)| weight).sum()))
            .collect()
    }
}

/// Items by vectors of theirs.
struct Likeness<'v> {
    vectors: &'v Vectors,
    /// Of every item the length of its vector.
    lengths: Vec<f64>,
}

impl<'v> Likeness<'v> {
    fn new(vectors: &'v Vectors, items: usize) -> Result<Self> {
        vectors.check(items)?;
        let length = |row: &[f32]| {
            let squares = row.iter().map(|value| f64::from(*value).powi(2));
            squares.sum::<f64>().sqrt()
        };
        Ok(Self {
            lengths: vectors.rows().map(length).collect(),
            vectors,
        })
    }

    fn row(&self, item: u32) -> Option<&[f32]> {
        let (place, width) = ((item as usize).checked_sub(1)?, self.vectors.width);
        self.vectors.values.get(place * width..(place + 1) * width)
    }
}

impl CaseScores for Likeness<'_> {
    /// The cosine between an item's vector and the mean of the history's, the later the heavier; 0 where one of them says nothing.
    fn scores(&self, _: &str, history: &[u32], items: &[u32]) -> Vec<f32> {
        let mut mean = vec![0.0f64; self.vectors.width];
        for (item, share) in recency(history, DECAY) {
            for (sum, value) in mean.iter_mut().zip(self.row(item).unwrap_or_default()) {
                *sum += share * f64::from(*value);
            }
        }
        let length = mean.iter().map(|value| value * value).sum::<f64>().sqrt();
        let of = |item: &u32| {
            let Some(row) = self.row(*item) else {
                return f32::NEG_INFINITY;
            };
            let both = length * self.lengths[*item as usize - 1];
            let product: f64 = mean.iter().zip(row).map(|(one, own)| one * f64::from(*own)).sum();
            if both > 0.0 { (product / both) as f32 } else { 0.0 }
        };
        items.iter().map(of).collect()
    }
}

/// The row.
pub struct TextKnnRow;

impl Method for TextKnnRow {
    fn id(&self) -> &'static str {
        "text-knn"
    }

    fn label(&self) -> &'static str {
        "text-kNN"
    }

    fn family(&self) -> Family {
        Family::Floor
    }

    fn reference(&self) -> &'static str {
        "cosine of hashed TF-IDF of titles, or of the vectors that [vectors] says how to make, recency .7"
    }

    fn how(&self) -> How {
        How::Counted(&TextKnnRow)
    }

    fn needs(&self) -> String {
        "titles".into()
    }
}

impl Counted for TextKnnRow {
    fn reads_vectors(&self) -> bool {
        true
    }

    fn fit<'a>(&self, data: &Fitting<'a>) -> Result<Fitted<'a>> {
        let items = data.items.len();
        Ok(Fitted {
            scores: match data.vectors {
                Some(vectors) => Box::new(Likeness::new(vectors, items)?),
                None => Box::new(Everything::new(fit(data.log, data.items), items)),
            },
            choices: Vec::new(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::log::tests::scores;
    use super::*;

    const TITLES: [&str; 7] = [
        "Argan oil shampoo, 500 ml",
        "Hair dryer",
        "ARGAN OIL Shampoo (500 ml)",
        "Argan oil conditioner 500 ml",
        "Nail polish 500 ml",
        "!!!",
        "Nail file",
    ];

    fn items() -> Vec<Item> {
        (1..)
            .zip(TITLES)
            .map(|(item, title)| Item {
                item,
                item_id: item.to_string(),
                title: title.to_owned(),
                categories: String::new(),
                train_count: 0,
            })
            .collect()
    }

    fn row() -> TextKnn {
        let items = items();
        fit(&Log::new(Vec::new(), items.len()).unwrap(), &items)
    }

    /// What the row says of all items after a history, with these vectors or without any.
    fn asked(vectors: Option<&Vectors>, history: &[u32]) -> Result<Vec<f32>> {
        let items = items();
        let log = Log::new(Vec::new(), items.len()).unwrap();
        let fitted = TextKnnRow.fit(&Fitting {
            items: &items,
            log: &log,
            vectors,
            calibration: &[],
            seed: 0,
        })?;
        Ok(fitted.scores.scores("u", history, &[1, 2, 3, 4, 5, 6, 7]))
    }

    #[test]
    fn a_titles_twin_is_found_and_rare_words_say_more() {
        let found = scores(&row(), 7, &[1]);
        assert!((found[2] - 1.0).abs() < 1e-6, "{found:?}");
        assert_eq!(found[0], found[2]);
        assert!(found[3] < 0.999 && found[3] > found[4], "{found:?}");
        assert!(found[4] > 0.0, "they share a size");
        assert_eq!([found[1], found[5], found[6]], [0.0; 3]);
    }

    #[test]
    fn the_last_title_is_the_heaviest() {
        let (one, other) = (scores(&row(), 7, &[2, 1]), scores(&row(), 7, &[1, 2]));
        assert!(one[2] > one[1] && other[1] > other[2], "{one:?} {other:?}");
    }

    #[test]
    fn a_history_without_words_says_nothing() {
        assert_eq!(scores(&row(), 7, &[]), [0.0; 7]);
        assert_eq!(scores(&row(), 7, &[6]), [0.0; 7]);
    }

    #[test]
    fn with_vectors_it_is_their_cosine_with_the_mean_of_the_historys() {
        let rows: [[f32; 2]; 7] = [
            [3.0, 4.0],
            [0.0, 2.0],
            [6.0, 8.0],
            [-1.0, 0.0],
            [1.0, 0.0],
            [0.0, 0.0],
            [0.0, -5.0],
        ];
        let vectors = Vectors {
            width: 2,
            values: rows.concat(),
        };
        let found = asked(Some(&vectors), &[2]).unwrap();
        assert_eq!(found, [0.8, 1.0, 0.8, 0.0, 0.0, 0.0, -1.0]);
        // Of two items the last weighs 1 and the one before .7: (0.7 · (1, 0) + (0, 2)) / 1.7, as long as √(.49 + 4) of it.
        let found = asked(Some(&vectors), &[5, 2]).unwrap();
        let length = (0.49f64 + 4.0).sqrt();
        for (found, expected) in found.iter().zip([
            (0.7 * 3.0 + 2.0 * 4.0) / (5.0 * length),
            2.0 / length,
            (0.7 * 3.0 + 2.0 * 4.0) / (5.0 * length),
            -0.7 / length,
            0.7 / length,
            0.0,
            -2.0 / length,
        ]) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} {expected}");
        }
        // A history that says nothing, and without vectors words as ever.
        assert_eq!(asked(Some(&vectors), &[6]).unwrap(), [0.0; 7]);
        assert_eq!(asked(Some(&vectors), &[]).unwrap(), [0.0; 7]);
        assert_eq!(asked(None, &[2, 1]).unwrap(), scores(&row(), 7, &[2, 1]));
        let short = Vectors {
            width: 2,
            values: vec![0.0; 4],
        };
        assert!(asked(Some(&short), &[1]).is_err());
    }
}
