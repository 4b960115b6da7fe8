//! Several tests at a time: p-values adjusted so that the chance of any false finding among them keeps its level.

/// p-values adjusted by Holm's step-down procedure, in the order given. It holds under any dependence.
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let order = ascending(p_values);
    let mut adjusted = vec![0.0; p_values.len()];
    let mut so_far: f64 = 0.0;
    for (position, &index) in order.iter().enumerate() {
        so_far = so_far
            .max(p_values[index] * (p_values.len() - position) as f64)
            .min(1.0);
        adjusted[index] = so_far;
    }
    adjusted
}

/// p-values adjusted by Hochberg's step-up procedure, in the order given. It holds where the statistics are not negatively dependent,
/// as those are that compare one row to several others.
#[must_use]
pub fn hochberg(p_values: &[f64]) -> Vec<f64> {
    let order = ascending(p_values);
    let mut adjusted = vec![0.0; p_values.len()];
    let mut so_far: f64 = 1.0;
    for (position, &index) in order.iter().enumerate().rev() {
        so_far = so_far.min(p_values[index] * (p_values.len() - position) as f64);
        adjusted[index] = so_far;
    }
    adjusted
}

/// The positions of the values from the smallest on.
pub(crate) fn ascending(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    order
}
