//! Vectors in each way, kept and read back.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::array::{Float32Builder, ListBuilder};
use arrow::datatypes::{DataType, Field};
use candle_core::{Device, Tensor};
use parquet::arrow::ArrowWriter;
use weaverec_model::backbone::nano::NanoConfig;
use weaverec_model::backbone::{Decoder, Tokenizer, Weights};

use super::file::Part;
use super::*;

fn items(titles: &[(&str, &str)]) -> Vec<Item> {
    titles
        .iter()
        .zip(1..)
        .map(|((id, title), item)| Item {
            item,
            item_id: (*id).into(),
            title: (*title).into(),
            categories: String::new(),
            train_count: 1,
        })
        .collect()
}

fn beauty() -> Vec<Item> {
    items(&[
        ("b1", "argan oil"),
        ("b2", "red nail polish"),
        ("both", "hair oil"),
    ])
}

fn sports() -> Vec<Item> {
    items(&[("s1", "running shoe"), ("both", "bicycle helmet red")])
}

fn make(how: &ItemVectors, kept: Option<&Path>) -> Result<Vec<Vectors>> {
    let (beauty, sports) = (beauty(), sports());
    let domains = [("beauty", &beauty), ("sports", &sports)].map(|(name, items)| DomainItems { name, items });
    how.of_items(&domains, kept, Compute::default())
}

fn encoder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures/sentence")
}

fn sentences(folder: &Path) -> ItemVectors {
    ItemVectors::Minilm(Sentences {
        folder: Some(folder.to_path_buf()),
        centre: false,
    })
}

fn own(path: &Path) -> ItemVectors {
    ItemVectors::File(Own {
        path: path.to_path_buf(),
        centre: false,
        normalise: false,
    })
}

