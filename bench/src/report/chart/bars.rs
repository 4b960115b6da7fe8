//! Bars with intervals for reading: the methods of a table, and the members of merges beside the merge.

use super::Chart;
use super::axis::Axis;
use super::svg::{Svg, WIDTH, class, shorten};
use crate::report::analysis::{Analysis, Estimate};
use crate::report::table::mean_members;

const ROW: f64 = 24.0;
const TOP: f64 = 30.0;
const LEFT: f64 = 158.0;
const RIGHT: f64 = WIDTH - 44.0;

struct Bar<'a> {
    label: String,
    class: &'static str,
    estimate: &'a Estimate,
    /// Starts a group, set apart from the one above.
    first: bool,
}

/// Every competing row's primary metric with its interval, chance and popularity as lines.
pub fn methods(analysis: &Analysis) -> Chart {
    let m = analysis.primary();
    let bars: Vec<Bar> = analysis
        .competitors()
        .map(|(_, numbers)| Bar {
            label: numbers.row.label.clone(),
            class: class(numbers.row.family),
            estimate: &numbers.estimates[m],
            first: false,
        })
        .collect();
    let metric = analysis.metrics[m].label();
    Chart {
        caption: format!(
            "{metric} with its 95 % interval over replicates and users, for reading. Dashed: chance; dotted: popularity."
        ),
        svg: draw(
            analysis,
            &bars,
            &format!("{metric} of each method on {}", analysis.scenario.target),
        ),
    }
}

/// For each merge: what its members do alone on the target, and what the merge does.
pub fn members(analysis: &Analysis) -> Option<Chart> {
    let m = analysis.primary();
    let mut bars = Vec::new();
    for (_, merge) in analysis.competitors() {
        let members = mean_members(&merge.row.runs);
        let known: Vec<_> = members
            .iter()
            .filter_map(|(name, _)| analysis.find(name))
            .collect();
        if known.is_empty() {
            continue;
        }
        let bar = |row: usize, label: String, class| Bar {
            label,
            class,
            estimate: &analysis.rows[row].estimates[m],
            first: false,
        };
        let start = bars.len();
        for row in known {
            bars.push(bar(row, format!("· {}", analysis.rows[row].row.label), "member"));
        }
        bars.push(Bar {
            label: merge.row.label.clone(),
            class: class(merge.row.family),
            estimate: &merge.estimates[m],
            first: false,
        });
        bars[start].first = start > 0;
    }
    if bars.is_empty() {
        return None;
    }
    let metric = analysis.metrics[m].label();
    Some(Chart {
        caption: format!("Members (·) alone on the target, above the merge made of them: {metric}."),
        svg: draw(
            analysis,
            &bars,
            &format!("Members beside merges on {}", analysis.scenario.target),
        ),
    })
}

fn draw(analysis: &Analysis, bars: &[Bar], title: &str) -> String {
    let m = analysis.primary();
    let chance = analysis.chance[m];
    let popularity = analysis
        .find("popularity")
        .map(|row| analysis.rows[row].estimates[m].mean);
    let highest = bars
        .iter()
        .map(|bar| {
            bar.estimate
                .interval
                .map_or(bar.estimate.mean, |interval| interval.high)
        })
        .fold(chance, f64::max);
    let highest = highest.max(popularity.unwrap_or(0.0)) * 1.04;
    let x = Axis::linear((0.0, highest), (LEFT, RIGHT));
    let gaps = bars.iter().filter(|bar| bar.first).count() as f64 * ROW / 2.0;
    let bottom = TOP + ROW * bars.len() as f64 + gaps;
    let mut svg = Svg::new(bottom + 22.0, title);
    for (tick, text) in x.ticks(5.0) {
        svg.line("grid", (x.at(tick), TOP - 4.0), (x.at(tick), bottom));
        svg.text("tick", (x.at(tick), bottom + 14.0), "middle", &text);
    }
    let mut y = TOP;
    for bar in bars {
        if bar.first {
            y += ROW / 2.0;
        }
        let Estimate { mean, interval, .. } = bar.estimate;
        let middle = y + ROW / 2.0;
        svg.text(
            "label",
            (LEFT - 6.0, middle + 4.0),
            "end",
            &shorten(&bar.label, 23),
        );
        svg.rect(
            &format!("fill {}", bar.class),
            (LEFT, y + 4.0),
            (x.at(*mean) - LEFT, ROW - 8.0),
        );
        if let Some(interval) = interval {
            // An interval of a level may end below zero, where there is no level.
            let ends = [interval.low.max(0.0), interval.high].map(|end| x.at(end));
            svg.line("whisker", (ends[0], middle), (ends[1], middle));
            for end in ends {
                svg.line("whisker", (end, middle - 4.0), (end, middle + 4.0));
            }
        }
        svg.text("value", (WIDTH - 2.0, middle + 4.0), "end", &format!("{mean:.3}"));
        y += ROW;
    }
    let mut reference = |value: f64, style: &str, name: &str, height: f64| {
        svg.line(style, (x.at(value), TOP - 4.0), (x.at(value), bottom));
        svg.text(
            "tick",
            (x.at(value), height),
            "middle",
            &format!("{name} {value:.3}"),
        );
    };
    reference(chance, "chance", "chance", TOP - 8.0);
    if let Some(popularity) = popularity {
        reference(popularity, "popularity", "popularity", TOP - 19.0);
    }
    svg.finish()
}
