//! Recipes, diets and mixing as the table at the head of this folder states them.
#![allow(clippy::unwrap_used)]
