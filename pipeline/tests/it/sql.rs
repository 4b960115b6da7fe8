//! Prepared folders as tables.

use std::path::Path;

use weaverec_pipeline::error::Result;
use weaverec_pipeline::sql::{self, Database, Format};

use crate::support::{films, named, prepared};

/// The answer to a query on the folders at `place`.
fn ask(place: &Path, query: &str, format: Format) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let database = Database::open(place, 2).await?;
        let mut text = Vec::new();
        sql::print(database.query(query).await?, format, &mut text).await?;
        Ok(String::from_utf8(text).unwrap())
    })
}

#[test]
fn one_folder_needs_no_schema_and_several_have_one_each() {
    let folder = tempfile::tempdir().unwrap();
    let config = films(folder.path(), 60);
    let items = prepared(&config).items().unwrap().len();
    let other = named(&config, "films-2");
    prepared(&other);
    let count = |place: &Path, table: &str| {
        let query = format!("SELECT count(*) AS n FROM {table}");
        ask(place, &query, Format::Csv).unwrap()
    };
    assert_eq!(count(&config.folder(), "items"), format!("n\n{items}\n"));
    assert_eq!(count(&config.out, "films.items"), format!("n\n{items}\n"));
    assert_eq!(
        count(&config.out, "films_2.items JOIN films.items USING (title)"),
        format!("n\n{items}\n")
    );
    for table in [
        "interactions",
        "sequences",
        "rejects",
        "train",
        "validation",
        "test",
    ] {
        assert!(count(&config.folder(), table).starts_with("n\n"), "{table}");
    }
}

#[test]
fn our_functions_give_what_the_files_hold() {
    let folder = tempfile::tempdir().unwrap();
    let config = films(folder.path(), 60);
    prepared(&config);
    let query = |ending: &str, schema: &str| {
        format!(
            "SELECT count(*) AS n, sum(cast(t.key = row_key('films', t.user_id, position, 'test') AS int)) AS keys, \
             sum(cast(candidates = draw_candidates{ending}(t.user_id, position, target, s.items) AS int)) AS draws, \
             sum(cast(messages = render_prompt{ending}('test', t.user_id, position, history, target, candidates) AS int)) AS words \
             FROM {schema}test t JOIN {schema}sequences s ON t.\"user\" = s.\"user\""
        )
    };
    let plain = ask(&config.folder(), &query("", ""), Format::Csv).unwrap();
    let counts: Vec<&str> = plain.lines().nth(1).unwrap().split(',').collect();
    assert!(
        counts[0] != "0" && counts.iter().all(|count| *count == counts[0]),
        "{plain}"
    );
    prepared(&named(&config, "films-2"));
    assert_eq!(
        ask(&config.out, &query("_films", "films."), Format::Csv).unwrap(),
        plain
    );
    let title = ask(
        &config.folder(),
        "SELECT clean_title('<b>A &amp; B</b>', 80) AS title",
        Format::Csv,
    );
    assert_eq!(title.unwrap(), "title\nA & B\n");
}

#[test]
fn every_format_holds_lists_and_nulls() {
    let folder = tempfile::tempdir().unwrap();
    let config = films(folder.path(), 60);
    prepared(&config);
    let ask = |query, format| ask(&config.folder(), query, format).unwrap();
    let query = "SELECT make_array(1, 2) AS ids, 'a, b' AS text, CAST(NULL AS int) AS nothing";
    assert_eq!(
        ask(query, Format::Csv),
        "ids,text,nothing\n\"[1, 2]\",\"a, b\",\n"
    );
    assert_eq!(ask(query, Format::Json), "{\"ids\":[1,2],\"text\":\"a, b\"}\n");
    let table = ask(query, Format::Table);
    assert!(table.contains("| [1, 2] | a, b | "), "{table}");
    assert_eq!(
        ask("SELECT title FROM items WHERE item = 0", Format::Csv),
        "title\n"
    );
}

#[test]
fn what_would_change_something_or_is_not_there_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = films(folder.path(), 60);
    prepared(&config);
    for (query, part) in [
        ("DROP TABLE items", "DDL"),
        ("COPY items TO 'x.parquet'", "DML"),
        ("SELECT nothing FROM items", "nothing"),
        ("SELEC 1", "SELEC"),
    ] {
        let error = ask(&config.folder(), query, Format::Csv).unwrap_err().to_string();
        assert!(error.contains(part), "{query}: {error}");
    }
    let error = ask(&config.raw, "SELECT 1", Format::Csv).unwrap_err().to_string();
    assert!(
        error.contains("raw") && error.contains("no prepared folder"),
        "{error}"
    );
}
