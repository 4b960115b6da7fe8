//! The known preference structure: what the next item depends on, what domains share and where they disagree.
//!
//! Every item has a theme and a style. A user's next theme follows from the theme of the previous item by the domain's
//! transition rule (with probability [`FOLLOW`]), or is the user's favourite ([`TASTE`]), or anything; its style is the
//! user's favourite ([`KEEP_STYLE`]) or anything. Among the items of that theme and style popularity is skewed, and an item
//! is never taken twice. The rule is a permutation of the themes, so no theme dominates. Each theme's successor is
//!
//! - *shared*: the same in every domain, which makes knowledge of one domain useful in another;
//! - *contrary*: different in each domain, which is the trap for merging models that never saw the target;
//! - *private*: drawn for each domain on its own; two may agree by chance.

use rand::{RngExt, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::words::{NOUNS, STYLES, THEMES};

/// Number of themes.
pub const T: usize = THEMES.len();
/// Number of styles.
pub const S: usize = STYLES.len();
/// Probability that the next theme follows the transition rule.
pub const FOLLOW: f64 = 0.7;
/// Probability that the next theme is the user's favourite.
pub const TASTE: f64 = 0.15;
/// Probability that the next style is the user's favourite.
pub const KEEP_STYLE: f64 = 0.75;
/// Zipf exponent of popularity among items, and of users among favourite styles.
const SKEW: f64 = 0.7;

/// How a theme's successor relates to the other domains' (see the module's text).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kinship {
    /// The same successor in every related domain.
    Shared,
    /// Another successor in each related domain.
    Contrary,
    /// Drawn for the domain alone.
    Private,
}

/// The random stream of one purpose; apart from the streams that `prepare` draws from with the same seed.
pub fn stream(seed: u64, domain: &str, purpose: &str, index: u64) -> ChaCha8Rng {
    crate::seed::rng(seed, domain, &format!("synthetic {purpose}"), index)
}

/// The transition rule of one domain: the successor of each theme, and how it relates to other domains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// `next[t]` is the theme that tends to follow theme `t`.
    pub next: [usize; T],
    /// How `next[t]` relates to the other domains'.
    pub kinship: [Kinship; T],
}

/// Draws the rule of a domain. `place` counts the related domains before it; `None` is a domain that shares nothing.
pub fn rule(seed: u64, shared: f64, contrary: f64, domain: &str, place: Option<usize>) -> Rule {
    let mut rng = stream(seed, "", "rule", 0);
    let mut cycle: [usize; T] = std::array::from_fn(|i| i);
    cycle.shuffle(&mut rng);
    let mut next = [0; T];
    for i in 0..T {
        next[cycle[i]] = cycle[(i + 1) % T];
    }
    let mut order: [usize; T] = std::array::from_fn(|i| i);
    order.shuffle(&mut rng);
    let mut own = stream(seed, domain, "private rule", 0);
    let Some(place) = place else {
        permute(&mut next, &order, |to| to.shuffle(&mut own));
        return Rule {
            next,
            kinship: [Kinship::Private; T],
        };
    };
    let shared = count(shared);
    // A single contrary theme has no other to swap successors with.
    let contrary = match count(contrary) {
        1 => 2,
        n => n,
    }
    .min(T - shared);
    let (same, rest) = order.split_at(shared);
    let (opposed, private) = rest.split_at(contrary);
    let mut kinship = [Kinship::Private; T];
    for &t in same {
        kinship[t] = Kinship::Shared;
    }
    for &t in opposed {
        kinship[t] = Kinship::Contrary;
    }
    permute(&mut next, opposed, |to| {
        let turn = place % to.len().max(1);
        to.rotate_left(turn);
    });
    permute(&mut next, private, |to| to.shuffle(&mut own));
    Rule { next, kinship }
}

fn count(share: f64) -> usize {
    ((share * T as f64).round() as usize).min(T)
}

/// Rearranges the successors of `themes` among themselves, which keeps the whole a permutation.
fn permute(next: &mut [usize; T], themes: &[usize], arrange: impl FnOnce(&mut Vec<usize>)) {
    let mut to: Vec<usize> = themes.iter().map(|&t| next[t]).collect();
    arrange(&mut to);
    for (&t, successor) in themes.iter().zip(to) {
        next[t] = successor;
    }
}

/// The attributes of one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemTraits {
    /// Index into [`THEMES`].
    pub theme: usize,
    /// Index into [`STYLES`].
    pub style: usize,
    /// Index into the domain's nouns.
    pub noun: usize,
    /// 0 for the first item of its theme, style and noun; such a title needs no number.
    pub number: usize,
}

/// The items of a domain by theme and style.
pub struct Catalogue {
    items: Vec<ItemTraits>,
    /// Items of each (theme, style), most popular first, with the cumulative weight up to and including each.
    cells: Vec<Vec<(u32, f64)>>,
}

/// What stays with a user.
#[derive(Clone, Copy, Debug)]
pub struct Taste {
    /// Favourite theme.
    pub theme: usize,
    /// Favourite style.
    pub style: usize,
}

