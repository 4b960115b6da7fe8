//! Arrows between the modules of the crate go one way: whoever reads one need not read those that use it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What each module at the root of the crate names of the others, tests left out.
fn named(root: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let inside = path.strip_prefix(root).unwrap().to_str().unwrap();
            if path.is_dir() {
                if !inside.ends_with("tests") {
                    folders.push(path);
                }
                continue;
            }
            let module = inside.split('/').next().unwrap().trim_end_matches(".rs");
            let is_root = ["lib", "main"].contains(&module);
            if is_root || inside.ends_with("tests.rs") || !inside.ends_with(".rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("\nmod tests {").next().unwrap().lines();
            let code = code.filter(|line| !line.trim_start().starts_with("//"));
            let uses = found.entry(module.to_owned()).or_default();
            for line in code {
                let names = line.split("crate::").skip(1).map(|rest| {
                    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                    rest[..end.unwrap_or(rest.len())].to_owned()
                });
                uses.extend(names.filter(|name| name != module));
            }
        }
    }
    found
}

/// The modules that lead to each other, if some do.
fn circle(arrows: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    // Whatever leads nowhere any more goes; a circle is what stays.
    let mut left = arrows.clone();
    loop {
        let ends: Vec<String> = left
            .iter()
            .filter(|(_, to)| to.iter().all(|name| !left.contains_key(name)))
            .map(|(name, _)| name.clone())
            .collect();
        if ends.is_empty() {
            return (!left.is_empty()).then(|| left.into_keys().collect());
        }
        ends.iter().for_each(|name| drop(left.remove(name)));
    }
}

#[test]
fn modules_of_the_bench_make_no_circle() {
    let arrows = named(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(arrows["command"].contains("experiment") && arrows["experiment"].contains("method"));
    let found = circle(&arrows);
    assert!(found.is_none(), "these lead to each other: {found:?}");
}

#[test]
fn a_circle_is_seen() {
    let of = |name: &str, to: &[&str]| (name.to_owned(), to.iter().map(|to| (*to).to_owned()).collect());
    let line = BTreeMap::from([of("a", &["b"]), of("b", &["c"]), of("c", &[])]);
    assert_eq!(circle(&line), None);
    let round = BTreeMap::from([of("a", &["b"]), of("b", &["c"]), of("c", &["b"])]);
    assert_eq!(circle(&round), Some(["a", "b", "c"].map(str::to_owned).to_vec()));
}
