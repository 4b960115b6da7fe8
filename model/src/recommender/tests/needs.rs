//! What systems read beside the target's sequences, and data that lacks it.

use super::*;

fn vectors(items: usize, width: usize) -> Vectors {
    Vectors {
        width,
        values: vec![1.0; items * width],
    }
}

fn refused(needs: Needs, data: &Data) -> String {
    match data.check().and_then(|()| needs.check(data)) {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    }
}

const BOTH: Needs = Needs {
    vectors: true,
    sources: true,
};

#[test]
fn a_system_over_items_alone_needs_nothing_else_and_codes_need_vectors() {
    for (name, system) in all(&schedule(1, 1e-2)) {
        assert_eq!(system.needs(), Needs::default(), "{name}");
    }
    let tiger = System::Tiger(Tiger::default());
    assert_eq!(
        tiger.needs(),
        Needs {
            vectors: true,
            sources: false
        }
    );
    let course = Course {
        seed: 1,
        checkpoint: None,
        progress: &mut |_| (),
    };
    let train = [vec![1, 2, 3]];
    let error = fit(&tiger, &data(3, &train, &[]), course)
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("reads vectors") && error.contains("there are none"),
        "{error}"
    );
}

#[test]
fn what_a_system_needs_and_data_lacks_is_said() {
    let (train, own, theirs) = ([vec![1, 2, 3]], vectors(3, 2), vectors(9, 2));
    let bare = data(3, &train, &[]);
    assert_eq!(refused(Needs::default(), &bare), "");
    let error = refused(BOTH, &bare);
    assert!(error.contains("learns from other domains"), "{error}");
    let source = Source {
        items: 9,
        train: &[vec![9, 1]],
        vectors: None,
    };
    let sources = [source];
    let with = Data {
        sources: &sources,
        ..bare
    };
    let error = refused(BOTH, &with);
    assert!(error.contains("there are none: make text vectors"), "{error}");
    let with = Data {
        vectors: Some(&own),
        ..with
    };
    let error = refused(BOTH, &with);
    assert!(error.contains("source 0 (counted from 0) has none"), "{error}");
    let whole = [Source {
        vectors: Some(&theirs),
        ..source
    }];
    let with = Data {
        sources: &whole,
        ..with
    };
    assert_eq!(refused(BOTH, &with), "");
}

#[test]
fn items_of_a_source_are_numbered_by_themselves() {
    let (train, theirs) = ([vec![1, 2, 3]], [vec![1, 2, 9]]);
    let source = |items| {
        [Source {
            items,
            train: &theirs,
            vectors: None,
        }]
    };
    // The numbers 1 and 2 are items of both, and 9 is one of the source alone.
    let (larger, smaller, none) = (source(9), source(8), source(0));
    let with = |sources| Data {
        sources,
        ..data(3, &train, &[])
    };
    assert_eq!(refused(Needs::default(), &with(&larger)), "");
    let error = refused(Needs::default(), &with(&smaller));
    assert!(
        error.contains("item 9 in the training part of source 0, user 0") && error.contains("catalogue of 8"),
        "{error}"
    );
    let error = refused(Needs::default(), &with(&none));
    assert!(
        error.contains("source 0") && error.contains("without items"),
        "{error}"
    );
}

#[test]
fn vectors_are_one_an_item_and_of_one_space() {
    let (train, own) = ([vec![1, 2, 3]], vectors(3, 2));
    let few = vectors(2, 2);
    let error = refused(
        Needs::default(),
        &Data {
            vectors: Some(&few),
            ..data(3, &train, &[])
        },
    );
    assert!(error.contains("3 vectors of width 2"), "{error}");
    let of_source = |found: &Vectors| {
        let sources = [Source {
            items: 4,
            train: &[vec![4, 1]],
            vectors: Some(found),
        }];
        let data = Data {
            vectors: Some(&own),
            sources: &sources,
            ..data(3, &train, &[])
        };
        refused(BOTH, &data)
    };
    assert_eq!(of_source(&vectors(4, 2)), "");
    let error = of_source(&vectors(3, 2));
    assert!(
        error.contains("source 0") && error.contains("4 vectors"),
        "{error}"
    );
    let error = of_source(&vectors(4, 3));
    assert!(
        error.contains("width 3") && error.contains("one space"),
        "{error}"
    );
}
