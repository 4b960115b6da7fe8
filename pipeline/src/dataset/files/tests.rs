//! Which files a name means.
#![allow(clippy::unwrap_used)]
use super::super::DatasetDescription;
use super::*;

const SMALL: &str = "name = \"mine\"\ntitle = \"Mine\"\nplatform = \"shop\"\nformat = \"movielens-csv\"\n\
                     interactions = [\"ratings.csv\"]\nlicence = \"own\"\n";

#[test]
fn files_are_found_plain_or_compressed_and_a_missing_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut description = DatasetDescription::parse(SMALL, "x.toml").unwrap();
    let error = description.interaction_files(folder.path()).unwrap_err();
    assert!(error.to_string().contains("ratings.csv"), "{error}");
    std::fs::write(folder.path().join("ratings.csv.zst"), "").unwrap();
    let found = description.interaction_files(folder.path()).unwrap();
    assert_eq!(found, [folder.path().join("ratings.csv.zst")]);

    assert!(description.item_files(folder.path()).unwrap().is_none());
    description.items = vec!["movies.csv".to_string()];
    assert!(description.item_files(folder.path()).is_err());
    description.items_optional = true;
    assert!(description.item_files(folder.path()).unwrap().is_none());
}

#[test]
fn a_folder_gives_its_files_by_name_without_what_engines_leave_there() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("events");
    std::fs::create_dir_all(folder.join("inner")).unwrap();
    let names = ["events/".to_string()];
    let error = find_all(root.path(), &names).unwrap_err().to_string();
    assert!(
        error.contains("events") && error.contains("no file in this folder"),
        "{error}"
    );
    for name in ["part-2.csv.gz", "part-1.csv", "_SUCCESS", ".part-1.csv.crc"] {
        std::fs::write(folder.join(name), "").unwrap();
    }
    let found = find_all(root.path(), &names).unwrap();
    assert_eq!(found, [folder.join("part-1.csv"), folder.join("part-2.csv.gz")]);
}

fn found(root: &Path, name: &str) -> Result<Vec<PathBuf>> {
    find_all(root, &[name.to_owned()])
}

fn said(root: &Path, name: &str) -> String {
    found(root, name).unwrap_err().to_string()
}

#[test]
fn capitals_of_a_name_and_its_endings_do_not_matter() {
    for stored in ["e.csv", "E.CSV", "e.csv.GZ", "E.Csv.Gz", "e.csv.Bz2", "e.CSV.XZ"] {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join(stored), "").unwrap();
        for name in ["e.csv", "E.CSV"] {
            assert_eq!(
                found(root.path(), name).unwrap(),
                [root.path().join(stored)],
                "{name}"
            );
        }
    }
    let root = tempfile::tempdir().unwrap();
    for stored in ["E.CSV", "e.csv"] {
        std::fs::write(root.path().join(stored), "").unwrap();
    }
    if std::fs::read_dir(root.path()).unwrap().count() == 2 {
        assert_eq!(found(root.path(), "e.csv").unwrap(), [root.path().join("e.csv")]);
        assert!(said(root.path(), "E.csv").contains("2 are there"));
    }
}

#[test]
fn a_file_that_is_there_in_two_ways_is_an_error_that_names_both() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("events")).unwrap();
    for name in ["a.json", "a.json.gz", "events/a.csv", "events/a.csv.zst"] {
        std::fs::write(root.path().join(name), "").unwrap();
    }
    for (name, both) in [
        ("a.json", ["a.json, ", "a.json.gz"]),
        ("events/", ["a.csv, ", "a.csv.zst"]),
    ] {
        let error = said(root.path(), name);
        assert!(both.iter().all(|name| error.contains(name)), "{error}");
    }
}

#[test]
fn a_missing_file_is_told_with_what_is_there_instead() {
    let root = tempfile::tempdir().unwrap();
    let error = said(&root.path().join("nowhere"), "e.csv");
    assert!(
        error.contains("nowhere: no such folder, in which e.csv should be"),
        "{error}"
    );
    std::fs::write(root.path().join("a"), "").unwrap();
    let error = said(&root.path().join("a"), "e.csv");
    assert!(error.contains("it is a file, and not the folder"), "{error}");
    std::fs::remove_file(root.path().join("a")).unwrap();
    let error = said(root.path(), "e.csv");
    assert!(
        error.contains("e.csv: no such file, nor with .gz, .zst, .bz2 or .xz"),
        "{error}"
    );
    std::fs::write(root.path().join("events.csv"), "").unwrap();
    assert!(said(root.path(), "e.csv").contains("there are events.csv"));
    std::fs::write(root.path().join("e.csv.lz4"), "").unwrap();
    assert!(
        said(root.path(), "e.csv").contains("there is e.csv.lz4, but this is an lz4 file; decompress it")
    );
}

