//! Accuracy against training cost: is a gain more than its compute?

use super::Chart;
use super::axis::Axis;
use super::svg::{BELOW, LINE, Svg, class, shorten};
use crate::report::analysis::{Analysis, Estimate};
use crate::report::number::power_of_ten;
use crate::statistics::mean;

/// The least height; where there are many labels, the drawing grows with them.
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 40.0;
const RIGHT: f64 = 284.0;
const TOP: f64 = 24.0;

/// The primary metric against the floating-point operations of training, on a logarithmic axis.
pub fn accuracy(analysis: &Analysis) -> Option<Chart> {
    let m = analysis.primary();
    let points: Vec<_> = analysis
        .rows
        .iter()
        .filter_map(|numbers| {
            let flops = mean(
                &numbers
                    .row
                    .runs
                    .iter()
                    .map(|run| run.train_flops)
                    .collect::<Vec<_>>(),
            );
            (flops > 0.0).then_some((numbers, flops))
        })
        .collect();
    // One point shows no relation.
    if points.len() < 2 {
        return None;
    }
    let metric = analysis.metrics[m].label();
    let (low, high) = points
        .iter()
        .fold((f64::MAX, f64::MIN), |(low, high), (_, flops)| {
            (low.min(*flops), high.max(*flops))
        });
    let x = Axis::logarithmic((0.95 * low, 1.05 * high), (LEFT, RIGHT));
    let levels = [
        Some(("chance", analysis.chance[m])),
        analysis
            .find("popularity")
            .map(|row| ("popularity", analysis.rows[row].estimates[m].mean)),
    ];
    let levels: Vec<(&str, f64)> = levels.into_iter().flatten().collect();
    let ends = points.iter().flat_map(|(numbers, _)| {
        let Estimate { mean, interval, .. } = &numbers.estimates[m];
        interval.map_or([*mean; 2], |interval| [interval.low, interval.high])
    });
    let (bottom, top) = ends
        .chain(levels.iter().map(|(_, level)| *level))
        .fold((f64::MAX, f64::MIN), |(low, high), value| {
            (low.min(value), high.max(value))
        });
    let margin = 0.06 * (top - bottom).max(0.01);
    let height = HEIGHT.max(TOP + BELOW + LINE * (points.len() + levels.len()) as f64);
    let end = height - BELOW;
    let y = Axis::linear((bottom - margin, top + margin), (end, TOP));

    let mut svg = Svg::new(
        height,
        &format!("{metric} against training cost on {}", analysis.scenario.target),
    );
    for (tick, text) in y.ticks(5.0) {
        svg.line("grid", (LEFT, y.at(tick)), (RIGHT, y.at(tick)));
        svg.text("tick", (LEFT - 5.0, y.at(tick) + 4.0), "end", &text);
    }
    for (tick, text) in x.ticks(4.0) {
        svg.line("grid", (x.at(tick), TOP), (x.at(tick), end));
        svg.text("tick", (x.at(tick), end + 14.0), "middle", &text);
    }
    svg.text("tick", (2.0, 12.0), "start", &metric);
    svg.text(
        "tick",
        ((LEFT + RIGHT) / 2.0, height - 8.0),
        "middle",
        "training FLOPs a replicate (log scale)",
    );
    let mut labels = Vec::new();
    for (name, level) in levels {
        svg.line(name, (LEFT, y.at(level)), (RIGHT, y.at(level)));
        labels.push((name.to_owned(), (RIGHT, y.at(level)), "tick"));
    }
    for (numbers, flops) in points {
        let estimate = &numbers.estimates[m];
        let family = class(numbers.row.family);
        let at = (x.at(flops), y.at(estimate.mean));
        if let Some(interval) = estimate.interval {
            svg.line("whisker", (at.0, y.at(interval.low)), (at.0, y.at(interval.high)));
        }
        let label = &numbers.row.label;
        svg.dot(
            &format!("fill {family}"),
            at,
            &format!(
                "{label}: {:.3} for {} FLOPs",
                estimate.mean,
                power_of_ten(flops, 2)
            ),
        );
        labels.push((shorten(label, 20), at, family));
    }
    svg.margin_labels(RIGHT + 16.0, &labels);
    Some(Chart {
        caption: format!("{metric} (95 % interval, for reading) against the compute that training took."),
        svg: svg.finish(),
    })
}
