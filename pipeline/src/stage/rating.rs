//! The least rating: below it an interaction is no sign of interest.

use datafusion::prelude::{DataFrame, col, lit};

use crate::error::Result;

/// Keeps interactions rated `least` or better; unrated ones leave too.
pub fn at_least(interactions: DataFrame, least: f64) -> Result<DataFrame> {
    Ok(interactions.filter(col("rating").gt_eq(lit(least)))?)
}
