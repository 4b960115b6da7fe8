//! The iterative k-core: users and items with too few interactions leave, until none has too few.

use datafusion::common::JoinType;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::prelude::{DataFrame, col, lit};
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::error::Result;
use crate::stage::domain::interaction_columns;

/// The least number of interactions; 0 or 1 asks for nothing.
///
/// Off by default: the published "5-core" files are used as they are, and some of them are not one (five of Prime Pantry's
/// users have fewer than five interactions).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KCore {
    /// Least interactions of a user.
    pub users: usize,
    /// Least interactions of an item.
    pub items: usize,
}

impl KCore {
    /// The largest set of interactions in which every user and item has its least number.
    ///
    /// Runs to the fixpoint: a user who leaves may leave an item short. The result does not depend on which side starts.
    /// `interactions` are scanned several times: [settle](Engine::settle) them first.
    pub async fn apply(&self, engine: &Engine, interactions: DataFrame) -> Result<DataFrame> {
        let mut kept = interactions;
        loop {
            let mut settled = true;
            for (column, least) in [("user_id", self.users), ("item_id", self.items)] {
                if least < 2 {
                    continue;
                }
                let short = kept
                    .clone()
                    .aggregate(vec![col(column).alias("short")], vec![count(lit(1)).alias("n")])?
                    .filter(col("n").lt(lit(least as i64)))?
                    .select(vec![col("short")])?;
                let short = engine.settle(short).await?;
                if short.clone().count().await? == 0 {
                    continue;
                }
                settled = false;
                let rest = kept.join(short, JoinType::LeftAnti, &[column], &["short"], None)?;
                kept = engine.settle(rest.select(interaction_columns())?).await?;
            }
            if settled {
                return Ok(kept);
            }
        }
    }
}
