//! Text-kNN: candidates by the likeness of their titles to those of the history (cosine of TF-IDF over words), without any model.

use anyhow::Result;
use weaverec_model::recommender::text::{BUCKETS, tf_idf};
use weaverec_pipeline::schema::Item;

use super::links::{DECAY, recency, round};
use super::log::{ItemScores, Log};
use super::{Counted, Everything, Fitted, Fitting, How, Method};
use crate::report::input::Family;

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
        "cosine of hashed TF-IDF of titles, recency .7"
    }

    fn how(&self) -> How {
        How::Counted(&TextKnnRow)
    }

    fn needs(&self) -> String {
        "titles".into()
    }
}

impl Counted for TextKnnRow {
    fn fit<'a>(&self, data: &Fitting<'a>) -> Result<Fitted<'a>> {
        Ok(Fitted {
            scores: Box::new(Everything::new(fit(data.log, data.items), data.items.len())),
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

    fn row() -> TextKnn {
        let items: Vec<Item> = (1..)
            .zip(TITLES)
            .map(|(item, title)| Item {
                item,
                item_id: item.to_string(),
                title: title.to_owned(),
                categories: String::new(),
                train_count: 0,
            })
            .collect();
        fit(&Log::new(Vec::new(), items.len()).unwrap(), &items)
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
}
