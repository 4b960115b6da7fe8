//! Weights in the card of a merged adapter, where they differ from module to module: their range by kind of module, as the whole of them,
//! a number a module, is in the receipt.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use weaverec_model::lora::card::markdown;
use weaverec_model::merge::receipt::{MemberRecord, Receipt};

use super::name;
use crate::output::MERGE;

/// A table of the least, the middle and the largest weight of each member in the modules of a kind; nothing where no member has weights by
/// module.
pub(super) fn by_kind(receipt: &Receipt) -> String {
    let varies = |member: &MemberRecord| !member.weight.is_null() && !member.weight.is_number();
    if !receipt.adapters.iter().any(varies) {
        return String::new();
    }
    // Members of weight 0 have no place in the modules' weights.
    let merged: Vec<&MemberRecord> = receipt
        .adapters
        .iter()
        .filter(|member| member.weight.as_f64() != Some(0.0))
        .collect();
    let mut kinds: BTreeMap<&str, Vec<&[f64]>> = BTreeMap::new();
    for module in &receipt.modules {
        let kind = module.module.rsplit('.').next().unwrap_or_default();
        kinds.entry(kind).or_default().push(&module.weights);
    }
    let mut text =
        String::from("\nLeast … middle … largest weight, over the modules of a kind:\n\n| kind | modules |");
    for member in &merged {
        let _ = write!(text, " {} |", name(member));
    }
    text.push_str("\n|---|---|");
    text.push_str(&"---|".repeat(merged.len()));
    text.push('\n');
    for (kind, modules) in kinds {
        let _ = write!(text, "| {} | {} |", markdown(kind), modules.len());
        for place in 0..merged.len() {
            let own = modules.iter().filter_map(|weights| weights.get(place).copied());
            let _ = write!(text, " {} |", range(own.collect()));
        }
        text.push('\n');
    }
    let _ = writeln!(text, "\n`{MERGE}` has them module by module.");
    text
}

/// A sentence on how weights were chosen, where they were.
pub(super) fn chosen(receipt: &Receipt) -> String {
    let Some(chosen) = &receipt.weights else {
        return String::new();
    };
    match (&chosen.objective, chosen.weights.way()) {
        (Some(objective), Some(way)) => format!(
            "\nThe weights were chosen by {way} ({}) on prompts of {} users who are held out.\n",
            markdown(objective),
            chosen.cases
        ),
        _ => "\nToo few users were held out to choose weights: they are equal.\n".to_owned(),
    }
}

/// The least, the middle and the largest of numbers, or the one that all are.
fn range(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    match values.as_slice() {
        [] => "–".to_owned(),
        [least, .., largest] if least != largest => {
            let upper = values.len() / 2;
            let middle = match values.len() % 2 {
                0 => f64::midpoint(values[upper - 1], values[upper]),
                _ => values[upper],
            };
            format!("{least:.3} … {middle:.3} … {largest:.3}")
        }
        [one, ..] => format!("{one:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_three_numbers_or_one() {
        for (values, expected) in [
            (vec![], "–"),
            (vec![0.25], "0.250"),
            (vec![0.5, 0.5, 0.5], "0.500"),
            (vec![0.9, 0.1, 0.25], "0.100 … 0.250 … 0.900"),
            (vec![0.9, 0.1, 0.25, 0.75], "0.100 … 0.500 … 0.900"),
            (vec![1.0, -0.5], "-0.500 … 0.250 … 1.000"),
        ] {
            assert_eq!(range(values), expected);
        }
    }
}
