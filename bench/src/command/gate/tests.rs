#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::report::fixture::{scenario, set, study};
use crate::report::{Study, write_all};
use clap::{Command, FromArgMatches};

fn parsed(arguments: &[&str]) -> Result<Arguments, clap::Error> {
    let command = Arguments::augment_args(Command::new("gate").no_binary_name(true));
    Arguments::from_arg_matches(&command.try_get_matches_from(arguments)?)
}

/// Two reports, and what the gate says of the second for flags in which `BASE` stands for the first.
fn gate(base: Study, head: Study, flags: &[&str]) -> Result<bool> {
    let dir = tempfile::tempdir()?;
    let write = |study: Study, name: &str| -> Result<String> {
        let out = dir.path().join(name);
        let claim = weaverec_output::Claim::take(&out, crate::output::REPORT, &[])?;
        write_all(&[study], &claim)?;
        Ok(out.to_str().context("path")?.to_owned())
    };
    let (base, head) = (write(base, "base")?, write(head, "head")?);
    let flags = flags
        .iter()
        .map(|flag| if *flag == "BASE" { base.as_str() } else { *flag });
    let arguments: Vec<&str> = std::iter::once(head.as_str()).chain(flags).collect();
    Ok(run(parsed(&arguments)?)? == ExitCode::SUCCESS)
}

/// The study with another rank in every third place of a row.
fn changed(replicates: u32, method: &str, to: u32) -> Study {
    let mut study = study(replicates);
    let old = scenario(replicates);
    let row = old.rows.iter().find(|row| row.method == method).unwrap();
    set(&mut study.scenarios[0], method, |replicate, user| {
        let place = row.runs[replicate as usize].places[user as usize];
        if (user + replicate) % 3 == 0 {
            to
        } else {
            place.above + 1
        }
    });
    study
}

#[test]
fn only_a_shown_drop_fails_and_only_beyond_what_is_allowed() {
    let drop = |study: Study, most: &str| {
        gate(self::study(5), study, &["--baseline", "BASE", "--max-drop", most]).unwrap()
    };
    assert!(drop(study(5), "0"), "nothing changed");
    assert!(
        !drop(changed(5, "soup", 10), "0.02"),
        "a third of the users fell to the last rank"
    );
    assert!(drop(changed(5, "soup", 10), "0.5"), "by less than half");
    assert!(drop(changed(5, "soup", 1), "0.02"), "a rise is no drop");
    assert!(
        drop(changed(5, "popularity", 10), "0.02"),
        "a floor is not looked at"
    );
    let one = gate(
        study(1),
        changed(1, "soup", 10),
        &["--baseline", "BASE", "--max-drop", "0"],
    );
    assert!(one.unwrap(), "a single replicate shows nothing");
}

#[test]
fn a_row_or_scenario_can_be_picked() {
    let flags = ["--baseline", "BASE", "--max-drop", "0.02"];
    let with = |more: &[&str]| gate(study(5), changed(5, "soup", 10), &[&flags[..], more].concat());
    assert!(with(&["--row", "weaverec"]).unwrap());
    assert!(!with(&["--row", "weaverec", "--row", "soup"]).unwrap());
    assert!(!with(&["--scenario", "comedy-to-drama"]).unwrap());
    let error = format!("{:#}", with(&["--scenario", "drama"]).unwrap_err());
    assert!(
        error.contains("`drama`") && error.contains("comedy-to-drama"),
        "{error}"
    );
}

#[test]
fn a_requirement_passes_only_where_non_inferiority_is_shown() {
    let require = |study: Study, more: &[&str]| {
        gate(
            self::study(5),
            study,
            &[&["--require", "weaverec"], more].concat(),
        )
    };
    assert!(require(study(5), &["--against", "target-only"]).unwrap());
    assert!(!require(changed(5, "weaverec", 10), &["--against", "target-only"]).unwrap());
    // Against itself in the baseline: the same numbers are within every margin.
    assert!(require(study(5), &["--baseline", "BASE"]).unwrap());
    assert!(!require(changed(5, "weaverec", 10), &["--baseline", "BASE"]).unwrap());
    assert!(
        require(
            changed(5, "weaverec", 10),
            &["--baseline", "BASE", "--margin", "0.6"]
        )
        .unwrap()
    );
    // Ignorance is no pass: two rows of one skill, within less than their noise, and a single replicate.
    let alike = [
        "--require",
        "soup",
        "--against",
        "joint-matched",
        "--margin",
        "0.001",
    ];
    assert!(!gate(study(5), study(5), &alike).unwrap());
    let one = gate(
        study(1),
        study(1),
        &["--require", "weaverec", "--against", "target-only"],
    );
    assert!(!one.unwrap());
}

