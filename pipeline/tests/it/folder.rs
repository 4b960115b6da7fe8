//! The folder: the same bytes every time, complete, and described.

use std::collections::HashSet;
use std::path::Path;

use weaverec_pipeline::inspect::{Summary, overlap};
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::{PromptFormat, Split};
use weaverec_pipeline::stage::Recipe;

use crate::support::{contents, films, prepared, run};

#[test]
fn runs_and_threads_and_spilling_do_not_reach_the_bytes() {
    let folder = tempfile::tempdir().unwrap();
    // Several batches of users, for the order of batches is what threads upset first.
    let base = films(folder.path(), 20_000);
    let mut written = Vec::new();
    for (place, threads, memory_limit, plans_only) in [
        ("a", 1, None, false),
        ("b", 2, None, false),
        ("c", 5, None, false),
        ("d", 2, None, true),
        ("e", 5, None, true),
        ("f", 2, Some(64 << 20), true),
        ("g", 2, Some(32 << 20), true),
        // Too little for the rows to be held: they are read into memory at first, and settled after all.
        ("h", 2, Some(10 << 20), false),
    ] {
        let mut config = base.clone();
        config.out = folder.path().join(place);
        (config.threads, config.memory_limit) = (threads, memory_limit);
        config.plans_only = plans_only;
        run(&config).unwrap();
        written.push(contents(&config.folder()));
        let left = std::fs::read_dir(&config.out).unwrap().count();
        assert_eq!(left, 1, "nothing that was spilled stays");
    }
    assert_eq!(written[0].len(), 11, "{:?}", written[0].keys());
    for other in &written[1..] {
        assert!(written[0].keys().eq(other.keys()));
        for (path, bytes) in other {
            assert!(written[0][path] == *bytes, "{} differs", path.display());
        }
    }
}

#[test]
fn a_finished_folder_is_kept_and_another_request_needs_force() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 60);
    let first = run(&config).unwrap();
    let written = std::fs::metadata(config.folder().join("manifest.json"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(run(&config).unwrap(), first);
    let again = std::fs::metadata(config.folder().join("manifest.json"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(written, again, "it was not written a second time");

    config.parameters.seed += 1;
    assert!(run(&config).unwrap_err().to_string().contains("--force"));
    config.force = true;
    assert_ne!(run(&config).unwrap().fingerprint, first.fingerprint);
    assert_eq!(
        std::fs::read_dir(&config.out).unwrap().count(),
        1,
        "nothing lies beside it"
    );
}

#[test]
fn a_shortened_file_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let config = films(folder.path(), 60);
    run(&config).unwrap();
    std::fs::write(config.folder().join("items.parquet"), "PAR1").unwrap();
    assert!(
        Prepared::open(config.folder())
            .unwrap_err()
            .to_string()
            .contains("items.parquet")
    );
}

#[test]
fn the_paper_recipe_trains_on_every_validation_prompt_and_the_clean_one_on_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 100);
    config.parameters.max_train = 50;
    let clean = prepared(&config);
    assert_eq!(clean.manifest().audit.validation_in_train, 0);
    assert_eq!(clean.prompts(Split::Train).unwrap().len(), 50);
    (config.parameters.recipe, config.name) = (Recipe::Paper, Some("paper".to_owned()));
    let paper = prepared(&config);
    let validation = paper.prompts(Split::Validation).unwrap();
    assert_eq!(
        paper.manifest().audit.validation_in_train,
        validation.len() as u64
    );
    assert_eq!(paper.prompts(Split::Train).unwrap().len(), 50 + validation.len());
}

#[test]
fn a_cap_on_evaluation_keeps_the_same_users_in_both_splits() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 100);
    config.parameters.max_eval = Some(17);
    let capped = prepared(&config);
    let users = |split| -> Vec<String> {
        capped
            .prompts(split)
            .unwrap()
            .into_iter()
            .map(|prompt| prompt.user_id)
            .collect()
    };
    assert_eq!(users(Split::Test).len(), 17);
    assert_eq!(users(Split::Test), users(Split::Validation));
}

#[test]
fn sequence_prompts_are_windows_in_training_and_whole_histories_in_tests() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 100);
    (config.parameters.format, config.parameters.max_history) = (PromptFormat::Sequence, 4);
    let prepared = prepared(&config);
    let items = prepared.items().unwrap();
    let mut seen = HashSet::new();
    for prompt in prepared.prompts(Split::Train).unwrap() {
        assert!(prompt.candidates.is_empty() && (1..=4).contains(&prompt.history.len()));
        let (question, answer) = (&prompt.messages[0].content, &prompt.messages[1].content);
        assert_eq!(
            (question.lines().count(), answer.lines().count()),
            (1, prompt.history.len())
        );
        seen.insert(prompt.key);
    }
    assert!(!seen.is_empty());
    for prompt in prepared.prompts(Split::Test).unwrap() {
        let target = &items[prompt.target as usize - 1].title;
        assert_eq!(prompt.messages[1].content, format!("{target}\n"));
        assert_eq!(prompt.messages[0].content.lines().count(), prompt.history.len());
        assert_eq!(prompt.candidates.len(), 10);
    }
}

