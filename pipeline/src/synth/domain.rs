//! One generated domain: its items and users, and the files they are written to.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use rand::{RngExt, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::dirt::Dirt;
use super::review::Language;
use super::structure::{Catalogue, Rule, stream};
use super::words::{NOUNS, STYLES, THEMES};
use super::{Platform, amazon, movielens};
use crate::error::{Error, Result};
use crate::raw::Progress;

/// The day, counted from 1970, after which nobody buys any more: 1 July 2014.
const LAST_DAY: i64 = 16_252;

/// Users between two reports of progress.
const REPORT_EVERY: usize = 256;

/// Everything needed to write one domain's logs.
pub struct Domain {
    /// Place in the configuration; ids of different domains never meet.
    pub index: usize,
    /// Name in the configuration.
    pub name: String,
    /// Which format is written.
    pub platform: Platform,
    /// Seed of all draws.
    pub seed: u64,
    /// Share of lines and items with a fault.
    pub dirt: f64,
    /// Number of users.
    pub users: usize,
    /// Mean number of interactions of a user.
    pub mean: f64,
    /// How themes follow one another.
    pub rule: Rule,
    /// The items.
    pub catalogue: Catalogue,
    /// What review texts are drawn from, where they are longer than the few fixed sentences.
    pub language: Option<Language>,
    /// The domain's vocabulary.
    pub nouns: &'static [&'static str; NOUNS],
}

/// One interaction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// Index into the catalogue.
    pub item: u32,
    /// Stars.
    pub rating: f64,
    /// Unix time.
    pub seconds: i64,
}

/// What writing a domain showed.
pub struct Written {
    /// The dirt that went in.
    pub dirt: Dirt,
    /// Items that at least one user took.
    pub items_used: u64,
}

impl Domain {
    /// The title as intended, before any dirt.
    pub fn title(&self, item: usize) -> String {
        let traits = self.catalogue.item(item);
        let mut title = format!(
            "{} {} {}",
            THEMES[traits.theme], STYLES[traits.style], self.nouns[traits.noun]
        );
        if traits.number > 0 {
            title.push_str(&format!(" {}", traits.number + 1));
        }
        if self.platform == Platform::MovielensCsv {
            if traits.noun.is_multiple_of(4) {
                title.push_str(", The");
            }
            // The year goes with the style: as in real films it tells something, and it is no noise to a language model.
            title.push_str(&format!(" ({})", 1950 + 4 * traits.style));
        }
        title
    }

