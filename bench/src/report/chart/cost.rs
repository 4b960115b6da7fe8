//! Accuracy against training cost: is a gain more than its compute?

use super::Chart;
use super::svg::{Scale, Svg, class, shorten};
use crate::report::analysis::Analysis;
use crate::statistics::mean;

const HEIGHT: f64 = 250.0;
const LEFT: f64 = 40.0;
const RIGHT: f64 = 296.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = HEIGHT - 40.0;

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
    let logs = points.iter().map(|(_, flops)| flops.log10());
    let (low, high) = logs.fold((f64::MAX, f64::MIN), |(low, high), log| {
        (low.min(log), high.max(log))
    });
    let margin = (0.08 * (high - low)).max(0.1);
    let x = Scale::new((low - margin, high + margin), (LEFT, RIGHT));
    let levels = [
        Some(("chance", analysis.chance[m])),
        analysis
            .find("popularity")
            .map(|row| ("popularity", analysis.rows[row].estimates[m].mean)),
    ];
    let levels: Vec<(&str, f64)> = levels.into_iter().flatten().collect();
    let ends = points.iter().flat_map(|(numbers, _)| {
        let interval = numbers.estimates[m].interval;
        [interval.low, interval.high]
    });
    let (bottom, top) = ends
        .chain(levels.iter().map(|(_, level)| *level))
        .fold((f64::MAX, f64::MIN), |(low, high), value| {
            (low.min(value), high.max(value))
        });
    let margin = 0.06 * (top - bottom).max(0.01);
    let y = Scale::new((bottom - margin, top + margin), (BOTTOM, TOP));

    let mut svg = Svg::new(
        HEIGHT,
        &format!("{metric} against training cost on {}", analysis.scenario.target),
    );
    for (tick, text) in y.ticks(5.0) {
        svg.line("grid", (LEFT, y.at(tick)), (RIGHT, y.at(tick)));
        svg.text("tick", (LEFT - 5.0, y.at(tick) + 4.0), "end", &text);
    }
    for (tick, _) in x.ticks(4.0) {
        svg.line("grid", (x.at(tick), TOP), (x.at(tick), BOTTOM));
        svg.text("tick", (x.at(tick), BOTTOM + 14.0), "middle", &scientific(tick));
    }
    svg.text(
        "tick",
        ((LEFT + RIGHT) / 2.0, HEIGHT - 8.0),
        "middle",
        "training FLOPs a seed (log scale)",
    );
    let mut labels = Vec::new();
    for (name, level) in levels {
        svg.line(name, (LEFT, y.at(level)), (RIGHT, y.at(level)));
        labels.push((name.to_owned(), (RIGHT, y.at(level)), "tick"));
    }
    for (numbers, flops) in points {
        let estimate = &numbers.estimates[m];
        let family = class(numbers.row.family);
        let at = (x.at(flops.log10()), y.at(estimate.mean));
        svg.line(
            "whisker",
            (at.0, y.at(estimate.interval.low)),
            (at.0, y.at(estimate.interval.high)),
        );
        let label = &numbers.row.label;
        svg.dot(
            &format!("fill {family}"),
            at,
            &format!("{label}: {:.3} for {flops:.2e} FLOPs", estimate.mean),
        );
        labels.push((shorten(label, 21), at, family));
    }
    svg.margin_labels(RIGHT + 16.0, &labels);
    Some(Chart {
        caption: format!("{metric} (95 % interval) against the compute that training took."),
        svg: svg.finish(),
    })
}

/// A power of ten as a number: `3e12`.
fn scientific(log: f64) -> String {
    format!("{:.0e}", 10f64.powf(log))
}
