//! What one domain gives away of another: users of both, whose future in a source may be trained on before they are asked in the target.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use crate::error::Result;
use crate::prepared::{Prepared, Share};

/// What a source's training data knows of users that are asked in a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crossing {
    /// The domain whose training data it is.
    pub source: String,
    /// The domain whose tests they are.
    pub target: String,
    /// Users of both, by raw id. A variant of an experiment leaves them out of the source.
    pub users: BTreeSet<String>,
    /// Those of them with a test in the target.
    pub tested: u64,
    /// Of their training interactions in the source those that are later than their test in the target.
    pub later: Share,
    /// Tested users with such interactions.
    pub users_later: u64,
    /// Tests in the target whose item their user has in the source too, whenever.
    pub targets_in_source: u64,
}

impl fmt::Display for Crossing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, target, .. } = self;
        write!(
            f,
            "{source} trains on {} users who are tested in {target}: {} of their interactions in {source} are later than their test \
             ({} users), {} test items are among them",
            self.tested, self.later, self.users_later, self.targets_in_source
        )
    }
}

/// Looks for a target's test users in a source. Ids of two platforms name other people.
pub fn crossing(target: &Prepared, source: &Prepared) -> Result<Crossing> {
    let mut found = Crossing {
        source: source.manifest().name.clone(),
        target: target.manifest().name.clone(),
        ..Crossing::default()
    };
    if source.manifest().dataset.platform != target.manifest().dataset.platform {
        return Ok(found);
    }
    // Of each user of the target: time and item of the test.
    let (items, targets) = (target.items()?, target.targets()?);
    let mut asked: HashMap<String, Option<(i64, &str)>> = HashMap::new();
    target.each_sequence(|row| {
        let test = targets.parts(&row.items, &row.timestamps).test;
        let test = test.map(|at| {
            (
                row.timestamps[at],
                items[row.items[at] as usize - 1].item_id.as_str(),
            )
        });
        asked.insert(row.user_id, test);
    })?;
    let (items, targets) = (source.items()?, source.targets()?);
    let known: HashMap<&str, u32> = items
        .iter()
        .map(|item| (item.item_id.as_str(), item.item))
        .collect();
    source.each_sequence(|row| {
        let Some((user, test)) = asked.get_key_value(&row.user_id) else {
            return;
        };
        found.users.insert(user.clone());
        let Some((time, item)) = test else { return };
        found.tested += 1;
        let trained = targets.parts(&row.items, &row.timestamps).known;
        let before = found.later.count;
        for at in &row.timestamps[..trained] {
            found.later.add(at > time);
        }
        found.users_later += u64::from(found.later.count > before);
        let touched: HashSet<u32> = row.items.into_iter().collect();
        found.targets_in_source += u64::from(known.get(item).is_some_and(|item| touched.contains(item)));
    })?;
    Ok(found)
}
