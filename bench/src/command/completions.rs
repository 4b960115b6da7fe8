//! `weaverec completions`.

use anyhow::Result;
use clap::{Args, CommandFactory};

/// Print completions for a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec completions bash > ~/.local/share/bash-completion/completions/weaverec")]
pub struct Arguments {
    /// The shell.
    shell: clap_complete::Shell,
}

/// Runs the command for the command line `C`.
pub fn run<C: CommandFactory>(arguments: Arguments) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut C::command(), "weaverec", &mut script);
    super::print(String::from_utf8_lossy(&script))
}
