//! Vectors of items.

/// Vectors of items: `width` numbers each, item 1 first.
pub struct Vectors {
    /// Numbers of one.
    pub width: usize,
    /// All of them.
    pub values: Vec<f32>,
}
