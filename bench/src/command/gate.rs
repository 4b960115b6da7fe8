//! `weaverec gate`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use weaverec_output::write_file;

use super::number;
use crate::claim::decision::{non_inferior, shown_drop};
use crate::report::across::Pairing;
use crate::report::folder::{Folder, RowResults, ScenarioResults, StudyResults};
use crate::report::junit::{Case, Outcome, Suites};
use crate::report::number::signed;
use crate::statistics::Contrast;

/// Pass or fail a report by what it shows, for continuous integration. Exits with 1 where it fails.
///
/// `--max-drop` fails where it is shown that a row dropped by more, and never on noise; the level is shared by all rows and scenarios that are
/// looked at. `--require` passes where it is shown in every scenario that a row is not worse than another by the margin or more, and never on
/// ignorance. Both go by the rule of claims: differences paired by replicate and user, both drawn at random.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("check").required(true).multiple(true).args(["max_drop", "require"]),
    after_help = "\
Examples:
  weaverec gate results/quick --baseline main/results/quick --max-drop 0.02
  weaverec gate results/quick --baseline main/results/quick --require weaverec
  weaverec gate results/quick --require weaverec --against target-only --margin 0.03
  weaverec gate results/quick --baseline main/results/quick --max-drop 0.02 --junit gate.xml"
)]
pub struct Arguments {
    /// Folder of the report.
    report: PathBuf,
    /// Folder of the report to compare to, such as that of the main branch.
    #[arg(long)]
    baseline: Option<PathBuf>,
    /// Fail where a row of the report is shown to lie below the same row of the baseline by more than this.
    #[arg(long, value_parser = number::not_negative, requires = "baseline")]
    max_drop: Option<f64>,
    /// A row (by its method name) that must be shown not to be worse: than itself in the baseline, or than the row of `--against`.
    #[arg(long, value_name = "ROW")]
    require: Vec<String>,
    /// The row of the same report that those of `--require` must not be worse than.
    #[arg(long, value_name = "ROW", requires = "require")]
    against: Option<String>,
    /// How much worse counts as worse [default: the margin of the profile's claims].
    #[arg(long, value_parser = number::positive, requires = "require")]
    margin: Option<f64>,
    /// The level [default: that of the profile's claims].
    #[arg(long, value_parser = number::level)]
    alpha: Option<f64>,
    /// Only these rows for `--max-drop` [default: all but floors and probes].
    #[arg(long, value_name = "ROW", requires = "max_drop")]
    row: Vec<String>,
    /// Only these scenarios.
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// Write the checks into this file as JUnit XML too: a test case each, and what could not be compared as skipped.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// What was asked of a row in a scenario, and what came of it.
struct Checked {
    /// The study, which is a suite of test cases.
    study: String,
    /// The scenario and the row in it.
    at: String,
    contrast: Contrast,
    passed: bool,
    words: String,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    if let Some(file) = &arguments.junit {
        outside(file, &arguments)?;
    }
    let report = Folder::read(&arguments.report)?;
    let baseline = arguments.baseline.as_deref().map(Folder::read).transpose()?;
    known_scenarios(&arguments, &report)?;
    let (mut checks, mut skipped) = (Vec::new(), Vec::new());
    if let (Some(most), Some(baseline)) = (arguments.max_drop, &baseline) {
        checks.extend(drops(&arguments, &report, baseline, most, &mut skipped)?);
    }
    for row in &arguments.require {
        checks.extend(required(&arguments, &report, baseline.as_ref(), row)?);
    }
    let mut failed = 0;
    for check in &checks {
        let word = if check.passed { "passed" } else { "FAILED" };
        failed += usize::from(!check.passed);
        let shown = signed(check.contrast.mean, check.contrast.interval);
        super::print(format!(
            "{word}  {}, {}: {shown}: {}",
            check.study, check.at, check.words
        ))?;
    }
    if let Some(file) = &arguments.junit {
        write_file(file, suites(&checks, skipped).xml().as_bytes())?;
    }
    super::print(format!("{} checks, {failed} failed", checks.len()))?;
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// Refuses a file in a folder that is read: a report is made of what lies in it.
fn outside(file: &Path, arguments: &Arguments) -> Result<()> {
    let place = weaverec_output::resolve(file)?;
    ensure!(
        !place.is_dir(),
        "--junit {} is a folder: name a file, such as gate.xml",
        file.display()
    );
    for folder in std::iter::once(&arguments.report).chain(&arguments.baseline) {
        ensure!(
            !place.starts_with(weaverec_output::resolve(folder)?),
            "--junit {} lies in {}, which is what is gated: name a file elsewhere",
            file.display(),
            folder.display()
        );
    }
    Ok(())
}

/// The checks as test cases, a suite a study.
fn suites(checks: &[Checked], skipped: Vec<(String, String)>) -> Suites {
    let mut suites = Suites::new("weaverec gate");
    for check in checks {
        let shown = signed(check.contrast.mean, check.contrast.interval);
        let outcome = match check.passed {
            true => Outcome::Passed,
            false => Outcome::Failed {
                message: check.words.clone(),
                text: format!("{}: {shown}: {}", check.at, check.words),
            },
        };
        suites.add(&check.study, Case::new(&check.at, outcome));
    }
    for (study, why) in skipped {
        suites.add(&study, Case::new(&why, Outcome::Skipped(why.clone())));
    }
    suites
}

/// Refuses names of scenarios that the report has not: a misspelt gate would watch nothing.
fn known_scenarios(arguments: &Arguments, report: &Folder) -> Result<()> {
    let studies = &report.results.studies;
    let names: Vec<&str> = studies
        .iter()
        .flat_map(|study| study.scenarios.iter().map(|one| one.name.as_str()))
        .collect();
    for wanted in &arguments.scenario {
        ensure!(
            names.contains(&wanted.as_str()),
            "{} has no scenario `{wanted}`, only {}",
            report.path.display(),
            names.join(", ")
        );
    }
    Ok(())
}

fn wanted(arguments: &Arguments, scenario: &str) -> bool {
    arguments.scenario.is_empty() || arguments.scenario.iter().any(|name| name == scenario)
}

/// Every row against itself in the baseline.
/// Adds what could not be compared to `skipped`, with its study.
fn drops(
    arguments: &Arguments,
    report: &Folder,
    baseline: &Folder,
    most: f64,
    skipped: &mut Vec<(String, String)>,
) -> Result<Vec<Checked>> {
    let mut found = Vec::new();
    for study in &report.results.studies {
        if baseline.study(&study.name).is_none() {
            let why = format!("the baseline has no study {}", study.name);
            super::print(format!("not compared: {why}"))?;
            skipped.push((study.name.clone(), why));
            continue;
        }
        let pairing = Pairing::new(baseline, report, &study.name)?;
        if !pairing.apart.is_empty() {
            super::print(format!(
                "{}: descriptive: {}",
                study.name,
                pairing.apart.join(", ")
            ))?;
        }
        for note in &pairing.skipped {
            super::print(format!("not compared: {note}"))?;
            skipped.push((study.name.clone(), note.clone()));
        }
        for across in pairing.rows {
            let looked_at = if arguments.row.is_empty() {
                across.family.is_gated()
            } else {
                arguments.row.contains(&across.method)
            };
            if looked_at && wanted(arguments, &across.scenario) {
                let alpha = arguments.alpha.unwrap_or(study.rules.alpha);
                let at = format!("{}, {}", across.scenario, across.method);
                found.push((study.name.clone(), at, across.decision.contrast, alpha));
            }
        }
    }
    ensure!(
        !found.is_empty(),
        "no row of {} could be compared with {}: they have no scenario and row in common, or other candidates",
        report.path.display(),
        baseline.path.display()
    );
    let count = found.len() as f64;
    Ok(found
        .into_iter()
        .map(|(study, at, contrast, alpha)| {
            let dropped = shown_drop(&contrast, most, alpha / count);
            let words = match (dropped, contrast.replicates) {
                (true, _) => format!("a drop of more than {most} is shown"),
                (false, 1) => "a single replicate shows nothing".to_owned(),
                (false, _) => format!("no drop of more than {most} is shown"),
            };
            Checked {
                study,
                at,
                contrast,
                passed: !dropped,
                words,
            }
        })
        .collect())
}

/// One row against another of the report, or against itself in the baseline, in every scenario.
fn required(
    arguments: &Arguments,
    report: &Folder,
    baseline: Option<&Folder>,
    method: &str,
) -> Result<Vec<Checked>> {
    let mut checks = Vec::new();
    for study in &report.results.studies {
        for scenario in study.scenarios.iter().filter(|one| wanted(arguments, &one.name)) {
            let at = format!("{}, {}", study.name, scenario.name);
            let place = || format!("{}: {at}", report.path.display());
            let row = row(scenario, method).with_context(place)?;
            let ours = report
                .sample(study, &scenario.name, row)
                .with_context(|| format!("{}: per_user.parquet lacks row `{method}`", place()))?;
            let (other, contrast) = match (&arguments.against, baseline) {
                (Some(against), _) => {
                    let other = self::row(scenario, against).with_context(place)?;
                    let theirs = report.sample(study, &scenario.name, other);
                    (
                        against.clone(),
                        theirs.map(|theirs| ours.minus(&theirs)).transpose()?,
                    )
                }
                (None, Some(baseline)) => {
                    let theirs = in_baseline(baseline, study, scenario, method)?;
                    let sample = theirs.and_then(|(study, row)| baseline.sample(study, &scenario.name, row));
                    let contrast = sample.map(|theirs| ours.minus(&theirs)).transpose()?;
                    ("the baseline".to_owned(), contrast)
                }
                (None, None) => bail!(
                    "--require {method} needs a row not to be worse than: name one of the report by --against, or a report by --baseline"
                ),
            };
            let contrast = contrast.flatten().with_context(|| {
                format!(
                    "{}: `{method}` and {other} have no replicate and user in common",
                    place()
                )
            })?;
            let margin = arguments.margin.unwrap_or(study.rules.margin);
            let alpha = arguments.alpha.unwrap_or(study.rules.alpha);
            let passed = non_inferior(&contrast, margin, alpha);
            let shown = if passed { "shown" } else { "not shown" };
            checks.push(Checked {
                study: study.name.clone(),
                at: format!("{}, {method} against {other}", scenario.name),
                contrast,
                passed,
                words: format!("that it is not worse by {margin} is {shown}"),
            });
        }
    }
    ensure!(!checks.is_empty(), "{} has no scenario", report.path.display());
    Ok(checks)
}

fn row<'a>(scenario: &'a ScenarioResults, method: &str) -> Result<&'a RowResults> {
    let names: Vec<&str> = scenario.rows.iter().map(|row| row.method.as_str()).collect();
    scenario
        .rows
        .iter()
        .find(|row| row.method == method)
        .with_context(|| format!("there is no row `{method}`, only {}", names.join(", ")))
}

/// The same row in the baseline, if it ranked the same candidates.
fn in_baseline<'a>(
    baseline: &'a Folder,
    study: &StudyResults,
    scenario: &ScenarioResults,
    method: &str,
) -> Result<Option<(&'a StudyResults, &'a RowResults)>> {
    let found = baseline.study(&study.name).and_then(|old| {
        let same = old.scenarios.iter().find(|one| one.name == scenario.name)?;
        Some((old, same))
    });
    let Some((old, same)) = found else {
        return Ok(None);
    };
    ensure!(
        same.candidate_hash == scenario.candidate_hash,
        "{}, {}: the baseline ranked other candidates ({} in place of {}); make it again",
        study.name,
        scenario.name,
        same.candidate_hash,
        scenario.candidate_hash
    );
    Ok(Some((old, row(same, method)?)))
}

#[cfg(test)]
mod tests;
