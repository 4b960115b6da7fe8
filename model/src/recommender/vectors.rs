//! Vectors of items, such as those of their texts.

/// Vectors of items: `width` numbers each, item 1 first.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    /// Numbers an item.
    pub width: usize,
    /// All of them, item after item.
    pub values: Vec<f32>,
}
