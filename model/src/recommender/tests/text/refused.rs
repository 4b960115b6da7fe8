//! Settings and texts that nothing can be fitted by.

use super::*;

#[test]
fn what_cannot_be_fitted_is_refused_with_what_to_do() {
    let planted = Planted::new(5, 10);
    let sources = planted.source();
    let error = |system: &System, data: &Data| {
        let course = Course {
            seed: 5,
            checkpoint: None,
            progress: &mut |_| (),
        };
        match fit(system, data, course) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    };
    let bare = [Source {
        vectors: None,
        ..sources[0]
    }];
    let thin = Vectors {
        width: 2,
        values: vec![0.5; 2 * ITEMS],
    };
    let narrow = [Source {
        vectors: Some(&thin),
        ..sources[0]
    }];
    let text = over_texts().remove(0).1;
    let unisrec_of = |text: &str| serde_json::from_str::<System>(text).unwrap();
    let plain = unisrec_of(r#"{"kind": "unisrec", "width": 8, "pretraining": {"epochs": 1}}"#);
    let nothing = Data {
        vectors: None,
        ..planted.data(&sources)
    };
    for (system, data, word) in [
        (&text, nothing, "vectors"),
        (&plain, nothing, "vectors"),
        (&plain, planted.data(&[]), "source"),
        (&plain, planted.data(&bare), "vectors"),
        (&plain, planted.data(&narrow), "space"),
    ] {
        let found = error(system, &data);
        assert!(found.contains(word), "{word}: {found}");
    }
    for (text, word) in [
        (r#"{"kind": "unisrec", "temperature": 0.0}"#, "temperature 0"),
        (
            r#"{"kind": "unisrec", "zero_shot": true, "pretraining": {"epochs": 0}}"#,
            "zero_shot",
        ),
        (
            r#"{"kind": "unisrec", "pretraining": {"epochs": 0}}"#,
            "freeze = false",
        ),
        (
            r#"{"kind": "unisrec", "pretraining": {"item_dropout": 1.0}}"#,
            "item_dropout 1",
        ),
        (
            r#"{"kind": "unisrec", "pretraining": {"contrast": -1.0}}"#,
            "contrast -1",
        ),
        (r#"{"kind": "unisrec", "pretraining": {"rows": 0}}"#, "rows 0"),
        (
            r#"{"kind": "unisrec", "adapter": {"whitening": {"experts": 0}}}"#,
            "experts 0",
        ),
        (
            r#"{"kind": "sasrec-text", "adapter": {"mlp": {"hidden": 0}}}"#,
            "hidden 0",
        ),
        (r#"{"kind": "sasrec-text", "heads": 3}"#, "no multiple of heads 3"),
        (r#"{"kind": "sasrec-text", "dropout": 1.0}"#, "dropout 1"),
    ] {
        let found = error(&unisrec_of(text), &planted.data(&sources));
        assert!(found.contains(word), "{text}: {found}");
    }
    for (text, word) in [
        (r#"{"kind": "unisrec", "zeroshot": true}"#, "zeroshot"),
        (
            r#"{"kind": "unisrec", "pretraining": {"patience": 3}}"#,
            "patience",
        ),
        (r#"{"kind": "sasrec-text", "temperature": 1}"#, "temperature"),
    ] {
        let found = serde_json::from_str::<System>(text).unwrap_err().to_string();
        assert!(found.contains(word), "{found}");
    }
}
