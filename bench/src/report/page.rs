//! What the Markdown, HTML and LaTeX templates are given: texts, tables and drawings, ready to be placed.

use super::analysis::Analysis;
use super::chart::{Chart, charts};
use super::input::Study;
use super::table::{Table, accuracy, cost, diagnosis, differences};
use super::verdict::{Outcome, UNINFORMATIVE, judge};
use anyhow::{Context, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;
use serde_json::Value;

/// A report.
#[derive(Debug, Serialize)]
pub struct Page {
    studies: Vec<StudyView>,
    environment: Vec<(String, String)>,
}

#[derive(Debug, Serialize)]
struct StudyView {
    title: String,
    profile: String,
    notes: Vec<String>,
    scenarios: Vec<ScenarioView>,
}

#[derive(Debug, Serialize)]
struct ScenarioView {
    anchor: String,
    title: String,
    kind: &'static str,
    split: String,
    users: usize,
    candidates: usize,
    candidate_hash: String,
    uninformative: Option<&'static str>,
    verdict: String,
    popularity: bool,
    accuracy: Table,
    /// The tables below the main one: differences, diagnosis, cost.
    details: Vec<Table>,
    charts: Vec<Chart>,
}

impl Page {
    /// Lays out analysed studies.
    #[must_use]
    pub fn new(studies: &[(&Study, Vec<Analysis>)], environment: &Value) -> Self {
        let studies = studies
            .iter()
            .map(|(study, analyses)| StudyView {
                title: study.title.clone(),
                profile: study.profile.clone(),
                notes: study.notes.clone(),
                scenarios: analyses
                    .iter()
                    .map(|analysis| scenario(study, analysis))
                    .collect(),
            })
            .collect();
        let mut facts = Vec::new();
        flatten("", environment, &mut facts);
        Self {
            studies,
            environment: facts,
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

fn scenario(study: &Study, analysis: &Analysis) -> ScenarioView {
    let scenario = analysis.scenario;
    let verdict = judge(analysis);
    ScenarioView {
        anchor: format!("{}-{}", study.name, scenario.name)
            .replace(|c: char| !c.is_ascii_alphanumeric(), "-"),
        title: format!("{} → {}", scenario.sources.join(" + "), scenario.target),
        kind: scenario.kind.label(),
        split: scenario.split.clone(),
        users: scenario.users,
        candidates: scenario.candidates,
        candidate_hash: scenario.candidate_hash.chars().take(12).collect(),
        uninformative: (verdict.outcome == Outcome::Uninformative).then_some(UNINFORMATIVE),
        verdict: verdict.sentence,
        popularity: analysis.find("popularity").is_some(),
        accuracy: accuracy(analysis),
        details: [differences(analysis), diagnosis(analysis), Some(cost(analysis))]
            .into_iter()
            .flatten()
            .collect(),
        charts: charts(analysis),
    }
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
        other => facts.push((name.to_owned(), other.to_string())),
    }
}

/// Text that means nothing to Markdown, inside or outside a table.
fn markdown_text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '|' | '*' | '_' | '`' | '<' | '[' | ']') {
            safe.push('\\');
        }
        safe.push(if c == '\n' { ' ' } else { c });
    }
    safe
}

/// Text that means nothing to LaTeX; the marks and signs the tables use become commands.
fn latex_text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => safe.push_str("\\textbackslash{}"),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                safe.push('\\');
                safe.push(c);
            }
            '~' => safe.push_str("\\textasciitilde{}"),
            '^' => safe.push_str("\\textasciicircum{}"),
            '±' => safe.push_str("$\\pm$"),
            '−' => safe.push_str("$-$"),
            '→' => safe.push_str("$\\rightarrow$"),
            '†' => safe.push_str("$^{\\dagger}$"),
            '‡' => safe.push_str("$^{\\ddagger}$"),
            '–' => safe.push_str("--"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_names_is_shown_and_not_obeyed() {
        assert_eq!(markdown_text("a|b_c"), "a\\|b\\_c");
        assert_eq!(latex_text("50% of A&B ± 1"), "50\\% of A\\&B $\\pm$ 1");
    }
}
