//! The summary and the main table of each scenario for a terminal.

use super::analysed::Analysed;
use super::heading;
use super::input::Study;
use super::sentence::sentences;
use super::summary::Summary;
use super::table::{Table, primary};
use anyhow::Result;
use comfy_table::{Attribute, Cell, CellAlignment, presets};
use std::fmt::Write;
use std::io::IsTerminal;

/// The columns of the main table that fit beside each other in eighty characters: method, metric, interval.
const SHOWN: [usize; 3] = [0, 2, 3];

/// A study's tables and sentences, with weight and underline where standard output is a terminal and plain elsewhere.
///
/// # Errors
/// Where rows cannot be compared.
pub fn terminal(study: &Study) -> Result<String> {
    render(study, std::io::stdout().is_terminal())
}

/// A study's tables and sentences, styled or plain.
///
/// # Errors
/// Where rows cannot be compared.
pub fn render(study: &Study, styled: bool) -> Result<String> {
    let analysed = [Analysed::new(study)?];
    let summary = Summary::new(&analysed);
    let mut text = String::new();
    if let Some(purpose) = &study.purpose {
        writeln!(text, "{purpose}")?;
    }
    writeln!(text, "{} (profile {})", study.title, study.profile)?;
    for heading in &summary.headings {
        writeln!(text, "*** {heading} ***")?;
    }
    writeln!(text, "{}", summary.sentence)?;
    for note in &study.notes {
        writeln!(text, "note: {note}")?;
    }
    let [analysed] = &analysed;
    for analysis in &analysed.scenarios {
        let scenario = analysis.scenario;
        let planned = analysed.planned.as_ref();
        writeln!(text, "\n{} ({})", scenario.title(), scenario.kind.label())?;
        if let Some(heading) = heading::of_scenario(analysis) {
            writeln!(text, "*** {heading} ***")?;
        }
        let table = primary(analysis, planned);
        writeln!(text, "{}", table.caption)?;
        writeln!(text, "{}", draw(&table, &SHOWN, styled))?;
        for sentence in sentences(analysis, planned, &study.claims.woven) {
            writeln!(text, "- {sentence}")?;
        }
    }
    writeln!(text, "\n{}", super::table::legend(analysed))?;
    Ok(text)
}

/// Some columns of a table, styled or plain.
#[must_use]
pub fn draw(table: &Table, shown: &[usize], styled: bool) -> String {
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
