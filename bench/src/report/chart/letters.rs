//! The forest plot in letters, for terminals and Markdown.

use super::axis::Axis;
use super::forest::{Line, OTHER_COMPUTE};
use super::svg::shorten;
use crate::report::number::plus;

/// How many letters wide the drawing is, the labels and the mean left out: together they fit eighty.
const WIDTH: usize = 41;

/// How many letters a label has.
const LABEL: usize = 28;

/// Where the drawing begins: behind a label and a blank.
const LEFT: usize = LABEL + 1;

/// How to read [`forest_text`].
#[must_use]
pub fn forest_caption(lines: &[Line], margin: f64, metric: &str) -> String {
    let other = lines.iter().any(|line| line.label.ends_with(OTHER_COMPUTE));
    format!(
        "Planned contrasts in {metric}: o the mean difference, -- its 95 % interval over replicates and users, for reading; | zero, : ±{margin}, \
         within which the difference counts as none{}",
        if other { "; * not of the same compute" } else { "" }
    )
}

/// The planned contrasts, a line each, below the name of what they have in common, and the axis below them all. None where there is none.
#[must_use]
pub fn forest_text(lines: &[Line], margin: f64) -> Option<String> {
    if lines.is_empty() {
        return None;
    }
    let ends = lines.iter().flat_map(|line| {
        let interval = line.interval.map(|interval| [interval.low, interval.high]);
        interval.into_iter().flatten().chain([line.mean])
    });
    let (low, high) = ends.fold((-margin, margin), |(low, high), end| {
        (low.min(end), high.max(end))
    });
    let axis = Axis::linear((low, high), (0.0, (WIDTH - 1) as f64));
    // Every end lies on the axis, so its column is one of the drawing's.
    let column = |value: f64| (axis.at(value).round().max(0.0) as usize).min(WIDTH - 1);
    let mut text = String::new();
    for group in lines.chunk_by(|a, b| a.group == b.group) {
        text.push_str(&format!("{}\n", shorten(&group[0].group, LABEL + WIDTH + 10)));
        for line in group {
            let mut drawn = [' '; WIDTH];
            drawn[column(-margin)] = ':';
            drawn[column(margin)] = ':';
            drawn[column(0.0)] = '|';
            if let Some(interval) = line.interval {
                drawn[column(interval.low)..=column(interval.high)].fill('-');
            }
            drawn[column(line.mean)] = 'o';
            let drawn: String = drawn.iter().collect();
            let label = shorten(&line.label, LABEL - 2);
            text.push_str(&format!("  {label:<26} {drawn} {:>7}\n", plus(line.mean)));
        }
    }
    text.push_str(&format!("{}\n", ticks(low, high, column(0.0))));
    Some(text)
}

/// The axis: its ends and zero below their columns. What names an end leans outwards, and a letter further where zero stands beside it.
fn ticks(low: f64, high: f64, zero: usize) -> String {
    let (first, middle, last) = (LEFT, LEFT + zero, LEFT + WIDTH - 1);
    let (end, begin) = ((first + 1).min(middle - 1), last.max(middle + 2));
    let before = format!("{:>end$}", plus(low));
    let (left, right) = (" ".repeat(middle - end), " ".repeat(begin - middle - 1));
    format!("{before}{left}0{right}{}", plus(high))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::statistics::Interval;

    #[test]
    fn each_contrast_is_a_line_of_eighty_letters_on_one_axis() {
        let line = |label: &str, mean: f64, low: f64, high: f64| Line {
            group: "a → b".to_owned(),
            label: label.to_owned(),
            mean,
            interval: Some(Interval { low, high }),
            users_only: None,
            style: "undecided",
        };
        let lines = [
            line("W: soup *", 0.1, 0.0, 0.2),
            line(
                "M: a merge whose name is too long for its column",
                -0.2,
                -0.2,
                -0.1,
            ),
        ];
        let text = forest_text(&lines, 0.02).unwrap();
        let shown: Vec<&str> = text.lines().collect();
        assert_eq!(shown[0], "a → b");
        // From −0.2 to 0.2 in 41 columns: a hundredth each.
        let soup = format!("  {:<26} {}:{}", "W: soup *", " ".repeat(18), " ");
        assert_eq!(shown[1], format!("{soup}----------o----------  +0.100"));
        assert!(shown[2].starts_with("  M: a merge whose name is … o----------       : | :"));
        let blanks = |count: usize| " ".repeat(count);
        assert_eq!(
            shown[3],
            format!("{}−0.200{}0{}+0.200", blanks(24), blanks(19), blanks(19))
        );
        assert_eq!(shown.len(), 4);
        // Its zero stands below that of the contrasts.
        assert_eq!(
            shown[2].chars().position(|letter| letter == '|'),
            Some(49),
            "{text}"
        );
        assert_eq!(shown[3].chars().nth(49), Some('0'));
        assert!(shown.iter().all(|line| line.chars().count() <= 80), "{text}");
        assert!(forest_caption(&lines, 0.02, "NDCG@5").ends_with("* not of the same compute"));
        assert!(forest_text(&[], 0.02).is_none());
    }

    #[test]
    fn ends_of_the_axis_keep_clear_of_a_zero_beside_them() {
        for (low, high, zero, before) in [(-0.02, 0.9, 1, "−0.020 0"), (-0.02, 0.4, 2, "−0.020 0")] {
            assert!(ticks(low, high, zero).trim_start().starts_with(before));
        }
        assert!(ticks(-0.9, 0.02, WIDTH - 2).ends_with("0 +0.020"));
        assert!(ticks(-0.9, 0.02, WIDTH - 2).chars().count() <= 80);
    }
}
