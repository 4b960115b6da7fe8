//! What the Markdown, HTML and LaTeX templates are given: texts, tables and drawings, ready to be placed.

use super::analysed::Analysed;
use super::analysis::Analysis;
use super::chart::{Chart, charts, forest, forest_caption, forest_text};
use super::heading;
use super::imported::{Imported, imported};
use super::input::{Cut, Family, Study};
use super::markup::{latex_text, markdown_code, markdown_table, markdown_text};
use super::number::ranges;
use super::sentence::sentences;
use super::summary::{Summary, lines};
use super::table::{self, Table, legend};
use anyhow::{Context, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;
use serde_json::Value;

/// A report.
#[derive(Debug, Serialize)]
pub struct Page {
    purposes: Vec<String>,
    profiles: Vec<String>,
    headings: Vec<String>,
    sentence: String,
    /// The revisions that made the records.
    revisions: Vec<String>,
    /// The commands that run the profiles.
    commands: Vec<String>,
    matrix: TableView,
    forest: Option<Chart>,
    /// The same in letters.
    forest_text: Option<String>,
    forest_caption: String,
    claims: Vec<TableView>,
    studies: Vec<StudyView>,
}

#[derive(Debug, Serialize)]
struct StudyView {
    title: String,
    profile: String,
    purpose: Option<String>,
    headings: Vec<String>,
    /// Whether the purpose and the headings stand above the whole report already, as every study has them.
    repeats: bool,
    report_on: &'static str,
    notes: Vec<String>,
    legend: String,
    scenarios: Vec<ScenarioView>,
    choices: Option<TableView>,
    environments: Vec<EnvironmentView>,
}

#[derive(Debug, Serialize)]
struct ScenarioView {
    anchor: String,
    title: String,
    kind: &'static str,
    split: String,
    order: String,
    candidate_hash: String,
    heading: Option<&'static str>,
    sentences: Vec<String>,
    floor: bool,
    primary: TableView,
    planned: Option<TableView>,
    /// Rows that rank the whole catalogue.
    catalogue: Option<TableView>,
    /// What is secondary, and what it is about.
    details: Vec<TableView>,
    details_title: String,
    charts: Vec<Chart>,
    charts_title: String,
    /// The command that makes its numbers, where that is known.
    command: Option<String>,
    /// The command that makes the report again from the records.
    report_command: Option<String>,
    /// The files that rows of other programs come from.
    imported: Vec<Imported>,
    cells: Option<TableView>,
    /// Every metric, for LaTeX.
    accuracy: Table,
    /// Other readings, likewise.
    sensitivity: Vec<Table>,
}

/// An environment, by name and value.
#[derive(Debug, Serialize)]
struct EnvironmentView {
    facts: Vec<(String, String)>,
}

#[derive(Debug, Serialize)]
struct TableView {
    #[serde(flatten)]
    table: Table,
    markdown: String,
}

impl From<Table> for TableView {
    fn from(table: Table) -> Self {
        Self {
            markdown: markdown_table(&table),
            table,
        }
    }
}

impl Page {
    /// Lays out analysed studies.
    #[must_use]
    pub fn new(studies: &[Analysed], summary: &Summary) -> Self {
        let margin = studies
            .iter()
            .map(|one| one.study.claims.margin)
            .fold(0.0, f64::max);
        let lines = lines(&summary.families);
        let above = |one: &Analysed| (one.study.purpose.clone(), heading::of_study(one.study));
        let repeats = studies.windows(2).all(|pair| above(&pair[0]) == above(&pair[1]));
        Self {
            purposes: summary.purposes.clone(),
            profiles: summary.profiles.clone(),
            headings: summary.headings.clone(),
            sentence: summary.sentence.clone(),
            revisions: revisions(studies),
            commands: commands(studies),
            matrix: table::matrix(summary).into(),
            forest: forest(&lines, margin, &summary.metric),
            forest_text: forest_text(&lines, margin),
            forest_caption: forest_caption(&lines, margin, &summary.metric),
            claims: summary
                .families
                .iter()
                .map(|family| table::claims(family, &summary.metric).into())
                .collect(),
            studies: studies.iter().map(|one| study(one, repeats)).collect(),
        }
    }

    /// The report as Markdown.
    ///
    /// # Errors
    /// Where the template cannot be filled.
    pub fn markdown(&self) -> Result<String> {
        self.render("report.md", include_str!("template/report.md.j2"))
    }

    /// The report as one HTML file that needs no other.
    ///
    /// # Errors
    /// Where the template cannot be filled.
    pub fn html(&self) -> Result<String> {
        self.render("report.html", include_str!("template/report.html.j2"))
    }

    /// The main tables for a LaTeX document that loads `booktabs`.
    ///
    /// # Errors
    /// Where the template cannot be filled.
    pub fn latex(&self) -> Result<String> {
        self.render("table.tex", include_str!("template/table.tex.j2"))
    }

    fn render(&self, name: &str, template: &str) -> Result<String> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|name| {
            if name.ends_with(".html") {
                AutoEscape::Html
            } else {
                AutoEscape::None
            }
        });
        let mut syntax = SyntaxConfig::builder();
        syntax
            .trim_blocks(true)
            .lstrip_blocks(true)
            .keep_trailing_newline(true);
        environment.set_syntax(syntax.build()?);
        environment.add_filter("md", markdown_text);
        environment.add_filter("code", markdown_code);
        environment.add_filter("tex", latex_text);
        environment.add_global("style", include_str!("template/report.css"));
        environment.add_global("script", include_str!("template/report.js"));
        environment
            .add_template(name, template)
            .with_context(|| format!("template of {name}"))?;
        let filled = environment.get_template(name)?.render(Serde(self));
        filled.with_context(|| format!("filling {name}"))
    }
}

