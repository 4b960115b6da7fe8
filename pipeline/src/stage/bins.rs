//! Items in bins of like popularity, so that candidates can be drawn among which popularity tells nothing.

use std::ops::Range;

use crate::schema::Item;

/// How many bins are aimed at. Fine enough that within one popularity says little, coarse enough that a bin is not known by heart.
pub const BINS: u64 = 20;

/// The fewest items of a bin: with fewer, the same negatives would stand in too many sets.
pub const LEAST_ITEMS: usize = 100;

/// A domain's items by their training interactions, in bins that hold about as many validation targets each.
#[derive(Clone, Debug, PartialEq)]
pub struct Bins {
    /// Dense ids, the most popular first, those of one count in the order of their ids.
    order: Vec<u32>,
    /// Where each bin begins in `order`; one more at the end.
    starts: Vec<usize>,
    /// The mean of the training interactions of each bin's items.
    means: Vec<f64>,
    /// By dense id, the first being item 1.
    bin_of: Vec<u32>,
}

impl Bins {
    /// Of items in the order of their dense ids from 1, given how often each is a validation target.
    ///
    /// From the most popular item down, a bin is closed where its share of the targets comes nearest to one in [`BINS`], but not before
    /// it has [`LEAST_ITEMS`]; what is left at the end without as many, or with less than half of such a share, belongs to the bin before
    /// it. Items of one count are never parted. Where nobody has a validation target, every item weighs the same.
    pub fn of(items: &[Item], targets: &[u32]) -> Self {
        let asked = targets.iter().any(|count| *count > 0);
        let mass = |item: u32| match asked {
            true => u64::from(targets[item as usize - 1]),
            false => 1,
        };
        let order = by_popularity(items);
        let masses: Vec<u64> = order.iter().map(|item| mass(*item)).collect();
        let total: u64 = masses.iter().sum();
        let (mut starts, mut start, mut held) = (vec![0], 0, 0);
        for group in groups(items, &order) {
            let more: u64 = masses[group.clone()].iter().sum();
            // All in twentieths of a target: integers decide alike everywhere.
            let (now, then) = (held * BINS, (held + more) * BINS);
            if group.start - start >= LEAST_ITEMS && then.saturating_sub(total) > total.saturating_sub(now) {
                starts.push(group.start);
                (start, held) = (group.start, 0);
            }
            held += more;
        }
        if starts.len() > 1 && (order.len() - start < LEAST_ITEMS || 2 * held * BINS < total) {
            starts.pop();
        }
        starts.push(order.len());
        Self::cut(items, order, starts)
    }

    /// The bins that begin, from the most popular one down, with items of at most these counts: [`Bins::greatest`] of each.
    pub fn between(items: &[Item], greatest: &[u32]) -> Self {
        let order = by_popularity(items);
        let count = |item: &u32| items[*item as usize - 1].train_count;
        let start = |greatest: &u32| order.partition_point(|item| count(item) > *greatest);
        let mut starts: Vec<usize> = std::iter::once(0)
            .chain(greatest.iter().skip(1).map(start))
            .collect();
        starts.push(order.len());
        // Whoever changed a manifest by hand shall hear of it from the audit.
        starts.sort_unstable();
        Self::cut(items, order, starts)
    }

