//! ItemKNN: candidates by how often users who have an item of the history have them as well (cosine of the items' sets of users,
//! Sarwar et al. 2001; the hundred nearest items of each).

use anyhow::Result;
use rayon::prelude::*;
use weaverec_pipeline::schema::Item;

use super::links::{DECAY, LinkScores, Links};
use super::log::Log;
use super::{Counted, Everything, Fitted, Fitting, How, Method};
use crate::family::Family;

/// Neighbours of an item; up to twice as many where they tie with the last.
pub const NEIGHBOURS: usize = 100;

/// Counts a log; titles are nothing to it.
pub fn fit(log: &Log, _: &[Item]) -> LinkScores {
    LinkScores::new(neighbours(log), DECAY)
}

/// `|U_i ∩ U_j| / √(|U_i| |U_j|)` for the [`NEIGHBOURS`] `j` of every `i` for which it is highest, where `U_i` are the users of `i`.
///
/// One row of counts a thread is all that is held besides.
pub fn neighbours(log: &Log) -> Links {
    let users = Users::of(log);
    let count = |item: u32| users.having(item).len();
    let fresh = || (vec![0u32; log.items()], Vec::new());
    let row = |(together, touched): &mut (Vec<u32>, Vec<u32>), item: u32| {
        for user in users.having(item) {
            for other in &users.items[*user as usize] {
                let times = &mut together[*other as usize - 1];
                if *times == 0 {
                    touched.push(*other);
                }
                *times += 1;
            }
        }
        let cosine =
            |other: u32, times: u32| (f64::from(times) / ((count(item) * count(other)) as f64).sqrt()) as f32;
        let mut row: Vec<(u32, f32)> = touched
            .drain(..)
            .map(|other| {
                let times = std::mem::take(&mut together[other as usize - 1]);
                (other, cosine(other, times))
            })
            .filter(|(other, _)| *other != item)
            .collect();
        keep_nearest(&mut row);
        row
    };
    let rows: Vec<Vec<(u32, f32)>> = (1..=log.items() as u32)
        .into_par_iter()
        .map_init(fresh, row)
        .collect();
    Links::of(&rows)
}

/// Leaves the [`NEIGHBOURS`] strongest, in the order of ids. Nothing but ids would part those that tie with the last of them: all of
/// them stay, or none where they are more than as many again.
fn keep_nearest(row: &mut Vec<(u32, f32)>) {
    row.sort_unstable_by(|one, other| other.1.total_cmp(&one.1));
    if let Some(last) = row.get(NEIGHBOURS - 1).map(|last| last.1) {
        let with_ties = row.partition_point(|link| link.1 >= last);
        let without = row.partition_point(|link| link.1 > last);
        row.truncate(if with_ties <= 2 * NEIGHBOURS {
            with_ties
        } else {
            without
        });
    }
    row.sort_unstable_by_key(|link| link.0);
}

/// Who has what, each once.
struct Users {
    items: Vec<Vec<u32>>,
    by_item: Vec<Vec<u32>>,
}

impl Users {
    fn of(log: &Log) -> Self {
        let mut by_item = vec![Vec::new(); log.items()];
        let mut items = Vec::with_capacity(log.sequences().len());
        for (user, sequence) in (0..).zip(log.sequences()) {
            let mut own = sequence.clone();
            own.sort_unstable();
            own.dedup();
            for item in &own {
                by_item[*item as usize - 1].push(user);
            }
            items.push(own);
        }
        Self { items, by_item }
    }

    fn having(&self, item: u32) -> &[u32] {
        &self.by_item[item as usize - 1]
    }
}

/// The row.
pub struct ItemKnn;

impl Method for ItemKnn {
    fn id(&self) -> &'static str {
        "item-knn"
    }

    fn label(&self) -> &'static str {
        "ItemKNN"
    }

    fn family(&self) -> Family {
        Family::Floor
    }

    fn reference(&self) -> &'static str {
        "cosine of the items' sets of users, the 100 nearest, recency .7 (Sarwar et al. 2001)"
    }

    fn how(&self) -> How {
        How::Counted(&ItemKnn)
    }
}

impl Counted for ItemKnn {
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
    use super::super::log::tests::{log, scores};
    use super::*;

    #[test]
    fn neighbours_are_weighted_by_the_cosine_of_their_users() {
        let links = neighbours(&log());
        let cosine = |together: u32, one: u32, other: u32| {
            (f64::from(together) / f64::from(one * other).sqrt()) as f32
        };
        // A user who has an item twice has it.
        let of_two = [
            (1, cosine(2, 4, 3)),
            (3, cosine(3, 4, 3)),
            (4, cosine(1, 4, 1)),
            (5, cosine(1, 4, 1)),
            (6, cosine(1, 4, 2)),
            (7, cosine(1, 4, 2)),
        ];
        assert_eq!(links.row(2), of_two);
        assert_eq!(links.row(8), [], "nobody has it");
        for one in 1..=8 {
            for (other, link) in links.row(one) {
                assert!(links.row(*other).contains(&(one, *link)), "{one} and {other}");
            }
        }
    }

    #[test]
    fn without_decay_the_order_of_a_history_is_nothing() {
        let row = |decay| fit(&log(), &[]).with_decay(decay);
        let both = |decay| [[1, 3, 7], [7, 1, 3]].map(|history| scores(&row(decay), 8, &history));
        let [one, other] = both(1.0);
        assert_eq!(one, other);
        let [one, other] = both(DECAY);
        assert_ne!(one, other);
    }

    #[test]
    fn a_hundred_stay_with_those_that_tie_unless_they_are_too_many() {
        let kept = |above: u32, tied: u32, below: u32| {
            let links = (0..above + tied + below).map(|place| match place {
                place if place < above => 1.0 - place as f32 / 1e4,
                place if place < above + tied => 0.5,
                place => 0.4 - place as f32 / 1e4,
            });
            let mut row: Vec<(u32, f32)> = (1..).zip(links).collect();
            row.reverse();
            keep_nearest(&mut row);
            assert!(row.is_sorted_by_key(|link| link.0));
            row.len()
        };
        assert_eq!(kept(150, 0, 0), 100);
        assert_eq!(kept(50, 0, 40), 90);
        assert_eq!(kept(99, 2, 40), 101);
        assert_eq!(kept(99, 101, 40), 200);
        assert_eq!(kept(99, 102, 40), 99);
        assert_eq!(kept(0, 201, 0), 0);
    }
}
