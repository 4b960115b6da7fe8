//! Small raw sets, and where the real ones are.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use weaverec_pipeline::dataset::DatasetDescription;
use weaverec_pipeline::error::Result;
use weaverec_pipeline::prepare::{PrepareConfig, prepare};
use weaverec_pipeline::prepared::{Manifest, Prepared};
use weaverec_pipeline::raw::NoProgress;

pub fn run(config: &PrepareConfig) -> Result<Manifest> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(prepare(config, &NoProgress))
}

pub fn prepared(config: &PrepareConfig) -> Prepared {
    run(config).unwrap();
    Prepared::open(config.folder()).unwrap()
}

/// A config like this one whose folder has a name of its own.
pub fn named(config: &PrepareConfig, name: &str) -> PrepareConfig {
    PrepareConfig {
        name: Some(name.to_owned()),
        ..config.clone()
    }
}

/// A config like this one whose folder lies elsewhere under the same name: negatives are drawn by what a folder is called.
pub fn elsewhere(config: &PrepareConfig, out: &str) -> PrepareConfig {
    PrepareConfig {
        out: config.out.with_file_name(out),
        ..config.clone()
    }
}

/// A MovieLens set of `users` people and 40 films; every seventh rating is exported twice.
pub fn films(folder: &Path, users: usize) -> PrepareConfig {
    let mut movies = String::from("movieId,title,genres\n");
    for film in 1..=40 {
        let genres = ["Drama|War", "Action", "Comedy|Drama"][film % 3];
        writeln!(
            movies,
            "{film},\"Film No {film}, The (19{:02})\",{genres}",
            film + 40
        )
        .unwrap();
    }
    let mut ratings = String::from("userId,movieId,rating,timestamp\n");
    for user in 1..=users {
        for step in 0..(user % 11 + 1) {
            let film = (user * 7 + step * 5) % 40 + 1;
            // Two films a day, so that half of the order is decided by the tie rule.
            let line = format!(
                "{user},{film},{}.0,{}\n",
                step % 5 + 1,
                1_000_000_000 + (step / 2) * 86_400
            );
            ratings.push_str(&line);
            if (user + step) % 7 == 0 {
                ratings.push_str(&line);
            }
        }
    }
    std::fs::create_dir_all(folder.join("raw")).unwrap();
    std::fs::write(folder.join("raw/movies.csv"), movies).unwrap();
    std::fs::write(folder.join("raw/ratings.csv"), ratings).unwrap();
    let description = folder.join("films.toml");
    std::fs::write(
        &description,
        "name = \"films\"\ntitle = \"Films\"\nplatform = \"movielens\"\nformat = \"movielens-csv\"\nlicence = \"none\"\n\
         interactions = [\"ratings.csv\"]\nitems = [\"movies.csv\"]\ndomain_column = \"first-category\"\n",
    )
    .unwrap();
    let dataset = DatasetDescription::load(description.to_str().unwrap()).unwrap();
    let mut config = PrepareConfig::new(dataset, folder.join("raw"), folder.join("out"));
    config.parameters.candidates = 10;
    config.threads = 2;
    config
}

/// Replaces a raw file by its gzip, cut off after `keep` of its bytes.
pub fn compress(path: &Path, keep: f64) {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&std::fs::read(path).unwrap()).unwrap();
    let bytes = encoder.finish().unwrap();
    std::fs::remove_file(path).unwrap();
    let end = (bytes.len() as f64 * keep) as usize;
    std::fs::write(format!("{}.gz", path.display()), &bytes[..end]).unwrap();
}

/// Files below a folder and their bytes.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(
                    path.strip_prefix(folder).unwrap().to_owned(),
                    std::fs::read(&path).unwrap(),
                );
            }
        }
    }
    found
}

/// Nothing, not even a hidden folder, is left under `out`.
pub fn assert_nothing_written(out: &Path) {
    let left: Vec<_> = std::fs::read_dir(out)
        .map(|entries| entries.flatten().collect())
        .unwrap_or_default();
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// The folder of a real set, or a line that says why a test is skipped.
pub fn shared(set: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let root = std::env::var_os("WEAVEREC_SHARED").map_or_else(beside, PathBuf::from);
    let folder = root.join(set);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!(
        "skipped: no {set} in {} (set WEAVEREC_SHARED to a folder that has it)",
        root.display()
    );
    None
}
