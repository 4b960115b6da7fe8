//! The persisted candidate sets: the target among items of the domain that the user never touched, or, where repeats are kept, among
//! any.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::cast::{as_string_array, as_uint32_array};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::schema::Item;
use crate::seed;
use crate::stage::list::{IdRows, Lists, ids_type};
use crate::stage::target::{Repeats, Titles};

/// How the candidates other than the target are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Negatives {
    /// Every item alike, as in the paper.
    #[default]
    Uniform,
    /// In proportion to the item's training interactions, which makes popularity a worse answer and the task a harder one. Items
    /// without any come only where the others do not suffice.
    Popularity,
}

/// Draws candidates for instances.
#[derive(Clone, Debug)]
pub struct Candidates {
    seed: u64,
    domain: Arc<str>,
    size: usize,
    /// Whether items that the user touched are left out.
    repeats: Repeats,
    /// Negatives are told apart by title, the only thing a language model sees.
    titles: Titles,
    /// By dense id, where negatives are drawn by popularity: training interactions of the items up to it.
    popularity: Option<Arc<Vec<u64>>>,
}

impl Candidates {
    /// Sets of `size` (0: empty sets), target included, from the domain's items (in the order of their dense ids, from 1), without what
    /// the user touched.
    pub fn new(seed: u64, domain: &str, size: usize, negatives: Negatives, items: &[Item]) -> Self {
        let popularity = (negatives == Negatives::Popularity).then(|| {
            let mut sum = 0;
            let sums = items.iter().map(|item| {
                sum += u64::from(item.train_count);
                sum
            });
            Arc::new(std::iter::once(0).chain(sums).collect())
        });
        Self {
            seed,
            domain: domain.into(),
            size,
            repeats: Repeats::Novel,
            titles: Titles::of(items),
            popularity,
        }
    }

    /// The same where repeats are treated that way.
    pub fn with_repeats(self, repeats: Repeats) -> Self {
        Self { repeats, ..self }
    }

    /// The same without candidates: sets of size 0.
    pub fn none(&self) -> Self {
        Self {
            size: 0,
            ..self.clone()
        }
    }

    /// The target and `size` - 1 distinct negatives, shuffled; fewer where the domain has no more.
    ///
    /// Negatives are items that are not in `touched` (unless repeats are kept) and whose title is neither the target's nor that of
    /// another candidate.
    pub fn draw(&self, user: &str, position: u32, target: u32, touched: &[u32]) -> Vec<u32> {
        self.draw_beside(user, position, target, &self.touched(touched))
    }

    /// What is left out of the sets of a user with that sequence.
    pub fn touched(&self, sequence: &[u32]) -> Touched {
        match self.repeats {
            Repeats::Novel => Touched::new(sequence),
            Repeats::Keep => Touched::new(&[]),
        }
    }

    /// The same for a set that serves many draws: what a user touched is gone through once, not for every prompt of the user.
    pub fn draw_beside(&self, user: &str, position: u32, target: u32, touched: &Touched) -> Vec<u32> {
        if self.size == 0 {
            return Vec::new();
        }
        let mut set = Set {
            draws: self,
            rng: seed::rng(self.seed, &self.domain, user, u64::from(position)),
            touched,
            titles: Ids::of(&[self.titles.first(target)]),
            chosen: vec![target],
        };
        match &self.popularity {
            None => set.fill_uniformly(),
            Some(sums) => set.fill_by_popularity(sums),
        }
        seed::shuffle(&mut set.rng, &mut set.chosen);
        set.chosen
    }

    /// `draw_candidates(user_id, position, target, touched) -> ids`: [`Candidates::draw`].
    pub fn function(&self, name: &str) -> ScalarUDF {
        let draws = self.clone();
        create_udf(
            name,
            vec![DataType::Utf8, DataType::UInt32, DataType::UInt32, ids_type()],
            ids_type(),
            Volatility::Immutable,
            Arc::new(move |arguments| {
                let arrays = ColumnarValue::values_to_arrays(arguments)?;
                let users = as_string_array(&arrays[0])?;
                let positions = as_uint32_array(&arrays[1])?;
                let targets = as_uint32_array(&arrays[2])?;
                let touched = IdRows::new(&arrays[3])?;
                let mut lists = Lists::default();
                for row in 0..targets.len() {
                    let (user, position) = (users.value(row), positions.value(row));
                    lists.push(&draws.draw(user, position, targets.value(row), touched.row(row)));
                }
                Ok(ColumnarValue::Array(Arc::new(lists.finish())))
            }),
        )
    }
}

