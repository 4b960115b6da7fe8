//! The report in a real browser, used as a reader would: every table sorted by every head, every fold opened, on a desk and on a phone, in
//! light and in dark. Chromium does it, or what the variable `CHROMIUM` names.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;
use weaverec_bench::report::{
    Backbones, Case, Claims, Cut, FILES, Family, Place, Reading, Row, Run, Scenario, ScenarioKind, Study,
    contents,
};

/// What uses the page, in the page.
const READER: &str = include_str!("browser.js");

/// How long a browser may take.
const LIMIT: Duration = Duration::from_secs(120);

const USERS: u32 = 40;

/// What a reader found.
#[derive(Debug, Deserialize)]
struct Verdict {
    /// How wide the window was.
    width: u32,
    /// How long the page is.
    height: u32,
    /// How bright its paper is, from 0 to 1.
    paper: f64,
    /// Heads that were pressed.
    heads: usize,
    /// Folds that were opened.
    folds: usize,
    /// What was wrong.
    faults: Vec<String>,
}

#[derive(Clone, Copy)]
enum Scheme {
    Dark = 0,
    Light = 1,
}

#[test]
fn a_reader_finds_the_report_in_order_on_a_desk_and_on_a_phone_by_day_and_by_night() {
    let Some(browser) = browser() else {
        eprintln!(
            "skipped: there is no chromium to look at the report with; CHROMIUM names another browser of its kind"
        );
        return;
    };
    let page = page();
    for scheme in [Scheme::Light, Scheme::Dark] {
        let [phone, desk] = read(&browser, &page, scheme);
        assert_eq!((phone.width, desk.width), (390, 1400));
        for verdict in [&phone, &desk] {
            assert!(
                verdict.faults.is_empty(),
                "at {} px: {:#?}",
                verdict.width,
                verdict.faults
            );
            assert!(verdict.heads > 150 && verdict.folds > 12, "{verdict:?}");
            match scheme {
                Scheme::Dark => assert!(verdict.paper < 0.05, "{verdict:?}"),
                Scheme::Light => assert!(verdict.paper > 0.9, "{verdict:?}"),
            }
        }
        // Three scenarios of two studies; a page that shows everything at once is three times as long.
        assert!(
            desk.height < 6_500 && phone.height < 10_000,
            "{} and {} px",
            desk.height,
            phone.height
        );
    }
}

#[test]
fn a_reader_finds_out_what_is_broken() {
    let Some(browser) = browser() else {
        eprintln!(
            "skipped: there is no chromium to look at the report with; CHROMIUM names another browser of its kind"
        );
        return;
    };
    let mut page = page();
    for (whole, broken) in [
        // Numbers are sorted one way alone.
        ("return sign * (Number(", "return (Number("),
        // The page is wider than any window.
        ("</main>", "<p style=\"width: 2000px\">wide</p></main>"),
        // Something is not folded away, something cannot be reached or read.
        ("<details>", "<details open>"),
        (
            "th button { all: unset;",
            "th button { all: unset; visibility: hidden;",
        ),
        ("--quiet: #5c6670;", "--quiet: #c0c0c0;"),
        // Whoever reads the summary has to push its matrix to see a number.
        (
            ".scroll { overflow-x: auto; }",
            ".scroll { overflow-x: auto; } .overview th { min-width: 2000px; }",
        ),
        // The script says that it failed, and fails.
        (
            "let unfolded = [];",
            "console.error(\"of the page\"); let unfolded = []; none.such;",
        ),
        (
            "<title>",
            "<link rel=\"stylesheet\" href=\"elsewhere.css\"><title>",
        ),
    ] {
        assert!(page.contains(whole), "the page has no {whole}");
        page = page.replacen(whole, broken, 1);
    }
    for verdict in read(&browser, &page, Scheme::Light) {
        for fault in [
            "numbers are in no order",
            "the page is 20",
            "not folded: ",
            "out of a keyboard's reach: ",
            "has a contrast of ",
            ".overview table: the first numbers are out of sight",
            "console: of the page",
            "error: ",
            "loads something: <link",
        ] {
            let found = verdict.faults.iter().any(|found| found.contains(fault));
            assert!(
                found,
                "{fault} is missed at {} px: {:#?}",
                verdict.width, verdict.faults
            );
        }
    }
}

