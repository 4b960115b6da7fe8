//! Rows that are the best of several, as selection users (S) find them.

/// The place of the lowest loss, the first of equal ones; none where one was not measured: a choice among the others would be another one.
#[must_use]
pub fn lowest(losses: &[Option<f64>]) -> Option<usize> {
    let known: Vec<f64> = losses.iter().copied().collect::<Option<_>>()?;
    let of = |one: &f64| (!one.is_nan()).then_some(*one);
    let known: Vec<f64> = known.iter().map(of).collect::<Option<_>>()?;
    (0..known.len()).reduce(|best, one| if known[one] < known[best] { one } else { best })
}