#[test]
fn folders_and_files_are_told_from_one_another() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("events/2024")).unwrap();
    std::fs::create_dir_all(root.path().join("e.csv")).unwrap();
    std::fs::write(root.path().join("a.csv"), "").unwrap();
    let error = said(root.path(), "events/");
    assert!(
        error.contains("only folders (2024); name them, as `2024/`"),
        "{error}"
    );
    let error = said(root.path(), "e.csv");
    assert!(error.contains("end the name with `/`"), "{error}");
    let error = said(root.path(), "a.csv/");
    assert!(error.contains("it is a file; take the `/` off"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_link_to_nothing_is_no_missing_file() {
    let root = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("moved.csv", root.path().join("e.csv")).unwrap();
    for name in ["e.csv", "./"] {
        let error = said(root.path(), name);
        assert!(
            error.contains("a link to moved.csv, which is not there"),
            "{error}"
        );
    }
}

fn zip(path: &Path, names: &[&str]) {
    let mut zip = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    for name in names {
        zip.start_file(*name, zip::write::SimpleFileOptions::default())
            .unwrap();
    }
    zip.finish().unwrap();
}

#[test]
fn files_are_found_in_archives_by_their_path_or_by_their_name() {
    let root = tempfile::tempdir().unwrap();
    let archive = root.path().join("ml-25m.zip");
    zip(
        &archive,
        &[
            "ml-25m/ratings.csv",
            "ml-25m/movies.csv.gz",
            "ml-25m/x/a.csv",
            "__MACOSX/ml-25m/._ratings.csv",
        ],
    );
    for (name, member) in [
        ("ratings.csv", "ml-25m/ratings.csv"),
        ("movies.csv", "ml-25m/movies.csv.gz"),
        ("x/a.csv", "ml-25m/x/a.csv"),
        ("ml-25m.zip/ml-25m/ratings.csv", "ml-25m/ratings.csv"),
        ("ml-25m.zip/ml-25m/Ratings.CSV", "ml-25m/ratings.csv"),
        ("ml-25m.zip/ml-25m/movies.csv", "ml-25m/movies.csv.gz"),
        ("ml-25m.zip/ml-25m/x/", "ml-25m/x/a.csv"),
    ] {
        assert_eq!(
            found(root.path(), name).unwrap(),
            [archive.join(member)],
            "{name}"
        );
    }
    let error = said(root.path(), "ml-25m.zip/ml-25m/tags.csv");
    assert!(
        error.contains("tags.csv: no such file") && error.contains("ratings.csv"),
        "{error}"
    );
    assert!(said(root.path(), "tags.csv").contains("nor in an archive"));

    // What lies beside the archive is nearer; two archives are one too many.
    std::fs::write(root.path().join("movies.csv"), "").unwrap();
    assert_eq!(
        found(root.path(), "movies.csv").unwrap(),
        [root.path().join("movies.csv")]
    );
    zip(&root.path().join("old.ZIP"), &["ratings.csv"]);
    assert!(said(root.path(), "ratings.csv").contains("2 are there"));
    assert_eq!(
        found(&archive, "ratings.csv").unwrap(),
        [archive.join("ml-25m/ratings.csv")]
    );
    // An archive called after the file, with the file under another name.
    zip(&root.path().join("e.csv.zip"), &["export/2024.csv"]);
    assert_eq!(
        found(root.path(), "e.csv").unwrap(),
        [root.path().join("e.csv.zip/export/2024.csv")]
    );
}

#[test]
fn names_that_cannot_be_looked_for_say_what_to_write() {
    for (name, word) in [
        ("", "empty"),
        ("ratings.csv.GZ", "leave the compression ending out"),
        ("ratings.csv.xz", "leave the compression ending out"),
        ("ml.tar.gz", "a tar archive"),
        ("ml.zip", "name the file in the archive, as `ml.zip/"),
    ] {
        assert!(check(name).unwrap_err().contains(word), "{name}");
    }
    assert_eq!(check("ml.zip/ratings.csv"), Ok(()));
}

#[test]
fn a_partitioned_folder_gives_the_files_of_all_its_parts_in_order() {
    let root = tempfile::tempdir().unwrap();
    let files = [
        "events/year=2023/month=12/part-1.parquet",
        "events/year=2024/month=01/part-0.parquet",
        "events/year=2024/month=02/part-0.parquet",
    ];
    let others = [
        "events/year=2024/_SUCCESS",
        "events/year=2024/month=02/.part-0.parquet.crc",
        "events/_temporary/x=1/part-0.parquet",
        "events/notes/part-0.parquet",
    ];
    for name in files.iter().chain(&others).rev() {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    let found = find_all(root.path(), &["events/".to_string()]).unwrap();
    assert_eq!(found, files.map(|name| root.path().join(name)));
}
