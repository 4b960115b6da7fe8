//! Where a column stands in a file, and its values in a batch.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, StringArray, StructArray, make_array, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Fields, Schema};
use parquet::basic::LogicalType;
use parquet::schema::types::SchemaDescriptor;

use super::super::super::partition;

/// Why a column cannot be what it is asked to be: names it, and says what to do.
pub struct Unreadable(pub String);

impl Unreadable {
    /// For a type that says nothing to the column; `wanted` is what to write it as.
    pub fn of(column: &Column<'_>, kind: &DataType, wanted: &str) -> Self {
        let name = column.name;
        Self(format!(
            "the column {name} is of type {kind}, which is no {wanted}; write it as another type, or name another column"
        ))
    }

    /// For columns that were asked for and not handed over.
    pub fn internal() -> Self {
        Self("its columns were lost on the way".to_owned())
    }
}

impl From<String> for Unreadable {
    fn from(message: String) -> Self {
        Self(message)
    }
}

impl From<arrow::error::ArrowError> for Unreadable {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self(error.to_string())
    }
}

/// Where a column stands.
pub struct Place {
    /// Names from the root down; empty where the folders of the file tell its value.
    path: Vec<String>,
    /// Which columns of the file's lowest level make it up.
    pub leaves: Vec<usize>,
    /// Whether its bytes are UUIDs.
    uuid: bool,
    /// What the folders tell.
    told: Option<String>,
}

impl Place {
    /// The column of that name, or the one that it is the path of, or the one that the folders of the file tell.
    pub fn find(name: &str, schema: &Schema, stored: &SchemaDescriptor, file: &Path) -> Option<Self> {
        let Some(path) = descend(schema.fields(), name) else {
            return partition::value(file, name).map(|told| Self {
                path: Vec::new(),
                leaves: Vec::new(),
                uuid: false,
                told,
            });
        };
        let below = |leaf: &usize| stored.column(*leaf).path().parts().starts_with(&path);
        let leaves: Vec<usize> = (0..stored.num_columns()).filter(below).collect();
        let uuid = |leaf: &usize| matches!(stored.column(*leaf).logical_type_ref(), Some(LogicalType::Uuid));
        Some(Self {
            uuid: leaves.iter().all(uuid),
            path,
            leaves,
            told: None,
        })
    }
}

/// A name as it stands among the fields, or a path through structures, parted by dots.
fn descend(fields: &Fields, name: &str) -> Option<Vec<String>> {
    if fields.iter().any(|field| field.name() == name) {
        return Some(vec![name.to_owned()]);
    }
    name.match_indices('.').find_map(|(at, _)| {
        let outer = fields.iter().find(|field| field.name() == &name[..at])?;
        let DataType::Struct(inner) = outer.data_type() else {
            return None;
        };
        let mut path = descend(inner, &name[at + 1..])?;
        path.insert(0, name[..at].to_owned());
        Some(path)
    })
}

/// A column's values in a batch.
pub struct Column<'n> {
    pub name: &'n str,
    /// Whether bytes are UUIDs.
    pub uuid: bool,
    /// All null where the file has no such column.
    pub values: ArrayRef,
}

impl<'n> Column<'n> {
    pub fn of(name: &'n str, place: Option<&Place>, batch: &RecordBatch) -> Self {
        let rows = batch.num_rows();
        let none = || new_null_array(&DataType::Null, rows);
        let values = match place {
            None => none(),
            Some(Place { path, told, .. }) => match (path.split_first(), told) {
                (Some((first, rest)), _) => {
                    let root = batch.column_by_name(first).cloned();
                    root.and_then(|root| within(root, rest)).unwrap_or_else(none)
                }
                (None, Some(told)) => Arc::new(StringArray::from_iter_values((0..rows).map(|_| told))),
                (None, None) => none(),
            },
        };
        Column {
            name,
            uuid: place.is_some_and(|place| place.uuid),
            values: plain(&values).unwrap_or(values),
        }
    }
}

/// What lies in structures under those names; null where one of the structures is.
fn within(values: ArrayRef, path: &[String]) -> Option<ArrayRef> {
    let Some((name, rest)) = path.split_first() else {
        return Some(values);
    };
    let outer: &StructArray = values.as_struct_opt()?;
    let inner = outer.column_by_name(name)?;
    let nulls = NullBuffer::union(outer.nulls(), inner.nulls());
    let data = inner.to_data().into_builder().nulls(nulls).build().ok()?;
    within(make_array(data), rest)
}

/// The same values without the encodings that arrow keeps: of a dictionary, or of runs, the values themselves.
pub fn plain(values: &ArrayRef) -> Option<ArrayRef> {
    let kind = match values.data_type() {
        DataType::Dictionary(_, kind) => kind.as_ref(),
        DataType::RunEndEncoded(_, field) => field.data_type(),
        _ => return None,
    };
    arrow::compute::cast(values, kind).ok()
}
