//! `weaverec readme`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use weaverec_output::write_file;

use crate::report::folder::read_results;
use crate::report::readme::fill;

/// Fill the tables of a README from reports, or check that they are what the reports say.
///
/// A table stands between a line `<!-- table: quick/matrix -->` and a line `<!-- end table -->`: the name of the report's folder, and
/// `matrix` or `claims`. With `--check` nothing is written, and the command exits with 1 where the text would change.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("what").required(true).args(["check", "write"]),
    after_help = "\
Examples:
  weaverec readme --write README.md results/quick
  weaverec readme --check README.md results/quick        exits with 1 where a table is not the report's"
)]
pub struct Arguments {
    /// Check the tables of this file.
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Write the tables into this file.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Folders of reports.
    #[arg(required = true)]
    reports: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    let mut reports = BTreeMap::new();
    for folder in &arguments.reports {
        let name = folder
            .file_name()
            .and_then(|name| name.to_str())
            .with_context(|| {
                format!(
                    "{}: a report is named by its folder, and this has no name",
                    folder.display()
                )
            })?;
        let (_, results) = read_results(folder)?;
        anyhow::ensure!(
            reports.insert(name.to_owned(), results.summary).is_none(),
            "two reports are in folders called {name}; tables name them by it"
        );
    }
    let filled = |path: &Path| -> Result<(String, String)> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let filled = fill(&text, &reports).with_context(|| path.display().to_string())?;
        Ok((text, filled))
    };
    if let Some(path) = &arguments.write {
        let (text, filled) = filled(path)?;
        if filled != text {
            write_file(path, filled.as_bytes())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let Some(path) = &arguments.check else {
        return Ok(ExitCode::SUCCESS);
    };
    let (text, filled) = filled(path)?;
    let changed = text
        .lines()
        .zip(filled.lines())
        .position(|(is, should)| is != should);
    match changed {
        None if text == filled => Ok(ExitCode::SUCCESS),
        changed => {
            let line = changed.unwrap_or_else(|| text.lines().count().min(filled.lines().count())) + 1;
            super::print(format!(
                "{}: from line {line} on a table is not what the report says; `weaverec readme --write {} {}` writes it anew",
                path.display(),
                path.display(),
                arguments
                    .reports
                    .iter()
                    .map(|folder| folder.display().to_string())
                    .collect::<Vec<_>>()
                    .join(" ")
            ))?;
            Ok(ExitCode::from(1))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::report::fixture::{set, study};
    use crate::report::{Study, write_all};

    fn write(study: Study, out: &Path) {
        let claim = weaverec_output::Claim::take(out, crate::output::REPORT, &[]).unwrap();
        write_all(&[study], &claim).unwrap();
    }

    #[test]
    fn tables_are_written_from_records_and_checked_against_them() {
        let dir = tempfile::tempdir().unwrap();
        let (report, readme) = (dir.path().join("quick"), dir.path().join("README.md"));
        write(study(5), &report);
        let text = "# Title\n<!-- table: quick/matrix -->\n<!-- end table -->\n\n<!-- table: quick/claims -->\n<!-- end table -->\n";
        std::fs::write(&readme, text).unwrap();
        let check = || {
            run(Arguments {
                check: Some(readme.clone()),
                write: None,
                reports: vec![report.clone()],
            })
            .unwrap()
        };
        assert_eq!(check(), ExitCode::from(1));
        assert_eq!(
            std::fs::read_to_string(&readme).unwrap(),
            text,
            "checking writes nothing"
        );
        let fill = || {
            run(Arguments {
                check: None,
                write: Some(readme.clone()),
                reports: vec![report.clone()],
            })
            .unwrap()
        };
        assert_eq!(fill(), ExitCode::SUCCESS);
        assert_eq!(check(), ExitCode::SUCCESS);
        let filled = std::fs::read_to_string(&readme).unwrap();
        assert!(
            filled.contains("Profile tiny: shows how a report reads, claims nothing."),
            "{filled}"
        );
        assert!(
            filled.contains("| Soup | 0.") && filled.contains("| W (primary) | the claim | "),
            "{filled}"
        );
        // Another number in the records, and the table is no longer theirs.
        let mut changed = study(5);
        set(&mut changed.scenarios[0], "target-only", |_, _| 1);
        write(changed, &report);
        assert_eq!(check(), ExitCode::from(1));
    }
}
