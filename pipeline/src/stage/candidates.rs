//! The persisted candidate sets: the target among items of the domain that the user never touched.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::cast::{as_string_array, as_uint32_array};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use datafusion::prelude::{DataFrame, col};

use crate::error::Result;
use crate::schema::Item;
use crate::seed;
use crate::stage::list::{IdRows, Lists, ids_type};

/// Draws candidates for instances.
#[derive(Clone, Debug)]
pub struct Candidates {
    seed: u64,
    domain: Arc<str>,
    size: usize,
    /// By dense id: the first item with the same title. Negatives are told apart by title, the only thing a language model sees.
    same_title: Arc<Vec<u32>>,
}

impl Candidates {
    /// Sets of `size` (0: empty sets), target included, from the domain's items (in the order of their dense ids, from 1).
    pub fn new(seed: u64, domain: &str, size: usize, items: &[Item]) -> Self {
        let mut first = std::collections::HashMap::new();
        let same_title = std::iter::once(0)
            .chain(
                items
                    .iter()
                    .map(|item| *first.entry(item.title.as_str()).or_insert(item.item)),
            )
            .collect();
        Self {
            seed,
            domain: domain.into(),
            size,
            same_title: Arc::new(same_title),
        }
    }

    /// Adds `candidates` to instances and drops `touched`.
    pub fn apply(&self, instances: DataFrame) -> Result<DataFrame> {
        let draw = self
            .function()
            .call(["user_id", "position", "target", "touched"].map(col).to_vec());
        let columns = ["key", "split", "user", "user_id", "position", "history", "target"].map(col);
        Ok(instances.select([columns.to_vec(), vec![draw.alias("candidates")]].concat())?)
    }

    /// The target and `size` - 1 distinct negatives, shuffled; fewer where the domain has no more.
    ///
    /// Negatives are uniform over the items that are not in `touched` and whose title is neither the target's nor that of
    /// another candidate.
    pub fn draw(&self, user: &str, position: u32, target: u32, touched: &[u32]) -> Vec<u32> {
        if self.size == 0 {
            return Vec::new();
        }
        let mut rng = seed::rng(self.seed, &self.domain, user, u64::from(position));
        let touched: HashSet<u32> = touched.iter().copied().collect();
        let mut titles = HashSet::from([self.same_title[target as usize]]);
        let mut chosen = vec![target];
        let items = self.same_title.len() - 1;
        if (touched.len() + self.size) * 2 <= items {
            // Most draws hit: reject the others. The count is bounded because titles may repeat without end.
            for _ in 0..self.size * 64 {
                if chosen.len() >= self.size {
                    break;
                }
                let item = seed::below(&mut rng, items as u64) as u32 + 1;
                if !touched.contains(&item) && titles.insert(self.same_title[item as usize]) {
                    chosen.push(item);
                }
            }
        }
        if chosen.len() < self.size {
            let mut rest: Vec<u32> = (1..=items as u32)
                .filter(|item| !touched.contains(item))
                .collect();
            seed::shuffle(&mut rng, &mut rest);
            for item in rest {
                if chosen.len() < self.size && titles.insert(self.same_title[item as usize]) {
                    chosen.push(item);
                }
            }
        }
        seed::shuffle(&mut rng, &mut chosen);
        chosen
    }

    fn function(&self) -> ScalarUDF {
        let draws = self.clone();
        create_udf(
            "draw_candidates",
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
        let draws = Candidates::new(3, "d", 10, &numbered(40));
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
    fn a_small_domain_gives_a_shorter_set() {
        let draws = Candidates::new(3, "d", 10, &numbered(6));
        let mut set = draws.draw("u", 2, 1, &[1, 2]);
        set.sort_unstable();
        assert_eq!(set, [1, 3, 4, 5, 6]);
    }

    #[test]
    fn titles_within_a_set_are_distinct() {
        let draws = Candidates::new(3, "d", 10, &items(&["a", "b", "a", "c", "b"]));
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
            let draws = Candidates::new(3, "d", 4, &numbered(count));
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
}
