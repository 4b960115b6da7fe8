//! The version of the numbers.

/// Raised by hand whenever the same configuration, data and seeds come to other numbers than before: another order of sums, another
/// draw, another rule for ties. It is part of every cell's key, so that no record made before is taken for one made after.
///
/// Whoever forgets it is told by the store where a cell is run a second time: its numbers must be those of the record that is there.
///
/// | version | what changed |
/// |---|---|
/// | 1 | records hold scores in place of ranks |
/// | 2 | adapters of a replicate take the same prompts of a domain, and keep the last step; two protocols of candidates |
pub const NUMERICS: u32 = 2;
