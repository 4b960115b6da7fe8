//! Which interactions belong to the domain that is prepared, by an item column.

use datafusion::common::JoinType;
use datafusion::functions::expr_fn::split_part;
use datafusion::functions_aggregate::expr_fn::first_value;
use datafusion::prelude::{DataFrame, Expr, col, lit};
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// The name that stands for every domain value not excluded.
pub const OTHER: &str = "other";

/// A domain as a part of a data set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainFilter {
    /// The first of the item's categories (a film's first genre), or [`OTHER`] for all that are not excluded; none: every item.
    pub domain: Option<String>,
    /// First categories left out, which [`OTHER`] is relative to.
    pub exclude: Vec<String>,
}

impl DomainFilter {
    /// Whether the filter looks at the items' categories.
    pub fn by_category(&self) -> bool {
        !self.exclude.is_empty() || self.domain.as_deref().is_some_and(|name| name != OTHER)
    }

    /// Keeps the interactions of the domain.
    ///
    /// `items` are the raw items (`item_id`, `categories`, `line`); the first line of an item decides its category.
    pub fn apply(&self, interactions: DataFrame, items: DataFrame) -> Result<DataFrame> {
        if !self.by_category() {
            return Ok(interactions);
        }
        let first = first_value(
            split_part(col("categories"), lit(", "), lit(1_i64)),
            vec![col("line").sort(true, true)],
        );
        let first_category = items.aggregate(
            vec![col("item_id").alias("domain_item")],
            vec![first.alias("domain")],
        )?;
        // What is left out is taken away rather than the rest chosen, so that items without a category stay in "other".
        let (kept, predicate) = match self.domain.as_deref() {
            Some(name) if name != OTHER => (JoinType::LeftSemi, col("domain").eq(lit(name))),
            _ => {
                let excluded = self.exclude.iter().map(|name| lit(name.as_str())).collect();
                (JoinType::LeftAnti, col("domain").in_list(excluded, false))
            }
        };
        let listed = first_category
            .filter(predicate)?
            .select(vec![col("domain_item")])?;
        let kept = interactions.join(listed, kept, &["item_id"], &["domain_item"], None)?;
        Ok(kept.select(interaction_columns())?)
    }
}

/// The columns of interactions before dense ids, in order.
pub fn interaction_columns() -> Vec<Expr> {
    ["user_id", "item_id", "rating", "timestamp", "line"]
        .map(col)
        .to_vec()
}
