//! The audit finds what is put there to be found.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, RecordBatch, StringArray, StructArray, UInt32Array,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::{Int64Type, UInt32Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use weaverec_pipeline::audit::audit;
use weaverec_pipeline::prepare::PrepareConfig;
use weaverec_pipeline::prepared::{Prepared, write_batches};
use weaverec_pipeline::schema::{PromptFormat, Split};
use weaverec_pipeline::stage::{Cut, DedupPolicy, SplitPolicy, Ties};

use crate::support::{films, named, run};

const TEST: &str = "prompts/test-00000-of-00001.parquet";
const VALIDATION: &str = "prompts/validation-00000-of-00001.parquet";
const TRAIN: &str = "prompts/train-00000-of-00001.parquet";
const SEQUENCES: &str = "sequences.parquet";

/// What the audit says once `file` holds what `change` makes of the rows of `source`, and the manifest agrees to it.
fn leaks(
    config: &PrepareConfig,
    source: &str,
    file: &str,
    change: impl Fn(&RecordBatch) -> RecordBatch,
) -> String {
    let folder = config.folder();
    let mut manifest = run(config).unwrap();
    let clean = Prepared::open(&folder).unwrap();
    assert_eq!(audit(&clean).unwrap().leaks, Vec::<String>::new());
    assert_eq!(clean.altered().unwrap(), Vec::<String>::new());
    let rows: Vec<RecordBatch> = rows(&folder.join(source)).iter().map(change).collect();
    let entry = write_batches(&folder, Path::new(file), rows[0].schema(), &rows).unwrap();
    let known = manifest.files.iter_mut().find(|known| known.path == file);
    let known = known.unwrap();
    if known.blake3 != entry.blake3 {
        assert_eq!(clean.altered().unwrap(), [file], "the change itself is noticed");
    }
    *known = entry;
    let text = serde_json::to_string(&manifest).unwrap();
    std::fs::write(folder.join("manifest.json"), text).unwrap();
    let report = audit(&Prepared::open(&folder).unwrap()).unwrap();
    assert!(report.check().is_err());
    report.leaks.join("\n")
}

fn rows(path: &Path) -> Vec<RecordBatch> {
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    reader.map(|batch| batch.unwrap()).collect()
}

