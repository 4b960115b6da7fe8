//! Lists of ids as Arrow columns: the few helpers that the per-row stages share.

use std::sync::Arc;

use datafusion::arrow::array::{Array, Int64Array, ListArray, UInt32Array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{DataFusionError, exec_datafusion_err};

/// The type of a list of dense ids.
pub fn ids_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::UInt32, false)))
}

/// The type of a list of timestamps in milliseconds.
pub fn times_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Int64, false)))
}

/// Grows one list column row by row.
#[derive(Debug)]
pub struct Lists<T> {
    values: Vec<T>,
    lengths: Vec<usize>,
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            lengths: Vec::new(),
        }
    }
}

impl<T: Clone> Lists<T> {
    /// Values of all rows together.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Adds a row.
    pub fn push(&mut self, row: &[T]) {
        self.values.extend_from_slice(row);
        self.lengths.push(row.len());
    }
}

impl Lists<u32> {
    /// The column.
    pub fn finish(self) -> ListArray {
        let field = Arc::new(Field::new_list_field(DataType::UInt32, false));
        ListArray::new(
            field,
            OffsetBuffer::from_lengths(self.lengths),
            Arc::new(UInt32Array::from(self.values)),
            None,
        )
    }
}

impl Lists<i64> {
    /// The column.
    pub fn finish(self) -> ListArray {
        let field = Arc::new(Field::new_list_field(DataType::Int64, false));
        ListArray::new(
            field,
            OffsetBuffer::from_lengths(self.lengths),
            Arc::new(Int64Array::from(self.values)),
            None,
        )
    }
}

/// Reads rows of a list of ids as slices.
#[derive(Debug)]
pub struct IdRows<'a> {
    offsets: &'a [i32],
    values: &'a [u32],
}

impl<'a> IdRows<'a> {
    /// Fails where the column is not a list of `UInt32`.
    pub fn new(column: &'a dyn Array) -> Result<Self, DataFusionError> {
        let list = column
            .as_any()
            .downcast_ref::<ListArray>()
            .ok_or_else(|| exec_datafusion_err!("expected a list of ids, found {}", column.data_type()))?;
        let values = list
            .values()
            .as_any()
            .downcast_ref::<UInt32Array>()
            .ok_or_else(|| {
                exec_datafusion_err!("expected ids as UInt32, found {}", list.values().data_type())
            })?;
        Ok(Self {
            offsets: list.value_offsets(),
            values: values.values(),
        })
    }

    /// The ids of one row.
    pub fn row(&self, index: usize) -> &'a [u32] {
        &self.values[self.offsets[index] as usize..self.offsets[index + 1] as usize]
    }
}