#[test]
fn what_cannot_be_asked_is_an_error_that_says_what_can() {
    let error = |flags: &[&str]| format!("{:#}", gate(study(3), study(3), flags).unwrap_err());
    assert!(error(&["--require", "weaverec"]).contains("--against"));
    let unknown = error(&["--require", "wverec", "--against", "target-only"]);
    assert!(
        unknown.contains("no row `wverec`, only random, popularity"),
        "{unknown}"
    );
    assert!(error(&["--require", "weaverec", "--against", "target"]).contains("no row `target`"));
    assert!(error(&[]).contains("--max-drop"));
    assert!(error(&["--max-drop", "0.1"]).contains("--baseline"));
    assert!(parsed(&["r", "--baseline", "b", "--max-drop", "-1"]).is_err());
    let mut other = study(3);
    other.scenarios[0].candidate_hash = "decaf".to_owned();
    for run in other.scenarios[0].rows.iter_mut().flat_map(|row| &mut row.runs) {
        run.candidate_hash = "decaf".to_owned();
    }
    let flags = ["--baseline", "BASE", "--max-drop", "0.1"];
    let nothing = format!("{:#}", gate(study(3), other.clone(), &flags).unwrap_err());
    assert!(nothing.contains("other candidates"), "{nothing}");
    let flags = ["--baseline", "BASE", "--require", "weaverec"];
    let nothing = format!("{:#}", gate(study(3), other, &flags).unwrap_err());
    assert!(nothing.contains("decaf"), "{nothing}");
    assert!(Folder::read(Path::new("nowhere")).is_err());
}

#[test]
fn checks_are_test_cases_and_the_file_is_there_whether_the_gate_passes_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ci/gate.xml");
    let name = file.to_str().unwrap();
    let written = |head: Study| {
        let flags = ["--baseline", "BASE", "--max-drop", "0.02", "--junit", name];
        let passed = gate(study(5), head, &flags).unwrap();
        (passed, std::fs::read_to_string(&file).unwrap())
    };
    let (passed, xml) = written(study(5));
    assert!(passed && xml.contains(" failures=\"0\""), "{xml}");
    let (passed, xml) = written(changed(5, "soup", 10));
    assert!(!passed);
    assert!(xml.contains("<testsuite name=\"films\""), "{xml}");
    assert!(
        xml.contains("<testcase name=\"comedy-to-drama, soup\" classname=\"films\">"),
        "{xml}"
    );
    assert!(
        xml.contains("<failure message=\"a drop of more than 0.02 is shown\""),
        "{xml}"
    );
    let cases = xml.matches("<testcase ").count();
    assert!(cases > 1 && xml.contains(&format!("tests=\"{cases}\"")), "{xml}");
    // What cannot be checked leaves what was there.
    let flags = ["--require", "wverec", "--against", "target-only", "--junit", name];
    assert!(gate(study(3), study(3), &flags).is_err());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), xml);
}

#[test]
fn the_file_is_never_one_of_a_report() {
    let flags = ["--baseline", "BASE", "--max-drop", "0.02", "--junit", "BASE"];
    let error = format!("{:#}", gate(study(3), study(3), &flags).unwrap_err());
    assert!(error.contains("is a folder"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let claim = weaverec_output::Claim::take(&out, crate::output::REPORT, &[]).unwrap();
    write_all(&[study(3)], &claim).unwrap();
    drop(claim);
    let (out, inside) = (out.to_str().unwrap(), out.join("gate.xml"));
    let arguments = parsed(&[
        out,
        "--require",
        "weaverec",
        "--against",
        "target-only",
        "--junit",
        inside.to_str().unwrap(),
    ]);
    let error = format!("{:#}", run(arguments.unwrap()).unwrap_err());
    assert!(error.contains("what is gated") && !inside.exists(), "{error}");
}