fn with_column(batch: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let index = batch.schema().index_of(name).unwrap();
    let mut columns = batch.columns().to_vec();
    columns[index] = column;
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

/// The column `name` of every row moved to the row before it.
fn shifted(batch: &RecordBatch, name: &str) -> RecordBatch {
    let column = batch.column_by_name(name).unwrap();
    let rest = column.slice(1, column.len() - 1);
    let moved = concat(&[&rest, &column.slice(0, 1)]).unwrap();
    with_column(batch, name, Arc::clone(&moved))
}

fn ids(batch: &RecordBatch, name: &str, row: usize) -> Vec<u32> {
    let list = batch.column_by_name(name).unwrap().as_list::<i32>().value(row);
    list.as_primitive::<UInt32Type>().values().to_vec()
}

/// The lists of ids in the column `name`, each changed by `change`, which is told its target.
fn with_ids(batch: &RecordBatch, name: &str, change: impl Fn(usize, u32, &mut Vec<u32>)) -> RecordBatch {
    let targets = batch
        .column_by_name("target")
        .unwrap()
        .as_primitive::<UInt32Type>();
    let lists: Vec<Vec<u32>> = (0..batch.num_rows())
        .map(|row| {
            let mut list = ids(batch, name, row);
            change(row, targets.value(row), &mut list);
            list
        })
        .collect();
    let old = batch.column_by_name(name).unwrap().as_list::<i32>().clone();
    let (field, ..) = old.into_parts();
    let offsets = OffsetBuffer::from_lengths(lists.iter().map(Vec::len));
    let values = Arc::new(UInt32Array::from(lists.concat()));
    with_column(
        batch,
        name,
        Arc::new(ListArray::new(field, offsets, values, None)),
    )
}

/// Part `part` (0: roles, 1: contents) of every turn changed by `change`.
fn with_turns(batch: &RecordBatch, part: usize, change: impl Fn(usize, &str) -> String) -> RecordBatch {
    let turns = batch.column_by_name("messages").unwrap().as_list::<i32>();
    let (fields, mut parts, nulls) = turns.values().as_struct().clone().into_parts();
    let old = parts[part].as_string::<i32>();
    let new = (0..old.len()).map(|turn| change(turn, old.value(turn)));
    parts[part] = Arc::new(StringArray::from_iter_values(new));
    let values = Arc::new(StructArray::new(fields, parts, nulls));
    let (field, offsets, _, nulls) = turns.clone().into_parts();
    with_column(
        batch,
        "messages",
        Arc::new(ListArray::new(field, offsets, values, nulls)),
    )
}

#[test]
fn rows_of_one_split_are_found_in_another() {
    let folder = tempfile::tempdir().unwrap();
    let base = films(folder.path(), 120);
    let found = leaks(&named(&base, "validation"), VALIDATION, TRAIN, Clone::clone);
    assert!(
        found.contains("belongs to another split") && found.contains("key occurs twice"),
        "{found}"
    );
    let found = leaks(&named(&base, "test"), TEST, TRAIN, Clone::clone);
    assert!(found.contains("belongs to another split"), "{found}");
}

#[test]
fn a_target_in_its_history_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut base = films(folder.path(), 120);
    base.parameters.dedup = DedupPolicy::Last;
    let found = leaks(&base, TEST, TEST, |batch| {
        with_ids(batch, "history", |_, target, history| history[0] = target)
    });
    assert!(
        found.contains("not consecutive") && found.contains("although repeats were removed"),
        "{found}"
    );
}

#[test]
fn candidates_that_give_away_or_lack_the_target_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let base = films(folder.path(), 120);
    let found = leaks(&named(&base, "touched"), TEST, TEST, |batch| {
        let histories: Vec<Vec<u32>> = (0..batch.num_rows())
            .map(|row| ids(batch, "history", row))
            .collect();
        with_ids(batch, "candidates", |row, target, candidates| {
            let negative = candidates.iter().position(|item| *item != target).unwrap();
            candidates[negative] = histories[row][0];
        })
    });
    assert!(found.contains("a candidate was touched by the user"), "{found}");
    let found = leaks(&named(&base, "missing"), TEST, TEST, |batch| {
        with_ids(batch, "candidates", |_, target, candidates| {
            candidates.retain(|item| *item != target)
        })
    });
    assert!(found.contains("lack the target"), "{found}");
    let found = leaks(&named(&base, "twice"), TEST, TEST, |batch| {
        with_ids(batch, "candidates", |_, target, candidates| {
            candidates.push(target)
        })
    });
    assert!(found.contains("repeat an item"), "{found}");
    let found = leaks(&named(&base, "strange"), TEST, TEST, |batch| {
        with_ids(batch, "candidates", |_, _, candidates| candidates[0] = 4_000)
    });
    assert!(found.contains("not in the catalogue"), "{found}");
}

