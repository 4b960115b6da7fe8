//! Titles on their way from raw files to items: what is mended, moved, missing and counted, whichever way the tables are made.

use std::collections::BTreeMap;
use std::path::Path;

use weaverec_pipeline::dataset::DatasetDescription;
use weaverec_pipeline::prepare::PrepareConfig;
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::title::TitleCounts;

use crate::support::{contents, named, prepared, shared};

/// A set of the format `generic` with these titles, which three people like. Item ids count from 1.
fn shop(folder: &Path, titles: &[&str], more: &str) -> PrepareConfig {
    let lines = titles
        .iter()
        .zip(1..)
        .map(|(title, item)| (item.to_string(), *title));
    shop_of_lines(folder, &lines.collect::<Vec<_>>(), titles.len(), more)
}

/// The same with lines of item and title.
fn shop_of_lines(folder: &Path, lines: &[(String, &str)], items: usize, more: &str) -> PrepareConfig {
    let raw = folder.join("raw");
    std::fs::create_dir_all(&raw).unwrap();
    let line = |(item, title): &(String, &str)| {
        serde_json::json!({"item_id": item, "title": title}).to_string() + "\n"
    };
    std::fs::write(
        raw.join("items.jsonl"),
        lines.iter().map(line).collect::<String>(),
    )
    .unwrap();
    let mut events = String::from("user_id,item_id,timestamp\n");
    for user in ["a", "b", "c"] {
        for item in 1..=items {
            events += &format!("{user},{item},{}\n", 1_600_000_000 + item);
        }
    }
    std::fs::write(raw.join("events.csv"), events).unwrap();
    let text = format!(
        "name = \"shop\"\ntitle = \"Shop\"\nplatform = \"p\"\nlicence = \"own\"\nformat = \"generic\"\ninteractions = \
         [\"events.csv\"]\nitems = [\"items.jsonl\"]\n{more}"
    );
    let dataset = DatasetDescription::parse(&text, "shop.toml").unwrap();
    let mut config = PrepareConfig::new(dataset, raw, folder.join("out"));
    config.parameters.prompts = false;
    config.threads = 2;
    config
}

/// Titles by raw id.
fn titles(folder: &Prepared) -> BTreeMap<String, String> {
    let items = folder.items().unwrap().into_iter();
    items.map(|item| (item.item_id, item.title)).collect()
}

fn notes(folder: &Prepared) -> String {
    folder.manifest().notes.join("\n")
}

const DIRTY: [&str; 12] = [
    "Pressure A<B test kit &eacute;",
    "List<String> in Java",
    "FranÃ§ais",
    "donâ€™t",
    "nan",
    "None",
    "French Connection, The (1971)",
    "<span class=\"a-size-medium a-color-secondary\"",
    "Oak\u{202e} chair\u{200b}",
    "Cafe\u{301}",
    "I <3 You",
    "Oak chair",
];

#[test]
fn titles_are_counted_by_what_was_met_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let config = shop(folder.path(), &DIRTY, "");
    let found = prepared(&config);
    let cleaned = titles(&found);
    for (item, title) in [
        ("1", "Pressure A<B test kit é"),
        ("2", "List<String> in Java"),
        ("3", "FranÃ§ais"),
        ("5", "Item 5"),
        ("6", "Item 6"),
        ("7", "French Connection, The (1971)"),
        ("8", "Item 8"),
        ("9", "Oak chair"),
        ("10", "Café"),
        ("11", "I <3 You"),
    ] {
        assert_eq!(cleaned[item], title);
    }
    let expected = TitleCounts {
        spelled_missing: 2,
        mojibake: 2,
        repaired: 0,
        articles_moved: 0,
    };
    assert_eq!(
        (found.manifest().titles, found.manifest().titles_missing),
        (expected, 3)
    );
    let said = notes(&found);
    for part in [
        "3 items have no usable title",
        "of 2 the data says so",
        "2 titles look like",
        "`FranÃ§ais`",
        "--repair-text",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn repair_and_articles_are_asked_for_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = shop(folder.path(), &DIRTY, "leading_articles = true\n");
    config.parameters.repair_text = true;
    let found = prepared(&config);
    let cleaned = titles(&found);
    assert_eq!(cleaned["3"], "Français");
    assert_eq!(cleaned["4"], "don’t");
    assert_eq!(cleaned["7"], "The French Connection (1971)");
    let counts = found.manifest().titles;
    assert_eq!(
        (counts.mojibake, counts.repaired, counts.articles_moved),
        (2, 2, 1)
    );
    let said = notes(&found);
    assert!(
        said.contains("2 titles were UTF-8") && said.contains("the article of 1 titles"),
        "{said}"
    );
}

