//! Bakes in which sources the program is built from, for the records it makes: asking git when a report is written would tell of whatever
//! folder the report is written in.
//!
//! Dirty is a build from files that are not those of the revision. Only files that the program is made of count: an edited README makes no
//! other program. They are looked at again whenever one of them changes, when the program is compiled anyway, and when the revision does
//! (`logs/HEAD`, to which git adds a line for every commit, checkout, reset and amendment), which costs a link. The index is not watched: `git status`
//! writes it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the program is made of, from the root of the sources.
const SOURCES: [&str; 15] = [
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    ".cargo",
    "datasets",
    "output/Cargo.toml",
    "output/src",
    "pipeline/Cargo.toml",
    "pipeline/src",
    "model/Cargo.toml",
    "model/src",
    "bench/Cargo.toml",
    "bench/build.rs",
    "bench/profiles",
    "bench/src",
];

/// In an archive that git made, the revision; in a checkout, a placeholder.
const ARCHIVED: &str = "bench/revision";

fn main() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("..");
    let present: Vec<&str> = SOURCES
        .into_iter()
        .filter(|source| root.join(source).exists())
        .collect();
    // What is named and not there would have this run at every build.
    for source in present.iter().chain(Some(&ARCHIVED)) {
        watch(&root.join(source));
    }
    let (revision, dirty) = checkout(&root, &present)
        .or_else(|| archived(&root))
        .unwrap_or_else(|| ("unknown".into(), false));
    println!("cargo::rustc-env=WEAVEREC_REVISION={revision}");
    println!("cargo::rustc-env=WEAVEREC_DIRTY={dirty}");
}

fn watch(path: &Path) {
    if path.exists() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

/// The revision of a checkout, and whether its sources differ from it; `None` where the sources lie in no checkout of their own.
fn checkout(root: &Path, sources: &[&str]) -> Option<(String, bool)> {
    let top = PathBuf::from(git(root, &["rev-parse", "--show-toplevel"])?);
    // An archive may have been unpacked somewhere below another project's checkout.
    if top.canonicalize().ok()? != root.canonicalize().ok()? {
        return None;
    }
    let revision = git(root, &["rev-parse", "--short=12", "HEAD"])?;
    let path = |name: &str| Some(root.join(git(root, &["rev-parse", "--git-path", name])?));
    watch(&path("HEAD")?);
    match path("logs/HEAD")? {
        moves if moves.exists() => watch(&moves),
        // Without a log: the branch, in a file of its own or among the packed.
        _ => {
            if let Some(branch) = git(root, &["symbolic-ref", "-q", "HEAD"]) {
                watch(&path(&branch)?);
            }
            watch(&path("packed-refs")?);
        }
    }
    // Untracked ones too: a new module is part of the program.
    let status = [
        "--no-optional-locks",
        "status",
        "--porcelain",
        "--untracked-files=all",
        "--",
    ];
    let changed = git(root, &[&status[..], sources].concat())?;
    Some((revision, !changed.is_empty()))
}

/// The revision that `git archive` wrote into its archive. Nobody can tell whether the files were changed since.
fn archived(root: &Path) -> Option<(String, bool)> {
    let text = std::fs::read_to_string(root.join(ARCHIVED)).ok()?;
    let revision = text.trim();
    let is_one = revision.len() >= 12 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| (revision[..12].to_string(), false))
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(arguments)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output
        .status
        .success()
        .then(|| text.trim_end_matches('\n').to_string())
}
