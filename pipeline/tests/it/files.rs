//! How files are stored: ways that are read, and what is said of those that are not.

use std::io::{Cursor, Write as _};
use std::path::Path;

use weaverec_pipeline::Error;
use weaverec_pipeline::dataset::DatasetDescription;
use weaverec_pipeline::prepare::PrepareConfig;
use weaverec_pipeline::prepared::Prepared;

use crate::support::{assert_nothing_written, elsewhere, films, named, prepared, run};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        archive
            .start_file(*name, zip::write::SimpleFileOptions::default())
            .unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn utf16(text: &[u8], mark: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let text = format!("{mark}{}", String::from_utf8(text.to_vec()).unwrap());
    text.encode_utf16().flat_map(unit).collect()
}

fn replaced(text: &[u8], end: &str) -> Vec<u8> {
    String::from_utf8(text.to_vec())
        .unwrap()
        .replace('\n', end)
        .into_bytes()
}

/// Stores `ratings.csv` under another name, with other bytes.
fn store(config: &PrepareConfig, name: &str, bytes: &[u8]) {
    std::fs::remove_dir_all(&config.raw).unwrap();
    std::fs::create_dir_all(&config.raw).unwrap();
    std::fs::write(config.raw.join(name), bytes).unwrap();
}

/// The films, without their titles in files of their own.
fn ratings(folder: &Path) -> (PrepareConfig, Vec<u8>) {
    let mut config = films(folder, 60);
    config.dataset.items.clear();
    config.dataset.domain_column = None;
    let text = std::fs::read(config.raw.join("ratings.csv")).unwrap();
    (config, text)
}

fn same(one: &Prepared, other: &Prepared, what: &str) {
    assert_eq!(one.sequences().unwrap(), other.sequences().unwrap(), "{what}");
    assert!(!one.sequences().unwrap().is_empty());
    assert_eq!(other.manifest().rejects.len(), 0, "{what}");
}

#[test]
fn however_a_file_is_stored_the_same_comes_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (config, text) = ratings(folder.path());
    let plain = prepared(&elsewhere(&config, "plain"));
    let zeros = vec![0; 512];
    let le = |mark| utf16(&text, mark, u16::to_le_bytes);
    let be = |mark| utf16(&text, mark, u16::to_be_bytes);
    let zstd = zstd::stream::encode_all(text.as_slice(), 3).unwrap();
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2][..], &zstd].concat();
    let (first, second) = text.split_at(text.len() / 3);
    let readme: &[u8] = b"<html>what this is</html>";
    let ways: Vec<(&str, Vec<u8>)> = vec![
        ("ratings.csv.gz", [gzip(&text), zeros.clone()].concat()),
        ("ratings.csv.gz", [gzip(first), zeros, gzip(second)].concat()),
        ("ratings.csv.zst", skipped),
        ("ratings.csv.bz2", bzip2(&text)),
        ("ratings.csv.bz2", [bzip2(first), bzip2(second)].concat()),
        ("ratings.csv.xz", [xz(first), vec![0; 4], xz(second)].concat()),
        // By what is in it, whatever it is called.
        ("ratings.csv", gzip(&text)),
        ("ratings.csv", zstd.clone()),
        ("ratings.csv.gz", zstd),
        ("ratings.csv", xz(&text)),
        ("RATINGS.CSV", text.clone()),
        ("Ratings.Csv.Gz", gzip(&text)),
        (
            "ml-small.zip",
            zip(&[("ml-small/README.html", readme), ("ml-small/ratings.csv", &text)]),
        ),
        ("ratings.csv.zip", zip(&[("export.csv", &text)])),
        ("deep.zip", zip(&[("a/ratings.csv.gz", &gzip(&text))])),
        ("ratings.csv", le("\u{feff}")),
        ("ratings.csv", be("\u{feff}")),
        ("ratings.csv", le("")),
        ("ratings.csv", be("")),
        ("ratings.csv.gz", gzip(&le("\u{feff}"))),
        ("ratings.csv", replaced(&text, "\r")),
        ("ratings.csv.gz", gzip(&replaced(&text, "\r"))),
        ("ratings.csv", replaced(&text, "\r\r\n")),
        ("ratings.csv", [&replaced(&text, "\r")[..], b"\n"].concat()),
        (
            "ratings.csv",
            le("\u{feff}").into_iter().chain(*b"\r\0\n\0").collect(),
        ),
    ];
    for (at, (name, bytes)) in ways.into_iter().enumerate() {
        store(&config, name, &bytes);
        let found = prepared(&elsewhere(&config, &format!("way-{at}")));
        same(&plain, &found, &format!("{at}: {name}"));
        let input = &found.manifest().inputs[0];
        assert!(input.path.starts_with(name), "{}", input.path.display());
        // The hash is that of what lies on the disk.
        assert_eq!(input.bytes, bytes.len() as u64, "{name}");
        assert_eq!(input.blake3, blake3::hash(&bytes).to_hex().to_string(), "{name}");
    }
}

