//! A column of categories: a text, or names and texts in lists and structures, however they nest.

use arrow::array::{Array, ArrayRef, AsArray, LargeListArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::super::super::nested::{add, naming};
use super::column::{Column, plain};
use super::value::text;

/// A column of categories.
#[derive(Default)]
pub struct Words(Option<Node>);

/// Texts and what holds them.
enum Node {
    Texts(StringArray),
    Lists(LargeListArray, Box<Node>),
    /// Of a structure those members that hold its names.
    Structures(Option<NullBuffer>, Vec<Node>),
}

impl Words {
    /// The type of what holds no texts is the error.
    pub fn of(column: &Column<'_>) -> Result<Self, DataType> {
        let kind = column.values.data_type();
        if kind.is_null() {
            return Ok(Self(None));
        }
        let node = Node::of(&column.values).ok_or_else(|| kind.clone())?;
        Ok(Self(Some(node)))
    }

    /// The text of a row, where the column holds nothing else.
    pub fn text(&self, row: usize) -> Option<&str> {
        match &self.0 {
            Some(Node::Texts(texts)) => text(texts, row),
            _ => None,
        }
    }

    /// The texts of a row, each once.
    pub fn listed(&self, row: usize) -> String {
        let mut words = Vec::new();
        self.0.iter().for_each(|node| node.visit(row, &mut words));
        words.join(", ")
    }
}

impl Node {
    fn of(values: &ArrayRef) -> Option<Self> {
        if let Some(values) = plain(values) {
            return Self::of(&values);
        }
        match values.data_type() {
            DataType::List(field)
            | DataType::LargeList(field)
            | DataType::FixedSizeList(field, _)
            | DataType::ListView(field)
            | DataType::LargeListView(field) => {
                let lists = cast(values, &DataType::LargeList(field.clone())).ok()?;
                let lists: &LargeListArray = lists.as_list();
                let inner = match field.data_type() {
                    // A list that is always empty.
                    DataType::Null => Self::Texts(StringArray::new_null(lists.values().len())),
                    _ => Self::of(lists.values())?,
                };
                Some(Self::Lists(lists.clone(), Box::new(inner)))
            }
            DataType::Struct(fields) => {
                let structures = values.as_struct();
                let mut members: Vec<Option<Node>> = structures.columns().iter().map(Self::of).collect();
                let held: Vec<(&str, bool)> = fields
                    .iter()
                    .zip(&members)
                    .map(|(field, member)| (field.name().as_str(), member.is_some()))
                    .collect();
                let names = naming(held.iter().copied());
                let named: Vec<Node> = names.into_iter().filter_map(|at| members[at].take()).collect();
                let nulls = structures.nulls().cloned();
                (!named.is_empty()).then_some(Self::Structures(nulls, named))
            }
            kind if kind.is_string()
                || matches!(
                    kind,
                    DataType::Binary | DataType::LargeBinary | DataType::BinaryView
                ) =>
            {
                // Bytes that are no text are none.
                let texts = cast(values, &DataType::Utf8).ok()?;
                Some(Self::Texts(texts.as_string::<i32>().clone()))
            }
            _ => None,
        }
    }

    fn visit<'w>(&'w self, row: usize, words: &mut Vec<&'w str>) {
        match self {
            Self::Texts(texts) => text(texts, row).into_iter().for_each(|text| add(text, words)),
            Self::Lists(lists, inner) if lists.is_valid(row) => {
                let bounds = &lists.value_offsets()[row..row + 2];
                (bounds[0]..bounds[1]).for_each(|at| inner.visit(at as usize, words));
            }
            Self::Structures(nulls, members) if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) => {
                members.iter().for_each(|member| member.visit(row, words));
            }
            Self::Lists(..) | Self::Structures(..) => {}
        }
    }
}
