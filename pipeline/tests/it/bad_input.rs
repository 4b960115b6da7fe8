//! What bad input gets, case by case; the table is in `docs/pipeline.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use weaverec_pipeline::Error;
use weaverec_pipeline::dataset::DatasetDescription;
use weaverec_pipeline::prepare::PrepareConfig;
use weaverec_pipeline::schema::Split;

use crate::support::{assert_nothing_written, elsewhere, films, named, prepared, run};

/// Puts bytes at the end of the ratings; returns the number and the offset of the first line put there.
fn append(config: &PrepareConfig, bytes: &[u8]) -> (u64, u64) {
    let path = config.raw.join("ratings.csv");
    let mut text = std::fs::read(&path).unwrap();
    let lines = text.iter().filter(|byte| **byte == b'\n').count() as u64;
    let offset = text.len() as u64;
    text.extend_from_slice(bytes);
    std::fs::write(&path, text).unwrap();
    (lines + 1, offset)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Replaces a raw file by other bytes with `.gz` added to its name.
fn store_gz(config: &PrepareConfig, name: &str, bytes: &[u8]) {
    std::fs::remove_file(config.raw.join(name)).unwrap();
    std::fs::write(config.raw.join(format!("{name}.gz")), bytes).unwrap();
}

/// Preparing fails, with the text of the error, and leaves nothing.
fn refused(config: &PrepareConfig) -> String {
    let error = run(config).unwrap_err().to_string();
    assert_nothing_written(&config.out);
    error
}

fn reasons(config: &PrepareConfig) -> BTreeMap<String, u64> {
    prepared(config).manifest().rejects.clone()
}

fn one(reason: &str, count: u64) -> BTreeMap<String, u64> {
    BTreeMap::from([(format!("ratings.csv: {reason}"), count)])
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = films(folder.path(), 20);
    let path = config.raw.join("ratings.csv");

    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let error = refused(&config);
    assert!(error.contains("ratings.csv") && error.contains("`/`"), "{error}");
    std::fs::remove_dir(&path).unwrap();

    #[cfg(target_os = "linux")]
    {
        // A file whose reading fails as that of a broken disk does.
        std::os::unix::fs::symlink("/proc/self/mem", &path).unwrap();
        let error = run(&config).unwrap_err();
        assert!(
            matches!(&error, Error::Io { path: named, action: "read", .. } if *named == path),
            "{error:?}"
        );
        assert_nothing_written(&config.out);
        std::fs::remove_file(&path).unwrap();
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(&path, "secret").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
        if std::fs::read(&path).is_ok() {
            eprintln!("skipped: permissions do not stop this user");
            return;
        }
        let error = refused(&config);
        assert!(
            error.contains("ratings.csv") && error.contains("change its permissions"),
            "{error}"
        );
    }
}

#[test]
fn gzip_members_one_after_another_are_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = films(folder.path(), 60);
    let whole = prepared(&config);
    let text = std::fs::read(config.raw.join("ratings.csv")).unwrap();
    // Cut in the middle of a line, as block compressors do.
    let (first, second) = text.split_at(text.len() / 2);
    store_gz(&config, "ratings.csv", &[gzip(first), gzip(second)].concat());
    let members = prepared(&elsewhere(&config, "members"));
    assert_eq!(whole.sequences().unwrap(), members.sequences().unwrap());
    assert!(!whole.sequences().unwrap().is_empty());
}

#[test]
fn what_follows_the_last_gzip_member_is_damage_that_salvage_passes_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 60);
    let text = std::fs::read(config.raw.join("ratings.csv")).unwrap();
    store_gz(
        &config,
        "ratings.csv",
        &[gzip(&text), b"<html>".to_vec()].concat(),
    );
    let error = run(&config).unwrap_err();
    assert!(
        matches!(&error, Error::Format { path, offset, message }
            if path.ends_with("ratings.csv.gz") && *offset == text.len() as u64 && message.contains("--salvage")),
        "{error:?}"
    );
    assert_nothing_written(&config.out);
    config.parameters.salvage = true;
    let kept = prepared(&config);
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    assert!(
        kept.manifest().losses[0].contains(&format!("{lines} whole lines were kept")),
        "{:?}",
        kept.manifest().losses
    );
}

