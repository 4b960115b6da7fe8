//! The magnitude that a share of all entries of a member's updates reaches, over all modules, with one update in memory at a time.
//!
//! The bits of numbers from 0 up are in the order of the numbers, so the entry is found by counting their first bits, then among those the
//! next, then the last: three passes, and exact.

use super::align::Aligned;
use super::space::dense;
use crate::{Error, Result};

/// Bits that are counted by in each pass; the sign is always 0.
const PASSES: [u32; 3] = [21, 21, 21];

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
    let (mut prefix, mut known, mut left) = (0u64, 0u32, kept);
    for bits in PASSES {
        let rest = 63 - known - bits;
        let mut counts = vec![0usize; 1 << bits];
        each(&mut |value| {
            let key = value.to_bits();
            // In the first pass there is nothing before the counted bits.
            if key.checked_shr(rest + bits).unwrap_or(0) == prefix {
                counts[((key >> rest) & ((1 << bits) - 1)) as usize] += 1;
            }
        })?;
        let mut bucket = counts.len() - 1;
        while counts[bucket] < left && bucket > 0 {
            left -= counts[bucket];
            bucket -= 1;
        }
        prefix = (prefix << bits) | bucket as u64;
        known += bits;
    }
    Ok(f64::from_bits(prefix))
}