/// Writes a file with other columns than ours have.
fn other(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// Lists of numbers, of which some may be missing.
fn lists(values: &[&[Option<f32>]]) -> ArrayRef {
    let mut lists = ListBuilder::new(Float32Builder::new());
    for list in values {
        list.iter().for_each(|value| lists.values().append_option(*value));
        lists.append(true);
    }
    Arc::new(lists.finish())
}

#[test]
fn a_profile_says_how_vectors_are_made_and_what_it_leaves_out_has_its_default() {
    let read = |text: &str| toml::from_str::<ItemVectors>(text);
    assert!(read("kind = \"tf-idf\"").unwrap().is_default());
    let ItemVectors::TfIdf(settings) = read("kind = \"tf-idf\"\nwidth = 64").unwrap() else {
        panic!("words");
    };
    assert_eq!(settings.width, 64);
    assert_eq!(
        read("kind = \"minilm\"").unwrap(),
        ItemVectors::Minilm(Sentences::default())
    );
    let ItemVectors::Decoder(states) =
        read("kind = \"decoder\"\nmodel = \"smollm2-135m\"\nadapter = \"woven\"").unwrap()
    else {
        panic!("states");
    };
    assert_eq!(
        states,
        States {
            adapter: Some("woven".into()),
            ..States::of_model("smollm2-135m")
        }
    );
    assert_eq!(
        read("kind = \"file\"\npath = \"mine.parquet\"").unwrap(),
        own(Path::new("mine.parquet"))
    );
    for wrong in [
        "kind = \"minilm\"\nwidth = 3",
        "kind = \"tf-idf\"\nmodel = \"x\"",
        "kind = \"decoder\"",
        "kind = \"word2vec\"",
        "width = 3",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
    for how in [
        ItemVectors::default(),
        own(Path::new("a")),
        sentences(Path::new("b")),
    ] {
        let written = toml::to_string(&how).unwrap();
        assert_eq!(read(&written).unwrap(), how, "{written}");
    }
}

#[test]
fn words_of_all_domains_make_one_space_and_are_kept_by_their_content() {
    let kept = tempfile::tempdir().unwrap();
    let how = ItemVectors::TfIdf(TextVectors {
        width: 4,
        ..TextVectors::default()
    });
    let made = make(&how, Some(kept.path())).unwrap();
    assert_eq!(made, make(&how, None).unwrap());
    assert_eq!((made[0].items(), made[1].items()), (3, 2));
    let files = || {
        let entries = fs::read_dir(kept.path()).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    };
    let first = files();
    assert_eq!(first.len(), 1);
    assert_eq!(make(&how, Some(kept.path())).unwrap(), made);
    assert_eq!(files(), first);
    // What is there is read: with other numbers in its place, these are given.
    let mut rows = file::read(&first[0]).unwrap();
    assert_eq!((rows.len(), rows[4].item.as_str()), (5, "2"));
    rows[4].values[0] += 1.0;
    let changed: Vec<Vectors> = [&rows[..3], &rows[3..]]
        .map(|rows| Vectors {
            width: 4,
            values: rows.iter().flat_map(|row| row.values.clone()).collect(),
        })
        .into();
    let parts: Vec<Part> = changed
        .iter()
        .zip([vec!["1", "2", "3"], vec!["1", "2"]])
        .enumerate()
        .map(|(list, (vectors, items))| Part {
            domain: list.to_string(),
            items,
            vectors,
        })
        .collect();
    file::write(&first[0], &parts, &Value::Null).unwrap();
    assert_eq!(make(&how, Some(kept.path())).unwrap(), changed);
    // What is damaged is made again.
    fs::write(&first[0], "no vectors").unwrap();
    assert_eq!(make(&how, Some(kept.path())).unwrap(), made);
    assert_eq!(make(&how, Some(kept.path())).unwrap(), made);
    let narrower = ItemVectors::TfIdf(TextVectors {
        width: 3,
        ..TextVectors::default()
    });
    make(&narrower, Some(kept.path())).unwrap();
    assert_eq!(files().len(), 2, "other settings, other vectors");
}

#[test]
fn a_sentence_encoder_reads_each_domain_once_and_its_folder_is_told_by_its_content() {
    let kept = tempfile::tempdir().unwrap();
    let how = sentences(&encoder());
    let made = make(&how, Some(kept.path())).unwrap();
    assert_eq!((made[0].width, made[0].items(), made[1].items()), (16, 3, 2));
    for row in made.iter().flat_map(Vectors::rows) {
        let length: f32 = row.iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
    }
    // A copy elsewhere is the same model, and nothing is read again.
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(encoder()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    assert_eq!(
        sentences(copy.path()).identity().unwrap(),
        how.identity().unwrap()
    );
    assert_eq!(make(&sentences(copy.path()), Some(kept.path())).unwrap(), made);
    assert_eq!(fs::read_dir(kept.path()).unwrap().count(), 2, "a file a domain");
    fs::write(copy.path().join("tokenizer_config.json"), "{}").unwrap();
    assert_ne!(
        sentences(copy.path()).identity().unwrap(),
        how.identity().unwrap()
    );
    let centred = ItemVectors::Minilm(Sentences {
        folder: Some(encoder()),
        centre: true,
    });
    let found = make(&centred, Some(kept.path())).unwrap();
    assert_ne!(found, made);
    assert_eq!(
        fs::read_dir(kept.path()).unwrap().count(),
        2,
        "the mean is taken away of what is kept"
    );
}

/// A folder with a tiny language model.
fn decoder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let titles: Vec<String> = beauty()
        .into_iter()
        .chain(sports())
        .map(|item| item.title)
        .collect();
    let tokenizer = Tokenizer::train_bpe(&titles, 280).unwrap();
    let sizes = NanoConfig {
        vocabulary: tokenizer.vocab_size(),
        width: 8,
        inner: 12,
        layers: 1,
        heads: 2,
        key_value_heads: 1,
    };
    let config = sizes.llama(tokenizer.eos().unwrap());
    let tensors = RefCell::new(HashMap::new());
    Decoder::from_parameters(&config, |name, shape| {
        let count: usize = shape.iter().product();
        // Any numbers will do that are not all alike.
        let values: Vec<f32> = (0..count)
            .map(|place| ((place * 37 + name.len()) % 23) as f32 / 23.0 - 0.4)
            .collect();
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?;
        tensors.borrow_mut().insert(name.to_owned(), tensor.clone());
        Ok(tensor)
    })
    .unwrap();
    Weights::from_tensors(tensors.into_inner())
        .save(folder.path(), &config)
        .unwrap();
    tokenizer.save(folder.path()).unwrap();
    folder
}

#[test]
fn a_language_models_states_are_kept_as_they_are_and_adjusted_afterwards() {
    let (kept, model) = (tempfile::tempdir().unwrap(), decoder());
    let of = |centre, normalise| {
        let states = States {
            centre,
            normalise,
            ..States::of_model(model.path().to_str().unwrap())
        };
        make(&ItemVectors::Decoder(states), Some(kept.path())).unwrap()
    };
    let plain = of(false, false);
    assert_eq!((plain[0].width, plain[0].items(), plain[1].items()), (8, 3, 2));
    let adjusted = of(true, true);
    assert_eq!(
        fs::read_dir(kept.path()).unwrap().count(),
        2,
        "a file a domain, whatever is done to it"
    );
    let by_hand = vectors::of_ones_own(
        plain,
        &TextVectors {
            centre: true,
            ..TextVectors::default()
        },
    );
    assert_eq!(adjusted, by_hand.unwrap());
    let missing = ItemVectors::Decoder(States::of_model("no-such-model"));
    let error = format!("{:#}", make(&missing, None).unwrap_err());
    assert!(
        error.contains("no-such-model") && error.contains("smollm2-135m"),
        "{error}"
    );
}

#[test]
fn a_file_is_read_back_as_it_was_written_and_its_items_may_stand_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vectors.parquet");
    let how = ItemVectors::TfIdf(TextVectors {
        width: 4,
        ..TextVectors::default()
    });
    let made = make(&how, None).unwrap();
    let (beauty, sports) = (beauty(), sports());
    let parts: Vec<Part> = [("sports", &sports, &made[1]), ("beauty", &beauty, &made[0])]
        .map(|(domain, items, vectors)| Part {
            domain: domain.into(),
            items: items.iter().map(|item| item.item_id.as_str()).collect(),
            vectors,
        })
        .into();
    file::write(&path, &parts, &how.identity().unwrap()).unwrap();
    assert_eq!(make(&own(&path), None).unwrap(), made);
    let before = own(&path).identity().unwrap();
    file::write(&path, &parts[..1], &Value::Null).unwrap();
    assert_ne!(own(&path).identity().unwrap(), before);
    let error = format!("{:#}", make(&own(&path), None).unwrap_err());
    assert!(
        error.contains("vectors.parquet") && error.contains("3 of 3 items of beauty have no vector"),
        "{error}"
    );
}

#[test]
fn files_of_other_programs_are_read_whatever_lists_and_ids_they_have() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.parquet");
    let numbers = Float64Array::from(vec![0.5, 1.0, -2.0, 3.0]);
    let field = Arc::new(Field::new("element", DataType::Float64, true));
    let fixed = FixedSizeListArray::new(field, 2, Arc::new(numbers), None);
    let ids = Int64Array::from(vec![7, 8]);
    other(
        &path,
        vec![
            ("vector", Arc::new(fixed) as ArrayRef),
            ("item_id", Arc::new(ids) as ArrayRef),
        ],
    );
    let found = file::read(&path).unwrap();
    assert_eq!((found[1].item.as_str(), found[1].domain.as_deref()), ("8", None));
    assert_eq!(found[1].values, [-2.0, 3.0]);
}

