//! Items as tokens: three codes from coarse to fine, by k-means on what the codes before left over, and a digit that tells items apart whose
//! codes are the same.
//!
//! ```text
//! vector ──► nearest of 256 centres ──► rest ──► nearest of 256 ──► rest ──► nearest of 256 ──► digit
//! ```
//!
//! Codes of all domains come of one set of centres, so that a code means the same in each. As in TIGER (Rajput et al. 2023), but with k-means
//! in place of the RQ-VAE, and with a digit that is scored as any other token.

mod layout;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use self::layout::Layout;
use super::kmeans::clusters;
use super::{Data, Vectors};
use crate::op::mix;
use crate::{Error, Result};

/// Levels of codes.
pub const LEVELS: usize = 3;
/// Tokens of an item: its codes and the digit.
pub const TOKENS: usize = LEVELS + 1;
/// Most items that may have the same codes.
pub const DIGITS: usize = 256;
/// The token that every history begins with.
pub const START: u32 = 0;
/// The token that stands for those of an item that is hidden.
pub const HIDDEN: u32 = 1;
/// Tokens that are no codes.
pub(super) const SPECIAL: usize = 2;

/// How codes are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CodeSettings {
    /// Centres a level.
    pub size: usize,
    /// Most steps of k-means a level.
    pub iterations: usize,
    /// Seed of the first centres and of the digits.
    pub seed: u64,
}

impl Default for CodeSettings {
    /// As TIGER has it: 256 a level.
    fn default() -> Self {
        CodeSettings {
            size: 256,
            iterations: 50,
            seed: 0,
        }
    }
}

/// The codes of a domain's items.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemCodes {
    /// Of every item its codes, from coarse to fine, and its digit; item 1 first.
    pub codes: Vec<[u32; 4]>,
}

impl ItemCodes {
    /// Those of an item.
    ///
    /// # Errors
    /// An item that there is none of.
    pub fn of(&self, item: u32) -> Result<[u32; TOKENS]> {
        let place = (item as usize).checked_sub(1);
        let found = place.and_then(|place| self.codes.get(place));
        found.copied().ok_or_else(|| {
            Error::Usage(format!(
                "item {item} has no codes: they are of {} items, the first of which is 1",
                self.codes.len()
            ))
        })
    }

    /// Fails where two items have the same codes and digit, or one has codes beyond the layout's.
    ///
    /// # Errors
    /// The items concerned.
    pub fn check(&self, layout: Layout) -> Result<()> {
        let mut seen = HashMap::with_capacity(self.codes.len());
        for (item, code) in (1..).zip(&self.codes) {
            if layout.code(&layout.tokens(*code)) != Some(*code) {
                return Err(Error::Usage(format!(
                    "item {item} has the codes {code:?}, of which there are {} a level and {DIGITS} digits",
                    layout.size
                )));
            }
            if let Some(other) = seen.insert(*code, item) {
                return Err(Error::Usage(format!(
                    "items {other} and {item} have the same codes {code:?}: nothing could tell them apart"
                )));
            }
        }
        Ok(())
    }

    /// The same codes, each given to another item: what a model reaches with them owes nothing to what codes say of items.
    pub fn permuted(&self, seed: u64) -> Self {
        let mut order: Vec<usize> = (0..self.codes.len()).collect();
        order.sort_by_key(|place| (mix(seed ^ mix(*place as u64 + 1)), *place));
        ItemCodes {
            codes: order.into_iter().map(|place| self.codes[place]).collect(),
        }
    }
}

/// What codes came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CodeReport {
    /// Level by level, coarse to fine.
    pub levels: Vec<LevelReport>,
    /// Items of all domains.
    pub items: usize,
    /// Items that share their codes with another.
    pub colliding: usize,
    /// Most items with the same codes: the digits that are needed.
    pub digits: usize,
}

/// What a level of codes came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LevelReport {
    /// Codes that some item has.
    pub used: usize,
    /// The number of equally frequent codes that would say as much: e to the entropy of their use.
    pub perplexity: f64,
    /// What is left of the vectors' squared lengths after this level, as a share.
    pub error: f64,
}

