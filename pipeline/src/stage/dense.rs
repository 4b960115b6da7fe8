//! Dense ids: 1, 2, … in the order of the raw ids, 0 kept for padding.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::JoinType;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{ExprFunctionExt, cast};
use datafusion::prelude::{DataFrame, col};

use crate::error::Result;

/// Adds `dense` (`UInt32`), the rank of `raw` among the rows of a frame that holds each raw id once.
///
/// Raw ids are compared by bytes, so that the numbering is the same whatever order the rows come in.
pub fn number(frame: DataFrame, raw: &str, dense: &str) -> Result<DataFrame> {
    let rank = row_number().order_by(vec![col(raw).sort(true, true)]).build()?;
    Ok(frame.with_column(dense, cast(rank, DataType::UInt32))?)
}

/// Distinct users of interactions as `user_id`, `user`.
pub fn users(interactions: DataFrame) -> Result<DataFrame> {
    number(
        interactions.select(vec![col("user_id")])?.distinct()?,
        "user_id",
        "user",
    )
}

/// Adds `user` and `item` to interactions, from frames that map raw ids to dense ones.
pub fn interactions(interactions: DataFrame, users: DataFrame, items: DataFrame) -> Result<DataFrame> {
    let users = users.select(vec![col("user_id").alias("user_key"), col("user")])?;
    let items = items.select(vec![col("item_id").alias("item_key"), col("item")])?;
    Ok(interactions
        .join(users, JoinType::Inner, &["user_id"], &["user_key"], None)?
        .join(items, JoinType::Inner, &["item_id"], &["item_key"], None)?
        .select(
            [
                "user_id",
                "item_id",
                "rating",
                "timestamp",
                "user",
                "item",
                "line",
            ]
            .map(col)
            .to_vec(),
        )?
        .sort(
            ["user", "timestamp", "item", "line"]
                .map(|name| col(name).sort(true, true))
                .to_vec(),
        )?)
}
