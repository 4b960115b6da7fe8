//! λ from a grid on the simplex: every choice of so many equal parts among the members.

use serde::{Deserialize, Serialize};

use super::search::{Course, Tried};
use super::{Goal, Lambda, Ndcg};
use crate::{Error, Result};

/// Points of a grid at most: of three members a step of a fiftieth, of four one of a twentieth.
const MOST_POINTS: usize = 2000;

/// All λ ≥ 0 that sum to 1 in steps of 1 / `divisions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grid {
    /// What 1 is divided into.
    pub divisions: usize,
    /// What the best point is the best by.
    pub objective: Goal,
}

impl Default for Grid {
    /// Steps of a tenth.
    fn default() -> Self {
        Grid {
            divisions: 10,
            objective: Goal::Ndcg(Ndcg::default()),
        }
    }
}

/// The points of a simplex of so many members, from all of the last member to all of the first.
///
/// # Errors
/// More points than can be tried.
pub fn simplex(members: usize, divisions: usize) -> Result<Vec<Lambda>> {
    if members == 0 || divisions == 0 {
        return Err(Error::Merge(format!(
            "a grid of {divisions} divisions for {members} adapters has no points; 10 divisions are usual"
        )));
    }
    let count = (1..members).try_fold(1usize, |count, k| Some(count.checked_mul(divisions + k)? / k));
    if count.is_none_or(|count| count > MOST_POINTS) {
        return Err(Error::Merge(format!(
            "{divisions} divisions for {members} adapters make more than {MOST_POINTS} points; take fewer divisions, or search"
        )));
    }
    let mut points = Vec::new();
    let mut parts = vec![0; members];
    share_out(divisions, 0, &mut parts, &mut |parts| {
        let point = parts.iter().map(|part| *part as f64 / divisions as f64);
        points.push(Lambda::Adapter(point.collect()).rounded());
    });
    Ok(points)
}

/// Every way to share so many parts out among the members from `from` on.
fn share_out(left: usize, from: usize, parts: &mut Vec<usize>, each: &mut dyn FnMut(&[usize])) {
    if from + 1 == parts.len() {
        parts[from] = left;
        each(parts);
        return;
    }
    for own in 0..=left {
        parts[from] = own;
        share_out(left - own, from + 1, parts, each);
    }
}

impl Grid {
    /// Tries the uniform point and all of the grid.
    ///
    /// # Errors
    /// More points than can be tried, or what the objective refuses.
    pub(super) fn run(&self, course: &mut Course) -> Result<Tried> {
        let points = simplex(course.members(), self.divisions)?;
        let total = points.len() + 1;
        let mut tried = course.start(total)?;
        for point in points {
            let value = course.value(&point)?;
            tried.push(point, value);
            course.tell(tried.len(), total);
        }
        Ok(tried)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_point_is_there_once_and_sums_to_one() {
        let point = |values: &[f64]| Lambda::Adapter(values.to_vec());
        let expected = [[0.0, 1.0], [0.25, 0.75], [0.5, 0.5], [0.75, 0.25], [1.0, 0.0]];
        assert_eq!(simplex(2, 4).unwrap(), expected.map(|values| point(&values)));
        let three = simplex(3, 10).unwrap();
        assert_eq!(three.len(), 66);
        for (place, lambda) in three.iter().enumerate() {
            assert!((lambda.mean().iter().sum::<f64>() - 1.0).abs() < 1e-5);
            assert!(!three[..place].contains(lambda));
        }
        assert_eq!(simplex(1, 10).unwrap(), [point(&[1.0])]);
        let error = simplex(8, 10).unwrap_err().to_string();
        assert!(error.contains("search"), "{error}");
        assert!(simplex(2, 0).is_err());
    }
}
