//! The folder of a fitted recommender: what it is, its items by their ids and titles, its course and its weights.
//!
//! ```text
//! fitted.json       the row, its settings, what it was fitted to, which epoch was kept
//! items.jsonl       an item a line, in the order of its scores
//! training.jsonl    the course of the fit
//! recommender/      weights
//! ```

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use weaverec_model::recommender::codes::CodeReport;
use weaverec_model::recommender::{self, Recommender, System};
use weaverec_output::write_file;
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::Item;

use crate::experiment::cell::{Epochs, Training};
use crate::experiment::recommender::curve;
use crate::output::{CURVE, FITTED_ABOUT, FITTED_ITEMS, RECOMMENDER, write_json};

/// The layout that this program writes and reads.
pub const VERSION: u32 = 1;

/// What a folder says of its recommender.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct About {
    /// The layout.
    pub version: u32,
    /// The row.
    pub method: String,
    /// Its system with all settings.
    pub system: System,
    /// Of all that was drawn.
    pub seed: u64,
    /// Key of the cut of users, which says who chose.
    pub cut_seed: u64,
    /// The prepared domain.
    pub domain: String,
    /// Its fingerprint.
    pub prepared: String,
    /// The other domains that it learnt from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Other>,
    /// What made the vectors that it read, of the items of its domain and of the others in one space: settings, and models and files by their
    /// content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vectors: Option<serde_json::Value>,
    /// Most characters of its titles.
    pub max_title_chars: usize,
    /// Users that it was fitted to, those of the other domains among them.
    pub users: usize,
    /// Steps that were taken.
    pub steps: usize,
    /// Items that were read in all steps, without padding; of systems that read items as tokens, the tokens.
    pub positions: u64,
    /// Floating-point operations, estimated.
    pub flops: f64,
    /// How the epochs went, and which was kept.
    pub epochs: Option<Epochs>,
    /// What the codes of items came to, of all domains that they were made of, where it reads some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codes: Option<CodeReport>,
    /// Users who chose it; 0: nobody, and the last was kept.
    pub chosen_by: usize,
}

/// A domain that was learnt from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Other {
    /// The prepared domain.
    pub domain: String,
    /// Its fingerprint.
    pub prepared: String,
}

/// An item, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its id in the raw log.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Interactions of the training part.
    pub train_count: u32,
}

impl Other {
    /// Of a prepared folder.
    pub fn of(prepared: &Prepared) -> Self {
        Other {
            domain: prepared.manifest().name.clone(),
            prepared: prepared.fingerprint(),
        }
    }
}

impl About {
    /// Fills a folder.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(
        &self,
        folder: &Path,
        items: &[Item],
        recommender: &dyn Recommender,
        training: &Training,
    ) -> Result<()> {
        let mut lines = Vec::new();
        for item in items {
            let named = Named {
                id: item.item_id.clone(),
                title: item.title.clone(),
                train_count: item.train_count,
            };
            serde_json::to_writer(&mut lines, &named)?;
            lines.push(b'\n');
        }
        recommender.save(&folder.join(RECOMMENDER))?;
        write_file(&folder.join(FITTED_ITEMS), &lines)?;
        write_file(&folder.join(CURVE), curve(training).as_bytes())?;
        write_json(&folder.join(FITTED_ABOUT), self)
    }
}

/// A recommender with the names of its items.
pub struct ModelFolder {
    /// What it is.
    pub about: About,
    /// Its items, item 1 first.
    pub items: Vec<Named>,
    /// Itself.
    pub recommender: Box<dyn Recommender>,
}

impl ModelFolder {
    /// Reads a folder.
    ///
    /// # Errors
    /// A folder that holds none, or one of another version.
    pub fn open(folder: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let path = folder.join(FITTED_ABOUT);
        if !path.is_file() {
            bail!(
                "{} holds no recommender that `weaverec fit` wrote: it has no {FITTED_ABOUT}",
                folder.display()
            );
        }
        let of = || format!("{} is damaged: fit the recommender again", path.display());
        let text = read(&path)?;
        let head: Head = serde_json::from_str(&text).with_context(of)?;
        if head.version != VERSION {
            bail!(
                "{} is of layout {}, and this program reads layout {VERSION}: fit the recommender again",
                path.display(),
                head.version
            );
        }
        let about: About = serde_json::from_str(&text).with_context(of)?;
        let listed = folder.join(FITTED_ITEMS);
        let items = read(&listed)?;
        let items: serde_json::Result<Vec<Named>> = items.lines().map(serde_json::from_str).collect();
        Ok(ModelFolder {
            items: items.with_context(|| format!("{} is damaged", listed.display()))?,
            recommender: recommender::load(&folder.join(RECOMMENDER))?,
            about,
        })
    }

    /// Fails where the recommender was fitted to another prepared folder: its items are others, or others are held out.
    ///
    /// # Errors
    /// Which one it was fitted to, and what to do.
    pub fn check(&self, prepared: &Prepared) -> Result<()> {
        let (own, other) = (&self.about.prepared, prepared.fingerprint());
        if *own != other {
            bail!(
                "the recommender was fitted to {}, prepared as {own:.12}, and {} is prepared as {other:.12}: name the folder that it was fitted \
                 to, or fit it to this one (`weaverec fit {}`)",
                self.about.domain,
                prepared.folder().display(),
                prepared.folder().display()
            );
        }
        Ok(())
    }

    /// The scores of all items, item 1 first, for each of these histories (dense ids, oldest first, whole).
    ///
    /// # Errors
    /// A history with an item that there is not.
    pub fn scores(&self, histories: &[&[u32]]) -> Result<Vec<f32>> {
        let mut all = vec![0.0; histories.len() * self.items.len()];
        self.recommender.scores(histories, &mut all)?;
        Ok(all)
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
