//! The bins of popularity that a folder's binned candidates were drawn from.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::prepared::Share;
use crate::schema::Item;
use crate::stage::Bins;

/// One bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bin {
    /// The most training interactions of an item in it.
    pub greatest: u32,
    /// The fewest.
    pub least: u32,
    /// Items.
    pub items: u64,
    /// Validation targets among them, of all users.
    pub targets: u64,
}

/// All of them, and how far they went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BinReport {
    /// How many there are.
    pub count: u64,
    /// Items of the smallest.
    pub smallest: u64,
    /// Of the binned candidate sets those for which the target's bin had too few items, so that the nearest ones filled them.
    pub left: Share,
    /// The most popular first.
    pub bins: Vec<Bin>,
}

impl BinReport {
    /// Of the bins of these items, given how often each is a validation target.
    pub fn of(bins: &Bins, items: &[Item], targets: &[u32]) -> Self {
        let bin = |bin: usize| {
            let members = bins.items(bin);
            let count = |item: Option<&u32>| item.map_or(0, |item| items[*item as usize - 1].train_count);
            Bin {
                greatest: count(members.first()),
                least: count(members.last()),
                items: members.len() as u64,
                targets: members
                    .iter()
                    .map(|item| u64::from(targets[*item as usize - 1]))
                    .sum(),
            }
        };
        let bins: Vec<Bin> = (0..bins.count()).map(bin).collect();
        Self {
            count: bins.len() as u64,
            smallest: bins.iter().map(|bin| bin.items).min().unwrap_or(0),
            left: Share::default(),
            bins,
        }
    }

    /// The bins themselves, over the items of the same folder.
    pub fn over(&self, items: &[Item]) -> Bins {
        let greatest: Vec<u32> = self.bins.iter().map(|bin| bin.greatest).collect();
        Bins::between(items, &greatest)
    }
}

impl fmt::Display for BinReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            count,
            smallest,
            left,
            ..
        } = self;
        write!(
            f,
            "{count} bins of {smallest} items or more, which {left} sets had to leave"
        )
    }
}
