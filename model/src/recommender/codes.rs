//! Items as tokens: three codes from coarse to fine, by k-means on what the codes before left over, and a digit that tells items apart whose
//! codes are the same.
//!
//! ```text
//! vector ──► nearest of 256 centres ──► rest ──► nearest of 256 ──► rest ──► nearest of 256 ──► digit
//! ```
//!
//! Codes of all domains come of one set of centres, so that a code means the same in each. As in TIGER (Rajput et al. 2023), but with k-means
//! in place of the RQ-VAE, and with a digit that is scored as any other token.

use std::collections::HashMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

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

/// Which token says what: two that are no codes, then the codes level by level, then the digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Codes a level.
    pub size: usize,
}

impl Layout {
    /// Number of tokens. It does not depend on the items, so that one decoder reads the codes of any.
    pub fn vocabulary(self) -> usize {
        SPECIAL + LEVELS * self.size + DIGITS
    }

    /// The tokens of an item with these codes and this digit.
    pub fn tokens(self, code: [u32; TOKENS]) -> [u32; TOKENS] {
        let mut level = 0;
        code.map(|code| {
            let first = SPECIAL + level * self.size;
            level += 1;
            first as u32 + code
        })
    }

    /// The codes and the digit that these tokens say; none where they are not an item's.
    pub fn code(self, tokens: &[u32]) -> Option<[u32; TOKENS]> {
        let mut code: [u32; TOKENS] = tokens.try_into().ok()?;
        for (level, code) in code.iter_mut().enumerate() {
            *code = code.checked_sub((SPECIAL + level * self.size) as u32)?;
            let most = if level < LEVELS { self.size } else { DIGITS };
            if *code as usize >= most {
                return None;
            }
        }
        Some(code)
    }

    /// What a decoder reads of somebody who had these items, oldest first.
    ///
    /// # Errors
    /// An item that the codes do not have.
    pub fn history(self, codes: &ItemCodes, items: &[u32]) -> Result<Vec<u32>> {
        let mut tokens = Vec::with_capacity(1 + TOKENS * items.len());
        tokens.push(START);
        for item in items {
            tokens.extend(self.tokens(codes.of(*item)?));
        }
        Ok(tokens)
    }

