//! Instances, column by column.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray, UInt32Array, UInt64Array};

use super::{Found, row_key, schema};
use crate::error::Result;
use crate::schema::Split;
use crate::stage::list::Lists;

#[derive(Default)]
pub(super) struct Rows {
    keys: Vec<u64>,
    splits: Vec<&'static str>,
    users: Vec<u32>,
    user_ids: Vec<String>,
    positions: Vec<u32>,
    histories: Lists<u32>,
    targets: Vec<u32>,
    ties: Vec<bool>,
    candidates: Lists<u32>,
    binned: Lists<u32>,
    ranks: Vec<u64>,
}

impl Rows {
    pub(super) fn push(
        &mut self,
        domain: &str,
        split: Split,
        found: &Found<'_>,
        candidates: &[u32],
        binned: &[u32],
    ) {
        let (rank, user, position) = found.place;
        self.keys
            .push(row_key(domain, found.user_id, u64::from(position), split.name()));
        self.splits.push(split.name());
        self.users.push(user);
        self.user_ids.push(found.user_id.to_owned());
        self.positions.push(position);
        self.histories.push(&found.sequence[found.start..found.target]);
        self.targets.push(found.sequence[found.target]);
        self.ties.push(found.ties);
        self.candidates.push(candidates);
        self.binned.push(binned);
        self.ranks.push(rank);
    }

    pub(super) fn finish(self) -> Result<RecordBatch> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from(self.keys)),
            Arc::new(StringArray::from(self.splits)),
            Arc::new(UInt32Array::from(self.users)),
            Arc::new(StringArray::from(self.user_ids)),
            Arc::new(UInt32Array::from(self.positions)),
            Arc::new(self.histories.finish()),
            Arc::new(UInt32Array::from(self.targets)),
            Arc::new(BooleanArray::from(self.ties)),
            Arc::new(self.candidates.finish()),
            Arc::new(self.binned.finish()),
            Arc::new(UInt64Array::from(self.ranks)),
        ];
        Ok(RecordBatch::try_new(schema(), columns)?)
    }
}
