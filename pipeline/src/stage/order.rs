//! The order of a user's events: by time, and within a moment by a tie key that knows neither the item's place among the ids nor the
//! line's place in the file. What a moment is says [`moment`](crate::stage::moment).
//!
//! Published logs are sorted by user and item, so that either place gives the next item away wherever times tie. The key is a hash of
//! what the event is, and the only thing besides it is [`Parameters::tie_seed`]: other draws of the same order are another seed away.

use std::ops::Range;

use datafusion::arrow::array::{Int64Array, RecordBatch, StringArray, UInt32Array};
use datafusion::arrow::compute::{concat_batches, take_record_batch};
use datafusion::common::cast::{as_int64_array, as_string_array};
use serde::{Deserialize, Serialize};

use crate::dataset::DatasetDescription;
use crate::error::Result;
use crate::parameters::Parameters;
use crate::seed::{self, Fields};
use crate::stage::moment::tied;

/// What orders the events of one user at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ties {
    /// The [`tie_key`], then the line.
    #[default]
    Hash,
    /// The line alone, for logs whose lines are in the order of events.
    Line,
}

/// The key that orders events of one user at one moment, ids as in the raw log. `time` is the event's own (ms UTC), whatever moment it
/// belongs to; `occurrence` numbers repeats of one item at one time, from 0, in the order of lines.
///
/// ```
/// use weaverec_pipeline::{seed, stage::order::tie_key};
/// let parts: [&[u8]; 6] = [&7_u64.to_le_bytes(), b"shop", b"A1", &5_000_i64.to_le_bytes(), b"B2", &0_u64.to_le_bytes()];
/// assert_eq!(tie_key(7, "shop", "A1", 5_000, "B2", 0), seed::key(&parts));
/// ```
pub fn tie_key(seed: u64, domain: &str, user: &str, time: i64, item: &str, occurrence: u64) -> u64 {
    seed::key(&[
        &seed.to_le_bytes(),
        domain.as_bytes(),
        user.as_bytes(),
        &time.to_le_bytes(),
        item.as_bytes(),
        &occurrence.to_le_bytes(),
    ])
}

/// The rule of a prepared domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    ties: Ties,
    seed: u64,
    domain: String,
    /// Milliseconds.
    window: i64,
}

impl Order {
    /// Under the parameters of a prepared data set.
    pub fn new(parameters: &Parameters, dataset: &DatasetDescription) -> Self {
        Self {
            ties: parameters.ties,
            seed: parameters.tie_seed,
            domain: parameters.domain_name(dataset),
            window: parameters.tie_window_ms,
        }
    }

    /// Whether two events that follow each other in time are at one moment.
    pub fn tied(&self, earlier: i64, later: i64) -> bool {
        tied(earlier, later, self.window)
    }

    /// Orders the tied rows of one user after another.
    pub fn breaker<R>(&self) -> TieBreaker<'_, R> {
        TieBreaker {
            order: self,
            fields: Fields::default(),
            user: None,
            keyed: Vec::new(),
        }
    }
}

/// Orders rows that tie. Keys are made of those alone: most rows of most logs have a moment of their own.
#[derive(Debug)]
pub struct TieBreaker<'o, R> {
    order: &'o Order,
    /// The parts of the key that rows have in common, then those of a row.
    fields: Fields,
    /// How many bytes of them are those of the user at hand, once they are there.
    user: Option<usize>,
    /// Tie key, line and row.
    keyed: Vec<(u64, i64, R)>,
}