/// Codes of the items of several domains, by one set of centres, with digits that tell items of all domains apart.
///
/// The same on any number of threads. Digits are drawn: in the order of ids they would tell which of two alike items is the older.
///
/// # Errors
/// No items, vectors of several widths or with something other than finite numbers, and more than [`DIGITS`] items with the same codes.
pub fn encode(domains: &[&Vectors], settings: &CodeSettings) -> Result<(Vec<ItemCodes>, CodeReport)> {
    let width = domains.first().map_or(0, |vectors| vectors.width);
    let items: usize = domains.iter().map(|vectors| vectors.items()).sum();
    if items == 0 || settings.size == 0 {
        return Err(Error::Usage(format!(
            "codes of {} a level for {items} items: there must be some of both",
            settings.size
        )));
    }
    for vectors in domains {
        if vectors.width != width {
            return Err(Error::Usage(format!(
                "vectors of width {width} and of width {} have no codes in common: make those of all domains together",
                vectors.width
            )));
        }
        vectors.check(vectors.items())?;
    }
    let mut rest: Vec<f32> = domains
        .iter()
        .flat_map(|vectors| &vectors.values)
        .copied()
        .collect();
    let whole = squares(&rest);
    let mut codes = vec![[0u32; TOKENS]; items];
    let mut levels = Vec::with_capacity(LEVELS);
    for level in 0..LEVELS {
        let seed = mix(settings.seed ^ mix(level as u64 + 1));
        let found = clusters(&rest, width, settings.size, settings.iterations, seed)?;
        rest.par_chunks_exact_mut(width)
            .zip(&found.of)
            .for_each(|(row, cluster)| {
                let centre = &found.centres[*cluster as usize * width..][..width];
                row.iter_mut()
                    .zip(centre)
                    .for_each(|(value, centre)| *value -= centre);
            });
        let mut counts = vec![0usize; settings.size];
        for (code, cluster) in codes.iter_mut().zip(&found.of) {
            code[level] = *cluster;
            counts[*cluster as usize] += 1;
        }
        levels.push(LevelReport {
            used: counts.iter().filter(|count| **count > 0).count(),
            perplexity: millionths(perplexity(&counts, items)),
            error: if whole > 0.0 {
                millionths(squares(&rest) / whole)
            } else {
                0.0
            },
        });
    }
    let (colliding, digits) = tell_apart(&mut codes, domains, settings.seed)?;
    let mut all = codes.into_iter();
    let domains = domains
        .iter()
        .map(|vectors| ItemCodes {
            codes: all.by_ref().take(vectors.items()).collect(),
        })
        .collect();
    let report = CodeReport {
        levels,
        items,
        colliding,
        digits,
    };
    Ok((domains, report))
}

/// Codes of domains by their numbers of items and their vectors, and what they came to, level by level in the log too.
///
/// # Errors
/// A domain without vectors or with others than one an item, and those of [`encode`].
pub(super) fn of_domains(
    domains: &[(usize, Option<&Vectors>)],
    settings: &CodeSettings,
) -> Result<(Vec<ItemCodes>, CodeReport)> {
    let mut all = Vec::with_capacity(domains.len());
    for (number, (items, vectors)) in domains.iter().enumerate() {
        let whose = match number {
            0 => "the target".to_owned(),
            _ => format!("source {} (counted from 0)", number - 1),
        };
        let vectors = vectors.ok_or_else(|| {
            Error::Usage(format!(
                "codes are made of the items' vectors, and {whose} has none: give text vectors, or your own"
            ))
        })?;
        vectors.check(*items)?;
        all.push(vectors);
    }
    let (codes, report) = encode(&all, settings)?;
    for (level, found) in (1..).zip(&report.levels) {
        tracing::info!(
            "codes, level {level}: {} of {} used (perplexity {:.0}), {:.1} % of the vectors left over",
            found.used,
            settings.size,
            found.perplexity,
            100.0 * found.error
        );
    }
    Ok((codes, report))
}

/// Codes of the target's items, those of each source's, and what all came to.
///
/// # Errors
/// No sources, and those of [`of_domains`].
pub(super) fn of_target_and_sources(
    data: &Data,
    settings: &CodeSettings,
) -> Result<(ItemCodes, Vec<ItemCodes>, CodeReport)> {
    if data.sources.is_empty() {
        return Err(Error::Usage(
            "other domains are what this system learns from, and there are none: give sources".into(),
        ));
    }
    let sources = data.sources.iter().map(|source| (source.items, source.vectors));
    let domains: Vec<_> = std::iter::once((data.items, data.vectors))
        .chain(sources)
        .collect();
    let (mut codes, report) = of_domains(&domains, settings)?;
    let target = codes.remove(0);
    Ok((target, codes, report))
}

/// Gives items with the same codes a digit each; tells how many there are, and how many the most that have the same.
fn tell_apart(codes: &mut [[u32; TOKENS]], domains: &[&Vectors], seed: u64) -> Result<(usize, usize)> {
    let mut order: Vec<usize> = (0..codes.len()).collect();
    order.sort_by_key(|place| (codes[*place], mix(seed ^ mix(*place as u64 + 1)), *place));
    let (mut colliding, mut most) = (0, 0);
    for same in order
        .chunk_by(|one, other| codes[*one][..LEVELS] == codes[*other][..LEVELS])
        .map(<[usize]>::to_vec)
        .collect::<Vec<_>>()
    {
        if same.len() > DIGITS {
            let (domain, item) = named(same.iter().copied().min().unwrap_or(0), domains);
            return Err(Error::Usage(format!(
                "{} items have the same codes, and {DIGITS} digits can tell so many apart at most; one of them is item {item} of domain \
                 {domain}. Their vectors are the same or nearly so, as those of items without a title are: give the titles more to tell \
                 (categories, brands), vectors of your own, or more codes a level than now",
                same.len()
            )));
        }
        most = most.max(same.len());
        if same.len() > 1 {
            colliding += same.len();
        }
        for (digit, place) in same.into_iter().enumerate() {
            codes[place][LEVELS] = digit as u32;
        }
    }
    Ok((colliding, most))
}

/// The domain and the item, both from 1, of a place among all.
fn named(place: usize, domains: &[&Vectors]) -> (usize, usize) {
    let mut before = 0;
    for (number, vectors) in (1..).zip(domains) {
        if place < before + vectors.items() {
            return (number, place - before + 1);
        }
        before += vectors.items();
    }
    (domains.len(), place + 1)
}

fn squares(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum()
}

/// To six decimals, which JSON keeps to the last bit.
fn millionths(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

fn perplexity(counts: &[usize], items: usize) -> f64 {
    let shares = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| *count as f64 / items as f64);
    shares.map(|share| -share * share.ln()).sum::<f64>().exp()
}
