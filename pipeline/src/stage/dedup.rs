//! Repeated interactions of a user with an item.

use datafusion::functions_aggregate::expr_fn::{first_value, last_value};
use datafusion::prelude::{DataFrame, col};
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Which of several rows of the same user and item stay.
///
/// The default removes only rows that say the same thing twice. Repeats at another time are purchases of their own (a pantry
/// is refilled), and the known sequences of Prime Pantry hold 5,160 of them side by side: no stricter policy reproduces them.
///
/// Rows that agree in user, item and time are numbered by line, and what a policy leaves is numbered anew before ties are
/// [broken](crate::stage::order): a row that was exported twice moves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DedupPolicy {
    /// Every row stays.
    None,
    /// Of the rows with one user, item and timestamp, the one that comes first in the file stays.
    #[default]
    Exact,
    /// Of the rows with one user and item, the oldest stays, and of several oldest ones the first in the file: no item occurs twice
    /// in a history.
    First,
    /// Of the rows with one user and item, the newest stays, and of several newest ones the last in the file.
    Last,
}

/// Removes repeats from interactions according to the policy; of rows that agree in user, item and time the line decides.
pub fn dedup(interactions: DataFrame, policy: DedupPolicy) -> Result<DataFrame> {
    let pair = || vec![col("user_id"), col("item_id")];
    let time = || vec![col("timestamp").sort(true, true), col("line").sort(true, true)];
    let (group, kept): (Vec<_>, Vec<_>) = match policy {
        DedupPolicy::None => return Ok(interactions),
        DedupPolicy::Exact => {
            let line = || vec![col("line").sort(true, true)];
            let kept = ["rating", "line"].map(|name| first_value(col(name), line()).alias(name));
            ([pair(), vec![col("timestamp")]].concat(), kept.to_vec())
        }
        DedupPolicy::First => (
            pair(),
            ["rating", "timestamp", "line"]
                .map(|name| first_value(col(name), time()).alias(name))
                .to_vec(),
        ),
        DedupPolicy::Last => (
            pair(),
            ["rating", "timestamp", "line"]
                .map(|name| last_value(col(name), time()).alias(name))
                .to_vec(),
        ),
    };
    Ok(interactions
        .aggregate(group, kept)?
        .select(crate::stage::domain::interaction_columns())?)
}
