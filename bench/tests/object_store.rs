//! Raw files from, and prepared folders to, an S3-compatible server on this machine: the same bytes as with folders.
//!
//! The server is `moto_server` (PyPI: moto), from `WEAVEREC_MOTO` or the path; without it the tests say that they are skipped.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "it/folder.rs"]
mod folder;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use folder::{Contents, assert_same, contents};

/// How long the server may take to begin.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that goes with the test.
struct Store {
    process: Child,
    port: u16,
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Store {
    /// A server with the buckets `logs`, `prepared` and `cells`, if there is a program for it.
    fn start() -> Option<Self> {
        let program = std::env::var_os("WEAVEREC_MOTO").unwrap_or_else(|| "moto_server".into());
        // A port that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut command = Command::new(&program);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let Ok(process) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            eprintln!("skipped: no moto_server; `make test-cluster` installs it, or set WEAVEREC_MOTO");
            return None;
        };
        let store = Self { process, port };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begin.elapsed() < PATIENCE, "the server does not begin");
            std::thread::sleep(Duration::from_millis(20));
        }
        for bucket in ["/logs", "/prepared", "/cells"] {
            assert_eq!(store.ask("PUT", bucket, b"").0, 200);
        }
        Some(store)
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Status and body of an answer.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = body.len();
        // The server checks no signature, but whether there is one; a web server's files are for everybody.
        let signed = "AWS4-HMAC-SHA256 Credential=key/20200101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nAuthorization: {signed}\r\nx-amz-acl: public-read\r\n\
             Content-Length: {length}\r\n\r\n"
        )
        .unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer[end + 4..].to_vec())
    }

    /// Puts the files of a folder below a path.
    fn fill(&self, folder: &Path, path: &str) {
        for (name, bytes) in contents(folder) {
            let (status, _) = self.ask("PUT", &format!("{path}/{}", name.display()), &bytes);
            assert_eq!(status, 200, "{name:?}");
        }
    }

    /// Every object of a bucket below a prefix.
    fn objects(&self, bucket: &str, prefix: &str) -> Contents {
        let (_, listing) = self.ask("GET", &format!("/{bucket}?list-type=2&prefix={prefix}"), b"");
        let listing = String::from_utf8(listing).unwrap();
        let keys = listing
            .split("<Key>")
            .skip(1)
            .map(|rest| rest.split("</Key>").next().unwrap());
        keys.map(|key| {
            let name = key.strip_prefix(prefix).unwrap().trim_start_matches('/');
            (
                PathBuf::from(name),
                self.ask("GET", &format!("/{bucket}/{key}"), b"").1,
            )
        })
        .collect()
    }

    fn weaverec(&self, folder: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("weaverec"));
        command.current_dir(folder).env_remove("RUST_LOG").args(arguments);
        command
            .env("AWS_ENDPOINT_URL", self.endpoint())
            .env("AWS_ALLOW_HTTP", "true");
        command
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", "secret");
        command.env("AWS_REGION", "us-east-1").output().unwrap()
    }

    fn succeed(&self, folder: &Path, arguments: &[&str]) -> String {
        let output = self.weaverec(folder, arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn fail(&self, folder: &Path, arguments: &[&str]) -> String {
        let output = self.weaverec(folder, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

const DESCRIPTION: &str = "raw/synth-home/synth-home.toml";

/// A store with generated logs, which also lie in the folder, prepared there.
fn begin(folder: &Path) -> Option<Store> {
    let store = Store::start()?;
    store.succeed(
        folder,
        &[
            "datasets", "synth", "--out", "raw", "--users", "300", "--items", "100", "--dirt", "0.005",
        ],
    );
    store.fill(&folder.join("raw/synth-home"), "/logs/2024/home");
    prepare(&store, folder, "raw/synth-home", "here", &[]);
    Some(store)
}

fn prepare(store: &Store, folder: &Path, raw: &str, out: &str, more: &[&str]) -> String {
    let mut arguments = vec![
        "prepare",
        DESCRIPTION,
        "--raw",
        raw,
        "--out",
        out,
        "--candidates",
        "10",
    ];
    arguments.extend(more);
    store.succeed(folder, &arguments)
}

#[test]
fn a_bucket_is_read_and_written_like_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let Some(store) = begin(folder.path()) else { return };
    let here = contents(&folder.path().join("here/synth-home"));
    let printed = prepare(
        &store,
        folder.path(),
        "s3://logs/2024/home",
        "s3://prepared/a",
        &[],
    );
    assert!(printed.contains("synth-home"), "{printed}");
    assert_same(&store.objects("prepared", "a/synth-home"), &here);

    // A web server needs no keys; the same files lie there.
    let web = format!("{}/logs/2024/home", store.endpoint());
    prepare(&store, folder.path(), &web, "web", &[]);
    assert_same(&contents(&folder.path().join("web/synth-home")), &here);

    let query = "SELECT count(*) AS n, min(title) AS title FROM items";
    for command in [&["inspect"][..], &["audit"], &["sql", query]] {
        let at = |place| {
            let (name, rest) = command.split_first().unwrap();
            store.succeed(folder.path(), &[&[*name, place], rest].concat())
        };
        let local = at("here/synth-home");
        let url = at("s3://prepared/a/synth-home");
        let lines = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines(&local), lines(&url), "{command:?}");
    }
}

#[test]
fn a_finished_folder_is_kept_and_another_one_replaced_only_by_force() {
    let folder = tempfile::tempdir().unwrap();
    let Some(store) = begin(folder.path()) else { return };
    let out = "s3://prepared/b";
    prepare(
        &store,
        folder.path(),
        "raw/synth-home",
        out,
        &["--format", "letter", "--max-train", "500"],
    );
    let first = store.objects("prepared", "b/synth-home");
    prepare(
        &store,
        folder.path(),
        "raw/synth-home",
        out,
        &["--format", "letter", "--max-train", "500"],
    );
    assert_same(&store.objects("prepared", "b/synth-home"), &first);

    let other = [
        "prepare",
        DESCRIPTION,
        "--raw",
        "raw/synth-home",
        "--out",
        out,
        "--candidates",
        "10",
    ];
    let error = store.fail(folder.path(), &other);
    assert!(
        error.contains("--force") && error.contains("s3://prepared/b"),
        "{error}"
    );
    store.succeed(folder.path(), &[&other[..], &["--force"]].concat());
    let here = contents(&folder.path().join("here/synth-home"));
    assert_same(&store.objects("prepared", "b/synth-home"), &here);
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let Some(store) = begin(folder.path()) else { return };
    let with = |raw: &str, out: &str| {
        store.fail(
            folder.path(),
            &["prepare", DESCRIPTION, "--raw", raw, "--out", out],
        )
    };
    let error = with("s3://logs/2023", "x");
    assert!(error.contains("s3://logs/2023/"), "{error}");
    let error = with("raw/synth-home", "s3://nowhere/x");
    assert!(error.contains("s3://nowhere/x"), "{error}");
    let error = with("raw/synth-home", "http://127.0.0.1/x");
    assert!(error.contains("only be read"), "{error}");
    let error = store.fail(folder.path(), &["inspect", "s3://prepared/none"]);
    assert!(error.contains("s3://prepared/none/manifest.json"), "{error}");
}

#[test]
fn four_jobs_without_a_common_folder_fill_one_bucket_and_come_to_the_records_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let Some(store) = Store::start() else { return };
    let at = folder.path();
    std::fs::write(at.join("tiny.toml"), include_str!("it/tiny.toml")).unwrap();
    let run = ["reproduce", "--profile", "tiny.toml", "--threads", "1"];
    store.succeed(
        at,
        &[&run[..], &["--work", "alone", "--out", "report-alone"]].concat(),
    );
    let job = |share: &str| {
        let number = &share[..1];
        let (work, out) = (format!("work-{number}"), format!("report-{number}"));
        let own = ["--work", &work, "--out", &out, "--shard", share];
        store.succeed(at, &[&run[..], &["--store", "s3://cells/tiny"], &own].concat());
    };
    let job = &job;
    std::thread::scope(|scope| {
        for share in ["1/4", "2/4", "3/4", "4/4"] {
            scope.spawn(move || job(share));
        }
    });
    let report = [
        "report",
        "--profile",
        "tiny.toml",
        "--work",
        "new",
        "--out",
        "report",
    ];
    store.succeed(at, &[&report[..], &["--store", "s3://cells/tiny"]].concat());
    let same = store.succeed(at, &["compare", "report-alone", "report"]);
    assert!(same.contains("the same numbers"), "{same}");
    // A bucket that is not there is told of before anything is run.
    let none = [
        &run[..],
        &["--work", "x", "--out", "y", "--store", "s3://nowhere/x"],
    ]
    .concat();
    let error = store.fail(at, &none);
    assert!(error.contains("s3://nowhere/x"), "{error}");
}