#[test]
fn bytes_that_are_no_text_cost_their_line_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 60);
    config.parameters.max_reject_share = 0.5;
    let before = prepared(&named(&config, "before")).manifest().counts[0].interactions;
    let (line, offset) = append(&config, b"7,\xff\xfe,3,1000000000\n");
    // A block of NUL bytes is what a crash leaves at the end of a log.
    append(&config, &[&[0; 4_096][..], b"\n"].concat());
    append(&config, b"7,8,3,1000000000\n");
    let folder = prepared(&config);
    let expected = [
        one("not UTF-8", 1),
        one("another number of fields than the header", 1),
    ];
    assert_eq!(
        folder.manifest().rejects,
        expected.into_iter().flatten().collect()
    );
    let rejects = folder.rejects().unwrap();
    assert_eq!((rejects[0].line, rejects[0].offset), (line, offset));
    assert_eq!(rejects[0].text, "7,\u{fffd}\u{fffd},3,1000000000");
    assert_eq!(rejects[1].text.len(), 200, "of a long line the beginning is kept");
    assert_eq!(folder.manifest().counts[0].interactions, before + 1);
}

#[test]
fn an_id_may_hold_a_nul_byte_and_a_title_loses_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = films(folder.path(), 60);
    let path = config.raw.join("movies.csv");
    let movies = std::fs::read_to_string(&path)
        .unwrap()
        .replace("Film No 5,", "Film\0No 5,");
    std::fs::write(&path, movies).unwrap();
    append(
        &config,
        b"a\0b,1,3,1000000000\na\0b,2,3,1000000001\na\0b,3,3,1000000002\n",
    );
    let folder = prepared(&config);
    assert!(
        folder
            .sequences()
            .unwrap()
            .iter()
            .any(|sequence| sequence.user_id == "a\0b")
    );
    let items = folder.items().unwrap();
    let five = items.iter().find(|item| item.item_id == "5").unwrap();
    assert!(five.title.starts_with("The Film No 5"), "{}", five.title);
    assert_eq!(folder.manifest().rejects, BTreeMap::new());
}

#[test]
fn a_line_of_50_mb_is_a_reject_and_the_next_line_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 60);
    let before = prepared(&named(&config, "before")).manifest().counts[0].interactions;
    let mut long = vec![b'7'; 50_000_000];
    long.extend_from_slice(b"\n7,8,3,1000000000\n");
    let (line, offset) = append(&config, &long);
    for gz in [false, true] {
        if gz {
            let text = std::fs::read(config.raw.join("ratings.csv")).unwrap();
            store_gz(&config, "ratings.csv", &gzip(&text));
        }
        config.name = Some(format!("long-{gz}"));
        let folder = prepared(&config);
        let rejects = folder.rejects().unwrap();
        assert_eq!(rejects.len(), 1);
        let found = &rejects[0];
        assert_eq!((found.line, found.offset), (line, offset));
        assert_eq!(
            (found.reason.as_str(), found.text.len()),
            ("line longer than 16 MiB", 200)
        );
        assert_eq!(folder.manifest().counts[0].interactions, before + 1);
    }
}

#[test]
fn a_million_rejects_are_all_kept_where_they_are_allowed() {
    const BAD: u64 = 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 60);
    let (first, _) = append(&config, "bad line\n".repeat(BAD as usize).as_bytes());
    let error = run(&config).unwrap_err();
    assert!(
        matches!(&error, Error::TooManyRejects { rejected: BAD, .. }),
        "{error:?}"
    );
    assert_nothing_written(&config.out);

    config.parameters.max_reject_share = 1.0;
    let folder = prepared(&config);
    assert_eq!(
        folder.manifest().rejects,
        one("another number of fields than the header", BAD)
    );
    let rejects = folder.rejects().unwrap();
    assert_eq!(rejects.len() as u64, BAD);
    let wrong = rejects
        .iter()
        .zip(first..)
        .find(|(reject, line)| reject.line != *line || reject.text != "bad line");
    assert!(wrong.is_none(), "{wrong:?}");
}

