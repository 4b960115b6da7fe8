//! `weaverec status`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use crate::experiment::profile::Profile;
use crate::experiment::status::{Count, Running, Status};
use crate::experiment::store::Store;
use crate::output::CELLS;
use crate::progress::duration;

/// Say how far a profile is: cells finished, running and to do of every unit, who is at work on what, and about how long the rest takes.
///
/// It reads the store of the work folder and changes nothing there, so that it may be asked while others run, from any machine that sees the
/// folder. Whoever was killed is shown as stale: the next process takes the cell up.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec status                                    of the profile quick, in runs/quick
  weaverec status --profile paper --work /shared/runs/paper
  weaverec status --work /shared/runs/small --json | jq .seconds_left

Exit codes: 0 whatever there is left, 2 for a work folder without a store.")]
pub struct Arguments {
    /// A profile's name or the path of a profile's TOML; without it, all studies of the work folder [default: quick, without --work].
    #[arg(long)]
    profile: Option<String>,
    /// Folder of prepared data and run records [default: runs/<profile>].
    #[arg(long)]
    work: Option<PathBuf>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    let profile = match (&arguments.profile, &arguments.work) {
        (None, Some(_)) => None,
        (name, _) => Some(Profile::load(name.as_deref().unwrap_or("quick"))?),
    };
    let name = profile.as_ref().map_or("quick", |profile| profile.name.as_str());
    let work = arguments.work.unwrap_or_else(|| Path::new("runs").join(name));
    let store = Store::at(work.join(CELLS));
    if !store.exists() {
        bail!(
            "{} has no store of cells: `weaverec reproduce --work {}` makes one, or name another --work",
            work.display(),
            work.display()
        );
    }
    let status = Status::of(&store, profile.as_ref())?;
    if arguments.json {
        let mut value = serde_json::to_value(&status)?;
        value["work"] = json!(work.display().to_string());
        return super::print(serde_json::to_string_pretty(&value)?);
    }
    super::print(text(&status, &work, profile.as_ref()).join("\n"))
}

/// The status in lines, for people.
fn text(status: &Status, work: &Path, profile: Option<&Profile>) -> Vec<String> {
    let Count {
        all,
        done,
        running,
        to_do,
    } = status.cells;
    if status.studies.is_empty() {
        let whose = profile.map_or_else(
            || "any profile".to_owned(),
            |profile| format!("profile {} as it is now", profile.name),
        );
        return vec![format!("{}: no study of {whose} is prepared yet", work.display())];
    }
    let mut lines = vec![format!(
        "{}: {done} of {all} cells done, {running} running, {to_do} to do",
        work.display()
    )];
    lines.push(line(
        ["unit", "cells", "done", "running", "to do", "about"],
        "name",
    ));
    for unit in status.studies.iter().flat_map(|study| &study.units) {
        let Count {
            all,
            done,
            running,
            to_do,
        } = unit.cells;
        let left = match done == all {
            true => "–".to_owned(),
            false => duration(unit.seconds_left),
        };
        let counts = [unit.number, all, done, running, to_do].map(|count| count.to_string());
        let [number, all, done, running, to_do] = &counts;
        lines.push(line([number, all, done, running, to_do, &left], &unit.name));
    }
    lines.extend(status.running.iter().map(worker));
    if done < all {
        let with = match status.processes {
            0 => "on one process; nobody is at work".to_owned(),
            1 => "on the process at work".to_owned(),
            several => format!("on {several} processes at work"),
        };
        lines.push(format!(
            "about {} left {with}, cells under way counted whole",
            duration(status.seconds_left)
        ));
        let of = status.environment.as_ref().map_or_else(
            || "this machine; nothing is finished yet".to_owned(),
            |environment| {
                let on = match environment.device.as_str() {
                    "cpu" => environment.cpu.as_str(),
                    gpu => gpu,
                };
                format!("{} threads of {on}", environment.threads)
            },
        );
        lines.push(format!("by the rates of {of}: {}", status.by));
    }
    lines
}

fn line(columns: [&str; 6], name: &str) -> String {
    let [unit, cells, done, running, to_do, time] = columns;
    format!("{unit:>4}  {cells:>5}  {done:>5}  {running:>7}  {to_do:>5}  {time:>12}  {name}")
}

fn worker(running: &Running) -> String {
    let Running {
        cell,
        machine,
        process,
        ..
    } = running;
    let ago = |seconds: Option<f64>| seconds.map_or_else(|| "an unknown time".to_owned(), duration);
    match running.stale {
        false => format!(
            "running: {cell}, by process {process} on {machine}, for {}",
            ago(running.seconds)
        ),
        true => format!(
            "stale: {cell}, begun by process {process} on {machine}, which is gone (last sign of life {} ago); the next process takes it up",
            ago(running.last_sign_seconds)
        ),
    }
}
