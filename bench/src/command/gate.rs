//! `weaverec gate`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::number;
use crate::decision::{non_inferior, shown_drop};
use crate::report::across::Pairing;
use crate::report::folder::{Folder, RowResults, ScenarioResults, StudyResults};
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
  weaverec gate results/quick --require weaverec --against target-only --margin 0.03"
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
}

/// What was asked of a row in a scenario, and what came of it.
struct Checked {
    at: String,
    contrast: Contrast,
    passed: bool,
    words: String,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    let report = Folder::read(&arguments.report)?;
    let baseline = arguments.baseline.as_deref().map(Folder::read).transpose()?;
    known_scenarios(&arguments, &report)?;
    let mut checks = Vec::new();
    if let (Some(most), Some(baseline)) = (arguments.max_drop, &baseline) {
        checks.extend(drops(&arguments, &report, baseline, most)?);
    }
    for row in &arguments.require {
        checks.extend(required(&arguments, &report, baseline.as_ref(), row)?);
    }
    let mut failed = 0;
    for check in &checks {
        let word = if check.passed { "passed" } else { "FAILED" };
        failed += usize::from(!check.passed);
        let shown = signed(check.contrast.mean, check.contrast.interval);
        super::print(format!("{word}  {}: {shown}: {}", check.at, check.words))?;
    }
    super::print(format!("{} checks, {failed} failed", checks.len()))?;
    Ok(ExitCode::from(u8::from(failed > 0)))
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
fn drops(arguments: &Arguments, report: &Folder, baseline: &Folder, most: f64) -> Result<Vec<Checked>> {
    let mut found = Vec::new();
    for study in &report.results.studies {
        if baseline.study(&study.name).is_none() {
            super::print(format!("not compared: the baseline has no study {}", study.name))?;
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
        }
        for across in pairing.rows {
            let looked_at = if arguments.row.is_empty() {
                across.family.is_gated()
            } else {
                arguments.row.contains(&across.method)
            };
            if looked_at && wanted(arguments, &across.scenario) {
                let alpha = arguments.alpha.unwrap_or(study.rules.alpha);
                let at = format!("{}, {}, {}", study.name, across.scenario, across.method);
                found.push((at, across.decision.contrast, alpha));
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
        .map(|(at, contrast, alpha)| {
            let dropped = shown_drop(&contrast, most, alpha / count);
            let words = match (dropped, contrast.replicates) {
                (true, _) => format!("a drop of more than {most} is shown"),
                (false, 1) => "a single replicate shows nothing".to_owned(),
                (false, _) => format!("no drop of more than {most} is shown"),
            };
            Checked {
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
                at: format!("{at}, {method} against {other}"),
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
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::report::fixture::{scenario, set, study};
    use crate::report::{Study, write_all};
    use clap::{Command, FromArgMatches};
    use std::path::Path;

    fn parsed(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        let command = Arguments::augment_args(Command::new("gate").no_binary_name(true));
        Arguments::from_arg_matches(&command.try_get_matches_from(arguments)?)
    }

    /// Two reports, and what the gate says of the second for flags in which `BASE` stands for the first.
    fn gate(base: Study, head: Study, flags: &[&str]) -> Result<bool> {
        let dir = tempfile::tempdir()?;
        let write = |study: Study, name: &str| -> Result<String> {
            let out = dir.path().join(name);
            let claim = weaverec_output::Claim::take(&out, crate::output::REPORT, &[])?;
            write_all(&[study], &claim)?;
            Ok(out.to_str().context("path")?.to_owned())
        };
        let (base, head) = (write(base, "base")?, write(head, "head")?);
        let flags = flags
            .iter()
            .map(|flag| if *flag == "BASE" { base.as_str() } else { *flag });
        let arguments: Vec<&str> = std::iter::once(head.as_str()).chain(flags).collect();
        Ok(run(parsed(&arguments)?)? == ExitCode::SUCCESS)
    }

    /// The study with another rank in every third place of a row.
    fn changed(replicates: u32, method: &str, to: u32) -> Study {
        let mut study = study(replicates);
        let old = scenario(replicates);
        let row = old.rows.iter().find(|row| row.method == method).unwrap();
        set(&mut study.scenarios[0], method, |replicate, user| {
            let place = row.runs[replicate as usize].places[user as usize];
            if (user + replicate) % 3 == 0 {
                to
            } else {
                place.above + 1
            }
        });
        study
    }

    #[test]
    fn only_a_shown_drop_fails_and_only_beyond_what_is_allowed() {
        let drop = |study: Study, most: &str| {
            gate(self::study(5), study, &["--baseline", "BASE", "--max-drop", most]).unwrap()
        };
        assert!(drop(study(5), "0"), "nothing changed");
        assert!(
            !drop(changed(5, "soup", 10), "0.02"),
            "a third of the users fell to the last rank"
        );
        assert!(drop(changed(5, "soup", 10), "0.5"), "by less than half");
        assert!(drop(changed(5, "soup", 1), "0.02"), "a rise is no drop");
        assert!(
            drop(changed(5, "popularity", 10), "0.02"),
            "a floor is not looked at"
        );
        let one = gate(
            study(1),
            changed(1, "soup", 10),
            &["--baseline", "BASE", "--max-drop", "0"],
        );
        assert!(one.unwrap(), "a single replicate shows nothing");
    }

    #[test]
    fn a_row_or_scenario_can_be_picked() {
        let flags = ["--baseline", "BASE", "--max-drop", "0.02"];
        let with = |more: &[&str]| gate(study(5), changed(5, "soup", 10), &[&flags[..], more].concat());
        assert!(with(&["--row", "weaverec"]).unwrap());
        assert!(!with(&["--row", "weaverec", "--row", "soup"]).unwrap());
        assert!(!with(&["--scenario", "comedy-to-drama"]).unwrap());
        let error = format!("{:#}", with(&["--scenario", "drama"]).unwrap_err());
        assert!(
            error.contains("`drama`") && error.contains("comedy-to-drama"),
            "{error}"
        );
    }

    #[test]
    fn a_requirement_passes_only_where_non_inferiority_is_shown() {
        let require = |study: Study, more: &[&str]| {
            gate(
                self::study(5),
                study,
                &[&["--require", "weaverec"], more].concat(),
            )
        };
        assert!(require(study(5), &["--against", "target-only"]).unwrap());
        assert!(!require(changed(5, "weaverec", 10), &["--against", "target-only"]).unwrap());
        // Against itself in the baseline: the same numbers are within every margin.
        assert!(require(study(5), &["--baseline", "BASE"]).unwrap());
        assert!(!require(changed(5, "weaverec", 10), &["--baseline", "BASE"]).unwrap());
        assert!(
            require(
                changed(5, "weaverec", 10),
                &["--baseline", "BASE", "--margin", "0.6"]
            )
            .unwrap()
        );
        // Ignorance is no pass: two rows of one skill, within less than their noise, and a single replicate.
        let alike = [
            "--require",
            "soup",
            "--against",
            "joint-matched",
            "--margin",
            "0.001",
        ];
        assert!(!gate(study(5), study(5), &alike).unwrap());
        let one = gate(
            study(1),
            study(1),
            &["--require", "weaverec", "--against", "target-only"],
        );
        assert!(!one.unwrap());
    }

    #[test]
    fn what_cannot_be_asked_is_an_error_that_says_what_can() {
        let error = |flags: &[&str]| format!("{:#}", gate(study(3), study(3), flags).unwrap_err());
        assert!(error(&["--require", "weaverec"]).contains("--against"));
        let unknown = error(&["--require", "wverec", "--against", "target-only"]);
        assert!(
            unknown.contains("no row `wverec`, only random, popularity"),
            "{unknown}"
        );
        assert!(error(&["--require", "weaverec", "--against", "target"]).contains("no row `target`"));
        assert!(error(&[]).contains("--max-drop"));
        assert!(error(&["--max-drop", "0.1"]).contains("--baseline"));
        assert!(parsed(&["r", "--baseline", "b", "--max-drop", "-1"]).is_err());
        let mut other = study(3);
        other.scenarios[0].candidate_hash = "decaf".to_owned();
        for run in other.scenarios[0].rows.iter_mut().flat_map(|row| &mut row.runs) {
            run.candidate_hash = "decaf".to_owned();
        }
        let flags = ["--baseline", "BASE", "--max-drop", "0.1"];
        let nothing = format!("{:#}", gate(study(3), other.clone(), &flags).unwrap_err());
        assert!(nothing.contains("other candidates"), "{nothing}");
        let flags = ["--baseline", "BASE", "--require", "weaverec"];
        let nothing = format!("{:#}", gate(study(3), other, &flags).unwrap_err());
        assert!(nothing.contains("decaf"), "{nothing}");
        assert!(Folder::read(Path::new("nowhere")).is_err());
    }
}
