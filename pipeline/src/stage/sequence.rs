//! Interactions to one chronological sequence a user.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, StringArray, UInt32Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::cast::{as_int64_array, as_string_array, as_uint32_array};
use datafusion::prelude::{DataFrame, col};
use futures::StreamExt;

use crate::engine::{BATCH_ROWS, Engine};
use crate::error::Result;
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

/// Orders each user's interactions by (timestamp, item, line) and gathers them, users in the order of their ids.
///
/// Days are the finest unit of some logs, so ties are common; with this key they fall the same way in every run. A sort that
/// can spill and one scan over it: a window function or `array_agg` would hold everything at once.
pub async fn sequences(engine: &Engine, interactions: DataFrame) -> Result<DataFrame> {
    let order = ["user", "timestamp", "item", "line"].map(|name| col(name).sort(true, true));
    let sorted = interactions
        .sort(order.to_vec())?
        .select(["user", "user_id", "timestamp", "item"].map(col).to_vec())?;
    let mut rows = sorted.execute_stream().await?;
    let mut gathered = Gathered::default();
    while let Some(batch) = rows.next().await {
        gathered.absorb(&batch?)?;
    }
    // With more partitions, a scan would deal the batches out and give them back in any order.
    engine.serial().frame(schema(), gathered.finish()?)
}

#[derive(Default)]
struct Gathered {
    user: Option<u32>,
    items: Vec<u32>,
    timestamps: Vec<i64>,
    user_id: String,
    pending: Columns,
    done: Vec<RecordBatch>,
}

#[derive(Default)]
struct Columns {
    users: Vec<u32>,
    user_ids: Vec<String>,
    items: Lists<u32>,
    timestamps: Lists<i64>,
}

impl Gathered {
    fn absorb(&mut self, batch: &RecordBatch) -> Result<()> {
        let users = as_uint32_array(batch.column(0))?;
        let user_ids = as_string_array(batch.column(1))?;
        let timestamps = as_int64_array(batch.column(2))?;
        let items = as_uint32_array(batch.column(3))?;
        for row in 0..batch.num_rows() {
            if self.user != Some(users.value(row)) {
                self.close_user()?;
                self.user = Some(users.value(row));
                self.user_id = user_ids.value(row).to_owned();
            }
            self.items.push(items.value(row));
            self.timestamps.push(timestamps.value(row));
        }
        Ok(())
    }

    fn close_user(&mut self) -> Result<()> {
        if let Some(user) = self.user.take() {
            self.pending.users.push(user);
            self.pending.user_ids.push(std::mem::take(&mut self.user_id));
            self.pending.items.push(&self.items);
            self.pending.timestamps.push(&self.timestamps);
            self.items.clear();
            self.timestamps.clear();
            if self.pending.users.len() == BATCH_ROWS {
                self.close_batch()?;
            }
        }
        Ok(())
    }

    fn close_batch(&mut self) -> Result<()> {
        let columns = std::mem::take(&mut self.pending);
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(columns.users)),
            Arc::new(StringArray::from(columns.user_ids)),
            Arc::new(columns.items.finish()) as Arc<dyn Array>,
            Arc::new(columns.timestamps.finish()),
        ];
        self.done.push(RecordBatch::try_new(schema(), arrays)?);
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<RecordBatch>> {
        self.close_user()?;
        if !self.pending.users.is_empty() {
            self.close_batch()?;
        }
        Ok(self.done)
    }
}
