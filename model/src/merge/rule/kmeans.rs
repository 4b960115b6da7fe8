//! k-means by inner products alone, which is enough: a cluster's centre is the mean of its points (Lloyd 1982; Arthur and Vassilvitskii
//! 2007 for where it begins).

use crate::merge::matrix::Matrix;

/// Beginnings, of which the one with the closest clusters is taken.
pub(super) const RESTARTS: usize = 10;
/// Steps after which clusters are taken as they are.
const STEPS: usize = 300;

/// Points by their number in clusters, none of them empty: at most `count`. `gram` has the points' inner products, and `drawn` `RESTARTS ×
/// count` numbers from 0 up to 1. Nothing else is random.
pub(super) fn clusters(gram: &Matrix, count: usize, drawn: &[f64]) -> Vec<Vec<usize>> {
    let points = gram.rows;
    if count >= points {
        return (0..points).map(|point| vec![point]).collect();
    }
    let mut best: Option<(f64, Vec<Vec<usize>>)> = None;
    for numbers in drawn.chunks_exact(count.max(1)).take(RESTARTS) {
        let found = settle(gram, seeds(gram, numbers));
        let spread: f64 = found
            .iter()
            .flat_map(|cluster| cluster.iter().map(|point| distance(gram, *point, cluster)))
            .sum();
        if best.as_ref().is_none_or(|(least, _)| spread < *least) {
            best = Some((spread, found));
        }
    }
    best.map(|(_, found)| found).unwrap_or_default()
}

/// Points that begin clusters: each next one likelier the further it is from those before.
fn seeds(gram: &Matrix, numbers: &[f64]) -> Vec<Vec<usize>> {
    let points = gram.rows;
    let mut chosen: Vec<usize> = Vec::with_capacity(numbers.len());
    let mut far = vec![f64::INFINITY; points];
    for number in numbers {
        let next = match chosen.is_empty() {
            true => ((number * points as f64) as usize).min(points - 1),
            false => {
                let goal = number * far.iter().sum::<f64>();
                let mut sum = 0.0;
                let reached = far.iter().position(|distance| {
                    sum += distance;
                    sum > goal
                });
                match reached {
                    Some(point) => point,
                    // All points are where a cluster begins.
                    None => break,
                }
            }
        };
        chosen.push(next);
        for (point, least) in far.iter_mut().enumerate() {
            *least = least.min(distance(gram, point, &[next]));
        }
    }
    chosen.into_iter().map(|point| vec![point]).collect()
}

/// Points to the nearest centre, centres to the mean of their points, until nothing changes.
fn settle(gram: &Matrix, mut clusters: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
    let mut before: Vec<usize> = Vec::new();
    for _ in 0..STEPS {
        let nearest = |point: usize| {
            let distances = clusters.iter().map(|cluster| distance(gram, point, cluster));
            let least = distances
                .enumerate()
                .min_by(|(_, one), (_, other)| one.total_cmp(other));
            least.map_or(0, |(cluster, _)| cluster)
        };
        let now: Vec<usize> = (0..gram.rows).map(nearest).collect();
        if now == before {
            break;
        }
        let mut next = vec![Vec::new(); clusters.len()];
        now.iter()
            .enumerate()
            .for_each(|(point, cluster)| next[*cluster].push(point));
        next.retain(|cluster| !cluster.is_empty());
        // Numbers of clusters hold only as long as none is gone.
        before = if next.len() == clusters.len() {
            now
        } else {
            Vec::new()
        };
        clusters = next;
    }
    clusters
}

/// The squared distance of a point from the mean of others.
fn distance(gram: &Matrix, point: usize, cluster: &[usize]) -> f64 {
    let product = |one: usize, other: usize| gram.values[one * gram.columns + other];
    let count = cluster.len() as f64;
    let across: f64 = cluster.iter().map(|member| product(point, *member)).sum();
    let within: f64 = cluster
        .iter()
        .map(|one| cluster.iter().map(|other| product(*one, *other)).sum::<f64>())
        .sum();
    (product(point, point) - 2.0 * across / count + within / (count * count)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gram(points: &[[f64; 2]]) -> Matrix {
        let products = points
            .iter()
            .flat_map(|one| points.iter().map(|other| one[0] * other[0] + one[1] * other[1]));
        Matrix {
            rows: points.len(),
            columns: points.len(),
            values: products.collect(),
        }
    }

    #[test]
    fn points_that_lie_together_come_together() {
        let points = [
            [0.0, 0.1],
            [5.0, 5.0],
            [0.1, 0.0],
            [5.1, 5.0],
            [-4.0, 4.0],
            [0.0, 0.0],
        ];
        let drawn: Vec<f64> = (0..3 * RESTARTS)
            .map(|place| (0.37 * place as f64).fract())
            .collect();
        let mut found = clusters(&gram(&points), 3, &drawn);
        found.sort();
        assert_eq!(found, [vec![0, 2, 5], vec![1, 3], vec![4]]);
    }

    #[test]
    fn as_many_clusters_as_points_leave_every_point_alone_and_equal_points_need_one() {
        let drawn = vec![0.5; 6 * RESTARTS];
        let points = [[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]];
        for count in [3, 6] {
            assert_eq!(
                clusters(&gram(&points), count, &drawn),
                [vec![0], vec![1], vec![2]]
            );
        }
        assert_eq!(clusters(&gram(&[[1.0, 2.0]; 4]), 2, &drawn), [vec![0, 1, 2, 3]]);
    }
}
