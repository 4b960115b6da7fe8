//! `weaverec compare`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use crate::claim::decision::Standing;
use crate::report::across::{Across, Pairing};
use crate::report::folder::Folder;
use crate::report::json::{MACHINE, SUMMARY};
use crate::report::{table, terminal};

/// Compare two reports: number by number, and row by row as paired differences under the rule that claims go by.
///
/// Of records of the same processor, kernels and numerics the same numbers are expected, and the command exits with 1 where they differ.
/// Of others they cannot be, since kernels add in other orders: their differences are described. Only the studies that both hold are
/// compared, and the others named; two reports without a common one are an error.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec compare results/quick other/results           exits with 1 where a number differs that should not")]
pub struct Arguments {
    /// Folder of the first report.
    base: PathBuf,
    /// Folder of the second.
    head: PathBuf,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    let (base, head) = (Folder::read(&arguments.base)?, Folder::read(&arguments.head)?);
    let names = |folder: &Folder| -> BTreeSet<String> {
        folder
            .results
            .studies
            .iter()
            .map(|study| study.name.clone())
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
        let pairing = Pairing::new(&base, &head, name)?;
        let (old, new) = (document(&base, name), document(&head, name));
        let mut here = Vec::new();
        collect(name, old, new, &mut here);
        if !here.is_empty() {
            super::print(described(&pairing))?;
        }
        if pairing.apart.is_empty() {
            differences.append(&mut here);
        } else {
            super::print(format!(
                "{name}: {} numbers differ, as they may ({})",
                here.len(),
                pairing.apart.join(", ")
            ))?;
        }
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

/// The paired differences of a study in words and as a table.
fn described(pairing: &Pairing) -> String {
    let mut text = String::new();
    let weakest = pairing
        .rows
        .iter()
        .map(|one: &Across| one.decision.standing)
        .min()
        .unwrap_or(Standing::Described);
    let mut why = pairing.apart.clone();
    if weakest < Standing::Claim {
        why.push(format!("fewer than {} replicates", Standing::CLAIM_REPLICATES));
    }
    if !why.is_empty() {
        text.push_str(&format!("descriptive: {}\n", why.join(", ")));
    }
    for note in &pairing.skipped {
        text.push_str(&format!("{note}\n"));
    }
    let table = table::across(pairing);
    let columns: Vec<usize> = (0..table.columns.len()).collect();
    text.push_str(&format!("{}\n", table.caption));
    text.push_str(&terminal::draw(&table, &columns, false));
    text
}

/// What stands in `results.json` of a study.
fn document<'a>(folder: &'a Folder, name: &str) -> &'a Value {
    let mut studies = folder.document["studies"].as_array().into_iter().flatten();
    studies
        .find(|study| study["name"] == name)
        .unwrap_or(&Value::Null)
}

fn collect(at: &str, base: &Value, head: &Value, differences: &mut Vec<String>) {
    match (base, head) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|k| !a.contains_key(*k)));
            let counts = |key: &&String| !MACHINE.contains(&key.as_str()) && *key != SUMMARY;
            for key in keys.filter(counts) {
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
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::report::fixture::{set, study};
    use crate::report::{Study, write_all};
    use serde_json::json;

    /// Two reports, and whether `compare` finds that they hold the numbers they should.
    fn compared(base: Study, head: Study) -> bool {
        let dir = tempfile::tempdir().unwrap();
        let write = |study: Study, name: &str| {
            let out = dir.path().join(name);
            let claim = weaverec_output::Claim::take(&out, crate::output::REPORT, &[]).unwrap();
            write_all(&[study], &claim).unwrap();
            out
        };
        let (base, head) = (write(base, "base"), write(head, "head"));
        run(Arguments { base, head }).unwrap() == ExitCode::SUCCESS
    }

    #[test]
    fn a_changed_number_is_an_error_on_the_same_machine_and_none_on_another() {
        let mut changed = study(3);
        set(&mut changed.scenarios[0], "soup", |replicate, user| {
            1 + (user + replicate) % 2
        });
        assert!(compared(study(3), study(3)));
        assert!(!compared(study(3), changed.clone()));
        let mut threads = study(3);
        threads.environments[0]["threads"] = json!(1);
        threads.environments[0]["revision"] = json!("another");
        assert!(
            compared(study(3), threads),
            "neither threads nor revisions may change a number"
        );
        changed.environments[0]["kernel"] = json!("avx512");
        assert!(
            compared(study(3), changed.clone()),
            "other kernels add in another order"
        );
        changed.environments[0]["kernel"] = json!("avx2");
        changed.numerics = vec![2];
        assert!(compared(study(3), changed));
    }

    #[test]
    fn a_comparison_of_few_replicates_or_other_kernels_is_called_descriptive() {
        let dir = tempfile::tempdir().unwrap();
        let write = |study: Study, name: &str| {
            let out = dir.path().join(name);
            let claim = weaverec_output::Claim::take(&out, crate::output::REPORT, &[]).unwrap();
            write_all(&[study], &claim).unwrap();
            Folder::read(&out).unwrap()
        };
        let said = |base: &Folder, head: &Folder| described(&Pairing::new(base, head, "films").unwrap());
        let (three, five) = (write(study(3), "three"), write(study(5), "five"));
        let few = said(&three, &three);
        assert!(few.starts_with("descriptive: fewer than 5 replicates\n"), "{few}");
        assert!(few.contains("| comedy-to-drama | WeaveRec"), "{few}");
        assert!(!said(&five, &five).contains("descriptive"));
        let mut other = study(5);
        other.environments[0]["kernel"] = json!("avx512");
        let other = said(&five, &write(other, "other"));
        assert!(other.starts_with("descriptive: other kernel\n"), "{other}");
    }

    #[test]
    fn costs_may_differ_and_numbers_may_not() {
        let mut differences = Vec::new();
        let base = json!({"rows": [{"ndcg": 0.5, "cost": {"seconds": 1}}], "environment": {"threads": 1}});
        let head = json!({"rows": [{"ndcg": 0.5, "cost": {"seconds": 9}}], "environment": {"threads": 2}});
        collect("", &base, &head, &mut differences);
        assert!(differences.is_empty());
        collect("", &base, &json!({"rows": [{"ndcg": 0.6}]}), &mut differences);
        assert_eq!(differences, ["/rows/0/ndcg: 0.5 became 0.6"]);
    }
}