#[test]
fn binned_candidates_that_are_not_what_they_should_be_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let base = films(folder.path(), 120);
    let changed = |name: &str, change: fn(u32, &mut Vec<u32>)| {
        leaks(&named(&base, name), TEST, TEST, |batch| {
            with_ids(batch, "binned", |_, target, binned| change(target, binned))
        })
    };
    let found = changed("missing", |target, binned| binned.retain(|item| *item != target));
    assert!(found.contains("its binned candidates lack the target"), "{found}");
    assert!(found.contains("not as many as the others"), "{found}");
    let found = changed("twice", |target, binned| {
        let negative = binned.iter().position(|item| *item != target).unwrap();
        binned[negative] = target;
    });
    assert!(found.contains("two binned candidates have one title"), "{found}");
    let found = changed("strange", |_, binned| binned[0] = 4_000);
    assert!(found.contains("not in the catalogue"), "{found}");
    let found = leaks(&named(&base, "touched"), TEST, TEST, |batch| {
        let histories: Vec<Vec<u32>> = (0..batch.num_rows())
            .map(|row| ids(batch, "history", row))
            .collect();
        with_ids(batch, "binned", |row, target, binned| {
            let negative = binned.iter().position(|item| *item != target).unwrap();
            binned[negative] = histories[row][0];
        })
    });
    assert!(
        found.contains("a binned candidate was touched by the user"),
        "{found}"
    );
    let found = leaks(&named(&base, "train"), TRAIN, TRAIN, |batch| {
        with_ids(batch, "binned", |_, target, binned| binned.push(target))
    });
    assert!(
        found.contains("binned candidates although it is trained on"),
        "{found}"
    );
}

#[test]
fn binned_sets_that_leave_their_bin_unsaid_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let config = films(folder.path(), 120);
    let mut manifest = run(&config).unwrap();
    manifest.bins.left.count += 1;
    let text = serde_json::to_string(&manifest).unwrap();
    std::fs::write(config.folder().join("manifest.json"), text).unwrap();
    let report = audit(&Prepared::open(config.folder()).unwrap()).unwrap();
    assert!(
        report.leaks[0].contains("the manifest says otherwise of how many sets"),
        "{report}"
    );
}

#[test]
fn a_history_of_someone_else_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let base = films(folder.path(), 120);
    let found = leaks(&named(&base, "history"), TEST, TEST, |batch| {
        shifted(batch, "history")
    });
    assert!(found.contains("not consecutive"), "{found}");
    let found = leaks(&named(&base, "user"), TEST, TEST, |batch| {
        shifted(batch, "user_id")
    });
    assert!(found.contains("no sequence"), "{found}");
}

#[test]
fn a_target_in_the_words_is_found() {
    let folder = tempfile::tempdir().unwrap();
    for format in PromptFormat::ALL {
        let mut base = films(folder.path(), 120);
        base.parameters.format = format;
        // The answer becomes a part of the question.
        let found = leaks(&named(&base, format.name()), TEST, TEST, |batch| {
            with_turns(batch, 0, |_, _| "user".to_owned())
        });
        assert!(found.contains("text is not what its ids say"), "{found}");
        let titled = format != PromptFormat::Letter;
        assert_eq!(
            found.contains("title stands in the question"),
            titled,
            "{format:?}: {found}"
        );
    }
    let mut base = films(folder.path(), 120);
    base.parameters.format = PromptFormat::Sequence;
    let prepared = named(&base, "words");
    let found = leaks(&prepared, TRAIN, TRAIN, |batch| {
        with_turns(batch, 1, |_, text| format!("{text}The Film of the Test\n"))
    });
    assert!(found.contains("text is not what its ids say"), "{found}");
}

#[test]
fn training_after_the_cut_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut base = films(folder.path(), 240);
    base.parameters.split = SplitPolicy::GlobalTime(Cut::Shares {
        validation: 0.2,
        test: 0.2,
    });
    for source in [VALIDATION, TEST] {
        let found = leaks(&named(&base, &source[8..12]), source, TRAIN, Clone::clone);
        assert!(found.contains("belongs to another split"), "{found}");
    }
    let found = leaks(&named(&base, "early"), VALIDATION, TEST, Clone::clone);
    assert!(found.contains("belongs to another split"), "{found}");
    // A test that is not the first after the cut has a history that the model could not know at the cut.
    let later = named(&base, "later");
    run(&later).unwrap();
    let prepared = Prepared::open(later.folder()).unwrap();
    let cut = prepared.manifest().cut.unwrap();
    let found = prepared.prompts(Split::Test).unwrap().len();
    let late = prepared
        .sequences()
        .unwrap()
        .iter()
        .filter(|user| user.timestamps[0] < cut.test_from && user.timestamps.last() >= Some(&cut.test_from))
        .count();
    assert_eq!(found, late, "one test a user who goes on after the cut");
}

