//! The `weaverec` binary.
fn main() {}
