//! The test users that a ranking may report: those on whom nothing was chosen.

use anyhow::{Result, bail};
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::{Prompt, Split};

use crate::cut::{First, Lot};
use crate::experiment::ids::Ids;

/// Test users of the parts of the cut that are reported.
pub struct Reported {
    /// Their prompts, in the order of their lots.
    pub prompts: Vec<Prompt>,
    /// Test users of the parts that choose, who are left out.
    pub left_out: usize,
}

impl Reported {
    /// The first `users` of them, as `cut_seed` cuts the users of a prepared folder.
    ///
    /// # Errors
    /// A folder that cannot be read or names items that it has not, or one in which nobody is reported.
    pub fn read(prepared: &Prepared, cut_seed: u64, users: usize) -> Result<Self> {
        let manifest = prepared.manifest();
        let key = manifest.parameters.domain_name(&manifest.dataset);
        let ids = Ids::of(prepared, &prepared.items()?)?;
        let (mut first, mut left_out) = (First::new(users), 0);
        prepared.each_prompt(Split::Test, |row| {
            ids.check(Split::Test, &row)?;
            let lot = Lot::of(cut_seed, &key, row.user_id);
            match lot.cut().is_reported() {
                true => first.offer(lot, || row.to_prompt()),
                false => left_out += 1,
            }
            Ok(())
        })?;
        let prompts = first.into_vec();
        if prompts.is_empty() {
            let folder = prepared.folder().display();
            match left_out {
                0 => bail!("{folder} has no test prompts"),
                _ => bail!(
                    "{folder} has {left_out} test users, all of the parts on which choices are made, so that there is nobody to report: \
                     prepare more of the log"
                ),
            }
        }
        Ok(Reported { prompts, left_out })
    }

    /// What the end of a ranking says of them.
    pub fn said(&self) -> String {
        format!(
            "{} users; {} others may have chosen something and are not reported",
            self.prompts.len(),
            self.left_out
        )
    }
}
