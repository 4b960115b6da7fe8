//! The forest plot: one line a planned contrast, with zero and the margin of equivalence behind them.

use super::Chart;
use super::axis::Axis;
use super::svg::{Svg, WIDTH, shorten};
use crate::report::number::{plus, signed};
use crate::statistics::Interval;

const ROW: f64 = 20.0;
const HEAD: f64 = 22.0;
const TOP: f64 = 10.0;
const LEFT: f64 = 160.0;
const RIGHT: f64 = WIDTH - 52.0;

/// One contrast of a forest plot.
#[derive(Debug, Clone)]
pub struct Line {
    /// What several lines in a row have in common, printed once above them; nothing where it is empty.
    pub group: String,
    /// What is compared.
    pub label: String,
    /// The mean difference.
    pub mean: f64,
    /// Its interval; none where there is a single replicate.
    pub interval: Option<Interval>,
    /// The interval that holds for these adapters only.
    pub users_only: Option<Interval>,
    /// The style of the dot: `better`, `worse`, `equivalent` or `undecided`; the family of a row where nothing is tested.
    pub style: &'static str,
}

/// Stands behind a label whose two rows were not trained on as much.
pub const OTHER_COMPUTE: &str = " *";

/// The planned contrasts below each other on one axis. Nothing is drawn where there is none.
#[must_use]
pub fn forest(lines: &[Line], margin: f64, metric: &str) -> Option<Chart> {
    let other = lines.iter().any(|line| line.label.ends_with(OTHER_COMPUTE));
    let caption = match other {
        true => format!("Planned contrasts in {metric}; *: not of the same compute"),
        false => format!("Planned contrasts in {metric}"),
    };
    plot(lines, margin, metric, &caption)
}

/// Paired differences below each other on one axis, with their intervals; `what` says what they are. None where there is no difference.
pub fn plot(lines: &[Line], margin: f64, metric: &str, what: &str) -> Option<Chart> {
    if lines.is_empty() {
        return None;
    }
    let ends = lines.iter().flat_map(|line| {
        let intervals = [line.interval, line.users_only];
        let ends = intervals.into_iter().flatten().flat_map(|i| [i.low, i.high]);
        ends.chain([line.mean]).collect::<Vec<_>>()
    });
    let (low, high) = ends.fold((-margin, margin), |(low, high), end| {
        (low.min(end), high.max(end))
    });
    let air = 0.04 * (high - low);
    let x = Axis::linear((low - air, high + air), (LEFT, RIGHT));
    let groups = lines.chunk_by(|a, b| a.group == b.group);
    let groups = groups.filter(|group| !group[0].group.is_empty()).count() as f64;
    let bottom = TOP + HEAD * groups + ROW * lines.len() as f64;
    let mut svg = Svg::new(bottom + 34.0, what);
    svg.rect(
        "margin",
        (x.at(-margin), TOP),
        (x.at(margin) - x.at(-margin), bottom - TOP),
    );
    for (tick, text) in x.ticks(5.0) {
        svg.line("grid", (x.at(tick), TOP), (x.at(tick), bottom));
        svg.text("tick", (x.at(tick), bottom + 14.0), "middle", &text);
    }
    svg.line("zero", (x.at(0.0), TOP), (x.at(0.0), bottom));
    svg.text(
        "tick",
        ((LEFT + RIGHT) / 2.0, bottom + 28.0),
        "middle",
        &format!("difference in {metric}"),
    );
    let mut y = TOP;
    for group in lines.chunk_by(|a, b| a.group == b.group) {
        if !group[0].group.is_empty() {
            svg.text("group", (4.0, y + 15.0), "start", &shorten(&group[0].group, 56));
            y += HEAD;
        }
        for line in group {
            draw(&mut svg, x, y + ROW / 2.0, line);
            y += ROW;
        }
    }
    Some(Chart {
        caption: format!(
            "{what}. Thick: 95 % interval over replicates and users, for reading; thin: over users alone, \
             these adapters only. Shaded: ±{margin}, within which the difference counts as none."
        ),
        svg: svg.finish(),
    })
}

fn draw(svg: &mut Svg, x: Axis, y: f64, line: &Line) {
    svg.text("label", (LEFT - 6.0, y + 4.0), "end", &shorten(&line.label, 23));
    if let Some(interval) = line.interval {
        svg.line("whisker", (x.at(interval.low), y), (x.at(interval.high), y));
    }
    if let Some(interval) = line.users_only {
        svg.line(
            "thin",
            (x.at(interval.low), y + 4.0),
            (x.at(interval.high), y + 4.0),
        );
    }
    let hint = format!("{}: {}", line.label, signed(line.mean, line.interval));
    svg.dot(&format!("fill {}", line.style), (x.at(line.mean), y), &hint);
    svg.text("value", (WIDTH - 2.0, y + 4.0), "end", &plus(line.mean));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn line(group: &str, label: &str, interval: Option<Interval>) -> Line {
        Line {
            group: group.to_owned(),
            label: label.to_owned(),
            mean: 0.01,
            interval,
            users_only: None,
            style: "undecided",
        }
    }

    #[test]
    fn each_contrast_is_a_line_and_each_group_has_one_head() {
        let wide = Some(Interval {
            low: -0.2,
            high: 0.22,
        });
        let lines = [
            line("a → b", "W: soup", wide),
            line("a → b", "W: longer", None),
            line("c → b", "M: <merge>", wide),
        ];
        let chart = forest(&lines, 0.02, "NDCG@5").unwrap();
        assert_eq!(chart.svg.matches("<circle").count(), 3);
        assert_eq!(chart.svg.matches("class=\"whisker\"").count(), 2);
        assert_eq!(chart.svg.matches("class=\"group\"").count(), 2);
        assert!(chart.svg.contains("M: &lt;merge&gt;") && !chart.svg.contains("<merge>"));
        assert!(chart.svg.contains(">−0.2<") && chart.svg.contains(">0.2<"));
        assert!(forest(&[], 0.02, "NDCG@5").is_none());
    }
}
