//! What the build script says of the sources that a program is built from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn git(at: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(at)
        .args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "-c",
            "commit.gpgsign=false",
        ])
        .args(arguments)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A folder with what the script looks at.
fn sources(at: &Path) {
    for (name, text) in [
        ("Cargo.lock", "one"),
        ("README.md", "one"),
        ("bench/src/lib.rs", "one"),
        ("bench/revision", include_str!("../../revision")),
        (".gitattributes", include_str!("../../../.gitattributes")),
    ] {
        let path = at.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

struct Script(PathBuf);

impl Script {
    fn compiled(into: &Path) -> Self {
        let program = into.join("build-script");
        let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
        let compiled = Command::new(compiler)
            .args(["--edition", "2024", "-o"])
            .args([&program, &source])
            .status();
        assert!(compiled.unwrap().success());
        Script(program)
    }

    /// Revision, dirtiness, and the files whose change would have the script run again.
    fn run(&self, at: &Path) -> (String, String, Vec<PathBuf>) {
        let output = Command::new(&self.0)
            .env("CARGO_MANIFEST_DIR", at.join("bench"))
            .output()
            .unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let after = |start: &str| -> Vec<String> {
            text.lines()
                .filter_map(|line| line.strip_prefix(start))
                .map(str::to_owned)
                .collect()
        };
        let one = |name: &str| after(&format!("cargo::rustc-env={name}=")).remove(0);
        let watched = after("cargo::rerun-if-changed=").into_iter().map(PathBuf::from);
        (one("WEAVEREC_REVISION"), one("WEAVEREC_DIRTY"), watched.collect())
    }
}

#[test]
fn a_build_knows_its_revision_whether_in_a_checkout_an_archive_or_neither() {
    if !Command::new("git")
        .arg("--version")
        .output()
        .is_ok_and(|o| o.status.success())
    {
        eprintln!("skipped: there is no git");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = Script::compiled(folder.path());
    let at = &folder.path().join("clone é");
    sources(at);
    let said = |at: &Path| {
        let (revision, dirty, watched) = script.run(at);
        // Cargo runs a script at every build that names something which is not there.
        assert!(watched.iter().all(|path| path.exists()), "{watched:?}");
        assert!(
            !watched.iter().any(|path| path.ends_with("index")),
            "git status writes it"
        );
        (revision, dirty == "true", watched)
    };
    assert_eq!(said(at).0, "unknown");
    git(at, &["init", "-q"]);
    git(at, &["add", "-A"]);
    git(at, &["commit", "-qm", "one"]);
    let head = |at: &Path| git(at, &["rev-parse", "--short=12", "HEAD"]);
    let first = head(at);
    let (revision, dirty, watched) = said(at);
    assert_eq!((revision, dirty), (first.clone(), false));
    // A commit changes something that is watched, be the branch packed or not.
    git(at, &["pack-refs", "--all"]);
    let moved: Vec<&PathBuf> = watched
        .iter()
        .filter(|path| path.ends_with("logs/HEAD"))
        .collect();
    let before = fs::read(moved[0]).unwrap();
    git(at, &["commit", "-qm", "two", "--allow-empty"]);
    assert_ne!(fs::read(moved[0]).unwrap(), before);
    assert_ne!(head(at), first);

    fs::write(at.join("README.md"), "two").unwrap();
    assert!(!said(at).1, "the program is not made of its README");
    fs::write(at.join("bench/src/new.rs"), "").unwrap();
    assert!(said(at).1, "a file that git does not know is part of the program");
    fs::remove_file(at.join("bench/src/new.rs")).unwrap();
    fs::write(at.join("Cargo.lock"), "two").unwrap();
    assert_eq!((said(at).0, said(at).1), (head(at), true));
    git(at, &["checkout", "-q", "--", "Cargo.lock"]);
    assert!(!said(at).1);

    // Another work tree of the same repository has its own revision.
    let other = &folder.path().join("other");
    git(at, &["worktree", "add", "-q", other.to_str().unwrap(), &first]);
    assert_eq!((said(other).0, said(other).1), (first.clone(), false));

    // An archive, below a checkout of something else.
    let archive = &at.join("unpacked");
    fs::create_dir(archive).unwrap();
    let tar = folder.path().join("a.tar");
    git(at, &["archive", "-o", tar.to_str().unwrap(), &first]);
    let unpacked = Command::new("tar")
        .arg("-xf")
        .arg(&tar)
        .arg("-C")
        .arg(archive)
        .status();
    assert!(unpacked.unwrap().success());
    assert_eq!(said(archive).0, first);
    // Copied files know nothing.
    let copied = &at.join("copied");
    sources(copied);
    assert_eq!(said(copied).0, "unknown");
}
