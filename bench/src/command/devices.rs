//! `weaverec devices`.

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use weaverec_model::device::DeviceName;

/// List the devices that this build can use on this machine, as JSON, each opened once to see that it answers.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec devices
  weaverec devices --device cuda:1       this one alone; an error where it does not answer")]
pub struct Arguments {
    /// One device: `cpu`, `cuda`, `cuda:1` or `metal` [default: all that are there].
    #[arg(long)]
    device: Option<DeviceName>,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    let found = match arguments.device {
        Some(name) => vec![describe(name)?],
        // One that does not answer is part of the answer.
        None => DeviceName::all()
            .into_iter()
            .map(|name| describe(name).unwrap_or_else(|e| json!({ "device": name, "error": e.to_string() })))
            .collect(),
    };
    super::print(serde_json::to_string_pretty(&found)?)
}

fn describe(name: DeviceName) -> Result<Value> {
    let card = name.card()?;
    Ok(match (name, card) {
        (DeviceName::Cpu, _) => json!({ "device": name, "threads": super::threads(None) }),
        (_, card) => json!({ "device": name, "card": card }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_listed_and_what_is_not_there_is_an_error() {
        let cpu = describe(DeviceName::Cpu).map(|found| found["threads"].as_u64());
        assert!(matches!(cpu, Ok(Some(threads)) if threads > 0));
        assert!(describe(DeviceName::Cuda(999)).is_err());
    }
}