/// What a user touched, for all draws of that user.
#[derive(Debug)]
pub struct Touched {
    items: Ids,
    distinct: usize,
    /// All other items in the order of their ids, listed when the first draw needs them.
    rest: OnceCell<Vec<u32>>,
}

impl Touched {
    /// The items of a sequence.
    fn new(sequence: &[u32]) -> Self {
        let items = Ids::of(sequence);
        Self {
            distinct: items.distinct(),
            items,
            rest: OnceCell::new(),
        }
    }

    /// Of `items` items those that were not touched.
    fn rest(&self, items: usize) -> &[u32] {
        self.rest.get_or_init(|| {
            (1..=items as u32)
                .filter(|item| !self.items.contains(*item))
                .collect()
        })
    }
}

/// A candidate set that is being drawn.
struct Set<'a> {
    draws: &'a Candidates,
    rng: ChaCha8Rng,
    touched: &'a Touched,
    titles: Ids,
    chosen: Vec<u32>,
}

/// A set of ids, which is looked through while it is small: hashing a few numbers takes longer.
#[derive(Debug, Default)]
struct Ids {
    few: Vec<u32>,
    many: HashSet<u32>,
}

/// The largest set that is looked through.
const FEW: usize = 64;

impl Ids {
    fn of(ids: &[u32]) -> Self {
        if ids.len() <= FEW {
            return Self {
                few: ids.to_vec(),
                many: HashSet::new(),
            };
        }
        Self {
            few: Vec::new(),
            many: ids.iter().copied().collect(),
        }
    }

    fn contains(&self, id: u32) -> bool {
        self.few.contains(&id) || (!self.many.is_empty() && self.many.contains(&id))
    }

    /// Whether it was not there yet.
    fn insert(&mut self, id: u32) -> bool {
        if self.contains(id) {
            return false;
        }
        if self.few.len() < FEW {
            self.few.push(id);
            return true;
        }
        self.many.insert(id)
    }

    /// How many there are, each counted once.
    fn distinct(&self) -> usize {
        let first = |(at, id): &(usize, &u32)| !self.few[..*at].contains(id);
        self.few.iter().enumerate().filter(first).count() + self.many.len()
    }
}

/// Draws tried for each place of a set before all that is left is listed. Bounded because titles may repeat without end.
const TRIES: usize = 64;

