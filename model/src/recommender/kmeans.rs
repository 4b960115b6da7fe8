//! k-means on rows of numbers: first centres by k-means++ (Arthur and Vassilvitskii 2007), then Lloyd's steps.

use candle_core::{Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::Result;
use crate::op::{linear, mix};

/// Rows whose distances to all centres are held at one time.
const BLOCK: usize = 8192;

/// Groups of rows.
pub(super) struct Clusters {
    /// Their centres one after another; fewer than asked for where there are fewer distinct rows.
    pub centres: Vec<f32>,
    /// The group of each row.
    pub of: Vec<u32>,
}

/// Groups rows of `width` finite numbers around `count` centres at most: each row belongs to the nearest, so equal rows to the same. The same
/// bytes on any number of threads: every sum is taken in the order of the rows.
pub(super) fn clusters(
    rows: &[f32],
    width: usize,
    count: usize,
    iterations: usize,
    seed: u64,
) -> Result<Clusters> {
    let mut centres = first_centres(rows, width, count, seed);
    let mut of = nearest(rows, width, &centres)?;
    for _ in 0..iterations {
        fill_empty(rows, width, &centres, &mut of);
        centres = means(rows, width, &of, centres.len() / width);
        let now = nearest(rows, width, &centres)?;
        if now == of {
            break;
        }
        of = now;
    }
    Ok(Clusters { centres, of })
}

/// Rows drawn one after another, each with a chance that grows with the square of its distance from those drawn before.
fn first_centres(rows: &[f32], width: usize, count: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(mix(seed));
    let mut distances = vec![f32::INFINITY; rows.len() / width];
    let mut centres: Vec<f32> = Vec::with_capacity(count * width);
    for number in 0..count {
        let chosen = match number {
            0 => rng.random_range(0..distances.len()),
            _ => {
                let sum: f64 = distances.iter().map(|distance| f64::from(*distance)).sum();
                if sum <= 0.0 {
                    break;
                }
                let mut left = rng.random::<f64>() * sum;
                let drawn = distances.iter().position(|distance| {
                    left -= f64::from(*distance);
                    left < 0.0
                });
                // Rounding may leave a last bit of the sum to nobody.
                let last = || distances.iter().rposition(|distance| *distance > 0.0);
                match drawn.or_else(last) {
                    Some(row) => row,
                    None => break,
                }
            }
        };
        let centre = rows[chosen * width..][..width].to_vec();
        distances
            .par_iter_mut()
            .zip(rows.par_chunks_exact(width))
            .for_each(|(distance, row)| *distance = distance.min(squared(row, &centre)));
        // What is left of itself is rounding.
        distances[chosen] = 0.0;
        centres.extend(centre);
    }
    centres
}

fn squared(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The nearest centre of each row, the first of equal ones.
fn nearest(rows: &[f32], width: usize, centres: &[f32]) -> Result<Vec<u32>> {
    let count = centres.len() / width;
    // |x − c|² = |x|² − 2 (x·c − |c|²/2), of which the first is the same for all.
    let halves: Vec<f32> = centres
        .chunks_exact(width)
        .map(|centre| 0.5 * centre.iter().map(|value| value * value).sum::<f32>())
        .collect();
    let centres = Tensor::from_slice(centres, (count, width), &Device::Cpu)?;
    let mut found = Vec::with_capacity(rows.len() / width);
    for block in rows.chunks(BLOCK * width) {
        let block = Tensor::from_slice(block, (block.len() / width, width), &Device::Cpu)?;
        let products = linear(&block, &centres, None)?.flatten_all()?.to_vec1::<f32>()?;
        found.par_extend(products.par_chunks_exact(count).map(|products| {
            let mut best = (f32::NEG_INFINITY, 0);
            for (number, (product, half)) in products.iter().zip(&halves).enumerate() {
                if product - half > best.0 {
                    best = (product - half, number as u32);
                }
            }
            best.1
        }));
    }
    Ok(found)
}

/// Gives each cluster that nobody is nearest to the row that lies farthest from its own centre, the first of equal ones.
fn fill_empty(rows: &[f32], width: usize, centres: &[f32], of: &mut [u32]) {
    let mut counts = vec![0usize; centres.len() / width];
    of.iter().for_each(|cluster| counts[*cluster as usize] += 1);
    if counts.iter().all(|count| *count > 0) {
        return;
    }
    let centre = |cluster: u32| &centres[cluster as usize * width..][..width];
    let mut distances: Vec<f32> = rows
        .par_chunks_exact(width)
        .zip(of.par_iter())
        .map(|(row, cluster)| squared(row, centre(*cluster)))
        .collect();
    for empty in 0..counts.len() {
        if counts[empty] > 0 {
            continue;
        }
        let mut farthest: Option<usize> = None;
        for (row, distance) in distances.iter().enumerate() {
            let may_go = *distance > 0.0 && counts[of[row] as usize] > 1;
            if may_go && farthest.is_none_or(|before| *distance > distances[before]) {
                farthest = Some(row);
            }
        }
        let Some(row) = farthest else { return };
        counts[of[row] as usize] -= 1;
        counts[empty] = 1;
        of[row] = empty as u32;
        distances[row] = 0.0;
    }
}

/// The mean of each cluster's rows; zeros of none.
fn means(rows: &[f32], width: usize, of: &[u32], count: usize) -> Vec<f32> {
    let (mut sums, mut counts) = (vec![0.0f64; count * width], vec![0usize; count]);
    for (row, cluster) in rows.chunks_exact(width).zip(of) {
        counts[*cluster as usize] += 1;
        let sum = &mut sums[*cluster as usize * width..][..width];
        sum.iter_mut()
            .zip(row)
            .for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let per_row = sums.chunks_exact(width).zip(counts);
    per_row
        .flat_map(|(sum, count)| sum.iter().map(move |sum| (sum / count.max(1) as f64) as f32))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Four clouds of 25 points at the corners of a square, one after another.
    fn clouds() -> Vec<f32> {
        let point = |i: u64| {
            let jitter = |salt: u64| (mix(i ^ salt) % 1000) as f32 / 5000.0;
            let (x, y) = [(0.0, 0.0), (5.0, 0.0), (0.0, 5.0), (5.0, 5.0)][i as usize / 25];
            [x + jitter(1 << 20), y + jitter(1 << 21)]
        };
        (0..100).flat_map(point).collect()
    }

    #[test]
    fn points_that_lie_together_come_together_and_centres_are_their_means() {
        let points = clouds();
        // Four centres in one cloud would be a local optimum; no seed of these ends in it.
        for seed in 0..3 {
            let found = clusters(&points, 2, 4, 50, seed).unwrap();
            for cloud in found.of.chunks(25) {
                assert!(cloud.iter().all(|cluster| *cluster == cloud[0]), "{:?}", found.of);
            }
            let mut all: Vec<u32> = found.of.chunks(25).map(|cloud| cloud[0]).collect();
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2, 3]);
            let first = found.of[0] as usize;
            let mean: f32 = points[..50].iter().step_by(2).sum::<f32>() / 25.0;
            assert!((found.centres[first * 2] - mean).abs() < 1e-5);
        }
    }

    #[test]
    fn as_many_clusters_as_distinct_points_leave_each_alone_and_no_more_are_made() {
        let points = [1.0, 2.0, 1.0, 4.0, 2.0, 1.0];
        for count in [3, 9] {
            let found = clusters(&points, 1, count, 10, 7).unwrap();
            assert_eq!(found.centres.len(), 3);
            for (point, cluster) in points.iter().zip(&found.of) {
                assert_eq!(found.centres[*cluster as usize], *point);
            }
        }
    }

    #[test]
    fn a_cluster_that_nobody_is_nearest_to_is_given_the_farthest_point() {
        let points = [0.0f32, 0.1, 0.2, 9.0];
        let mut of = vec![0, 0, 0, 0];
        fill_empty(&points, 1, &[0.0, 100.0, 100.0], &mut of);
        assert_eq!(of, [0, 0, 2, 1]);
        let mut alone = vec![0];
        fill_empty(&points[..1], 1, &[0.0, 100.0], &mut alone);
        assert_eq!(alone, [0], "nobody can be spared");
    }
}