#[test]
fn a_header_that_stands_again_among_the_lines_is_a_reject_and_a_column_twice_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 60);
    config.parameters.max_reject_share = 0.5;
    // What `cat a.csv b.csv` makes.
    append(&config, b"userId,movieId,rating,timestamp\n7,8,3,1000000000\n");
    assert_eq!(reasons(&config), one("rating is no number", 1));

    let path = config.raw.join("ratings.csv");
    std::fs::write(
        &path,
        "userId,movieId,rating,timestamp,rating\n1,2,3,1000000000,4\n",
    )
    .unwrap();
    config.name = Some("twice".to_owned());
    let error = run(&config).unwrap_err().to_string();
    assert!(
        error.contains("ratings.csv") && error.contains("the column rating twice"),
        "{error}"
    );
    assert!(!config.folder().exists());
}

#[test]
fn clocks_in_milliseconds_and_microseconds_are_told_from_seconds() {
    for (zeros, unit) in [("000", "ms"), ("000000", "us")] {
        let folder = tempfile::tempdir().unwrap();
        let mut config = films(folder.path(), 60);
        let seconds = prepared(&elsewhere(&config, "seconds")).sequences().unwrap();
        let path = config.raw.join("ratings.csv");
        let text = std::fs::read_to_string(&path).unwrap();
        let (header, rows) = text.split_once('\n').unwrap();
        let finer = rows.replace('\n', &format!("{zeros}\n"));
        std::fs::write(&path, format!("{header}\n{finer}")).unwrap();
        let error = run(&config).unwrap_err().to_string();
        assert!(
            error.contains("ratings.csv") && error.contains(&format!("`time = \"{unit}\"`")),
            "{error}"
        );
        assert!(!config.folder().exists());
        // What the error says to write is what helps.
        config.dataset = as_unit(&folder.path().join("films.toml"), unit);
        assert_eq!(prepared(&config).sequences().unwrap(), seconds);
    }
}

fn as_unit(description: &Path, unit: &str) -> DatasetDescription {
    let text = std::fs::read_to_string(description).unwrap();
    let text = text.replace(
        "format = \"movielens-csv\"\n",
        &format!("format = \"movielens-csv\"\ntime = \"{unit}\"\n"),
    );
    DatasetDescription::parse(&text, "films.toml").unwrap()
}

#[test]
fn titles_of_9000_characters_are_cut_between_words() {
    let folder = tempfile::tempdir().unwrap();
    let config = films(folder.path(), 60);
    let mut movies = String::from("movieId,title,genres\n");
    for film in 1..=40 {
        // Words, one word, letters of two bytes, and tags without end.
        let title = match film % 4 {
            0 => "word ".repeat(1_800),
            1 => "x".repeat(9_000),
            2 => "\u{e9}\u{e8} ".repeat(3_000),
            _ => format!("{}Tagged", "<script></script><b>".repeat(450)),
        };
        writeln!(movies, "{film},{title}{film},Drama").unwrap();
    }
    std::fs::write(config.raw.join("movies.csv"), movies).unwrap();
    let most = config.parameters.max_title_chars;
    let folder = prepared(&config);
    let items = folder.items().unwrap();
    assert_eq!(folder.manifest().titles_missing, 0);
    for item in &items {
        let length = item.title.chars().count();
        assert!(length > 0 && length <= most, "{length} characters");
    }
    let title = |id: &str| &items.iter().find(|item| item.item_id == id).unwrap().title;
    assert!(title("4").ends_with("word"), "{}", title("4"));
    assert_eq!(title("7"), "Tagged7");
}

#[test]
fn a_user_with_100000_interactions_is_prepared_as_any_other() {
    const LONG: usize = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 60);
    let mut ratings = std::fs::read_to_string(config.raw.join("ratings.csv")).unwrap();
    for step in 0..LONG {
        writeln!(
            ratings,
            "robot,{},3,{}",
            1_000 + step % 60_000,
            1_000_000_000 + step
        )
        .unwrap();
    }
    std::fs::write(config.raw.join("ratings.csv"), ratings).unwrap();
    config.parameters.max_train = 30_000;
    // Nobody has described what the robot saw.
    config.parameters.allow_missing_items = true;
    let folder = prepared(&config);
    let sequences = folder.sequences().unwrap();
    let robot = sequences
        .iter()
        .find(|sequence| sequence.user_id == "robot")
        .unwrap();
    assert_eq!(robot.items.len(), LONG);
    let train = folder.prompts(Split::Train).unwrap();
    assert_eq!(train.len(), 30_000);
    // Only the 40 films of the others are untouched by the robot, and the audit has looked at every candidate.
    let (by_robot, others): (Vec<_>, Vec<_>) = train.iter().partition(|prompt| prompt.user_id == "robot");
    assert!(by_robot.len() > 29_000 && !others.is_empty());
    assert!(by_robot.iter().all(|prompt| prompt.candidates.len() == 10));
    assert!(folder.manifest().audit.leaks.is_empty());
}