/// The browser: the one that `CHROMIUM` names, or the first that the search path has.
fn browser() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CHROMIUM") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|file| file.is_file())
}

/// Shows a page in a narrow and in a wide window, and tells what was found in either, the narrow one first. A browser's own window has a
/// least width, which a frame has not.
fn read(browser: &Path, page: &str, scheme: Scheme) -> [Verdict; 2] {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // Before the page's own script, so that nothing that fails there is missed.
    let with_reader = page.replacen("<title>", &format!("<script>\n{READER}</script>\n<title>"), 1);
    assert_ne!(with_reader, page);
    fs::write(at("report.html"), with_reader).unwrap();
    let frame = |width: u32, height: u32| {
        format!(r#"<iframe style="border: 0" src="report.html" width="{width}" height="{height}"></iframe>"#)
    };
    let around = format!(
        "<!doctype html><meta charset=\"utf-8\"><body><script>
addEventListener(\"message\", (event) => {{
  const verdict = document.createElement(\"pre\");
  verdict.textContent = encodeURIComponent(event.data);
  document.body.append(verdict);
}});
</script>{}{}",
        frame(390, 844),
        frame(1400, 900)
    );
    fs::write(at("around.html"), around).unwrap();
    let profile = format!("--user-data-dir={}", at("profile").display());
    let child = Command::new(browser)
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--window-size=1900,1000",
        ])
        .args(["--virtual-time-budget=20000", "--dump-dom", &profile])
        .arg(format!("--blink-settings=preferredColorScheme={}", scheme as u8))
        .arg(format!("file://{}", at("around.html").display()))
        .stdin(Stdio::null())
        .stdout(File::create(at("dom")).unwrap())
        .stderr(File::create(at("said")).unwrap())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", browser.display()));
    let ended = ends(child);
    let said = || String::from_utf8_lossy(&fs::read(at("said")).unwrap()).into_owned();
    assert!(
        ended,
        "{} took more than {LIMIT:?} or failed: {}",
        browser.display(),
        said()
    );
    let dom = fs::read_to_string(at("dom")).unwrap();
    let verdicts = dom.split("<pre>").skip(1).map(|rest| {
        let (encoded, _) = rest.split_once("</pre>").unwrap();
        serde_json::from_str(&decoded(encoded)).unwrap()
    });
    let mut verdicts: Vec<Verdict> = verdicts.collect();
    verdicts.sort_by_key(|verdict| verdict.width);
    verdicts
        .try_into()
        .unwrap_or_else(|found| panic!("two windows, and the verdicts {found:?}: {}", said()))
}

