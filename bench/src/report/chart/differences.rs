//! Paired differences: every row beside the target's own adapter, or the best floor where there is none, and every merge beside its
//! members. Bars of levels would hide that the same users stand behind both rows.

use super::Chart;
use super::forest::{Line, plot};
use super::svg::class;
use crate::report::analysis::{Analysis, Merge, RowNumbers};
use crate::report::input::Family;
use crate::statistics::Contrast;

/// Each competing row minus the target's own adapter, or the best floor where there is none.
pub fn methods(analysis: &Analysis, margin: f64) -> Option<Chart> {
    let reference = analysis.beside_what()?;
    let line = |numbers: &RowNumbers| {
        let versus = numbers.versus.as_ref()?;
        Some(line(
            String::new(),
            &numbers.row.label,
            versus,
            class(numbers.row.family),
        ))
    };
    let lines: Vec<Line> = analysis
        .competitors()
        .filter_map(|(_, numbers)| line(numbers))
        .collect();
    let metric = analysis.metrics[analysis.primary()].label();
    let what = format!(
        "Each row minus {reference} in {metric}, paired by replicate and user; described, not tested"
    );
    plot(&lines, margin, &metric, &what)
}

/// Each merge minus each of its members alone.
pub fn members(analysis: &Analysis, margin: f64) -> Option<Chart> {
    let of = |merge: &Merge| -> Vec<Line> {
        let row = analysis.rows[merge.row].row;
        let known = merge.members.iter().filter_map(|member| {
            let gain = member.gain.as_ref()?;
            let label = analysis.member_label(&member.method);
            let group = format!("{} minus", row.label);
            // The colour is that of the member's own row, where the table has one.
            let family = member
                .row
                .map_or(Family::Member, |row| analysis.rows[row].row.family);
            Some(line(group, label, gain, class(family)))
        });
        known.collect()
    };
    let lines: Vec<Line> = analysis.merges.iter().flat_map(of).collect();
    let metric = analysis.metrics[analysis.primary()].label();
    let what = format!(
        "Each merge minus each of its members alone on {}, in {metric}; described, not tested",
        analysis.scenario.target
    );
    plot(&lines, margin, &metric, &what)
}

fn line(group: String, label: &str, contrast: &Contrast, style: &'static str) -> Line {
    Line {
        group,
        label: label.to_owned(),
        mean: contrast.mean,
        interval: contrast.interval,
        users_only: contrast.users_only,
        style,
    }
}