#[test]
fn empty_files_and_files_with_a_header_alone_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let config = films(folder.path(), 60);
    let path = config.raw.join("ratings.csv");
    std::fs::write(&path, "").unwrap();
    let error = refused(&config);
    assert!(
        error.contains("ratings.csv") && error.contains("the file is empty; a header line is needed"),
        "{error}"
    );
    std::fs::write(&path, "userId,movieId,rating,timestamp\n").unwrap();
    let error = refused(&config);
    assert!(
        error.contains("films has no user") && error.contains("0 read"),
        "{error}"
    );

    // Without a line about items they have stand-ins for titles, where that is put up with.
    let mut config = films(folder.path(), 60);
    std::fs::write(config.raw.join("movies.csv"), "movieId,title,genres\n").unwrap();
    let error = refused(&config);
    assert!(error.contains("there is none in the item files"), "{error}");
    config.parameters.allow_missing_items = true;
    let found = prepared(&config);
    assert_eq!(
        found.manifest().titles_missing as usize,
        found.items().unwrap().len()
    );
    assert!(!found.items().unwrap().is_empty());

    // Formats without headers: an empty file holds nothing, and nothing is too little.
    let text = "name = \"t\"\ntitle = \"T\"\nplatform = \"p\"\nlicence = \"own\"\nformat = \"amazon-2018\"\n\
                interactions = [\"reviews.json\"]\n";
    std::fs::write(config.raw.join("reviews.json"), "").unwrap();
    let dataset = DatasetDescription::parse(text, "t.toml").unwrap();
    let reviews = PrepareConfig::new(dataset, &config.raw, folder.path().join("reviews"));
    let error = refused(&reviews);
    assert!(error.contains("t has no user"), "{error}");
    // An empty file that should be gzip is one that ends early.
    store_gz(&reviews, "reviews.json", b"");
    assert!(refused(&reviews).contains("ends early"));
}

#[test]
fn byte_order_marks_and_carriage_returns_are_no_part_of_a_value() {
    let folder = tempfile::tempdir().unwrap();
    let config = films(folder.path(), 60);
    let plain = prepared(&config);
    for name in ["ratings.csv", "movies.csv"] {
        let path = config.raw.join(name);
        let text = std::fs::read_to_string(&path).unwrap().replace('\n', "\r\n");
        std::fs::write(&path, format!("\u{feff}{text}")).unwrap();
    }
    let windows = prepared(&elsewhere(&config, "windows"));
    assert_eq!(plain.sequences().unwrap(), windows.sequences().unwrap());
    assert_eq!(plain.items().unwrap(), windows.items().unwrap());
    assert_eq!(windows.manifest().rejects, BTreeMap::new());

    let text = "name = \"t\"\ntitle = \"T\"\nplatform = \"p\"\nlicence = \"own\"\nformat = \"amazon-2018\"\n\
                interactions = [\"reviews.json\"]\n";
    let mut reviews = String::from("\u{feff}");
    for item in 0..4 {
        let seconds = 1_000_000_000 + item;
        write!(
            reviews,
            "{{\"reviewerID\": \"u\", \"asin\": \"i{item}\", \"overall\": 4.0, \"unixReviewTime\": {seconds}}}\r\n"
        )
        .unwrap();
    }
    std::fs::write(config.raw.join("reviews.json"), reviews).unwrap();
    let dataset = DatasetDescription::parse(text, "t.toml").unwrap();
    let reviews = PrepareConfig::new(dataset, &config.raw, folder.path().join("reviews"));
    let found = prepared(&reviews);
    assert_eq!((found.manifest().lines, found.manifest().rejects.len()), (4, 0));
}