#[test]
fn every_way_to_make_the_tables_gives_the_same_titles_and_counts() {
    let folder = tempfile::tempdir().unwrap();
    // Several lines on an item: of the usable titles the first counts, and a word for none only where there is no other.
    let mut lines: Vec<(String, &str)> = Vec::new();
    for (title, item) in DIRTY.iter().zip(1..) {
        lines.push((item.to_string(), title));
    }
    for (item, title) in [
        ("5", "Late title"),
        ("6", "null"),
        ("8", "nan"),
        ("12", "FranÃ§ais"),
        ("10", "None"),
    ] {
        lines.push((item.to_owned(), title));
    }
    lines.insert(0, ("11".to_owned(), "None"));
    lines.insert(0, ("9".to_owned(), "Bamba, La"));
    let mut config = shop_of_lines(folder.path(), &lines, DIRTY.len(), "leading_articles = true\n");
    let ways = [
        ("packed", false, None),
        ("spilled", false, Some(1 << 20)),
        ("planned", true, None),
    ];
    let found = ways.map(|(way, plans_only, memory_limit)| {
        (config.plans_only, config.memory_limit) = (plans_only, memory_limit);
        let found = prepared(&named(&config, way));
        let mut files = contents(&config.out.join(way));
        for named in [
            "manifest.json",
            "README.md",
            "dataset_info.json",
            "croissant.json",
        ] {
            files.remove(Path::new(named));
        }
        (files, found.manifest().titles, titles(&found))
    });
    let [packed, spilled, planned] = found;
    let expected = TitleCounts {
        spelled_missing: 2,
        mojibake: 2,
        repaired: 0,
        articles_moved: 2,
    };
    assert_eq!(packed.1, expected);
    let titles = &packed.2;
    assert_eq!(
        (titles["5"].as_str(), titles["9"].as_str(), titles["12"].as_str()),
        ("Late title", "La Bamba", "Oak chair")
    );
    assert_eq!(
        (titles["6"].as_str(), titles["8"].as_str(), titles["11"].as_str()),
        ("Item 6", "Item 8", "I <3 You")
    );
    assert!(spilled == packed, "{:?}", spilled.1);
    assert!(planned == packed, "{:?}", planned.1);
}

#[test]
fn films_have_their_articles_in_front_in_every_form_of_movielens() {
    let described = |format: &str, more: &str| {
        let text = format!(
            "name = \"t\"\ntitle = \"T\"\nplatform = \"p\"\nlicence = \"own\"\nformat = \"{format}\"\ninteractions = [\"a.csv\"]\n\
             items = [\"b.csv\"]\n{more}"
        );
        DatasetDescription::parse(&text, "t.toml")
            .unwrap()
            .leading_articles()
    };
    for format in ["movielens-csv", "movielens-100k", "movielens-dat"] {
        assert!(described(format, ""), "{format}");
        assert!(!described(format, "leading_articles = false\n"), "{format}");
    }
    for format in ["recbole", "amazon-2018", "goodreads", "generic"] {
        assert!(!described(format, ""), "{format}");
        assert!(described(format, "leading_articles = true\n"), "{format}");
    }
    for name in [
        "movielens-100k",
        "movielens-100k-grouplens",
        "movielens-1m",
        "movielens:25m",
    ] {
        assert!(
            DatasetDescription::load(name).unwrap().leading_articles(),
            "{name}"
        );
    }
}

#[test]
fn the_films_of_movielens_are_called_as_people_call_them() {
    let Some(raw) = shared("movielens/ml-latest-small") else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let dataset = DatasetDescription::load("movielens-latest-small").unwrap();
    let mut config = PrepareConfig::new(dataset, raw, out.path());
    config.parameters.prompts = false;
    config.parameters.max_title_chars = 400;
    let moved = prepared(&named(&config, "moved"));
    config.dataset.leading_articles = Some(false);
    let published = prepared(&named(&config, "published"));
    let (after, before) = (titles(&moved), titles(&published));
    for (item, title) in [
        (
            "29",
            "The City of Lost Children (La Cité des enfants perdus) (1995)",
        ),
        (
            "1201",
            "The Good, the Bad and the Ugly (Il Buono, il brutto, il cattivo) (1966)",
        ),
        ("73", "Les Misérables (1995)"),
        ("3556", "The Virgin Suicides (1999)"),
        ("3752", "Me, Myself & Irene (2000)"),
        ("8957", "Saw (2004)"),
        ("8644", "I, Robot (2004)"),
    ] {
        assert_eq!(after[item], title);
    }
    let changed: Vec<&String> = before
        .keys()
        .filter(|item| before[*item] != after[*item])
        .collect();
    assert_eq!(changed.len() as u64, moved.manifest().titles.articles_moved);
    assert_eq!(changed.len(), 1_964);
    // The same letters in another order, but for a comma and a space.
    let letters = |title: &str| {
        let mut letters: Vec<char> = title.chars().filter(|c| !", ".contains(*c)).collect();
        letters.sort_unstable();
        letters
    };
    assert!(
        changed
            .iter()
            .all(|item| letters(&before[*item]) == letters(&after[*item]))
    );
    let at_end = |title: &&String| {
        [", The", ", A ", ", An", ", Le", ", La", ", Il", ", Der"]
            .iter()
            .any(|end| title.contains(&format!("{end} (")) || title.contains(&format!("{end})")))
    };
    let left: Vec<&String> = after.values().filter(at_end).collect();
    assert_eq!(left, Vec::<&String>::new());
    assert_eq!(moved.manifest().titles_missing, 0);
    assert_eq!(moved.manifest().titles.mojibake, 0);
}

#[test]
fn the_mojibake_of_a_real_catalogue_is_found_and_nothing_else() {
    let Some(raw) = shared("amazon-2014/sports") else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let dataset = DatasetDescription::load("amazon-2014-sports").unwrap();
    let mut config = PrepareConfig::new(dataset, raw, out.path());
    config.parameters.prompts = false;
    config.parameters.repair_text = true;
    let found = prepared(&config);
    let counts = found.manifest().titles;
    // `Easton&Acirc;&reg;`, `Excalibur&Acirc;&reg;` and `Rinehart&Acirc;&reg;`.
    assert_eq!((counts.mojibake, counts.repaired), (3, 3));
    assert!(titles(&found).values().any(|title| title == "Easton® Arrow Tote"));
    // `unknown` and one `null`.
    assert_eq!(
        (found.manifest().titles_missing, counts.spelled_missing),
        (41, 41)
    );
}