    /// The tokens of all items, item 1 first.
    pub fn items(self, codes: &ItemCodes) -> Vec<[u32; TOKENS]> {
        codes.codes.iter().map(|code| self.tokens(*code)).collect()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::op::with_threads;

    fn drawn(items: u64, width: u64, seed: u64) -> Vectors {
        let value = |at: u64| (mix(seed << 40 | at) % 2001) as f32 / 1000.0 - 1.0;
        Vectors {
            width: width as usize,
            values: (0..items * width).map(value).collect(),
        }
    }

    fn settings(size: usize) -> CodeSettings {
        CodeSettings {
            size,
            ..CodeSettings::default()
        }
    }

    #[test]
    fn every_item_has_tokens_of_its_own_that_tell_its_codes() {
        let (one, other) = (drawn(300, 6, 1), drawn(120, 6, 2));
        let (domains, report) = encode(&[&one, &other], &settings(8)).unwrap();
        assert_eq!((domains[0].codes.len(), domains[1].codes.len()), (300, 120));
        let layout = Layout { size: 8 };
        assert_eq!(layout.vocabulary(), 2 + 24 + 256);
        let joint = ItemCodes {
            codes: domains.iter().flat_map(|domain| domain.codes.clone()).collect(),
        };
        joint.check(layout).unwrap();
        for tokens in layout.items(&joint) {
            assert!(
                tokens
                    .iter()
                    .all(|token| (2..layout.vocabulary() as u32).contains(token))
            );
            assert_eq!(layout.tokens(layout.code(&tokens).unwrap()), tokens);
        }
        assert_eq!(report.items, 420);
        assert!(report.digits <= 256 && report.colliding <= 420);
        let history = layout.history(&domains[0], &[3, 1]).unwrap();
        assert_eq!(history.len(), 9);
        assert_eq!(history[0], START);
        assert_eq!(layout.code(&history[1..5]), Some(domains[0].codes[2]));
        assert_eq!(layout.code(&history[5..]), Some(domains[0].codes[0]));
        assert!(layout.history(&domains[0], &[0]).is_err());
        assert!(layout.history(&domains[0], &[301]).is_err());
        assert_eq!(layout.code(&history[2..6]), None, "tokens of other levels");
    }

    #[test]
    fn every_level_leaves_less_and_uses_its_codes() {
        let (_, report) = encode(&[&drawn(600, 5, 3)], &settings(16)).unwrap();
        let errors: Vec<f64> = report.levels.iter().map(|level| level.error).collect();
        assert!(
            errors[0] < 0.8 && errors.windows(2).all(|pair| pair[1] < pair[0]),
            "{errors:?}"
        );
        for level in &report.levels {
            assert_eq!(level.used, 16);
            assert!(
                level.perplexity > 8.0 && level.perplexity <= 16.0 + 1e-9,
                "{level:?}"
            );
        }
    }

    #[test]
    fn codes_do_not_depend_on_the_threads_but_on_the_seed() {
        let vectors = drawn(500, 7, 4);
        let made = |threads, seed| {
            let settings = CodeSettings { seed, ..settings(12) };
            with_threads(threads, || encode(&[&vectors], &settings).unwrap())
        };
        let one = made(1, 0);
        assert_eq!(one, made(3, 0));
        assert_ne!(one.0, made(1, 1).0);
    }

    #[test]
    fn items_that_are_alike_begin_alike_and_twins_differ_in_their_digit_alone() {
        let mut vectors = drawn(40, 4, 5);
        let first = vectors.values[..4].to_vec();
        vectors.values.extend(&first);
        let (domains, report) = encode(&[&vectors], &settings(5)).unwrap();
        let codes = &domains[0].codes;
        assert_eq!(codes[0][..3], codes[40][..3]);
        assert_ne!(codes[0][3], codes[40][3]);
        assert!(report.digits >= 2 && report.colliding >= 2);
    }

    #[test]
    fn more_twins_than_digits_are_refused_with_what_to_do() {
        let mut vectors = drawn(10, 3, 6);
        vectors.values.extend(std::iter::repeat_n(0.0, 3 * 257));
        let error = encode(&[&vectors], &settings(4)).unwrap_err().to_string();
        assert!(
            error.contains("have the same codes") && error.contains("categories"),
            "{error}"
        );
        vectors.values.truncate(3 * (10 + 100));
        let (_, report) = encode(&[&vectors], &settings(4)).unwrap();
        assert!(report.digits >= 100);
    }

    #[test]
    fn what_has_no_codes_in_common_is_refused() {
        let (one, other) = (drawn(5, 3, 1), drawn(5, 4, 1));
        assert!(encode(&[&one, &other], &settings(2)).is_err());
        assert!(encode(&[], &settings(2)).is_err());
        assert!(encode(&[&one], &settings(0)).is_err());
        let mut broken = one;
        broken.values[4] = f32::NAN;
        let error = encode(&[&broken], &settings(2)).unwrap_err().to_string();
        assert!(error.contains("item 2"), "{error}");
        let twins = ItemCodes {
            codes: vec![[0, 1, 2, 0], [0, 1, 2, 0]],
        };
        assert!(twins.check(Layout { size: 3 }).is_err());
        assert!(
            twins
                .check(Layout { size: 2 })
                .unwrap_err()
                .to_string()
                .contains("item 1")
        );
    }

    #[test]
    fn permuted_codes_are_the_same_codes_of_other_items() {
        let (domains, _) = encode(&[&drawn(50, 4, 8)], &settings(6)).unwrap();
        let permuted = domains[0].permuted(3);
        assert_ne!(permuted, domains[0]);
        assert_eq!(permuted, domains[0].permuted(3));
        let sorted = |codes: &ItemCodes| {
            let mut codes = codes.codes.clone();
            codes.sort_unstable();
            codes
        };
        assert_eq!(sorted(&permuted), sorted(&domains[0]));
    }
}