fn study(analysed: &Analysed, repeats: bool) -> StudyView {
    let study = analysed.study;
    StudyView {
        title: study.title.clone(),
        profile: study.profile.clone(),
        purpose: study.purpose.clone(),
        headings: heading::of_study(study),
        repeats,
        report_on: Cut::name(study.report_on),
        notes: study.notes.clone(),
        legend: legend(analysed),
        scenarios: analysed
            .scenarios
            .iter()
            .map(|one| scenario(analysed, one))
            .collect(),
        choices: table::choices(study).map(Into::into),
        environments: environments(study),
    }
}

fn scenario(analysed: &Analysed, analysis: &Analysis) -> ScenarioView {
    let (study, scenario) = (analysed.study, analysis.scenario);
    let planned = analysed.planned.as_ref();
    let accuracy = table::accuracy(analysis);
    let contrasts = table::planned(analysed, analysis);
    let details = [
        ("other readings", table::readings(analysis)),
        ("other readings", table::repeated(analysed, analysis)),
        ("order of ids", table::id_order(analysed, analysis)),
        ("floors", table::learned(analysis)),
        ("compute", table::compute(analysis, &study.claims.woven)),
        ("every metric", Some(accuracy.clone())),
        ("differences", table::differences(analysis)),
        ("diagnosis", table::diagnosis(analysis)),
        ("parts of the users", table::strata(analysis)),
        ("first places", table::top(analysis)),
        ("cost", Some(table::cost(analysis))),
    ];
    let along = table::weights(analysis).into_iter();
    let details: Vec<(&str, Table)> = details
        .into_iter()
        .filter_map(|(word, table)| Some((word, table?)))
        .chain(along.map(|table| ("weights", table)))
        .collect();
    let charts = charts(analysis, study.claims.margin);
    let words = contrasts.iter().map(|_| "planned contrasts");
    let details_title = listed(words.chain(details.iter().map(|(word, _)| *word)));
    let charts_title = listed(charts.iter().map(|(word, _)| *word));
    ScenarioView {
        anchor: format!("{}-{}", study.name, scenario.name)
            .replace(|c: char| !c.is_ascii_alphanumeric(), "-"),
        title: scenario.title(),
        kind: scenario.kind.label(),
        split: scenario.split.clone(),
        order: scenario.order.clone(),
        candidate_hash: scenario.candidate_hash.chars().take(12).collect(),
        heading: heading::of_scenario(analysis),
        sentences: sentences(analysis, planned, &study.claims.woven),
        floor: scenario.rows.iter().any(|row| row.family == Family::Floor),
        primary: table::primary(analysis, planned).into(),
        planned: contrasts.map(Into::into),
        catalogue: table::catalogue(analysis).map(Into::into),
        details: details.into_iter().map(|(_, table)| table.into()).collect(),
        details_title,
        charts: charts.into_iter().map(|(_, chart)| chart).collect(),
        charts_title,
        command: study
            .command
            .as_ref()
            .map(|command| match scenario.units.is_empty() {
                true => command.clone(),
                false => format!("{command} --units {}", ranges(&scenario.units)),
            }),
        report_command: study
            .command
            .as_ref()
            .map(|command| command.replacen(" reproduce ", " report ", 1)),
        imported: imported(study, scenario),
        cells: table::cells(analysis).map(Into::into),
        accuracy,
        sensitivity: table::readings(analysis).into_iter().collect(),
    }
}

/// Some words in a line, each once and in their order: `every metric, differences and cost`.
fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut once: Vec<&str> = Vec::new();
    for word in words {
        if !once.contains(&word) {
            once.push(word);
        }
    }
    match once.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        few => few.concat(),
    }
}

fn environments(study: &Study) -> Vec<EnvironmentView> {
    let view = |environment: &Value| {
        let mut facts = Vec::new();
        flatten("", environment, &mut facts);
        EnvironmentView { facts }
    };
    study.environments.iter().map(view).collect()
}

/// The commands that run the profiles, each once.
pub(super) fn commands(studies: &[Analysed]) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for command in studies.iter().filter_map(|one| one.study.command.as_ref()) {
        if !commands.contains(command) {
            commands.push(command.clone());
        }
    }
    commands
}

/// The revisions of all records, `(changed)` after those of a working copy that was not what the revision says.
pub(super) fn revisions(studies: &[Analysed]) -> Vec<String> {
    let mut revisions: Vec<String> = Vec::new();
    for environment in studies.iter().flat_map(|one| &one.study.environments) {
        let Some(revision) = environment["revision"].as_str() else {
            continue;
        };
        let changed = if environment["dirty"] == true {
            " (changed)"
        } else {
            ""
        };
        let shown = format!("{revision}{changed}");
        if !revisions.contains(&shown) {
            revisions.push(shown);
        }
    }
    revisions
}

/// Nested facts as a list of names and values, in their order.
fn flatten(name: &str, value: &Value, facts: &mut Vec<(String, String)>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let name = if name.is_empty() {
                    key.clone()
                } else {
                    format!("{name}.{key}")
                };
                flatten(&name, value, facts);
            }
        }
        Value::Null => {}
        Value::String(text) => facts.push((name.to_owned(), text.clone())),
        Value::Array(values) => {
            let values: Vec<String> = values
                .iter()
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                .collect();
            facts.push((name.to_owned(), values.join(", ")));
        }
        other => facts.push((name.to_owned(), other.to_string())),
    }
}