/// Whether a browser ends well in time; one that hangs is killed with all that it started.
fn ends(mut child: Child) -> bool {
    let started = Instant::now();
    while started.elapsed() < LIMIT {
        if let Some(status) = child.try_wait().unwrap() {
            return status.success();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let group = format!("-{}", child.id());
    let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
    child.wait().unwrap();
    false
}

/// What `encodeURIComponent` has encoded.
fn decoded(encoded: &str) -> String {
    let mut parts = encoded.split('%');
    let mut bytes: Vec<u8> = parts.next().unwrap().bytes().collect();
    for part in parts {
        let (code, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(code, 16).unwrap());
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).unwrap()
}

/// A report of two studies and three scenarios with every kind of row, table and chart, and long names.
fn page() -> String {
    let mut first = study(
        "films",
        "Films by genre",
        &["comedy", "action, adventure and animation"],
    );
    let second = study(
        "logs",
        "Generated logs on two platforms (known structure)",
        &["cinema"],
    );
    first.replicates = 4;
    let place = FILES.iter().position(|file| *file == "report.html").unwrap();
    let files = contents(&[first, second]).unwrap();
    String::from_utf8(files[place].clone()).unwrap()
}

fn study(name: &str, title: &str, sources: &[&str]) -> Study {
    Study {
        name: name.to_owned(),
        title: title.to_owned(),
        profile: "browser".to_owned(),
        purpose: Some("is for tests".to_owned()),
        command: Some(
            "weaverec reproduce --profile a-profile-whose-name-is-longer-than-a-phone-is-wide.toml"
                .to_owned(),
        ),
        replicates: 3,
        backbones: Backbones::PreTrained(3),
        claims: Claims::default(),
        report_on: Cut::Dev,
        notes: vec!["timestamps are synthetic".to_owned()],
        environments: vec![
            json!({ "revision": "0123abcd", "cpu": "two | cores", "features": "avx2 ".repeat(60) }),
        ],
        numerics: vec![1],
        choices: Vec::new(),
        scenarios: sources.iter().map(|source| scenario(source)).collect(),
    }
}

fn scenario(source: &str) -> Scenario {
    let rows = [
        ("random", Family::Floor),
        ("popularity", Family::Floor),
        ("next-id", Family::Probe),
        ("previous-id", Family::Probe),
        ("zero-shot", Family::Untuned),
        ("source-only", Family::Single),
        ("target-only", Family::Single),
        ("joint", Family::Joint),
        ("joint-matched", Family::Control),
        ("soup", Family::Control),
        ("longer", Family::Control),
        (
            "a row with a name as long as the title of its paper",
            Family::Outside,
        ),
        ("naive-merge", Family::NaiveMerging),
        ("weaverec", Family::Woven),
        ("with-counting", Family::Fusion),
        ("adapter:hybrid", Family::Member),
    ];
    Scenario {
        name: format!("{source} to drama"),
        kind: ScenarioKind::SingleSource,
        units: vec![1, 3, 5],
        target: "drama".to_owned(),
        sources: vec![source.to_owned()],
        candidate_hash: "c0ffee".to_owned(),
        split: "leave-one-out".to_owned(),
        order: "ties by hash".to_owned(),
        candidates: 10,
        reading: Reading::PRIMARY,
        readings: Reading::ALL[1..].to_vec(),
        catalogue: Some(300),
        contamination: None,
        best_floor: None,
        best_naive_merge: None,
        caveats: Vec::new(),
        cases: (0..USERS).map(case).collect(),
        rows: (0..)
            .zip(rows)
            .map(|(place, (method, family))| row(place, method, family))
            .collect(),
        lists: Vec::new(),
    }
}

fn case(user: u32) -> Case {
    Case {
        user_id: format!("user {user:02}"),
        descends: user.is_multiple_of(3),
        ties: user.is_multiple_of(10),
        popularity: Some(user % 30),
        history: Some(1 + user % 12),
    }
}

fn row(place: u32, method: &str, family: Family) -> Row {
    let trained = family.is_tuned() || family == Family::Member;
    let counted = matches!(family, Family::Floor | Family::Probe) && method != "random";
    let run = |replicate: u32| {
        let places: Vec<Place> = (0..USERS)
            .map(|user| Place {
                above: (user * 7 + place * (1 + user % 3) + replicate * (user % 5)) % 9,
                tied: u32::from((user + place).is_multiple_of(4)),
            })
            .collect();
        let members = ["target-only", "adapter:hybrid"].map(|member| (member.to_owned(), 0.5));
        let curve = |from: f64| {
            (0..6)
                .map(|step| (10 * step, from / (1.0 + step as f64)))
                .collect()
        };
        Run {
            replicate,
            candidate_hash: "c0ffee".to_owned(),
            cells: vec![
                format!("rankings/{place:08x}{replicate:08x}"),
                format!("adapters/{place:016x}"),
            ],
            readings: vec![places.clone(); 3],
            catalogue: (place < 6).then(|| places.clone()),
            places,
            train_tokens: if trained { 40_000 + u64::from(place) } else { 0 },
            train_steps: if trained { 120 } else { 0 },
            train_flops: if trained { 1e11 * f64::from(1 + place) } else { 0.0 },
            rank_seconds: Some(1.25),
            loss_curve: if trained { curve(5.0) } else { Vec::new() },
            held_out_curve: if trained { curve(5.5) } else { Vec::new() },
            members: match method {
                "weaverec" => members.to_vec(),
                _ => Vec::new(),
            },
            ..Run::default()
        }
    };
    Row {
        method: method.to_owned(),
        label: method.to_owned(),
        family,
        deterministic: counted,
        runs: (0..if counted { 1 } else { 3 }).map(run).collect(),
    }
}
