//! NDCG and entropy along the weight of the target's own adapter, one above the other.

use super::Chart;
use super::axis::Axis;
use super::svg::{BELOW, Svg, class};
use crate::report::weights::{Along, Tried};
use crate::statistics::mean;

const LEFT: f64 = 48.0;
const RIGHT: f64 = 440.0;
const TOP: f64 = 24.0;
/// Of each of the two.
const PANEL: f64 = 116.0;
/// Between them.
const GAP: f64 = 30.0;

/// One of the two things that are drawn.
struct Panel {
    title: &'static str,
    top: f64,
    value: fn(&Tried) -> f64,
}

/// What was found along the weights of one row. A line goes through the mean of the points that have the same weight of the target's own.
pub fn course(along: &Along) -> Chart {
    let panels = [
        Panel {
            title: "NDCG of calibration users",
            top: TOP,
            value: |point| point.ndcg,
        },
        Panel {
            title: "entropy (nats)",
            top: TOP + PANEL + GAP,
            value: |point| point.entropy,
        },
    ];
    let bottom = TOP + 2.0 * PANEL + GAP;
    let (low, high) = range(along.points.iter().map(|point| along.own(point)));
    let x = Axis::linear((low, high), (LEFT, RIGHT));
    let mut svg = Svg::new(
        bottom + BELOW,
        &format!("NDCG and entropy along the weights of {}", along.row.label),
    );
    for panel in &panels {
        draw(&mut svg, along, panel, x);
    }
    for (tick, text) in x.ticks(5.0) {
        svg.text("tick", (x.at(tick), bottom + 14.0), "middle", &text);
    }
    svg.text(
        "tick",
        ((LEFT + RIGHT) / 2.0, bottom + BELOW - 8.0),
        "middle",
        &format!("weight of the adapter of {}", along.target()),
    );
    Chart {
        caption: along.sentence(),
        svg: svg.finish(),
    }
}

fn draw(svg: &mut Svg, along: &Along, panel: &Panel, x: Axis) {
    let (low, high) = range(along.points.iter().map(panel.value));
    let air = 0.08 * (high - low).max(1e-3);
    let end = panel.top + PANEL;
    let y = Axis::linear((low - air, high + air), (end, panel.top));
    svg.text("tick", (2.0, panel.top - 8.0), "start", panel.title);
    for (tick, text) in y.ticks(3.0) {
        svg.line("grid", (LEFT, y.at(tick)), (RIGHT, y.at(tick)));
        svg.text("tick", (LEFT - 5.0, y.at(tick) + 4.0), "end", &text);
    }
    for (tick, _) in x.ticks(5.0) {
        svg.line("grid", (x.at(tick), panel.top), (x.at(tick), end));
    }
    let family = class(along.row.family);
    let together = along.points.chunk_by(|a, b| along.own(a) == along.own(b));
    let line: Vec<(f64, f64)> = together
        .map(|points| {
            let values: Vec<f64> = points.iter().map(panel.value).collect();
            (x.at(along.own(&points[0])), y.at(mean(&values)))
        })
        .collect();
    svg.path(&format!("curve held-out {family}"), &line);
    for point in &along.points {
        let weights: Vec<String> = point
            .weights
            .iter()
            .map(|weight| format!("{weight:.3}"))
            .collect();
        svg.dot(
            &format!("fill {family}"),
            (x.at(along.own(point)), y.at((panel.value)(point))),
            &format!("λ {}: {:.3}", weights.join(", "), (panel.value)(point)),
        );
    }
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::MAX, f64::MIN), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}
