//! The magnitude that a share of all entries of a member's updates reaches, over all modules, with one update in memory at a time.
//!
//! The bits of numbers, with those of negative ones turned over, are in the order of the numbers, so the entry is found by counting their
//! first bits, then among those the next, then the last: three passes, and exact.

use super::align::Aligned;
use super::space::dense;
use crate::{Error, Result};

/// Bits that are counted by in each pass.
const PASSES: [u32; 3] = [22, 21, 21];
const SIGN: u64 = 1 << 63;

/// The least magnitude among the share of a member's entries with the largest.
///
/// # Errors
/// A share that is none, or factors that cannot be read.
pub(super) fn of_member(members: &Aligned, member: usize, share: f64) -> Result<f64> {
    if !(0.0..=1.0).contains(&share) {
        return Err(Error::Merge(format!("density is {share}; give one from 0 to 1")));
    }
    let each = |visit: &mut dyn FnMut(f64)| -> Result<usize> {
        let mut entries = 0;
        for site in members.sites() {
            if site.factors[member].is_some() {
                let update = dense::update(&site, site.factors[member])?;
                update.values.iter().for_each(|value| visit(value.abs()));
            }
            entries += site.shape.0 * site.shape.1;
        }
        Ok(entries)
    };
    let mut stored = 0usize;
    let entries = each(&mut |_| stored += 1)?;
    let kept = (share * entries as f64) as usize;
    if kept == 0 {
        return Ok(f64::INFINITY);
    }
    if kept > stored {
        // Among the largest there are zeros of modules that the member does not adapt.
        return Ok(0.0);
    }
    of_rank(stored - kept, &|visit| each(visit).map(|_| ()))
}

/// Shows every number there is to a function, one after another.
pub(super) type Shows<'a> = dyn Fn(&mut dyn FnMut(f64)) -> Result<()> + 'a;

/// The number of this rank, the smallest first, among those that `each` shows; it must show the same every time, and more than that.
///
/// # Errors
/// As `each`.
pub(super) fn of_rank(rank: usize, each: &Shows) -> Result<f64> {
    let (mut prefix, mut known, mut left) = (0u64, 0u32, rank);
    for bits in PASSES {
        let rest = 64 - known - bits;
        let mut counts = vec![0usize; 1 << bits];
        each(&mut |value| {
            let key = in_order(value);
            // In the first pass there is nothing before the counted bits.
            if key.checked_shr(rest + bits).unwrap_or(0) == prefix {
                counts[((key >> rest) & ((1 << bits) - 1)) as usize] += 1;
            }
        })?;
        let mut bucket = 0;
        while counts[bucket] <= left && bucket + 1 < counts.len() {
            left -= counts[bucket];
            bucket += 1;
        }
        prefix = (prefix << bits) | bucket as u64;
        known += bits;
    }
    Ok(of_order(prefix))
}

/// Bits that are in the order of the numbers: of negative ones all turned over, of others the first.
fn in_order(value: f64) -> u64 {
    let bits = value.to_bits();
    match value.is_sign_negative() {
        true => !bits,
        false => bits | SIGN,
    }
}

fn of_order(key: u64) -> f64 {
    f64::from_bits(if key & SIGN == 0 { !key } else { key & !SIGN })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_number_is_found_by_its_rank_whatever_its_sign() {
        let numbers = [3.5, -2.0, 0.0, 1e-300, -1e-300, 3.5, -7.25, f64::MAX, 0.1, -0.1];
        let mut sorted = numbers;
        sorted.sort_by(f64::total_cmp);
        let each = |visit: &mut dyn FnMut(f64)| -> Result<()> {
            numbers.iter().for_each(|number| visit(*number));
            Ok(())
        };
        for (rank, expected) in sorted.into_iter().enumerate() {
            assert_eq!(of_rank(rank, &each).unwrap(), expected, "{rank}");
        }
    }
}