#[test]
fn a_folder_that_is_there_is_known_by_the_hash_of_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    let (mut config, text) = ratings(folder.path());
    config.dataset.interactions = vec!["ml.zip/ml/ratings.csv".to_owned()];
    store(&config, "ml.zip", &zip(&[("ml/ratings.csv", &text)]));
    let first = prepared(&config);
    assert_eq!(
        first.manifest().inputs[0].path,
        Path::new("ml.zip/ml/ratings.csv")
    );
    same(&first, &prepared(&config), "the same request");
    // A member of two in one archive, which is another file as a whole.
    store(
        &config,
        "ml.zip",
        &zip(&[("ml/ratings.csv", &text), ("ml/x", b"x")]),
    );
    assert!(
        run(&config)
            .unwrap_err()
            .to_string()
            .contains("other parameters, inputs")
    );
}

#[test]
fn an_archive_that_is_damaged_is_an_error_and_salvage_keeps_what_comes_before() {
    let folder = tempfile::tempdir().unwrap();
    let (mut config, text) = ratings(folder.path());
    let mut bytes = zip(&[("ratings.csv", &text)]);
    // In the checksum, as it is listed at the end.
    let central = bytes.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    bytes[central + 16] ^= 1;
    store(&config, "ml.zip", &bytes);
    let error = run(&config).unwrap_err();
    assert!(
        matches!(&error, Error::Format { path, offset, message } if path.ends_with("ml.zip/ratings.csv")
            && *offset == text.len() as u64 && message.contains("checksum") && message.contains("--salvage")),
        "{error:?}"
    );
    config.parameters.salvage = true;
    let kept = prepared(&config);
    assert_eq!(kept.manifest().losses.len(), 1);
    store(&config, "ml.zip", &bytes[..central]);
    let error = run(&named(&config, "cut")).unwrap_err().to_string();
    assert!(
        error.contains("ml.zip") && error.contains("damaged or cut off"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_something_else_is_an_error_that_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (mut config, text) = ratings(folder.path());
    // It is not for salvage to take that for a file without rows.
    config.parameters.salvage = true;
    let mut tar = vec![0; 1024];
    tar[..11].copy_from_slice(b"ratings.csv");
    tar[257..262].copy_from_slice(b"ustar");
    let html = b"<!DOCTYPE html>\n<html><body>Moved</body></html>".to_vec();
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n".to_vec();
    let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        (
            "ratings.csv.gz",
            gzip(&gzip(&text)),
            "gzip within a compression",
            "gunzip",
        ),
        (
            "ratings.csv.gz",
            text.clone(),
            "plain text",
            "call it ratings.csv",
        ),
        (
            "ratings.csv.gz",
            html.clone(),
            "an HTML page",
            "fetch the file again",
        ),
        (
            "ratings.csv",
            html.clone(),
            "an HTML page",
            "fetch the file again",
        ),
        (
            "ratings.csv.gz",
            gzip(&html),
            "an HTML page",
            "fetch the file again",
        ),
        (
            "ratings.csv",
            b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>".to_vec(),
            "an XML document",
            "fetch",
        ),
        ("ratings.csv", tar.clone(), "a tar archive", "unpack it"),
        ("ratings.csv.gz", gzip(&tar), "a tar archive", "unpack it"),
        (
            "ratings.csv",
            zip(&[("a.csv", &text)]),
            "a zip archive",
            "call it .zip",
        ),
        (
            "ratings.csv.gz",
            zip(&[("a.csv", &text)]),
            "a zip archive",
            "call it .zip",
        ),
        (
            "ratings.csv",
            zip(&[("[Content_Types].xml", b"x")]),
            "an Excel workbook",
            "export the table",
        ),
        (
            "ratings.csv",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0".to_vec(),
            "an old Excel workbook",
            "export the table",
        ),
        (
            "ratings.csv",
            b"%PDF-1.4\n".to_vec(),
            "a PDF document",
            "export the table",
        ),
        (
            "ratings.csv",
            b"SQLite format 3\0\x10\0".to_vec(),
            "an SQLite database",
            "export the table",
        ),
        (
            "ratings.csv",
            b"PAR1\x15\x04\x15\0".to_vec(),
            "a Parquet file",
            ".parquet",
        ),
        (
            "ratings.csv",
            b"\x04\x22\x4d\x18d\x40\xa7\0".to_vec(),
            "an lz4 file",
            "decompress it",
        ),
        (
            "ratings.csv.gz",
            b"\x1f\x9d\x90\x75\xe6\x94".to_vec(),
            "the old `compress`",
            "decompress it",
        ),
        (
            "ratings.csv",
            pointer.clone(),
            "a pointer of Git LFS",
            "git lfs pull",
        ),
        (
            "ratings.csv",
            b"[{\"userId\": 1}]".to_vec(),
            "a JSON array",
            "jq -c",
        ),
        (
            "ratings.csv.gz",
            vec![1, 2, 3, 4, 5, 6],
            "damaged from its first byte",
            "fetch it again",
        ),
    ];
    for (name, bytes, what, then) in cases {
        store(&config, name, &bytes);
        let error = run(&config).unwrap_err();
        assert!(
            matches!(&error, Error::Format { offset: 0, path, .. } if path.ends_with(name)),
            "{error:?}"
        );
        let error = error.to_string();
        assert!(error.contains(what) && error.contains(then), "{what}: {error}");
        assert_nothing_written(&config.out);
    }
}

/// A set of one file in the format generic.
fn generic(folder: &Path, name: &str, bytes: &[u8]) -> PrepareConfig {
    let raw = folder.join("raw");
    std::fs::create_dir_all(&raw).unwrap();
    std::fs::write(raw.join(name), bytes).unwrap();
    let text = format!(
        "name = \"t\"\ntitle = \"T\"\nplatform = \"p\"\nlicence = \"own\"\nformat = \"generic\"\ntime = \"s\"\ninteractions = [\"{name}\"]\n"
    );
    PrepareConfig::new(
        DatasetDescription::parse(&text, "t.toml").unwrap(),
        raw,
        folder.join("out"),
    )
}

#[test]
fn text_in_place_of_parquet_and_an_array_in_place_of_lines_are_told() {
    for (name, bytes, what) in [
        (
            "e.parquet",
            &b"user_id,item_id,timestamp\n"[..],
            "this is text, and no Parquet",
        ),
        ("e.parquet", b"", "the file is empty, and no Parquet"),
        (
            "e.parquet",
            b"version https://git-lfs.github.com/spec/v1\n",
            "a pointer of Git LFS",
        ),
        (
            "e.parquet",
            b"\x1f\x8b\x08\0\0\0\0\0",
            "Parquet is compressed within",
        ),
        ("e.parquet", b"PAR1", "no readable Parquet"),
        ("e.jsonl", b"[\n{\"user_id\": 1}]\n", "a JSON array"),
        ("e.json", b"{\n  \"user_id\": 1\n}\n", "JSON over several lines"),
        ("e.csv", b"{\"user_id\": 1}\n", "give its name the ending .jsonl"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let error = run(&generic(folder.path(), name, bytes)).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(what), "{error}");
    }
}

#[test]
fn parquet_is_read_out_of_an_archive_and_capitals_of_endings_do_not_matter() {
    let events = b"user_id,item_id,timestamp\na,1,1600000001\na,2,1600000002\na,3,1600000003\n";
    let folder = tempfile::tempdir().unwrap();
    let config = generic(folder.path(), "E.CSV", events);
    let csv = prepared(&config);
    assert_eq!(csv.manifest().lines, 3);

    let folder = tempfile::tempdir().unwrap();
    let parquet = {
        use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
        use std::sync::Arc;
        let batch = RecordBatch::try_from_iter([
            ("user_id", Arc::new(StringArray::from(vec!["a"; 3])) as ArrayRef),
            ("item_id", Arc::new(StringArray::from(vec!["1", "2", "3"]))),
            (
                "timestamp",
                Arc::new(Int64Array::from(vec![
                    1_600_000_001,
                    1_600_000_002,
                    1_600_000_003,
                ])),
            ),
        ])
        .unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    };
    let config = generic(folder.path(), "e.PARQUET", b"");
    std::fs::remove_file(config.raw.join("e.PARQUET")).unwrap();
    std::fs::write(config.raw.join("logs.zip"), zip(&[("2024/E.parquet", &parquet)])).unwrap();
    let found = prepared(&config);
    assert_eq!(found.sequences().unwrap(), csv.sequences().unwrap());
}

#[test]
fn what_is_quoted_of_a_file_is_short_and_nothing_a_terminal_obeys() {
    let folder = tempfile::tempdir().unwrap();
    let (mut config, _) = ratings(folder.path());
    let line = format!("\u{1b}[31m{}\t{}", "long ".repeat(300_000), "end");
    store(&config, "ratings.csv", line.as_bytes());
    let error = run(&config).unwrap_err().to_string();
    assert!(
        error.len() < 700 && error.contains("\\u{1b}[31m") && error.contains('…'),
        "{error}"
    );
    assert!(!error.contains('\u{1b}'));

    config.parameters.max_reject_share = 0.9;
    let rows = "userId,movieId,rating,timestamp\n1,1,5,1000000000\n1,2,5,1000000001\n1,3,5,1000000002\n";
    store(&config, "ratings.csv", format!("{rows}{line}\n").as_bytes());
    let found = prepared(&config);
    let rejects = found.rejects().unwrap();
    assert_eq!(rejects.len(), 1);
    assert!(rejects[0].text.starts_with("\\u{1b}[31mlong ") && rejects[0].text.len() <= 200);
}
