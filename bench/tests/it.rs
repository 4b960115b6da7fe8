//! The real binary, as its users run it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[cfg(unix)]
#[path = "it/adapters.rs"]
mod adapters;
#[path = "it/alone.rs"]
mod alone;
#[cfg(unix)]
#[path = "it/array.rs"]
mod array;
#[path = "it/arrows.rs"]
mod arrows;
#[path = "it/bound.rs"]
mod bound;
#[cfg(unix)]
#[path = "it/browser.rs"]
mod browser;
#[cfg(unix)]
#[path = "it/calibration.rs"]
mod calibration;
#[path = "it/chosen.rs"]
mod chosen;
#[path = "it/codes.rs"]
mod codes;
#[path = "it/commands.rs"]
mod commands;
#[path = "it/fit.rs"]
mod fit;
#[cfg(unix)]
#[path = "it/folder.rs"]
mod folder;
#[path = "it/ids.rs"]
mod ids;
#[cfg(unix)]
#[path = "it/into_base.rs"]
mod into_base;
#[cfg(unix)]
#[path = "it/kill.rs"]
mod kill;
#[cfg(unix)]
#[path = "it/memory.rs"]
mod memory;
#[cfg(unix)]
#[path = "it/output.rs"]
mod output;
#[path = "it/outside.rs"]
mod outside;
#[path = "it/paper.rs"]
mod paper;
#[cfg(unix)]
#[path = "it/paths.rs"]
mod paths;
#[path = "it/refused.rs"]
mod refused;
#[path = "it/reproduce.rs"]
mod reproduce;
#[path = "it/revision.rs"]
mod revision;
#[cfg(unix)]
#[path = "it/shared.rs"]
mod shared;
#[cfg(unix)]
#[path = "it/status.rs"]
mod status;
#[cfg(unix)]
#[path = "it/store.rs"]
mod store;
#[path = "it/trained.rs"]
mod trained;
#[path = "it/vectors.rs"]
mod vectors;
#[cfg(unix)]
#[path = "it/weights.rs"]
mod weights;
#[path = "it/words.rs"]
mod words;

use std::path::Path;
use std::process::{Command, Output};

/// The binary in a folder of its own, so that nothing depends on where the tests run.
fn weaverec(folder: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("weaverec"));
    command.current_dir(folder);
    for variable in ["RUST_LOG", "RUST_BACKTRACE", "RUST_LIB_BACKTRACE", "NO_COLOR"] {
        command.env_remove(variable);
    }
    command
}

/// Runs the binary to its end.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    weaverec(folder).args(arguments).output().unwrap()
}

/// Runs the binary and returns what it printed; any failure fails the test with its message.
fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the binary, which must fail with bad usage or data, and returns its message.
fn fail(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert_eq!(
        output.status.code(),
        Some(2),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    String::from_utf8(output.stderr).unwrap()
}
