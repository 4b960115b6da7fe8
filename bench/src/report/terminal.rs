//! The main table of each scenario for a terminal.

use super::analysis::Analysis;
use super::input::Study;
use super::table::{BETTER, Table, WORSE, accuracy};
use super::verdict::{Outcome, UNINFORMATIVE, judge};
use crate::metric::Metric;
use anyhow::Result;
use comfy_table::{Attribute, Cell, CellAlignment, presets};
use std::fmt::Write;
use std::io::IsTerminal;

/// The metrics that fit beside each other in eighty columns.
const SHOWN: [Metric; 3] = [Metric::Hr(1), Metric::PRIMARY, Metric::Mrr];

/// A study's tables and verdicts, with weight and underline where standard output is a terminal and plain elsewhere.
///
/// # Errors
/// Where rows cannot be compared.
pub fn terminal(study: &Study) -> Result<String> {
    render(study, std::io::stdout().is_terminal())
}

/// A study's tables and verdicts, styled or plain.
///
/// # Errors
/// Where rows cannot be compared.
pub fn render(study: &Study, styled: bool) -> Result<String> {
    let mut text = format!("{} (profile {})\n", study.title, study.profile);
    for note in &study.notes {
        writeln!(text, "note: {note}")?;
    }
    for scenario in &study.scenarios {
        let analysis = Analysis::new(scenario)?;
        let verdict = judge(&analysis);
        let table = accuracy(&analysis);
        writeln!(
            text,
            "\n{} → {} ({})",
            scenario.sources.join(" + "),
            scenario.target,
            scenario.kind.label()
        )?;
        if verdict.outcome == Outcome::Uninformative {
            writeln!(text, "*** {UNINFORMATIVE} ***")?;
        }
        writeln!(text, "{}", table.caption)?;
        writeln!(text, "{}", draw(&table, &analysis, styled))?;
        writeln!(text, "{}", verdict.sentence)?;
    }
    writeln!(
        text,
        "\n{BETTER}/{WORSE}: significantly above/below target-only (paired t over users, Holm, p < 0.05)"
    )?;
    Ok(text)
}

fn draw(table: &Table, analysis: &Analysis, styled: bool) -> String {
    let metrics = SHOWN.iter().filter_map(|metric| analysis.position(*metric));
    let shown: Vec<usize> = std::iter::once(0)
        .chain(metrics.map(|metric| metric + 2))
        .collect();
    let mut drawn = comfy_table::Table::new();
    drawn.load_style(presets::ASCII_MARKDOWN);
    if styled {
        drawn.enforce_styling();
    } else {
        drawn.force_no_tty();
    }
    drawn.set_header(shown.iter().map(|column| table.columns[*column].title.clone()));
    for row in &table.rows {
        drawn.add_row(shown.iter().map(|column| {
            let cell = &row[*column];
            let mut shown = Cell::new(format!("{}{}", cell.text, cell.mark));
            if cell.best {
                shown = shown.add_attribute(Attribute::Bold);
            }
            if cell.second {
                shown = shown.add_attribute(Attribute::Underlined);
            }
            if table.columns[*column].numeric {
                shown.set_alignment(CellAlignment::Right)
            } else {
                shown
            }
        }));
    }
    drawn.to_string()
}
