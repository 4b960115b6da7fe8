//! `weaverec compare`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;

use crate::report;

/// Compare the numbers of two reports: what the seeds decide, not what the clock does. Exits with 1 where they differ.
///
/// Only the studies that both hold are compared, and the others named; two reports without a common one are an error.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec compare results/quick other/results           exits with 1 where a number differs")]
pub struct Arguments {
    /// Folder of the first report.
    base: PathBuf,
    /// Folder of the second.
    head: PathBuf,
}

/// Keys below which everything depends on the machine.
const MACHINE: [&str; 2] = ["environment", "cost"];

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    for folder in [&arguments.base, &arguments.head] {
        let missing: Vec<&str> = report::FILES
            .into_iter()
            .filter(|file| !folder.join(file).is_file())
            .collect();
        anyhow::ensure!(
            missing.is_empty(),
            "{} is no complete report: {} missing",
            folder.display(),
            missing.join(", ")
        );
    }
    let (base, head) = (read(&arguments.base)?, read(&arguments.head)?);
    let names = |report: &Value| -> BTreeSet<String> {
        let studies = report["studies"].as_array().into_iter().flatten();
        studies
            .filter_map(|study| study["name"].as_str().map(str::to_string))
            .collect()
    };
    let (in_base, in_head) = (names(&base), names(&head));
    let common: BTreeSet<&String> = in_base.intersection(&in_head).collect();
    anyhow::ensure!(!common.is_empty(), "the reports have no study in common");
    for alone in in_base.symmetric_difference(&in_head) {
        super::print(format!("only in one of the reports, not compared: {alone}"))?;
    }
    let mut differences = Vec::new();
    for name in common {
        collect(name, study(&base, name), study(&head, name), &mut differences);
    }
    for difference in differences.iter().take(20) {
        super::print(difference)?;
    }
    if differences.is_empty() {
        super::print("the same numbers")?;
        return Ok(ExitCode::SUCCESS);
    }
    super::print(format!("{} numbers differ", differences.len()))?;
    Ok(ExitCode::from(1))
}

fn study<'a>(report: &'a Value, name: &str) -> &'a Value {
    let mut studies = report["studies"].as_array().into_iter().flatten();
    studies
        .find(|study| study["name"] == name)
        .unwrap_or(&Value::Null)
}

fn read(folder: &Path) -> Result<Value> {
    let path = folder.join("results.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

fn collect(at: &str, base: &Value, head: &Value, differences: &mut Vec<String>) {
    match (base, head) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|k| !a.contains_key(*k)));
            for key in keys.filter(|k| !MACHINE.contains(&k.as_str())) {
                let (x, y) = (
                    a.get(key).unwrap_or(&Value::Null),
                    b.get(key).unwrap_or(&Value::Null),
                );
                collect(&format!("{at}/{key}"), x, y, differences);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (x, y)) in a.iter().zip(b).enumerate() {
                collect(&format!("{at}/{i}"), x, y, differences);
            }
        }
        (a, b) if a != b => differences.push(format!("{at}: {a} became {b}")),
        _ => (),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn costs_may_differ_and_numbers_may_not() {
        let mut differences = Vec::new();
        let base = json!({"rows": [{"ndcg": 0.5, "cost": {"seconds": 1}}], "environment": {"threads": 1}});
        let head = json!({"rows": [{"ndcg": 0.5, "cost": {"seconds": 9}}], "environment": {"threads": 2}});
        super::collect("", &base, &head, &mut differences);
        assert!(differences.is_empty());
        super::collect("", &base, &json!({"rows": [{"ndcg": 0.6}]}), &mut differences);
        assert_eq!(differences, ["/rows/0/ndcg: 0.5 became 0.6"]);
    }
}
