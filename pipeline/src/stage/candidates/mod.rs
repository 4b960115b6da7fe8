//! The persisted candidate sets: the target among items of the domain that the user never touched, or, where repeats are kept, among
//! any. *Binned* sets hold items that are as popular as the target ([`Bins`]): there popularity alone is no answer.

mod set;

use std::cell::OnceCell;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::cast::{as_string_array, as_uint32_array};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use serde::{Deserialize, Serialize};

use crate::schema::Item;
use crate::stage::bins::Bins;
use crate::stage::list::{IdRows, Lists, ids_type};
use crate::stage::target::{Repeats, Titles};
use set::{Ids, Set};

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
    bins: Option<Arc<Bins>>,
    /// Keys binned sets; not the domain itself, whose generators draw the others.
    binned: Arc<str>,
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
            bins: None,
            binned: format!("{domain}\0binned").into(),
        }
    }

    /// The same with bins to draw binned sets from.
    pub fn with_bins(self, bins: Arc<Bins>) -> Self {
        Self {
            bins: Some(bins),
            ..self
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
        let mut set = Set::begun(self, &self.domain, user, position, target, touched);
        match &self.popularity {
            None => set.fill_uniformly(),
            Some(sums) => set.fill_by_popularity(sums),
        }
        set.shuffled()
    }

    /// The target and as many negatives of its bin, each item alike, whatever the negatives of the other set are drawn by: untouched and
    /// of titles of their own, as there. Where the bin has too few, the nearest ones give theirs. Without [bins](Self::with_bins), none.
    pub fn draw_binned(&self, user: &str, position: u32, target: u32, touched: &Touched) -> Binned {
        let Some(bins) = self.bins.as_ref().filter(|_| self.size > 0) else {
            return Binned::default();
        };
        let mut set = Set::begun(self, &self.binned, user, position, target, touched);
        let left = set.fill_from_bins(bins, bins.bin(target));
        Binned {
            items: set.shuffled(),
            left,
        }
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

/// A set of items that are as popular as its target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binned {
    /// Dense ids, target included, shuffled.
    pub items: Vec<u32>,
    /// Whether the target's bin had too few, so that others filled the set.
    pub left: bool,
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

#[cfg(test)]
mod tests;