impl<'o, R: Copy> TieBreaker<'o, R> {
    /// The rule.
    pub fn order(&self) -> &'o Order {
        self.order
    }

    /// To be called before another user's rows.
    pub fn next_user(&mut self) {
        self.user = None;
    }

    /// Puts the rows of one moment of the user at hand in order. Repeats of an item at one time must stand together, in the order of
    /// lines.
    pub fn sort<'t>(
        &mut self,
        user: &str,
        rows: &mut [R],
        time: impl Fn(R) -> i64,
        item: impl Fn(R) -> &'t str,
        line: impl Fn(R) -> i64,
    ) {
        if self.order.ties == Ties::Line {
            rows.sort_unstable_by_key(|row| line(*row));
            return;
        }
        self.keyed.clear();
        let (mut shared, mut at) = (0, None);
        let (mut before, mut occurrence) = (None, 0_u64);
        for row in rows.iter() {
            let (time, item) = (time(*row), item(*row));
            if at != Some(time) {
                shared = self.at(user, time);
                (at, before) = (Some(time), None);
            }
            occurrence = if before == Some(item) { occurrence + 1 } else { 0 };
            before = Some(item);
            self.fields.truncate(shared);
            self.fields.push(item.as_bytes());
            self.fields.push(&occurrence.to_le_bytes());
            self.keyed.push((self.fields.key(), line(*row), *row));
        }
        self.keyed.sort_unstable_by_key(|(key, line, _)| (*key, *line));
        for (slot, (_, _, row)) in rows.iter_mut().zip(&self.keyed) {
            *slot = *row;
        }
    }

    /// Puts together what the keys of one time have in common, and says how many bytes that is.
    fn at(&mut self, user: &str, time: i64) -> usize {
        let known = match self.user {
            Some(known) => known,
            None => {
                self.fields.truncate(0);
                self.fields.push(&self.order.seed.to_le_bytes());
                self.fields.push(self.order.domain.as_bytes());
                self.fields.push(user.as_bytes());
                *self.user.insert(self.fields.len())
            }
        };
        self.fields.truncate(known);
        self.fields.push(&time.to_le_bytes());
        self.fields.len()
    }
}

/// Orders batches of interactions that come by (user, time, item, line): the ties of a moment are held until all of them are there.
///
/// In the stream rather than in the sort before it, so that keys are made of ties alone and repeats are numbered without a window
/// function.
#[derive(Debug)]
pub(crate) struct OrderedBatches<'o> {
    breaker: TieBreaker<'o, u32>,
    /// The last moment of what came, which may go on.
    open: Option<RecordBatch>,
}

/// Columns of interactions that the order looks at.
struct Columns<'b> {
    users: &'b StringArray,
    items: &'b StringArray,
    times: &'b Int64Array,
    lines: &'b Int64Array,
}

impl<'b> Columns<'b> {
    fn of(batch: &'b RecordBatch) -> Result<Self> {
        Ok(Self {
            users: as_string_array(batch.column(0))?,
            items: as_string_array(batch.column(1))?,
            times: as_int64_array(batch.column(3))?,
            lines: as_int64_array(batch.column(4))?,
        })
    }

    /// Whether a row is at the moment of the one before it.
    fn goes_on(&self, order: &Order, row: usize) -> bool {
        order.tied(self.times.value(row - 1), self.times.value(row))
            && self.users.value(row - 1) == self.users.value(row)
    }
}

impl<'o> OrderedBatches<'o> {
    /// By that rule.
    pub fn new(order: &'o Order) -> Self {
        Self {
            breaker: order.breaker(),
            open: None,
        }
    }

    /// Takes the next rows, and returns those that are in order now.
    pub fn absorb(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let all = match self.open.take() {
            Some(open) => concat_batches(&batch.schema(), [&open, &batch])?,
            None => batch,
        };
        let columns = Columns::of(&all)?;
        let order = self.breaker.order();
        let last = (1..all.num_rows())
            .rev()
            .find(|row| !columns.goes_on(order, *row));
        let last = last.unwrap_or(0);
        let done = self.ordered(&all, 0..last)?;
        self.open = Some(all.slice(last, all.num_rows() - last));
        Ok(done)
    }

    /// The rows of the last moment.
    pub fn finish(mut self) -> Result<Option<RecordBatch>> {
        let open = self.open.take();
        open.map(|open| self.ordered(&open, 0..open.num_rows()))
            .transpose()
    }

