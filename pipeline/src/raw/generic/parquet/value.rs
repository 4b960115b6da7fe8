//! Columns as texts: ids, titles and ratings, of whatever type they are.

use arrow::array::{Array, AsArray, Float64Array, GenericBinaryArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};

use super::super::super::id;
use super::column::{Column, Unreadable};

/// The largest numbers of the smaller types up to which they have every whole number: 2^24 and 2^11.
const LARGEST_OF_SINGLE: f64 = 16_777_216.0;
const LARGEST_OF_HALF: f64 = 2_048.0;

/// A column as ids: all digits of integers, and of floating numbers those that are exact. Bytes are texts, or UUIDs.
pub fn ids(column: &Column<'_>) -> Result<StringArray, Unreadable> {
    let values = &column.values;
    let kind = values.data_type();
    match kind {
        DataType::Float16 => floats(column, LARGEST_OF_HALF),
        DataType::Float32 => floats(column, LARGEST_OF_SINGLE),
        DataType::Float64 => floats(column, id::LARGEST),
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale)
            if *scale > 0 =>
        {
            let written = cast(values, &DataType::Utf8)?;
            let written = written.as_string::<i32>();
            let whole = written.iter().map(|text| match text {
                None => Ok(None),
                // The decimals are all there: however long, the number is exact.
                Some(text) => match text.split_once('.') {
                    Some((whole, rest)) if rest.bytes().all(|digit| digit == b'0') => {
                        Ok(Some(whole.to_owned()))
                    }
                    _ => id::of_digits(text, column.name).map(|id| Some(id.into_owned())),
                },
            });
            Ok(whole.collect::<Result<_, String>>()?)
        }
        kind if kind.is_numeric() || kind.is_string() || kind.is_null() => {
            Ok(cast(values, &DataType::Utf8)?.as_string::<i32>().clone())
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            bytes(column)
        }
        kind => Err(Unreadable::of(column, kind, "id")),
    }
}

fn floats(column: &Column<'_>, largest: f64) -> Result<StringArray, Unreadable> {
    let values = cast(&column.values, &DataType::Float64)?;
    let ids = values
        .as_primitive::<Float64Type>()
        .iter()
        .map(|value| match value {
            None => Ok(None),
            Some(value) => id::of_float(value, largest, column.name),
        });
    Ok(ids.collect::<Result<_, String>>()?)
}

/// Bytes that are a text are that text. Sixteen that are none, or are called so, are a UUID.
fn bytes(column: &Column<'_>) -> Result<StringArray, Unreadable> {
    let kind = column.values.data_type();
    let sixteen = matches!(kind, DataType::FixedSizeBinary(16));
    let values = cast(&column.values, &DataType::LargeBinary)?;
    let values: &GenericBinaryArray<i64> = values.as_binary();
    let texts = values.iter().map(|value| {
        let Some(value) = value else {
            return Ok(None);
        };
        let text = std::str::from_utf8(value).ok();
        let text = text.filter(|text| !sixteen || !column.uuid && !text.contains(char::is_control));
        match (text, <[u8; 16]>::try_from(value)) {
            (Some(text), _) => Ok(Some(text.to_owned())),
            (None, Ok(value)) if sixteen => Ok(Some(uuid(value))),
            _ => Err(format!(
                "the column {} is of type {kind} and holds bytes that are no text; write it as text",
                column.name
            )),
        }
    });
    Ok(texts.collect::<Result<_, String>>()?)
}

/// As RFC 9562 writes it.
fn uuid(bytes: [u8; 16]) -> String {
    let digits = format!("{:032x}", u128::from_be_bytes(bytes));
    let parts = [
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..],
    ];
    parts.join("-")
}

/// A column as titles: a number is one as it is written (the film 1917), and so is a date.
pub fn titles(column: &Column<'_>) -> Result<StringArray, Unreadable> {
    let values = &column.values;
    match values.data_type() {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let values = cast(values, &DataType::Float64)?;
            let values = values.as_primitive::<Float64Type>().iter();
            // A number without end is no title.
            let finite = values.map(|value| value.filter(|value| value.is_finite()));
            Ok(finite.map(|value| value.map(|value| value.to_string())).collect())
        }
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => {
            Ok(cast(values, &DataType::Utf8)?.as_string::<i32>().clone())
        }
        kind if kind.is_numeric() => Ok(cast(values, &DataType::Utf8)?.as_string::<i32>().clone()),
        kind => ids(column).map_err(|found| match kind {
            kind if kind.is_binary() => found,
            kind => Unreadable::of(column, kind, "title"),
        }),
    }
}

/// The text of a row; nothing for null.
pub fn text(texts: &StringArray, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.value(row))
}

/// A column of ratings.
pub enum Ratings {
    Numbers(Float64Array),
    Texts(StringArray),
}

impl Ratings {
    pub fn of(column: &Column<'_>) -> Result<Self, Unreadable> {
        match column.values.data_type() {
            kind if kind.is_numeric() || kind.is_null() => {
                let numbers = cast(&column.values, &DataType::Float64)?;
                Ok(Ratings::Numbers(numbers.as_primitive().clone()))
            }
            kind if kind.is_string() => {
                let texts = cast(&column.values, &DataType::Utf8)?;
                Ok(Ratings::Texts(texts.as_string::<i32>().clone()))
            }
            kind => Err(Unreadable::of(column, kind, "number")),
        }
    }

    /// The number of a row, where the column holds numbers.
    pub fn number(&self, row: usize) -> Option<f64> {
        match self {
            Ratings::Numbers(numbers) => numbers.is_valid(row).then(|| numbers.value(row)),
            Ratings::Texts(_) => None,
        }
    }

    /// The text of a row, where it holds texts.
    pub fn text(&self, row: usize) -> Option<&str> {
        match self {
            Ratings::Numbers(_) => None,
            Ratings::Texts(texts) => text(texts, row),
        }
    }
}