impl Set<'_> {
    fn full(&self) -> bool {
        self.chosen.len() >= self.draws.size
    }

    fn items(&self) -> usize {
        self.draws.titles.items()
    }

    /// Takes the item unless the user touched it or its title is there already.
    fn offer(&mut self, item: u32) {
        if !self.touched.items.contains(item) && self.titles.insert(self.draws.titles.first(item)) {
            self.chosen.push(item);
        }
    }

    fn fill_uniformly(&mut self) {
        let items = self.items();
        if (self.touched.distinct + self.draws.size) * 2 <= items {
            // Most draws hit: reject the others.
            for _ in 0..self.draws.size * TRIES {
                if self.full() {
                    break;
                }
                let item = seed::below(&mut self.rng, items as u64) as u32 + 1;
                self.offer(item);
            }
        }
        if !self.full() {
            let rest = self.touched.rest(items);
            self.fill_from(rest.to_vec());
        }
    }

    fn fill_by_popularity(&mut self, sums: &[u64]) {
        let total = sums[sums.len() - 1];
        for _ in 0..self.draws.size * TRIES {
            if self.full() || total == 0 {
                break;
            }
            let at = seed::below(&mut self.rng, total);
            self.offer(sums.partition_point(|sum| *sum <= at) as u32);
        }
        if self.full() {
            return;
        }
        // A few items may hold nearly all interactions: what they leave open goes to the others that have any, then to the rest.
        let rest = self.touched.rest(self.items()).iter().copied();
        let (known, unknown): (Vec<u32>, Vec<u32>) =
            rest.partition(|item| sums[*item as usize] > sums[*item as usize - 1]);
        for rest in [known, unknown] {
            if !self.full() {
                self.fill_from(rest);
            }
        }
    }

    fn fill_from(&mut self, mut rest: Vec<u32>) {
        seed::shuffle(&mut self.rng, &mut rest);
        for item in rest {
            if self.full() {
                break;
            }
            self.offer(item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(titles: &[&str]) -> Vec<Item> {
        let item = |(index, title): (usize, &&str)| Item {
            item: index as u32 + 1,
            item_id: format!("i{index}"),
            title: (*title).to_owned(),
            categories: String::new(),
            train_count: 0,
        };
        titles.iter().enumerate().map(item).collect()
    }

    fn numbered(count: usize) -> Vec<Item> {
        let titles: Vec<String> = (0..count).map(|index| format!("title {index}")).collect();
        items(&titles.iter().map(String::as_str).collect::<Vec<_>>())
    }

    #[test]
    fn a_set_holds_the_target_once_and_nothing_touched() {
        let draws = Candidates::new(3, "d", 10, Negatives::Uniform, &numbered(40));
        let mut places = HashSet::new();
        for position in 1..200 {
            let touched = [1, 2, 3, 4, 5];
            let set = draws.draw("u", position, 5, &touched);
            assert_eq!(set.len(), 10);
            assert_eq!(set.iter().collect::<HashSet<_>>().len(), 10);
            assert!(set.iter().all(|item| *item == 5 || !touched.contains(item)));
            places.insert(set.iter().position(|&item| item == 5));
        }
        assert_eq!(places.len(), 10, "the target stands anywhere");
    }

    #[test]
    fn where_repeats_are_kept_nothing_but_the_targets_title_is_left_out() {
        let mut items = numbered(12);
        items[11].title = items[4].title.clone();
        let draws = Candidates::new(3, "d", 10, Negatives::Uniform, &items).with_repeats(Repeats::Keep);
        let mut met = HashSet::new();
        for position in 1..200 {
            let set = draws.draw("u", position, 5, &[1, 2, 3, 4, 5]);
            assert_eq!(set.iter().collect::<HashSet<_>>().len(), 10);
            assert!(set.contains(&5) && !set.contains(&12));
            met.extend(set);
        }
        assert_eq!(met, (1..=11).collect());
    }

    #[test]
    fn a_small_domain_gives_a_shorter_set() {
        let draws = Candidates::new(3, "d", 10, Negatives::Uniform, &numbered(6));
        let mut set = draws.draw("u", 2, 1, &[1, 2]);
        set.sort_unstable();
        assert_eq!(set, [1, 3, 4, 5, 6]);
    }

    #[test]
    fn titles_within_a_set_are_distinct() {
        let draws = Candidates::new(3, "d", 10, Negatives::Uniform, &items(&["a", "b", "a", "c", "b"]));
        for position in 0..50 {
            let set = draws.draw("u", position, 1, &[1]);
            assert!(
                !set.contains(&3),
                "the target's title would be there twice: {set:?}"
            );
            assert_eq!(set.len(), 3);
        }
    }

    #[test]
    fn negatives_are_uniform_either_way() {
        for count in [12, 60] {
            let draws = Candidates::new(3, "d", 4, Negatives::Uniform, &numbered(count));
            let mut hits = vec![0u32; count + 1];
            for position in 0..20_000 {
                for item in draws.draw("u", position, 1, &[1, 2]) {
                    hits[item as usize] += 1;
                }
            }
            let expected = 20_000.0 * 3.0 / (count - 2) as f64;
            assert!(
                hits[3..]
                    .iter()
                    .all(|&n| (f64::from(n) / expected - 1.0).abs() < 0.15),
                "{hits:?}"
            );
            assert_eq!(hits[2], 0);
        }
    }

    #[test]
    fn popular_items_are_drawn_as_often_as_their_share_says() {
        let mut items = numbered(60);
        for (item, count) in items.iter_mut().zip([0, 5, 30, 10].into_iter().chain([20; 40])) {
            item.train_count = count;
        }
        let draws = Candidates::new(3, "d", 2, Negatives::Popularity, &items);
        let mut hits = [0u32; 61];
        for position in 0..40_000 {
            let set = draws.draw("u", position, 2, &[2]);
            assert_eq!(set.len(), 2);
            set.iter().for_each(|item| hits[*item as usize] += 1);
        }
        let share = |item: usize| f64::from(hits[item]) / 40_000.0 * 840.0;
        assert!(
            (share(3) - 30.0).abs() < 3.0 && (share(4) - 10.0).abs() < 2.0,
            "{hits:?}"
        );
        assert_eq!((hits[1], hits[45], hits[60]), (0, 0, 0), "nobody knows them");
    }

    #[test]
    fn unknown_items_fill_what_popular_ones_leave_open() {
        let mut items = numbered(6);
        items[0].train_count = 1_000_000;
        items[1].train_count = 1;
        let draws = Candidates::new(3, "d", 4, Negatives::Popularity, &items);
        for position in 0..50 {
            let set = draws.draw("u", position, 3, &[3, 4]);
            assert_eq!(set.len(), 4);
            assert!(set.contains(&1) && set.contains(&2), "{set:?}");
        }
    }
}
