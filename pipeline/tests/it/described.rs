//! Item files that are about other items than the interactions, or write their ids in another way.

use std::path::Path;

use weaverec_pipeline::Error;
use weaverec_pipeline::prepare::PrepareConfig;

use crate::support::{assert_nothing_written, contents, films, named, prepared, run};

/// The films of `films` under other ids.
fn rename_films(config: &PrepareConfig, id: impl Fn(usize) -> String) {
    let mut movies = String::from("movieId,title,genres\n");
    for film in 1..=40 {
        movies.push_str(&format!("{},Film {film},Drama\n", id(film)));
    }
    std::fs::write(config.raw.join("movies.csv"), movies).unwrap();
}

/// The three ways of preparing: rows in memory, in files, and plans.
fn ways(config: &PrepareConfig) -> [PrepareConfig; 3] {
    let plans = PrepareConfig {
        plans_only: true,
        ..config.clone()
    };
    let files = PrepareConfig {
        memory_limit: Some(1 << 20),
        ..config.clone()
    };
    [config.clone(), files, plans]
}

#[test]
fn ids_that_never_meet_are_an_error_with_one_of_each_side_whichever_way_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let config = films(folder.path(), 60);
    for (id, other, word) in [
        (
            (|film| format!("{film}.0")) as fn(usize) -> String,
            "`1.0`",
            "`.0`",
        ),
        (|film| format!("00{film}"), "`001`", "leading zeros"),
        (|film| format!("<{film}>"), "`<1>`", "signs"),
        (|film| format!("tt{film}x"), "`tt10x`", "such as"),
    ] {
        rename_films(&config, id);
        for way in ways(&config) {
            let error = run(&way).unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::ItemsApart {
                        described: 0,
                        named: 40,
                        ..
                    }
                ),
                "{error:?}"
            );
            let error = error.to_string();
            assert!(
                error.contains("only 0 of the 40 items") && error.contains("--allow-missing-items"),
                "{error}"
            );
            assert!(
                error.contains("`1`") && error.contains(other) && error.contains(word),
                "{error}"
            );
            assert_nothing_written(&config.out);
        }
    }
}

#[test]
fn half_of_the_items_are_enough_and_fewer_may_be_put_up_with() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 60);
    let half = |film: usize| {
        if film <= 20 {
            film.to_string()
        } else {
            format!("x{film}")
        }
    };
    rename_films(&config, half);
    assert_eq!(prepared(&config).manifest().titles_missing, 20);

    rename_films(&config, |film| {
        if film < 20 {
            film.to_string()
        } else {
            format!("x{film}")
        }
    });
    let config_named = named(&config, "fewer");
    assert!(matches!(
        run(&config_named),
        Err(Error::ItemsApart {
            described: 19,
            named: 40,
            ..
        })
    ));
    config.name = Some("allowed".to_owned());
    config.parameters.allow_missing_items = true;
    let allowed = prepared(&config);
    assert_eq!(allowed.manifest().titles_missing, 21);
    assert!(allowed.manifest().parameters.allow_missing_items);
}

#[test]
fn blanks_around_ids_keep_nobody_apart() {
    let folder = tempfile::tempdir().unwrap();
    let config = films(folder.path(), 60);
    let plain = prepared(&config);
    let spaced = named(&config, "spaced");
    rename_with(&spaced.raw.join("movies.csv"), |id| format!("\u{a0}{id} "));
    rename_with(&spaced.raw.join("ratings.csv"), |id| format!(" {id}\u{2003}"));
    let spaced = prepared(&spaced);
    assert_eq!(plain.sequences().unwrap(), spaced.sequences().unwrap());
    assert_eq!(plain.items().unwrap(), spaced.items().unwrap());
}

/// Changes the first field of every line but the header.
fn rename_with(path: &Path, id: impl Fn(&str) -> String) {
    let text = std::fs::read_to_string(path).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    let rows = rows.lines().map(|line| {
        let (first, rest) = line.split_once(',').unwrap();
        format!("{},{rest}\n", id(first))
    });
    std::fs::write(path, format!("{header}\n{}", rows.collect::<String>())).unwrap();
}

#[test]
fn a_set_without_an_item_file_has_nothing_to_be_apart_from() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 60);
    std::fs::remove_file(config.raw.join("movies.csv")).unwrap();
    config.dataset.items_optional = true;
    let optional = prepared(&config);
    config.dataset.items.clear();
    config.name = Some("none".to_owned());
    let none = prepared(&config);
    assert_eq!(optional.items().unwrap(), none.items().unwrap());
    let interactions = |folder: &Path| {
        contents(folder)
            .remove(Path::new("interactions.parquet"))
            .unwrap()
    };
    assert_eq!(
        interactions(&config.out.join("films")),
        interactions(&config.out.join("none"))
    );
}
