//! What goes wrong says so by name and leaves nothing behind.

use std::path::Path;
use std::process::Command;

use weaverec_pipeline::Error;
use weaverec_pipeline::parameters::Parameters;

use crate::support::{assert_nothing_written, compress, films, prepared, run};

#[test]
fn a_truncated_gzip_names_the_file_and_the_offset() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 400);
    compress(&config.raw.join("ratings.csv"), 0.6);
    let error = run(&config).unwrap_err();
    assert!(
        matches!(&error, Error::Format { path, offset, .. } if path.ends_with("ratings.csv.gz") && *offset > 0),
        "{error:?}"
    );
    assert_nothing_written(&config.out);

    config.parameters.salvage = true;
    config.parameters.max_reject_share = 0.5;
    let salvaged = prepared(&config);
    assert_eq!(salvaged.manifest().losses.len(), 1, "the loss is reported");
    assert!(salvaged.manifest().losses[0].contains("ratings.csv.gz"));
}

#[test]
fn a_missing_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = films(folder.path(), 20);
    std::fs::remove_file(config.raw.join("movies.csv")).unwrap();
    let error = run(&config).unwrap_err();
    assert!(
        matches!(&error, Error::Io { path, .. } if path.ends_with("movies.csv")),
        "{error:?}"
    );
    assert_nothing_written(&config.out);
}

#[test]
fn a_line_of_garbage_is_kept_as_a_reject_and_too_many_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 60);
    let path = config.raw.join("ratings.csv");
    let text = std::fs::read_to_string(&path).unwrap();
    let (lines, good) = (text.lines().count() as u64, text.clone());
    std::fs::write(&path, text + "7,\u{1}garbage\n").unwrap();
    let folder = prepared(&config);
    let rejects = folder.rejects().unwrap();
    assert_eq!(rejects.len(), 1);
    assert_eq!(
        (rejects[0].line, rejects[0].offset),
        (lines + 1, good.len() as u64)
    );
    assert!(rejects[0].text.contains("garbage"));
    assert_eq!(folder.manifest().rejects.values().sum::<u64>(), 1);

    std::fs::write(&path, good + &"nonsense\n".repeat(30)).unwrap();
    config.name = Some("again".to_owned());
    let error = run(&config).unwrap_err();
    assert!(
        matches!(&error, Error::TooManyRejects { rejected: 30, .. }),
        "{error:?}"
    );
    assert!(!config.folder().exists());
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 20);
    // A file where a folder is needed stops root as well, whom permissions do not.
    std::fs::write(folder.path().join("file"), "").unwrap();
    config.out = folder.path().join("file/out");
    let error = run(&config).unwrap_err();
    assert!(
        matches!(&error, Error::Io { path, .. } if *path == config.out),
        "{error:?}"
    );
}

#[test]
fn a_full_disk_is_an_error_that_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 2_000);
    config.out = folder.path().join("small");
    std::fs::create_dir(&config.out).unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=96k", "tmpfs"])
        .arg(&config.out)
        .output();
    if !mount.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "skipped: this user cannot mount a small tmpfs (the writer itself is tested against /dev/full)"
        );
        return;
    }
    let result = run(&config);
    let left = std::fs::read_dir(&config.out).unwrap().count();
    let unmounted = Command::new("umount").arg(&config.out).status().unwrap();
    assert!(unmounted.success());
    let error = result.unwrap_err();
    let full = std::io::ErrorKind::StorageFull;
    assert!(
        matches!(&error, Error::Io { source, .. } if source.kind() == full),
        "{error:?}"
    );
    assert_eq!(left, 0);
}

#[test]
fn a_domain_without_users_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 20);
    config.parameters.filter.domain = Some("Musical".to_owned());
    let error = run(&config).unwrap_err().to_string();
    assert!(error.contains("Musical") && error.contains("no user"), "{error}");
    assert!(error.contains("check the domain's name"), "{error}");
    assert_nothing_written(&config.out);
}

#[test]
fn what_left_no_interaction_is_what_the_hint_speaks_of() {
    let folder = tempfile::tempdir().unwrap();
    let config = films(folder.path(), 20);
    let told = |change: &dyn Fn(&mut Parameters)| {
        let mut config = config.clone();
        change(&mut config.parameters);
        run(&config).unwrap_err().to_string()
    };
    let core = told(&|parameters| parameters.core.users = 10_000);
    assert!(core.ends_with("lower the k-core"), "{core}");
    let rating = told(&|parameters| parameters.min_rating = Some(99.0));
    assert!(rating.ends_with("lower the least rating"), "{rating}");
    let window = told(&|parameters| parameters.window.until = Some(1));
    assert!(window.ends_with("widen the window of time"), "{window}");
    std::fs::write(
        config.raw.join("ratings.csv"),
        "userId,movieId,rating,timestamp\n",
    )
    .unwrap();
    let read = told(&|_| {});
    assert!(read.contains("check that the raw files"), "{read}");
}

#[test]
fn a_folder_of_someone_elses_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 20);
    std::fs::create_dir_all(config.folder()).unwrap();
    let precious = config.folder().join("thesis.txt");
    std::fs::write(&precious, "text").unwrap();
    config.force = true;
    let error = run(&config).unwrap_err();
    assert!(matches!(&error, Error::Output { path, .. } if path.ends_with(config.folder_name())));
    assert!(error.to_string().contains("thesis.txt"), "{error}");
    assert_eq!(std::fs::read_to_string(Path::new(&precious)).unwrap(), "text");
}
