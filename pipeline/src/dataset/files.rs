//! Where the files of a description lie.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::compress::{self, Compression};
use crate::error::{Error, Result};
use crate::magic;
use crate::raw::partition_of;
use crate::storage::{self, Kind, archive};

/// Names that are told where a file is missing.
const TOLD: usize = 5;

/// Whether a name of a description can be looked for.
pub(super) fn check(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("it is empty; name a file, or a folder with `/` at its end".to_owned());
    }
    if Compression::of_name(name).is_some() {
        return Err(magic::of_name(name).unwrap_or_else(|| {
            format!(
                "leave the compression ending out, {} are looked for as well",
                compress::ENDINGS
            )
        }));
    }
    if archive::named(name) {
        return Err(format!(
            "name the file in the archive, as `{name}/ratings.csv`, or that file alone: archives right in the raw folder are looked through"
        ));
    }
    Ok(())
}

/// The files of those names under `root`, folders taken apart.
pub(super) fn find_all(root: &Path, names: &[String]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for name in names {
        if name.ends_with('/') {
            files.extend(files_of(&root.join(name))?);
        } else {
            files.push(find(root, name)?);
        }
    }
    Ok(files)
}

/// The file `name` under `root`: plain or compressed, so called or in other capitals, or else in an archive.
fn find(root: &Path, name: &str) -> Result<PathBuf> {
    let path = root.join(name);
    if storage::url(root).is_some() && name.split('/').rev().skip(1).any(archive::named) {
        return Err(Error::Usage(format!(
            "{}: archives are read from this machine alone; download it, and name its folder with --raw",
            path.display()
        )));
    }
    let mut found = beside(&path)?;
    if found.is_empty() && storage::url(root).is_none() {
        found = in_other_capitals(&path);
        if found.is_empty() {
            found = in_archives(root, name)?;
        }
    }
    match found.as_slice() {
        [] => Err(missing(&path)),
        [one] => Ok(one.clone()),
        _ => Err(several(&found)),
    }
}

/// The endings that a file may have behind its name, none first.
fn endings() -> impl Iterator<Item = &'static str> {
    std::iter::once("").chain(Compression::ALL.into_iter().map(Compression::ending))
}

/// Files of exactly that name, plain or compressed.
fn beside(path: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut folder) = (Vec::new(), false);
    for ending in endings() {
        let mut found = path.as_os_str().to_owned();
        found.push(ending);
        let found = PathBuf::from(found);
        match storage::kind(&found).map_err(|source| Error::io(&found, "look for", source))? {
            Some(Kind::File) => files.push(found),
            Some(Kind::Folder) => folder |= ending.is_empty(),
            None => {}
        }
    }
    if files.is_empty() && folder {
        return Err(Error::io(path, "read", ErrorKind::IsADirectory.into()));
    }
    Ok(files)
}

/// Files of that name if capitals do not matter.
fn in_other_capitals(path: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    // What cannot be listed has no such file either; what is said then is that it is missing.
    let mut files = storage::list(folder).unwrap_or_default();
    files.retain(|file| {
        file.file_name()
            .and_then(|found| found.to_str())
            .is_some_and(|found| called(found, name))
    });
    files.sort();
    files
}

/// Whether a file of the name `found` is the one called `name`, compressed or not.
fn called(found: &str, name: &str) -> bool {
    let plain = Compression::of_name(found).map_or(found, |(_, plain)| plain);
    found.eq_ignore_ascii_case(name) || plain.eq_ignore_ascii_case(name)
}

/// Files of that name in archives right under `root`, or in `root` if that is one, in whichever folder they are there. An archive that is called like the file, `.zip`
/// added, may hold one under any name.
fn in_archives(root: &Path, name: &str) -> Result<Vec<PathBuf>> {
    // The raw folder may be an archive itself.
    let mut archives = match root.is_file() {
        true => vec![root.to_owned()],
        false => storage::list(root).unwrap_or_default(),
    };
    archives.retain(|path| path.to_str().is_some_and(archive::named));
    archives.sort();
    let mut found = Vec::new();
    for path in archives {
        let members = archive::files(&path).map_err(|source| Error::io(&path, "read", source))?;
        let own = path
            .file_name()
            .and_then(|own| own.to_str())
            .is_some_and(|own| own[..own.len() - archive::ENDING.len()].eq_ignore_ascii_case(name));
        let fits = |member: &&String| {
            let parts = name.matches('/').count() + 1;
            let from = member
                .rmatch_indices('/')
                .nth(parts - 1)
                .map_or(0, |(at, _)| at + 1);
            called(&member[from..], name)
        };
        let mut fitting: Vec<&String> = members.iter().filter(fits).collect();
        if let ([], [only], true) = (fitting.as_slice(), members.as_slice(), own) {
            fitting.push(only);
        }
        found.extend(fitting.into_iter().map(|member| path.join(member)));
    }
    Ok(found)
}