#[test]
fn a_file_that_does_not_give_every_item_one_vector_is_refused_with_the_item() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.parquet");
    let refused = |columns: Vec<(&str, ArrayRef)>| {
        other(&path, columns);
        format!("{:#}", make(&own(&path), None).unwrap_err())
    };
    let all = ["b1", "b2", "both", "s1"];
    let one: &[Option<f32>] = &[Some(1.0)];
    let told = refused(vec![("item", texts(&all)), ("vector", lists(&[one; 4]))]);
    assert!(
        told.contains("both is in beauty and in sports") && told.contains("`domain`"),
        "{told}"
    );
    let told = refused(vec![("item", texts(&["b1", "b1"])), ("vector", lists(&[one; 2]))]);
    assert!(told.contains("b1 has two vectors"), "{told}");
    let told = refused(vec![
        ("item", texts(&["b1", "b2"])),
        ("vector", lists(&[one, &[Some(1.0), Some(2.0)]])),
    ]);
    assert!(told.contains("b2 has 2 numbers"), "{told}");
    let told = refused(vec![
        ("item", texts(&["b1", "b2"])),
        ("vector", lists(&[one, &[None]])),
    ]);
    assert!(
        told.contains("row 2") && told.contains("b2") && told.contains("gap"),
        "{told}"
    );
    let told = refused(vec![
        ("item", texts(&["b1", "b2", "both"])),
        ("domain", texts(&["beauty"; 3])),
        ("vector", lists(&[one, &[Some(f32::NAN)], one])),
    ]);
    assert!(told.contains("b2 of beauty holds NaN"), "{told}");
    let told = refused(vec![("id", texts(&["b1"])), ("vector", lists(&[one]))]);
    assert!(told.contains("its columns are id, vector"), "{told}");
    let told = refused(vec![("item", texts(&["b1"])), ("vector", texts(&["1.0"]))]);
    assert!(
        told.contains("mine.parquet") && told.contains("the column vector is of type Utf8"),
        "{told}"
    );
    fs::write(&path, "item,vector\n").unwrap();
    let told = format!("{:#}", make(&own(&path), None).unwrap_err());
    assert!(told.contains("no Parquet file"), "{told}");
}

#[test]
fn two_domains_of_one_name_are_refused() {
    let beauty = beauty();
    let domain = DomainItems {
        name: "beauty",
        items: &beauty,
    };
    let error = ItemVectors::default()
        .of_items(&[domain, domain], None, Compute::default())
        .unwrap_err();
    assert!(
        error.to_string().contains("two domains are called beauty"),
        "{error}"
    );
}
