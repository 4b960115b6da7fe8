//! A column of times.

use arrow::array::{Array, AsArray, Float64Array, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};

use super::Time;
use super::column::{Column, Unreadable};
use super::value::text;

/// A column of times.
pub enum Times {
    /// Of a type that says what it counts.
    Typed(Int64Array),
    Number(Float64Array),
    Text(StringArray),
}

impl Times {
    pub fn of(column: &Column<'_>) -> Result<Self, Unreadable> {
        let values = &column.values;
        match values.data_type() {
            // What a zone adds is how a moment is shown.
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
                let millis = cast(values, &DataType::Timestamp(TimeUnit::Millisecond, None))?;
                let millis = cast(&millis, &DataType::Int64)?;
                Ok(Times::Typed(millis.as_primitive().clone()))
            }
            kind if kind.is_numeric() => {
                let numbers = cast(values, &DataType::Float64)?;
                Ok(Times::Number(numbers.as_primitive().clone()))
            }
            kind if kind.is_string() || kind.is_null() => {
                let texts = cast(values, &DataType::Utf8)?;
                Ok(Times::Text(texts.as_string::<i32>().clone()))
            }
            kind => Err(Unreadable::of(column, kind, "time")),
        }
    }

    /// The time of a row; nothing for null.
    pub fn value(&self, row: usize) -> Option<Time<'_>> {
        match self {
            Times::Typed(times) => times.is_valid(row).then(|| Time::Millis(times.value(row))),
            Times::Number(times) => times.is_valid(row).then(|| Time::Number(times.value(row))),
            Times::Text(times) => text(times, row).map(Time::Text),
        }
    }
}