#[test]
fn a_folder_describes_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 100);
    config.parameters.filter.domain = Some("Drama".to_owned());
    let drama = prepared(&config);
    config.parameters.filter.domain = Some("Action".to_owned());
    let action = prepared(&config);
    assert_eq!(drama.manifest().name, "films-drama");

    let text = Summary::of(&drama, 1).unwrap().to_string();
    for expected in [
        "films-drama: Films",
        "domain",
        "sequence length: min",
        "test · user",
        "rejects: 0",
        "leave-one-out",
    ] {
        assert!(text.contains(expected), "no `{expected}` in\n{text}");
    }
    let shared = overlap(&[drama.clone(), action.clone()]).unwrap();
    let users = |folder: &Prepared| -> HashSet<String> {
        folder
            .sequences()
            .unwrap()
            .into_iter()
            .map(|sequence| sequence.user_id)
            .collect()
    };
    assert_eq!(shared.len(), 1);
    assert_eq!(shared[0].items, 0, "a film has one first genre");
    assert_eq!(
        shared[0].users,
        users(&drama).intersection(&users(&action)).count()
    );
    assert!(shared[0].users > 0);

    let info = std::fs::read_to_string(drama.folder().join("dataset_info.json")).unwrap();
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    let file = info["films-drama-test-00000-of-00001"]["file_name"]
        .as_str()
        .unwrap();
    assert!(drama.folder().join(file).is_file());
    let card = std::fs::read_to_string(drama.folder().join("README.md")).unwrap();
    assert!(
        card.starts_with("---\nconfigs:\n") && card.contains("path: prompts/validation-*.parquet"),
        "{card}"
    );
}

#[test]
fn a_folder_is_described_for_catalogues_of_data_sets() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 60);
    config.dataset.citation = "Somebody, 2020".to_owned();
    let made = prepared(&config);
    let path = made.folder().join("croissant.json");
    let described = |path: &Path| -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let croissant = described(&path);
    assert_eq!(
        (&croissant["name"], &croissant["license"], &croissant["citeAs"]),
        (&"films".into(), &"none".into(), &"Somebody, 2020".into())
    );
    assert!(croissant.get("url").is_none() && croissant.get("datePublished").is_none());
    let ids = |of: &serde_json::Value, kind: &str| -> Vec<String> {
        let nodes = of.as_array().unwrap().iter();
        nodes
            .filter(|node| node["@type"] == kind)
            .map(|node| node["@id"].as_str().unwrap().to_owned())
            .collect()
    };
    let files: Vec<&str> = made
        .manifest()
        .files
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(ids(&croissant["distribution"], "cr:FileObject"), files);
    assert_eq!(ids(&croissant["distribution"], "cr:FileSet"), ["prompt-files"]);
    assert_eq!(
        ids(&croissant["recordSet"], "cr:RecordSet"),
        [
            "interactions",
            "items",
            "sequences",
            "rejects",
            "splits",
            "prompts"
        ]
    );
    for (file, entry) in croissant["distribution"]
        .as_array()
        .unwrap()
        .iter()
        .zip(&made.manifest().files)
    {
        assert_eq!(file["sha256"], entry.sha256.as_str());
        assert_eq!(entry.sha256.len(), 64);
    }

    // Folders of versions before it have none, and their manifests no such hashes.
    std::fs::remove_file(&path).unwrap();
    let manifest = made.folder().join("manifest.json");
    let mut older = described(&manifest);
    for file in older["files"].as_array_mut().unwrap() {
        file.as_object_mut().unwrap().remove("sha256").unwrap();
    }
    std::fs::write(&manifest, older.to_string()).unwrap();
    let old = Prepared::open(made.folder()).unwrap();
    assert_eq!(old.fingerprint(), made.fingerprint());
    assert!(old.manifest().files.iter().all(|file| file.sha256.is_empty()));

    (config.parameters.prompts, config.name) = (false, Some("tables".to_owned()));
    let tables = described(&prepared(&config).folder().join("croissant.json"));
    assert_eq!(
        ids(&tables["recordSet"], "cr:RecordSet"),
        ["interactions", "items", "sequences", "rejects"]
    );
    assert!(ids(&tables["distribution"], "cr:FileSet").is_empty());
}
