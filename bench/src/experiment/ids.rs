//! Whether a prepared folder names no items but its own. Files of two preparations, or changed ones of the same size, open as a folder all
//! the same, and an item that there is not would be scored as one that nobody wants.

use std::path::PathBuf;
use std::slice;

use anyhow::{Result, bail};
use weaverec_pipeline::error::{Error, Result as Reading};
use weaverec_pipeline::prepared::{Prepared, PromptRow};
use weaverec_pipeline::schema::{Item, Split};

/// The items that a folder may name.
pub struct Ids {
    folder: PathBuf,
    items: usize,
}

impl Ids {
    /// Of a folder with these items.
    ///
    /// # Errors
    /// Items that are not numbered as they lie.
    pub fn of(folder: &Prepared, items: &[Item]) -> Result<Self> {
        let ids = Ids {
            folder: folder.folder().to_owned(),
            items: items.len(),
        };
        if let Some((place, item)) = (1..).zip(items).find(|(place, item)| item.item != *place) {
            bail!(
                "{}: the item in place {place} of the catalogue is number {}; prepare the data set again",
                ids.folder.display(),
                item.item
            );
        }
        Ok(ids)
    }

    /// Fails where a prompt names an item that there is not.
    ///
    /// # Errors
    /// The folder, the user, the item, and what to do.
    pub fn check(&self, split: Split, row: &PromptRow<'_>) -> Reading<()> {
        let parts = [
            ("history", row.history),
            ("target", slice::from_ref(&row.target)),
            ("candidates", row.candidates),
            ("binned candidates", row.binned),
        ];
        self.check_parts(&format!("{} prompt", split.name()), row.user_id, &parts)
    }

    /// Fails where a prompt of the training part or a sequence names an item that there is not. To be asked once, where a domain is read.
    ///
    /// # Errors
    /// As of [`Ids::check`], and a folder that cannot be read.
    pub fn check_rest(&self, folder: &Prepared) -> Result<()> {
        folder.each_prompt(Split::Train, |row| self.check(Split::Train, &row))?;
        let mut found: Reading<()> = Ok(());
        folder.each_sequence(|sequence| {
            if found.is_ok() {
                let parts = [("items", sequence.items.as_slice())];
                found = self.check_parts("sequence", &sequence.user_id, &parts);
            }
        })?;
        found?;
        Ok(())
    }

    fn check_parts(&self, what: &str, user: &str, parts: &[(&str, &[u32])]) -> Reading<()> {
        let Some((part, item)) = strange(self.items, parts) else {
            return Ok(());
        };
        Err(Error::Prepared {
            path: self.folder.clone(),
            message: format!(
                "the {what} of user {user:?} names item {item} in its {part}, and items are 1 to {}: files of this folder do not belong \
                 together; prepare the data set again",
                self.items
            ),
        })
    }
}

/// The first item that is none of so many, and the part that it is in.
fn strange<'a>(items: usize, parts: &[(&'a str, &[u32])]) -> Option<(&'a str, u32)> {
    parts.iter().find_map(|(part, ids)| {
        let strange = ids.iter().find(|id| !(1..=items).contains(&(**id as usize)));
        strange.map(|id| (*part, *id))
    })
}

#[cfg(test)]
mod tests {
    use super::strange;

    #[test]
    fn the_first_item_that_there_is_not_is_found_in_its_part() {
        let of = |history: &[u32], candidates: &[u32]| {
            strange(3, &[("history", history), ("candidates", candidates)])
        };
        assert_eq!(of(&[1, 3], &[2, 3]), None);
        assert_eq!(of(&[1, 4], &[9]), Some(("history", 4)));
        assert_eq!(of(&[1], &[2, 0]), Some(("candidates", 0)), "padding is no item");
        assert_eq!(of(&[], &[]), None);
    }
}