#[test]
fn sequences_that_are_not_the_interactions_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let base = films(folder.path(), 120);
    let found = leaks(&named(&base, "order"), SEQUENCES, SEQUENCES, |batch| {
        let times = batch.column_by_name("timestamps").unwrap().as_list::<i32>();
        let (field, offsets, values, nulls) = times.clone().into_parts();
        let values = values
            .as_primitive::<Int64Type>()
            .values()
            .iter()
            .map(|time| -time);
        let values = Arc::new(values.collect::<Int64Array>());
        with_column(
            batch,
            "timestamps",
            Arc::new(ListArray::new(field, offsets, values, nulls)),
        )
    });
    assert!(
        found.contains("not in the order of time") && found.contains("not the interactions"),
        "{found}"
    );
}

#[test]
fn ties_in_another_order_than_the_splits_name_says_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 120);
    for (ties, dedup) in [(Ties::Hash, DedupPolicy::None), (Ties::Line, DedupPolicy::Exact)] {
        config = named(&config, &format!("{ties:?}").to_lowercase());
        (config.parameters.ties, config.parameters.dedup) = (ties, dedup);
        let mut manifest = run(&config).unwrap();
        assert_eq!(manifest.audit.leaks, Vec::<String>::new());
        match ties {
            Ties::Hash => manifest.parameters.tie_seed = 1,
            Ties::Line => manifest.parameters.ties = Ties::Hash,
        }
        let text = serde_json::to_string(&manifest).unwrap();
        std::fs::write(config.folder().join("manifest.json"), text).unwrap();
        let report = audit(&Prepared::open(config.folder()).unwrap()).unwrap();
        assert!(report.leaks[0].contains("split's name"), "{report}");
    }
}

#[test]
fn negatives_with_a_touched_title_are_counted_and_no_leak() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 120);
    // Films 1 to 20 and 21 to 40 are called alike.
    let movies = std::fs::read_to_string(config.raw.join("movies.csv")).unwrap();
    let lines = movies.lines().enumerate().map(|(at, line)| match at {
        0 => format!("{line}\n"),
        film => format!("{film},Film {} (1950),Drama\n", (film - 1) % 20),
    });
    std::fs::write(config.raw.join("movies.csv"), lines.collect::<String>()).unwrap();
    config.parameters.candidates = 8;
    let manifest = run(&config).unwrap();
    let prepared = Prepared::open(config.folder()).unwrap();
    let items = prepared.items().unwrap();
    let title = |item: &u32| items[*item as usize - 1].title.as_str();
    let sequences = prepared.sequences().unwrap();
    let (mut count, mut of) = (0, 0);
    for split in [Split::Validation, Split::Test] {
        for prompt in prepared.prompts(split).unwrap() {
            let own = sequences
                .iter()
                .find(|row| row.user_id == prompt.user_id)
                .unwrap();
            for negative in prompt.candidates.iter().filter(|item| **item != prompt.target) {
                of += 1;
                count += u64::from(own.items.iter().any(|item| title(item) == title(negative)));
            }
        }
    }
    let found = manifest.audit.touched_titles;
    assert_eq!((found.count, found.of), (count, of));
    assert!(count > 20 && count < of, "{found}");
    let report = audit(&prepared).unwrap();
    assert_eq!((report.touched_titles, report.leaks.len()), (found, 0));
    let text = format!("{found} negatives bear a touched item's title");
    assert!(report.to_string().contains(&text), "{report}");
    let json = std::fs::read_to_string(config.folder().join("manifest.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["audit"]["touched_titles"]["count"], count);
    let share = json["audit"]["touched_titles"]["share"].as_f64().unwrap();
    assert!((share - count as f64 / of as f64).abs() < 1e-12);
}
