//! A whole experiment of a minute's size: complete, resumable, repeatable.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use weaverec_bench::report::FILES;

use super::trained::{backbone, recommends, trains};
use super::{fail, run, succeed, weaverec};

/// The quick profile's generated study, cut down to seconds.
pub(super) const PROFILE: &str = include_str!("tiny.toml");

fn arguments<'a>(work: &'a str, out: &'a str, threads: &'a str) -> [&'a str; 9] {
    [
        "reproduce",
        "--profile",
        "tiny.toml",
        "--work",
        work,
        "--out",
        out,
        "--threads",
        threads,
    ]
}

fn finished_cells(work: &Path) -> usize {
    ["backbones", "adapters", "rankings"]
        .iter()
        .filter_map(|kind| fs::read_dir(work.join("cells").join(kind)).ok())
        .flatten()
        .filter(|cell| cell.as_ref().unwrap().path().join("record.json").exists())
        .count()
}

#[test]
fn a_profile_runs_whole_resumes_after_a_kill_and_repeats_its_numbers() {
    let folder = tempfile::tempdir().unwrap();
    // Whatever the folder above is called.
    let at = &folder.path().join("a [b]*?#%20 é");
    fs::create_dir(at).unwrap();
    fs::write(at.join("tiny.toml"), PROFILE).unwrap();

    let tables = succeed(at, &arguments("whole", "report-whole", "2"));
    for row in [
        "random",
        "popularity",
        "zero-shot",
        "source-only",
        "target-only",
        "joint",
        "naive merge",
        "WeaveRec",
    ] {
        assert!(tables.contains(row), "the table has no row {row}:\n{tables}");
    }
    assert!(
        tables.contains("is for tests"),
        "the purpose is not said:\n{tables}"
    );
    for file in FILES {
        assert!(
            at.join("report-whole").join(file).metadata().unwrap().len() > 0,
            "{file}"
        );
    }

    // Killed when some cells are finished and some are not.
    let mut killed = weaverec(at)
        .args(arguments("killed", "report-killed", "1"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while finished_cells(&at.join("killed")) < 4 {
        assert!(
            killed.try_wait().unwrap().is_none(),
            "the run ended before it could be killed"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(
        !at.join("report-killed").exists(),
        "an unfinished run leaves no report"
    );
    let kept = finished_cells(&at.join("killed"));
    let resumed = run(at, &arguments("killed", "report-killed", "1"));
    let said = String::from_utf8_lossy(&resumed.stderr).into_owned();
    assert!(resumed.status.success(), "{said}");
    let (_, after) = said
        .split_once(" cells to do")
        .expect("how much there is to do is said");
    assert!(kept >= 4 && !after.is_empty(), "{kept} cells were kept: {said}");

    // Another number of threads, another work folder, an interruption: the same numbers.
    assert!(succeed(at, &["compare", "report-whole", "report-killed"]).contains("the same numbers"));

    // Nothing is left to do, and the report comes out of the records again, byte for byte.
    let before = fs::read(at.join("report-whole/report.md")).unwrap();
    let again = run(at, &arguments("whole", "report-whole", "2"));
    assert!(String::from_utf8_lossy(&again.stderr).contains("4 units, 0 cells to do"));
    assert_eq!(fs::read(at.join("report-whole/report.md")).unwrap(), before);

    // A changed number is noticed.
    let path = at.join("report-killed/results.json");
    let text = fs::read_to_string(&path).unwrap();
    let changed = text.replacen("\"ndcg@5\": 0.", "\"ndcg@5\": 1.", 1);
    assert_ne!(changed, text);
    fs::write(&path, changed).unwrap();
    assert_eq!(
        run(at, &["compare", "report-whole", "report-killed"])
            .status
            .code(),
        Some(1)
    );

    let model = backbone(&at.join("whole"));
    recommends(at, &model);
    trains(at, &model);
}

#[test]
fn units_need_nothing_of_each_other_but_records_and_neither_does_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("tiny.toml"), PROFILE).unwrap();
    let with = |work: &'static str, more: &[&'static str]| -> Vec<&'static str> {
        let fixed = [
            "reproduce",
            "--profile",
            "tiny.toml",
            "--work",
            work,
            "--out",
            "out",
        ];
        [&fixed[..], more].concat()
    };
    let files = |folder: &str| FILES.map(|file| fs::read(at.join(folder).join(file)).unwrap());
    let to_do = |listed: &str| -> Vec<usize> {
        let numbers = listed
            .lines()
            .filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()));
        numbers
            .map(|line| line.split_whitespace().nth(2).unwrap().parse().unwrap())
            .collect()
    };

    // Nothing is trained by looking.
    let listed = succeed(at, &with("one", &["--dry-run"]));
    assert_eq!(to_do(&listed).len(), 4, "{listed}");
    assert!(to_do(&listed).iter().all(|cells| *cells > 10), "{listed}");
    assert!(
        listed.contains("a → b, replicate 1") && listed.contains("stated rate"),
        "{listed}"
    );
    assert_eq!(finished_cells(&at.join("one")), 0);
    assert!(!at.join("out").exists());
    assert!(fail(at, &with("one", &["--units", "5"])).contains("no unit 5"));
    assert!(fail(at, &with("one", &["--unit", "0/4"])).contains("3/10"));

    // A machine that does one unit and is gone.
    succeed(at, &with("one", &["--unit", "1/4"]));
    let report = fs::read_to_string(at.join("out/report.md")).unwrap();
    assert!(
        report.contains("b → a: 1 of 2 replicates are finished"),
        "{report}"
    );
    assert!(
        report.contains("a → b: 0 of 2 replicates are finished"),
        "{report}"
    );
    let first = fs::read(at.join("out/per_user.parquet")).unwrap();
    fs::remove_dir_all(at.join("one")).unwrap();

    // Another that has the records, and no weights: it repeats no unit.
    let listed = succeed(at, &with("two", &["--units", "list"]));
    assert_eq!(to_do(&listed)[0], 0, "{listed}");
    assert!(to_do(&listed)[1..].iter().all(|cells| *cells > 0), "{listed}");
    let second = run(at, &with("two", &[]));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        second.status.success() && said.contains("1 of them are finished by the records in"),
        "{said}"
    );
    let report = fs::read_to_string(at.join("out/report.md")).unwrap();
    assert!(!report.contains("are finished"), "{report}");
    assert_ne!(fs::read(at.join("out/per_user.parquet")).unwrap(), first);

    // Records alone, wherever they lie.
    let whole = files("out");
    fs::remove_dir_all(at.join("two")).unwrap();
    fs::rename(at.join("out/records"), at.join("elsewhere")).unwrap();
    for file in walk(&at.join("elsewhere")) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(
            ["record.json", "scores.parquet"].contains(&name.as_str()),
            "{}",
            file.display()
        );
    }
    let report = [
        "report",
        "--profile",
        "tiny.toml",
        "--records",
        "elsewhere",
        "--out",
        "again",
    ];
    succeed(at, &report);
    assert!(
        files("again") == whole,
        "the report of the records alone is another"
    );
    // Scores that are of another run than their record are not reported.
    let rankings: Vec<_> = walk(&at.join("elsewhere/rankings"))
        .into_iter()
        .filter(|file| file.ends_with("scores.parquet"))
        .collect();
    let other = |text: &str| -> Vec<u8> {
        let of = rankings.iter().find(|file| {
            let record = fs::read_to_string(file.with_file_name("record.json")).unwrap();
            record.contains(text)
        });
        fs::read(of.unwrap()).unwrap()
    };
    let (of_a, of_b) = (other("a: popularity"), other("b: popularity"));
    let place = rankings
        .iter()
        .find(|file| fs::read(file).unwrap() == of_a)
        .unwrap();
    fs::write(place, of_b).unwrap();
    let error = fail(at, &report);
    assert!(
        error.contains("a: popularity") && error.contains("another run"),
        "{error}"
    );
}

/// Every file below a folder.
fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => walk(&path),
            false => vec![path],
        })
        .collect()
}