    fn cut(items: &[Item], order: Vec<u32>, starts: Vec<usize>) -> Self {
        let (mut means, mut bin_of) = (Vec::new(), vec![0; order.len()]);
        for (bin, ends) in starts.windows(2).enumerate() {
            let members = &order[ends[0]..ends[1]];
            let sum: u64 = members
                .iter()
                .map(|item| u64::from(items[*item as usize - 1].train_count))
                .sum();
            means.push(sum as f64 / members.len().max(1) as f64);
            for item in members {
                bin_of[*item as usize - 1] = bin as u32;
            }
        }
        Self {
            order,
            starts,
            means,
            bin_of,
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.means.len()
    }

    /// The bin of an item, by its dense id.
    pub fn bin(&self, item: u32) -> usize {
        self.bin_of[item as usize - 1] as usize
    }

    /// The items of a bin, the most popular first.
    pub fn items(&self, bin: usize) -> &[u32] {
        &self.order[self.starts[bin]..self.starts[bin + 1]]
    }

    /// The other bins, those whose items are as popular on average first; of two alike the more popular one.
    pub fn nearest(&self, bin: usize) -> Vec<usize> {
        let distance = |other: &usize| (self.means[*other] - self.means[bin]).abs();
        let mut others: Vec<usize> = (0..self.count()).filter(|other| *other != bin).collect();
        others.sort_by(|one, other| distance(one).total_cmp(&distance(other)));
        others
    }

    /// Whether a set holds an item of another bin than its target's.
    pub fn leaves(&self, target: u32, set: &[u32]) -> bool {
        let bin = self.bin(target);
        set.iter().any(|item| self.bin(*item) != bin)
    }
}

fn by_popularity(items: &[Item]) -> Vec<u32> {
    let mut order: Vec<u32> = items.iter().map(|item| item.item).collect();
    // Stable: ids ascend within a count.
    order.sort_by_key(|item| std::cmp::Reverse(items[*item as usize - 1].train_count));
    order
}

/// The places of items of one count.
fn groups<'a>(items: &'a [Item], order: &'a [u32]) -> impl Iterator<Item = Range<usize>> + 'a {
    let count = |item: &u32| items[*item as usize - 1].train_count;
    let mut start = 0;
    order
        .chunk_by(move |one, next| count(one) == count(next))
        .map(move |group| {
            let range = start..start + group.len();
            start = range.end;
            range
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed;

    fn items(counts: impl IntoIterator<Item = u32>) -> Vec<Item> {
        (1..)
            .zip(counts)
            .map(|(item, train_count)| Item {
                item,
                item_id: item.to_string(),
                title: item.to_string(),
                categories: String::new(),
                train_count,
            })
            .collect()
    }

    fn sizes(bins: &Bins) -> Vec<usize> {
        (0..bins.count()).map(|bin| bins.items(bin).len()).collect()
    }

    #[test]
    fn bins_hold_equal_shares_of_the_targets_and_part_no_count() {
        // 20,000 items, a count for each fifty of them, as many targets as interactions.
        let counts: Vec<u32> = (0..20_000).map(|item| item / 50 + 1).collect();
        let bins = Bins::of(&items(counts.clone()), &counts);
        assert!((19..=21).contains(&bins.count()), "{}", bins.count());
        let total: u32 = counts.iter().sum();
        let count = |item: &u32| counts[*item as usize - 1];
        let mut above = u32::MAX;
        for bin in 0..bins.count() {
            let held: u32 = bins.items(bin).iter().map(count).sum();
            let share = f64::from(held) / f64::from(total) * 20.0;
            assert!(
                (0.9..1.1).contains(&share),
                "bin {bin} holds {share} of a twentieth"
            );
            let counts: Vec<u32> = bins.items(bin).iter().map(count).collect();
            assert!(counts[0] < above, "a count in two bins");
            above = counts[counts.len() - 1];
            assert!(bins.items(bin).iter().all(|item| bins.bin(*item) == bin));
        }
        assert_eq!(sizes(&bins).iter().sum::<usize>(), 20_000);
        let greatest: Vec<u32> = (0..bins.count()).map(|bin| count(&bins.items(bin)[0])).collect();
        assert_eq!(Bins::between(&items(counts), &greatest), bins);
    }

    #[test]
    fn a_bin_has_a_hundred_items_however_few_hold_the_targets() {
        // The first few have a sixth of the targets.
        let counts: Vec<u32> = (0..450)
            .map(|item| 10_000 / (item * item + 1) + 450 - item)
            .collect();
        let bins = Bins::of(&items(counts.clone()), &counts);
        assert!(
            bins.count() > 1 && sizes(&bins).iter().all(|size| *size >= LEAST_ITEMS),
            "{:?}",
            sizes(&bins)
        );
        assert_eq!(bins.items(0).len(), 100);
    }

    #[test]
    fn small_catalogues_and_those_of_one_count_have_one_bin() {
        assert_eq!(sizes(&Bins::of(&items(0..150), &[1; 150])), [150]);
        assert_eq!(sizes(&Bins::of(&items([3; 5_000]), &[1; 5_000])), [5_000]);
        assert_eq!(sizes(&Bins::of(&[], &[])), [0]);
        // 199 items are one bin; with 200 each half has its hundred.
        assert_eq!(sizes(&Bins::of(&items(0..199), &[1; 199])), [199]);
        assert_eq!(sizes(&Bins::of(&items(0..200), &[1; 200])), [100, 100]);
    }

    #[test]
    fn without_validation_targets_every_item_weighs_the_same() {
        let bins = Bins::of(&items(0..10_000), &[0; 10_000]);
        assert_eq!(sizes(&bins), [500; 20]);
    }

    #[test]
    fn the_nearest_bins_come_first() {
        let mut rng = seed::rng(1, "d", "u", 0);
        let counts: Vec<u32> = (0..3_000).map(|_| seed::below(&mut rng, 500) as u32).collect();
        let bins = Bins::of(&items(counts), &[1; 3_000]);
        let near = bins.nearest(0);
        assert_eq!(near, (1..bins.count()).collect::<Vec<_>>());
        let near = bins.nearest(7);
        assert_eq!(near.len(), bins.count() - 1);
        assert!([6, 8].contains(&near[0]) && [6, 8].contains(&near[1]), "{near:?}");
        let (bin, other) = (bins.items(3), bins.items(4));
        assert!(!bins.leaves(bin[0], bin) && bins.leaves(bin[0], &[bin[1], other[0]]));
    }
}
