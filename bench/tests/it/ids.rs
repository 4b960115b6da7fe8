//! A prepared folder whose files do not belong together, though each has the size that the manifest says.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::fit::prepared;
use super::{fail, succeed};

/// Puts a file of one folder in the place of another's, and has the manifest say its size.
fn put(from: &Path, into: &Path, name: &str) {
    let bytes = fs::copy(from.join(name), into.join(name)).unwrap();
    let path = into.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let files = manifest["files"].as_array_mut().unwrap();
    let file = files.iter_mut().find(|file| file["path"] == name).unwrap();
    file["bytes"] = bytes.into();
    fs::write(&path, manifest.to_string()).unwrap();
}

#[test]
fn an_item_that_the_catalogue_lacks_is_named_with_its_user_before_anything_is_scored() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    prepared(at);
    let fit = [
        "fit",
        "prepared/home",
        "--out",
        "model",
        "--epochs",
        "1",
        "--set",
        "width=16",
    ];
    succeed(at, &fit);
    // A catalogue of fewer items, from another preparation of a smaller log.
    let synth = [
        "datasets",
        "synth",
        "--out",
        "few",
        "--users",
        "200",
        "--items",
        "40",
        "--dirt",
        "0",
        "--domain",
        "home=amazon2014",
    ];
    succeed(at, &synth);
    let prepare = [
        "prepare",
        "few/home/home.toml",
        "--raw",
        "few/home",
        "--out",
        "small",
        "--candidates",
        "10",
    ];
    succeed(at, &prepare);
    put(&at.join("small/home"), &at.join("prepared/home"), "items.parquet");
    for command in [
        &["cases", "export", "--prepared", "prepared/home", "--out", "cases"][..],
        &["rank", "prepared/home", "--model-folder", "model"],
    ] {
        let error = fail(at, command);
        for words in [
            "prepared/home",
            "prompt of user",
            "names item",
            "items are 1 to",
            "prepare the data set again",
        ] {
            assert!(error.contains(words), "{command:?}, no `{words}`: {error}");
        }
    }
    assert!(!at.join("cases").exists());
}
