//! Interactions to one chronological sequence a user, and to dense ids on the way.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, StringArray, UInt32Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::cast::{as_int64_array, as_string_array};
use datafusion::common::exec_datafusion_err;
use datafusion::prelude::{DataFrame, col};

use crate::error::Result;
use crate::prepared::TABLE_ROWS;
use crate::schema::Item;
use crate::stage::domain::interaction_columns;
use crate::stage::list::{Lists, ids_type, times_type};

/// `user`, `user_id`, `items` (oldest first), `timestamps` (ms).
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("user", DataType::UInt32, false),
        Field::new("user_id", DataType::Utf8, false),
        Field::new("items", ids_type(), false),
        Field::new("timestamps", times_type(), false),
    ]))
}

/// Interactions of a batch of sequences, not counting those of its last user beyond them.
const BATCH_ITEMS: usize = 1 << 18;

/// Whether so many users with so many interactions make a batch, which becomes a row group of its own: users may be few and long.
pub(crate) fn is_batch(users: usize, items: usize) -> bool {
    users == TABLE_ROWS || items >= BATCH_ITEMS
}

/// Each user's interactions together, users in the order of their raw ids (compared by bytes), ordered by (timestamp, item, line):
/// the events of a moment side by side, as [`order`](crate::stage::order) needs them to break ties.
///
/// A sort can spill, and what follows is a scan over it: a window function, an `array_agg` or a hash join would hold everything at
/// once.
pub fn chronological(interactions: DataFrame) -> Result<DataFrame> {
    let order = ["user_id", "timestamp", "item_id", "line"].map(|name| col(name).sort(true, true));
    Ok(interactions.select(interaction_columns())?.sort(order.to_vec())?)
}

/// Scans interactions in [chronological] order with ties broken: numbers users 1, 2, … as they come, and gathers a sequence a user.
#[derive(Debug)]
pub struct Sequencer<'a> {
    dense: HashMap<&'a str, u32>,
    user: u32,
    user_id: String,
    open: History,
    columns: Columns,
    done: Vec<RecordBatch>,
}

/// What one user did, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Dense ids.
    pub items: Vec<u32>,
    /// Milliseconds UTC, one an item.
    pub timestamps: Vec<i64>,
    /// Places in the raw files, one an item.
    pub places: Vec<i64>,
}

#[derive(Debug, Default)]
struct Columns {
    users: Vec<u32>,
    user_ids: Vec<String>,
    items: Lists<u32>,
    timestamps: Lists<i64>,
}

impl<'a> Sequencer<'a> {
    /// Over the items of the domain.
    pub fn new(items: &'a [Item]) -> Self {
        Self {
            dense: items
                .iter()
                .map(|item| (item.item_id.as_str(), item.item))
                .collect(),
            user: 0,
            user_id: String::new(),
            open: History::default(),
            columns: Columns::default(),
            done: Vec::new(),
        }
    }

    /// Takes the next interactions, tells `visit` of every history that they complete, and returns them with `user` and `item`.
    pub fn absorb(&mut self, batch: &RecordBatch, mut visit: impl FnMut(&History)) -> Result<RecordBatch> {
        let user_ids = as_string_array(batch.column(0))?;
        let item_ids = as_string_array(batch.column(1))?;
        let timestamps = as_int64_array(batch.column(3))?;
        let places = as_int64_array(batch.column(4))?;
        let (mut users, mut items) = (Vec::new(), Vec::new());
        for row in 0..batch.num_rows() {
            let (user_id, item_id) = (user_ids.value(row), item_ids.value(row));
            if self.user == 0 || self.user_id != user_id {
                self.close(&mut visit)?;
                self.user += 1;
                self.user_id = user_id.to_owned();
            }
            let item = self.dense.get(item_id).copied();
            let item = item.ok_or_else(|| exec_datafusion_err!("`{item_id}` is not in the catalogue"))?;
            self.open.items.push(item);
            self.open.timestamps.push(timestamps.value(row));
            self.open.places.push(places.value(row));
            users.push(self.user);
            items.push(item);
        }
        let dense: [(&str, ArrayRef); 2] = [
            ("user", Arc::new(UInt32Array::from(users))),
            ("item", Arc::new(UInt32Array::from(items))),
        ];
        let schema = batch.schema();
        let raw = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .zip(batch.columns().iter().cloned());
        Ok(RecordBatch::try_from_iter(raw.chain(dense))?)
    }

    /// The sequences that are complete and were not taken yet.
    pub fn take(&mut self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.done)
    }

    /// Completes the last history; to be called when no interactions are left.
    pub fn finish(&mut self, mut visit: impl FnMut(&History)) -> Result<Vec<RecordBatch>> {
        self.close(&mut visit)?;
        self.close_batch()?;
        Ok(self.take())
    }

    fn close(&mut self, visit: &mut impl FnMut(&History)) -> Result<()> {
        if self.open.items.is_empty() {
            return Ok(());
        }
        visit(&self.open);
        self.columns.users.push(self.user);
        self.columns.user_ids.push(std::mem::take(&mut self.user_id));
        self.columns.items.push(&self.open.items);
        self.columns.timestamps.push(&self.open.timestamps);
        self.open.items.clear();
        self.open.timestamps.clear();
        self.open.places.clear();
        if is_batch(self.columns.users.len(), self.columns.items.len()) {
            self.close_batch()?;
        }
        Ok(())
    }

    fn close_batch(&mut self) -> Result<()> {
        let columns = std::mem::take(&mut self.columns);
        if columns.users.is_empty() {
            return Ok(());
        }
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(columns.users)),
            Arc::new(StringArray::from(columns.user_ids)),
            Arc::new(columns.items.finish()) as Arc<dyn Array>,
            Arc::new(columns.timestamps.finish()),
        ];
        self.done.push(RecordBatch::try_new(schema(), arrays)?);
        Ok(())
    }
}