impl Catalogue {
    /// Spreads `count` items evenly over themes and styles.
    pub fn new(seed: u64, domain: &str, count: usize) -> Self {
        let mut rng = stream(seed, domain, "catalogue", 0);
        let mut slots: Vec<usize> = (0..T * S).collect();
        slots.shuffle(&mut rng);
        let first_noun: Vec<usize> = (0..T * S).map(|_| rng.random_range(0..NOUNS)).collect();
        let mut items: Vec<ItemTraits> = (0..count)
            .map(|i| {
                let (slot, nth) = (slots[i % slots.len()], i / slots.len());
                ItemTraits {
                    theme: slot / S,
                    style: slot % S,
                    noun: (first_noun[slot] + nth) % NOUNS,
                    number: nth / NOUNS,
                }
            })
            .collect();
        items.shuffle(&mut rng);
        let mut cells = vec![Vec::<(u32, f64)>::new(); T * S];
        for (i, item) in items.iter().enumerate() {
            let cell = &mut cells[item.theme * S + item.style];
            let before = cell.last().map_or(0.0, |last| last.1);
            cell.push((i as u32, before + 1.0 / ((cell.len() + 1) as f64).powf(SKEW)));
        }
        Catalogue { items, cells }
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// The attributes of item `index`.
    pub fn item(&self, index: usize) -> ItemTraits {
        self.items[index]
    }

    /// Draws a user's taste: favourite styles are skewed in an order of the domain's own, so some items are popular.
    pub fn taste(seed: u64, domain: &str, rng: &mut ChaCha8Rng) -> Taste {
        let mut order: [usize; S] = std::array::from_fn(|i| i);
        order.shuffle(&mut stream(seed, domain, "style order", 0));
        let weights: [f64; S] = std::array::from_fn(|rank| 1.0 / ((rank + 1) as f64).powf(SKEW));
        let mut left = rng.random_range(0.0..weights.iter().sum());
        let rank = weights.iter().position(|w| {
            left -= w;
            left < 0.0
        });
        Taste {
            theme: rng.random_range(0..T),
            style: order[rank.unwrap_or(S - 1)],
        }
    }

    /// A history of `length` different items, oldest first (all items, when there are fewer).
    pub fn history(&self, rule: &Rule, taste: Taste, length: usize, rng: &mut ChaCha8Rng) -> Vec<u32> {
        let mut history = Vec::with_capacity(length);
        let mut theme = rng.random_range(0..T);
        while history.len() < length.min(self.len()) {
            let style = if rng.random_bool(KEEP_STYLE) {
                taste.style
            } else {
                rng.random_range(0..S)
            };
            let item = self.unseen(theme, style, &history, rng);
            history.push(item);
            let from = self.items[item as usize].theme;
            let draw: f64 = rng.random();
            theme = if draw < FOLLOW {
                rule.next[from]
            } else if draw < FOLLOW + TASTE {
                taste.theme
            } else {
                rng.random_range(0..T)
            };
        }
        history
    }

    /// An item of the theme and style that is not in `seen`; failing that of the theme; failing that any.
    fn unseen(&self, theme: usize, style: usize, seen: &[u32], rng: &mut ChaCha8Rng) -> u32 {
        let first_style = rng.random_range(0..S);
        let others = (0..S)
            .map(|i| (first_style + i) % S)
            .filter(|&other| other != style);
        for style in std::iter::once(style).chain(others) {
            if let Some(item) = self.draw(theme, style, seen, rng) {
                return item;
            }
        }
        // The theme is used up: walk on from a random item. The caller asks for no more items than there are.
        let start = rng.random_range(0..self.len());
        let mut walk = (0..self.len()).map(|i| ((start + i) % self.len()) as u32);
        walk.find(|item| !seen.contains(item)).unwrap_or(start as u32)
    }

    fn draw(&self, theme: usize, style: usize, seen: &[u32], rng: &mut ChaCha8Rng) -> Option<u32> {
        let cell = &self.cells[theme * S + style];
        let total = cell.last()?.1;
        for _ in 0..8 {
            let at = rng.random_range(0.0..total);
            let item = cell[cell.partition_point(|entry| entry.1 <= at).min(cell.len() - 1)].0;
            if !seen.contains(&item) {
                return Some(item);
            }
        }
        cell.iter().map(|entry| entry.0).find(|item| !seen.contains(item))
    }

    /// What an oracle knows: the probability of `item` next, after an item of theme `from`, for a user of this taste
    /// (apart from what is already taken).
    #[cfg(test)]
    pub fn probability(&self, rule: &Rule, taste: Taste, from: usize, item: usize) -> f64 {
        let ItemTraits { theme, style, .. } = self.items[item];
        let mut p = (1.0 - FOLLOW - TASTE) / T as f64;
        p += if theme == rule.next[from] { FOLLOW } else { 0.0 };
        p += if theme == taste.theme { TASTE } else { 0.0 };
        p *= (1.0 - KEEP_STYLE) / S as f64 + if style == taste.style { KEEP_STYLE } else { 0.0 };
        let cell = &self.cells[theme * S + style];
        let mut before = 0.0;
        let weight = cell.iter().find_map(|&(i, upto)| {
            let weight = upto - before;
            before = upto;
            (i as usize == item).then_some(weight)
        });
        p * weight.unwrap_or(0.0) / cell.last().map_or(1.0, |last| last.1)
    }
}
