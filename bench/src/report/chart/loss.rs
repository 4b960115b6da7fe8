//! Training loss and held-out loss of every trained row, one line a replicate.

use std::collections::{BTreeMap, BTreeSet};

use super::Chart;
use super::axis::Axis;
use super::svg::{BELOW, LINE, Svg, class, shorten};
use crate::report::analysis::Analysis;

/// The least height; where there are many labels, the drawing grows with them.
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 40.0;
const RIGHT: f64 = 284.0;
const TOP: f64 = 24.0;

/// What one run's loss was, as it was trained on or held out.
struct Curve {
    row: usize,
    held_out: bool,
    points: Vec<(f64, f64)>,
}

/// Loss against optimiser steps, where any run recorded it.
pub fn curves(analysis: &Analysis) -> Option<Chart> {
    let finite = |(step, loss): &(u64, f64)| loss.is_finite().then_some((*step as f64, *loss));
    let mut curves: Vec<Curve> = analysis
        .rows
        .iter()
        .enumerate()
        .flat_map(|(row, numbers)| numbers.row.runs.iter().map(move |run| (row, run)))
        .flat_map(|(row, run)| [(row, false, &run.loss_curve), (row, true, &run.held_out_curve)])
        .map(|(row, held_out, losses)| Curve {
            row,
            held_out,
            points: losses.iter().filter_map(finite).collect(),
        })
        .filter(|curve| curve.points.len() > 1)
        .collect();
    // What is drawn last lies on top.
    curves.sort_by_key(|curve| curve.held_out);
    let all = || curves.iter().flat_map(|curve| &curve.points);
    let last = all().map(|(step, _)| *step).fold(0.0, f64::max);
    let (low, high) = all().fold((f64::MAX, f64::MIN), |(low, high), (_, loss)| {
        (low.min(*loss), high.max(*loss))
    });
    if curves.is_empty() {
        return None;
    }
    let labels = curves
        .iter()
        .map(|curve| curve.row)
        .collect::<BTreeSet<_>>()
        .len();
    let height = HEIGHT.max(TOP + BELOW + LINE * labels as f64);
    let bottom = height - BELOW;
    let x = Axis::linear((0.0, last), (LEFT, RIGHT));
    let y = Axis::linear((low - 0.05 * (high - low), high), (bottom, TOP));
    let mut svg = Svg::new(
        height,
        &format!("Loss in training on {}", analysis.scenario.target),
    );
    for (tick, text) in y.ticks(5.0) {
        svg.line("grid", (LEFT, y.at(tick)), (RIGHT, y.at(tick)));
        svg.text("tick", (LEFT - 5.0, y.at(tick) + 4.0), "end", &text);
    }
    for (tick, text) in x.ticks(5.0) {
        svg.text("tick", (x.at(tick), bottom + 14.0), "middle", &text);
    }
    svg.text("tick", (2.0, 12.0), "start", "loss (nats a token)");
    svg.text(
        "tick",
        ((LEFT + RIGHT) / 2.0, height - 8.0),
        "middle",
        "optimiser steps",
    );
    let mut ends: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for curve in &curves {
        let places: Vec<(f64, f64)> = curve
            .points
            .iter()
            .map(|(step, loss)| (x.at(*step), y.at(*loss)))
            .collect();
        let family = class(analysis.rows[curve.row].row.family);
        let held_out = if curve.held_out { " held-out" } else { "" };
        svg.path(&format!("curve {family}{held_out}"), &places);
        ends.extend(places.last().map(|end| (curve.row, *end)));
    }
    let labels: Vec<(String, (f64, f64), &str)> = ends
        .into_iter()
        .map(|(row, end)| {
            let row = &analysis.rows[row].row;
            (shorten(&row.label, 20), end, class(row.family))
        })
        .collect();
    svg.margin_labels(RIGHT + 16.0, &labels);
    Some(Chart {
        caption: "Loss on held-out examples, one line a replicate; faint: training loss.".to_owned(),
        svg: svg.finish(),
    })
}
