//! The summary of a report and the main table of each scenario for a terminal.

use super::analysed::Analysed;
use super::analysis::Analysis;
use super::chart::{forest_caption, forest_text};
use super::heading;
use super::input::Study;
use super::page::{commands, revisions};
use super::sentence::sentences;
use super::summary::{Summary, lines};
use super::table::{Table, legend, matrix, primary};
use anyhow::Result;
use comfy_table::{Attribute, Cell, CellAlignment, presets};
use std::fmt::Write;
use std::io::IsTerminal;

/// The columns of the main table that fit beside each other in eighty characters: method, metric, interval.
const SHOWN: [usize; 3] = [0, 1, 2];

/// How many characters a line of a table may have.
const WIDTH: usize = 80;

/// The summary of a report, then its studies' tables and sentences, with weight and underline where standard output is a terminal and plain
/// elsewhere.
///
/// # Errors
/// Where rows cannot be compared.
pub fn terminal(studies: &[Study]) -> Result<String> {
    render(studies, std::io::stdout().is_terminal())
}

/// A report's summary, tables and sentences, styled or plain.
///
/// # Errors
/// Where rows cannot be compared.
pub fn render(studies: &[Study], styled: bool) -> Result<String> {
    let analysed: Vec<Analysed> = studies.iter().map(Analysed::new).collect::<Result<_>>()?;
    let summary = Summary::new(&analysed);
    let mut text = String::new();
    above(&mut text, &analysed, &summary, styled)?;
    for one in &analysed {
        let study = one.study;
        writeln!(text, "\n{} (profile {})", study.title, study.profile)?;
        for note in &study.notes {
            writeln!(text, "note: {note}")?;
        }
        for analysis in &one.scenarios {
            scenario(&mut text, one, analysis, styled)?;
        }
        writeln!(text, "\n{}", legend(one))?;
    }
    Ok(text)
}

/// What stands above everything: what became of the claims, where the numbers come from, and every method in every scenario.
fn above(text: &mut String, analysed: &[Analysed], summary: &Summary, styled: bool) -> Result<()> {
    for purpose in &summary.purposes {
        writeln!(text, "{purpose}")?;
    }
    for heading in &summary.headings {
        writeln!(text, "*** {heading} ***")?;
    }
    writeln!(text, "{}", summary.sentence)?;
    let mut from = vec![format!("profile {}", summary.profiles.join(", "))];
    let revisions = revisions(analysed);
    if !revisions.is_empty() {
        from.push(format!("revision {}", revisions.join(", ")));
    }
    from.extend(
        commands(analysed)
            .into_iter()
            .map(|command| format!("`{command}`")),
    );
    writeln!(text, "{}", from.join("; "))?;
    let matrix = matrix(summary);
    writeln!(text, "\n{}", matrix.caption)?;
    let parts = parted(&matrix);
    let drawn: Vec<String> = parts.iter().map(|part| draw(&matrix, part, styled)).collect();
    writeln!(text, "{}", drawn.join("\n\n"))?;
    let margin = analysed
        .iter()
        .map(|one| one.study.claims.margin)
        .fold(0.0, f64::max);
    let lines = lines(&summary.families);
    if let Some(forest) = forest_text(&lines, margin) {
        let caption = forest_caption(&lines, margin, &summary.metric);
        write!(text, "\n{caption}\n{forest}")?;
    }
    Ok(())
}

/// The columns of a table in parts that fit a line, the first column in each.
fn parted(table: &Table) -> Vec<Vec<usize>> {
    let width = |column: usize| {
        let cells = table.rows.iter().map(|row| &row[column]);
        let widest = cells.map(|cell| cell.text.chars().count() + cell.mark.chars().count());
        let head = table.columns[column].title.chars().count();
        // A blank on either side, and a line between columns.
        3 + widest.max().unwrap_or(0).max(head)
    };
    let mut parts: Vec<Vec<usize>> = Vec::new();
    let mut taken = 0;
    for column in 1..table.columns.len() {
        match parts.last_mut() {
            Some(part) if taken + width(column) <= WIDTH => part.push(column),
            _ => {
                parts.push(vec![0, column]);
                taken = 1 + width(0);
            }
        }
        taken += width(column);
    }
    parts
}

fn scenario(text: &mut String, analysed: &Analysed, analysis: &Analysis, styled: bool) -> Result<()> {
    let scenario = analysis.scenario;
    let planned = analysed.planned.as_ref();
    writeln!(text, "\n{} ({})", scenario.title(), scenario.kind.label())?;
    if let Some(heading) = heading::of_scenario(analysis) {
        writeln!(text, "*** {heading} ***")?;
    }
    let table = primary(analysis, planned);
    writeln!(text, "{}", table.caption)?;
    writeln!(text, "{}", draw(&table, &SHOWN, styled))?;
    for sentence in sentences(analysis, planned, &analysed.study.claims.woven) {
        writeln!(text, "- {sentence}")?;
    }
    Ok(())
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
