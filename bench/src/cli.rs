//! The command line.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::command;

/// Cross-domain sequential recommendation with language models: raw logs in, an honest comparison table out.
#[derive(Debug, Parser)]
#[command(name = "weaverec", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  weaverec reproduce --profile quick                       the whole path, with a report at the end
  weaverec prepare amazon-2014-beauty --raw logs --out prepared
  weaverec inspect prepared/amazon-2014-beauty
  weaverec audit prepared/amazon-2014-beauty               leak checks
  weaverec sql prepared \"SELECT count(*) FROM amazon_2014_beauty.items\"
  weaverec train prepared/a prepared/b --out a+b           a hybrid adapter, as a PEFT folder
  weaverec merge a a+b --out woven                         the uniform merge of two adapters
  weaverec rank prepared/a --adapter woven                 its metrics on the target's test users
  weaverec fit prepared/a --method sasrec --out sasrec     a recommender without a language model

RUST_LOG=debug shows more. Exit codes: 0 ok, 1 a gate failed (a comparison, a leak, a checksum), 2 bad usage or data.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Turn raw logs into prompts in Parquet.
    // Boxed, for it is far larger than the others.
    Prepare(Box<command::prepare::Arguments>),
    /// Show what a prepared folder holds.
    Inspect(command::inspect::Arguments),
    /// Check prepared folders for leaks.
    Audit(command::audit::Arguments),
    /// Query prepared folders with SQL.
    Sql(command::sql::Arguments),
    /// Write a prepared folder in the format of another program.
    Export(command::export::Arguments),
    /// Write the cases of a target for other programs.
    Cases(command::cases::Arguments),
    /// Import the scores of another program as a row, or write those of a row of ours.
    Score(command::score::Arguments),
    /// List, show, fetch, verify or generate data sets.
    Datasets(command::datasets::Arguments),
    /// Fetch language models into the cache.
    Models(command::models::Arguments),
    /// List the devices that language models can run on here.
    Devices(command::devices::Arguments),
    /// Start the scheduler of a cluster.
    Scheduler(command::scheduler::Arguments),
    /// Start a worker of a cluster.
    Worker(command::worker::Arguments),
    /// Write one vector an item, of titles or of one's own.
    Vectors(Box<command::vectors::Arguments>),
    /// Train a LoRA adapter on one or several prepared folders.
    Train(command::train::Arguments),
    /// Fit a recommender over sequences of items, without a language model.
    Fit(command::fit::Arguments),
    /// Merge adapters into one.
    Merge(command::merge::Arguments),
    /// Choose on held-out users how an adapter's likelihoods become scores.
    Calibrate(command::calibrate::Arguments),
    /// Rank the candidates of a prepared folder's test users.
    Rank(command::rank::Arguments),
    /// Rank candidates for a history: JSON in, JSON out.
    Recommend(command::recommend::Arguments),
    /// List the rows that tables may have.
    Methods(command::methods::Arguments),
    /// Run a profile: every missing cell, then the report.
    Reproduce(command::reproduce::Arguments),
    /// Say how far a profile is, while it runs or after it was stopped.
    Status(command::status::Arguments),
    /// Write the report of a finished profile again, from its records.
    Report(command::report::Arguments),
    /// Compare two reports, number by number and row by row.
    Compare(command::compare::Arguments),
    /// Pass or fail a report by what it shows.
    Gate(command::gate::Arguments),
    /// Fill the tables of a README from reports, or check them.
    Readme(command::readme::Arguments),
    /// Print what a study of so many replicates and users would find.
    Power(command::power::Arguments),
    /// Print completions for a shell.
    Completions(command::completions::Arguments),
}

/// Runs the program on the process' arguments.
pub fn run() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,tokenizers::models=error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours(
            std::io::stderr().is_terminal(),
            std::env::var_os("NO_COLOR"),
        ))
        .with_writer(std::io::stderr)
        .init();
    match dispatch(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            crate::progress::say(format!("error: {}", describe(&error)));
            // Data that was made, and did not pass, is no wrong usage.
            let leak = matches!(error.downcast_ref(), Some(weaverec_pipeline::Error::Leak(_)));
            ExitCode::from(if leak { 1 } else { 2 })
        }
    }
}

/// Whether messages may have colours: on a terminal, unless `NO_COLOR` is set to something (<https://no-color.org>).
fn colours(is_terminal: bool, no_color: Option<OsString>) -> bool {
    is_terminal && no_color.is_none_or(|value| value.is_empty())
}

/// The error and its causes, without those whose words it has taken over.
fn describe(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.contains(&cause) {
            let colon = if text.is_empty() { "" } else { ": " };
            text.push_str(&format!("{colon}{cause}"));
        }
    }
    text
}

fn dispatch(command: Command) -> Result<ExitCode> {
    let done = |()| ExitCode::SUCCESS;
    match command {
        Command::Prepare(arguments) => command::prepare::run(*arguments).map(done),
        Command::Inspect(arguments) => command::inspect::run(arguments).map(done),
        Command::Audit(arguments) => command::audit::run(arguments),
        Command::Sql(arguments) => command::sql::run(arguments).map(done),
        Command::Export(arguments) => command::export::run(arguments).map(done),
        Command::Cases(arguments) => command::cases::run(arguments).map(done),
        Command::Score(arguments) => command::score::run(arguments).map(done),
        Command::Datasets(arguments) => command::datasets::run(arguments),
        Command::Models(arguments) => command::models::run(arguments).map(done),
        Command::Devices(arguments) => command::devices::run(arguments).map(done),
        Command::Scheduler(arguments) => command::scheduler::run(arguments).map(done),
        Command::Worker(arguments) => command::worker::run(arguments).map(done),
        Command::Vectors(arguments) => command::vectors::run(*arguments).map(done),
        Command::Train(arguments) => command::train::run(arguments).map(done),
        Command::Fit(arguments) => command::fit::run(arguments).map(done),
        Command::Merge(arguments) => command::merge::run(arguments).map(done),
        Command::Calibrate(arguments) => command::calibrate::run(arguments).map(done),
        Command::Rank(arguments) => command::rank::run(arguments).map(done),
        Command::Recommend(arguments) => command::recommend::run(arguments).map(done),
        Command::Methods(arguments) => command::methods::run(arguments).map(done),
        Command::Reproduce(arguments) => command::reproduce::run(arguments).map(done),
        Command::Status(arguments) => command::status::run(arguments).map(done),
        Command::Report(arguments) => command::report::run(arguments).map(done),
        Command::Compare(arguments) => command::compare::run(arguments),
        Command::Gate(arguments) => command::gate::run(arguments),
        Command::Readme(arguments) => command::readme::run(arguments),
        Command::Power(arguments) => command::power::run(arguments).map(done),
        Command::Completions(arguments) => command::completions::run::<Cli>(arguments).map(done),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn colours_are_for_terminals_that_did_not_refuse_them() {
        use super::colours;
        assert!(colours(true, None) && colours(true, Some("".into())));
        assert!(!colours(true, Some("1".into())) && !colours(false, None));
    }

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
