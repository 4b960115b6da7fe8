//! `weaverec methods`.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::method::METHODS;

/// List the rows that a profile may name, with their families and what they need.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec methods
  weaverec methods --json | jq -r '.[] | select(.family == \"control\") | .id'

A profile names rows in `methods`, and a scenario adds some in `also`. docs/methods.md says how to add one.")]
pub struct Arguments {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    if arguments.json {
        let rows: Vec<_> = METHODS
            .iter()
            .map(|row| {
                json!({
                    "id": row.id(),
                    "label": row.label(),
                    "family": row.family(),
                    "needs": row.needs(),
                    "reference": row.reference(),
                })
            })
            .collect();
        return super::print(serde_json::to_string_pretty(&rows)?);
    }
    let lines = METHODS.iter().map(|row| {
        [
            row.id().to_owned(),
            row.family().label().to_owned(),
            row.needs(),
            row.reference().to_owned(),
        ]
    });
    let lines: Vec<[String; 4]> = lines.collect();
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let (id, family, needs) = (width(0), width(1), width(2));
    for [row, of, need, reference] in &lines {
        super::print(format!("{row:id$}  {of:family$}  {need:needs$}  {reference}"))?;
    }
    Ok(())
}