    fn ordered(&mut self, batch: &RecordBatch, rows: Range<usize>) -> Result<RecordBatch> {
        let columns = Columns::of(batch)?;
        let mut places: Vec<u32> = (rows.start as u32..rows.end as u32).collect();
        let mut changed = false;
        let order = self.breaker.order();
        for run in places.chunk_by_mut(|_, row| columns.goes_on(order, *row as usize)) {
            if run.len() < 2 {
                continue;
            }
            let user = columns.users.value(run[0] as usize);
            let (time, item, line) = (
                |row: u32| columns.times.value(row as usize),
                |row: u32| columns.items.value(row as usize),
                |row: u32| columns.lines.value(row as usize),
            );
            self.breaker.next_user();
            self.breaker.sort(user, run, time, item, line);
            changed = true;
        }
        if !changed {
            return Ok(batch.slice(rows.start, rows.len()));
        }
        Ok(take_record_batch(batch, &UInt32Array::from(places))?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Float64Array};

    use super::*;

    fn order(ties: Ties, window: i64) -> Order {
        Order {
            ties,
            seed: 9,
            domain: "shop".to_owned(),
            window,
        }
    }

    #[test]
    fn keys_put_together_step_by_step_are_those_of_the_formula() {
        let order = order(Ties::Hash, 0);
        let mut breaker = order.breaker();
        // (item, line), two users and two moments, with a repeat, all at one time or the last two later, the last item a second time.
        let rows = [("b", 4), ("b", 7), ("c", 1), ("a", 9), ("a", 12)];
        for (user, time, burst) in [("u", 5, 0), ("u", 6, 1), ("v", 6, 1)] {
            breaker.next_user();
            let mut sorted = rows;
            let time = |row: (&str, i64)| time + if row.1 >= 9 { burst * (row.1 - 8) } else { 0 };
            breaker.sort(user, &mut sorted, time, |row| row.0, |row| row.1);
            let key = |row: &(&str, i64)| {
                let repeats = *row == ("b", 7) || burst == 0 && *row == ("a", 12);
                tie_key(9, "shop", user, time(*row), row.0, u64::from(repeats))
            };
            let mut expected = rows;
            expected.sort_by_key(key);
            assert_eq!(sorted, expected);
        }
    }

    #[test]
    fn lines_order_ties_where_they_are_asked_to() {
        let order = order(Ties::Line, 0);
        let mut rows = [("a", 9), ("b", 4), ("b", 7), ("c", 1)];
        order
            .breaker()
            .sort("u", &mut rows, |_| 5, |row| row.0, |row| row.1);
        assert_eq!(rows.map(|row| row.1), [1, 4, 7, 9]);
    }

    fn batch(rows: &[(&str, &str, i64, i64)]) -> RecordBatch {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))),
            Arc::new(Float64Array::from(vec![None; rows.len()])),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.3))),
        ];
        RecordBatch::try_new(crate::raw::interactions_schema(), columns).unwrap()
    }

    #[test]
    fn the_division_into_batches_does_not_reach_the_order() {
        let items = ["a", "a", "b", "c", "d", "e", "f"];
        let mut rows = Vec::new();
        for user in ["u", "v", "w"] {
            for time in [1, 2, 3, 4] {
                let count = (user.len() + time as usize * 3) % 7 + 1;
                rows.extend((0..count).map(|at| (user, items[at], time, 100 - at as i64 * 7)));
            }
        }
        // By line within an item, as a sort by (user, time, item, line) has them.
        for run in rows.chunk_by_mut(|left, right| (left.0, left.2, left.1) == (right.0, right.2, right.1)) {
            run.sort_unstable_by_key(|row| row.3);
        }
        for (ties, window) in [(Ties::Hash, 0), (Ties::Line, 0), (Ties::Hash, 1), (Ties::Line, 1)] {
            let order = order(ties, window);
            let whole = |size: usize| {
                let mut ordered = OrderedBatches::new(&order);
                let mut done: Vec<RecordBatch> = rows
                    .chunks(size)
                    .map(|some| ordered.absorb(batch(some)).unwrap())
                    .collect();
                done.extend(ordered.finish().unwrap());
                concat_batches(&done[0].schema(), &done).unwrap()
            };
            let expected = whole(rows.len());
            assert_eq!(expected.num_rows(), rows.len());
            assert_ne!(expected, batch(&rows), "ties are not by item");
            for size in [1, 2, 3, 5, 8, 13] {
                assert_eq!(whole(size), expected, "{ties:?}, {window}, {size}");
            }
        }
    }
}