    /// The word for the item's theme.
    pub fn theme_word(&self, item: usize) -> &'static str {
        THEMES[self.catalogue.item(item).theme]
    }

    /// A user's id in the log.
    pub fn user_id(&self, user: usize) -> String {
        match self.platform {
            Platform::Amazon2014 => amazon::reviewer_id(self.index, user),
            Platform::MovielensCsv => movielens::user_id(self, user),
        }
    }

    /// An item's id in the log.
    pub fn item_id(&self, item: usize) -> String {
        match self.platform {
            Platform::Amazon2014 => amazon::asin(self.index, item),
            Platform::MovielensCsv => movielens::movie_id(self, item),
        }
    }

    /// Names of the interaction and the item file, without a compression ending.
    pub fn file_names(&self) -> (String, String) {
        match self.platform {
            Platform::Amazon2014 => {
                let category = amazon::category(&self.name);
                (
                    format!("reviews_{category}_5.json"),
                    format!("meta_{category}.json"),
                )
            }
            Platform::MovielensCsv => ("ratings.csv".to_string(), "movies.csv".to_string()),
        }
    }

    /// What a user did, oldest first, and the stream that the user's further draws come from.
    ///
    /// Days of a user are all different, so the order is known from the times alone, as coarse as Amazon's are.
    pub fn history(&self, user: usize) -> (Vec<Event>, ChaCha8Rng) {
        let mut rng = stream(self.seed, &self.name, "user", user as u64);
        let taste = Catalogue::taste(self.seed, &self.name, &mut rng);
        let (mean, spread) = (self.mean.round() as usize, (self.mean / 6.0).round() as usize);
        let length = rng.random_range(mean - spread..=mean + spread);
        let items = self.catalogue.history(&self.rule, taste, length, &mut rng);
        let widest = (4000 / items.len() as i64).clamp(1, 20);
        let gaps: Vec<i64> = items.iter().map(|_| rng.random_range(1..=widest)).collect();
        let mut day = LAST_DAY - rng.random_range(0..1500) - gaps.iter().sum::<i64>();
        let mut events = Vec::with_capacity(items.len());
        for (item, gap) in items.into_iter().zip(gaps) {
            day += gap;
            let of_day = match self.platform {
                Platform::Amazon2014 => 0,
                Platform::MovielensCsv => rng.random_range(0..86_400),
            };
            let liked = self.catalogue.item(item as usize).style == taste.style;
            let rating = f64::from(rng.random_range(if liked { 4..=5 } else { 3..=5 }));
            events.push(Event {
                item,
                rating,
                seconds: day * 86_400 + of_day,
            });
        }
        (events, rng)
    }

    /// Writes the raw files and the expected sequences into `dir`, a user at a time: memory does not grow with users.
    pub fn write(&self, dir: &Path, progress: &dyn Progress) -> Result<Written> {
        let (interactions, items) = self.file_names();
        let mut dirt = Dirt::default();
        let mut used = vec![false; self.catalogue.len()];
        let gzip = match (self.platform, &self.language) {
            (Platform::MovielensCsv, _) => None,
            (Platform::Amazon2014, None) => Some(Compression::fast()),
            // Long texts stand for published files, which are packed with more care.
            (Platform::Amazon2014, Some(_)) => Some(Compression::new(5)),
        };
        let expected = dir.join("expected_sequences.jsonl.gz");
        write_file(dir, &interactions, gzip, |out| {
            // One file within the other, since each user is drawn only once.
            let mut sequences = GzEncoder::new(BufWriter::new(File::create(&expected)?), Compression::fast());
            if self.platform == Platform::MovielensCsv {
                writeln!(out, "{}", movielens::RATINGS_HEADER)?;
            }
            for user in 0..self.users {
                self.write_user(user, &mut dirt, &mut used, out, &mut sequences)?;
                if (user + 1) % REPORT_EVERY == 0 {
                    progress.advance(REPORT_EVERY as u64);
                }
            }
            progress.advance((self.users % REPORT_EVERY) as u64);
            sequences
                .finish()?
                .into_inner()
                .map_err(io::IntoInnerError::into_error)?
                .sync_all()
        })?;
        write_file(dir, &items, gzip, |out| {
            if self.platform == Platform::MovielensCsv {
                writeln!(out, "{}", movielens::MOVIES_HEADER)?;
            }
            for item in 0..self.catalogue.len() {
                let mut rng = stream(self.seed, &self.name, "item", item as u64);
                match self.platform {
                    Platform::Amazon2014 => amazon::write_item(self, item, &mut rng, &mut dirt, out)?,
                    Platform::MovielensCsv => movielens::write_item(self, item, &mut rng, &mut dirt, out)?,
                }
            }
            Ok(())
        })?;
        Ok(Written {
            dirt,
            items_used: used.iter().filter(|&&used| used).count() as u64,
        })
    }

    fn write_user(
        &self,
        user: usize,
        dirt: &mut Dirt,
        used: &mut [bool],
        out: &mut dyn Write,
        sequences: &mut dyn Write,
    ) -> io::Result<()> {
        let (mut events, mut rng) = self.history(user);
        let ids: Vec<String> = events
            .iter()
            .map(|event| self.item_id(event.item as usize))
            .collect();
        writeln!(
            sequences,
            "{}",
            serde_json::json!({ "user": self.user_id(user), "items": ids })
        )?;
        // Published files are not in the order of time; a reader that trusts the order of lines must fail.
        events.shuffle(&mut rng);
        for event in &events {
            used[event.item as usize] = true;
            match self.platform {
                Platform::Amazon2014 => amazon::write_review(self, user, event, &mut rng, dirt, out)?,
                Platform::MovielensCsv => movielens::write_rating(self, user, event, &mut rng, dirt, out)?,
            }
        }
        Ok(())
    }
}

/// Writes `dir/name`, with `.gz` added and compressed if asked; errors name the file.
fn write_file(
    dir: &Path,
    name: &str,
    gzip: Option<Compression>,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let path = dir.join(if gzip.is_some() {
        format!("{name}.gz")
    } else {
        name.to_string()
    });
    let write = || -> io::Result<()> {
        let mut file = BufWriter::with_capacity(1 << 16, File::create(&path)?);
        if let Some(level) = gzip {
            let mut lines = BufWriter::with_capacity(1 << 16, GzEncoder::new(&mut file, level));
            fill(&mut lines)?;
            lines
                .into_inner()
                .map_err(io::IntoInnerError::into_error)?
                .finish()?;
        } else {
            fill(&mut file)?;
        }
        file.flush()?;
        file.get_ref().sync_all()
    };
    write().map_err(|source| Error::io(&path, "write", source))
}
