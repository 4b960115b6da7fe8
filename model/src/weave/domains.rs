//! Sets of domains, by which people know an adapter.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The domains an adapter is trained on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Domains(BTreeSet<String>);

impl Domains {
    /// The set of the given domains.
    pub fn of<'a>(domains: impl IntoIterator<Item = &'a str>) -> Self {
        Domains(domains.into_iter().map(str::to_string).collect())
    }

    /// The domains, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Domains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iter().collect::<Vec<_>>().join("+"))
    }
}