/// The files in a folder by name. What engines leave beside their output (`_SUCCESS`, `.part-0.crc`) is none of them.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::io(folder, "list", source);
    // With its last `/` it would not be found as a file.
    let plain: PathBuf = folder.components().collect();
    if storage::url(folder).is_none() && storage::kind(&plain).map_err(failed)? == Some(Kind::File) {
        let what = "it is a file; take the `/` off its name";
        return Err(failed(io::Error::new(ErrorKind::NotADirectory, what)));
    }
    let mut files = storage::list(folder).map_err(failed)?;
    partitioned(folder, &mut files)?;
    files.retain(|path| counts(&name_of(path)));
    if files.is_empty() {
        let folders = folders_of(folder);
        return Err(not_found(
            folder,
            &match folders.as_slice() {
                [] => "no file in this folder".to_owned(),
                [first, ..] => format!(
                    "no file in this folder, only folders ({}); name them, as `{first}/` below it",
                    listed(&folders)
                ),
            },
        ));
    }
    files.sort();
    for file in &files {
        let name = name_of(file);
        let same: Vec<PathBuf> = files
            .iter()
            .filter(|other| other.parent() == file.parent() && called(&name_of(other), &name))
            .cloned()
            .collect();
        if same.len() > 1 {
            return Err(several(&same));
        }
    }
    Ok(files)
}

/// Adds the files of the folders in this one whose names tell a column (`year=2024`), and of such folders in them.
fn partitioned(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let folders = storage::folders(folder).map_err(|source| Error::io(folder, "list", source))?;
    for folder in folders {
        let name = name_of(&folder);
        if partition_of(&name).is_some() && counts(&name) {
            files.extend(storage::list(&folder).map_err(|source| Error::io(&folder, "list", source))?);
            partitioned(&folder, files)?;
        }
    }
    Ok(())
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Whether a file or a folder of that name is meant where all of a folder are.
fn counts(name: &str) -> bool {
    !name.starts_with(['.', '_'])
}

/// The names of the folders in a folder on this machine.
fn folders_of(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path()).filter(|path| path.is_dir());
    let mut names: Vec<String> = paths
        .map(|path| name_of(&path))
        .filter(|name| counts(name))
        .collect();
    names.sort();
    names
}

/// A few names, in words.
fn listed(names: &[String]) -> String {
    let more = if names.len() > TOLD { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(TOLD)].join(", "))
}

/// A file that is nowhere, with what may be meant.
fn missing(path: &Path) -> Error {
    let name = name_of(path);
    if let Some(folder) = path.parent().filter(|folder| storage::url(folder).is_none()) {
        match storage::kind(folder) {
            Err(source) => return Error::io(folder, "look into", source),
            Ok(None) if !folder.as_os_str().is_empty() => {
                return not_found(folder, &format!("no such folder, in which {name} should be"));
            }
            Ok(Some(Kind::File)) => {
                let what = format!("it is a file, and not the folder in which {name} should be");
                return Error::io(
                    folder,
                    "look into",
                    io::Error::new(ErrorKind::NotADirectory, what),
                );
            }
            Ok(_) => {}
        }
    }
    let mut beside: Vec<String> = path
        .parent()
        .and_then(|folder| storage::list(folder).ok())
        .unwrap_or_default()
        .iter()
        .map(|path| name_of(path))
        .filter(|found| counts(found))
        .collect();
    beside.sort();
    let unread = beside
        .iter()
        .filter(|found| found.starts_with(&name))
        .find_map(|found| Some((found, magic::of_name(found)?)));
    let hint = match unread {
        Some((found, what)) => format!("; there is {found}, but {what}"),
        None if beside.is_empty() => String::new(),
        None => format!("; in its place there are {}", listed(&beside)),
    };
    not_found(
        path,
        &format!(
            "no such file, nor with {} added, nor in an archive beside it{hint}",
            compress::ENDINGS
        ),
    )
}

/// Nobody knows which of several files is meant.
fn several(found: &[PathBuf]) -> Error {
    let names: Vec<String> = found.iter().map(|path| path.display().to_string()).collect();
    Error::Usage(format!(
        "one file is named and {} are there: {}; remove or rename all but one, or write in the description which is meant",
        found.len(),
        names.join(", ")
    ))
}

fn not_found(path: &Path, what: &str) -> Error {
    Error::io(path, "find", io::Error::new(ErrorKind::NotFound, what))
}

#[cfg(test)]
mod tests {
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
}
