#![allow(clippy::unwrap_used)]

use super::*;

fn card() -> Card {
    Card {
        name: "shop+films".into(),
        base: Some("owner/name".into()),
        tags: vec!["merge".into()],
        datasets: vec!["my-shop".into()],
        summary: "A LoRA adapter.".into(),
        sections: vec![("Trained on".into(), "- 12 prompts\n".into())],
    }
}

/// The lines between the two lines of hyphens.
fn front_matter(text: &str) -> Vec<&str> {
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("---"));
    lines.take_while(|line| *line != "---").collect()
}

#[test]
fn a_card_begins_with_what_the_hub_reads() {
    let text = card().render();
    assert_eq!(
        front_matter(&text),
        [
            "library_name: peft",
            "base_model: \"owner/name\"",
            "pipeline_tag: text-generation",
            "tags:",
            "- \"lora\"",
            "- \"recommendation\"",
            "- \"sequential-recommendation\"",
            "- \"weaverec\"",
            "- \"merge\"",
            "datasets:",
            "- \"my-shop\"",
        ]
    );
    assert!(
        text.contains("\n# shop+films\n\nA LoRA adapter.\n\n## Trained on\n\n- 12 prompts\n\n## Loading\n")
    );
    assert!(text.contains("AutoModelForCausalLM.from_pretrained(\"owner/name\")"));
    assert!(text.contains("weaverec rank prepared/domain --adapter folder/of/shop+films\n"));
    assert_eq!(text, card().render());
}

#[test]
fn what_is_not_known_is_left_out() {
    let bare = Card {
        base: None,
        datasets: Vec::new(),
        ..card()
    };
    let text = bare.render();
    let keys = front_matter(&text);
    assert!(
        keys.iter()
            .all(|line| !line.starts_with("base_model") && !line.starts_with("datasets")),
        "{keys:?}"
    );
    assert!(text.contains("from_pretrained(\"folder/of/the/base\")"));
}

#[test]
fn no_name_breaks_out_of_its_quotes() {
    for (text, expected) in [
        ("plain", r#""plain""#),
        ("true", r#""true""#),
        ("a: b # c", r#""a: b # c""#),
        ("say \"x\" \\ y", r#""say \"x\" \\ y""#),
        ("two\nlines\t", r#""two\u000alines\u0009""#),
        ("\u{85}\u{2028}\u{feff}", r#""\u0085\u2028\ufeff""#),
        ("Größe 鞋 🛒", "\"Größe 鞋 🛒\""),
    ] {
        assert_eq!(yaml(text), expected);
    }
    assert_eq!(python("a\"b\n"), r#""a\"b\u000a""#);
    assert_eq!(shell("it's here"), r"'it'\''s here'");
    assert_eq!(shell("folder/of/shop+films"), "folder/of/shop+films");
    assert_eq!(markdown("a | b\n<c> *d*"), r"a \| b \<c\> \*d\*");
    let hostile = Card {
        name: "x\n---\nlicense: mit".into(),
        datasets: vec!["d\n- e".into()],
        ..card()
    };
    let text = hostile.render();
    assert_eq!(front_matter(&text).last(), Some(&r#"- "d\u000a- e""#));
    assert!(text.contains("\n# x --- license: mit\n"));
}

#[test]
fn a_card_of_ours_is_replaced_and_one_that_was_changed_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(CARD);
    check(folder.path()).unwrap();
    check(&folder.path().join("nowhere")).unwrap();
    card().write(folder.path()).unwrap();
    check(folder.path()).unwrap();
    let ours = std::fs::read_to_string(&path).unwrap();
    for theirs in [
        ours.replace("A LoRA adapter.", "My LoRA adapter."),
        format!("{ours}More of it.\n"),
        ours.trim_end().to_owned(),
        String::new(),
        "---\nlibrary_name: peft\n---\n".into(),
    ] {
        std::fs::write(&path, &theirs).unwrap();
        let error = check(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("README.md") && error.contains("name another place"),
            "{error}"
        );
    }
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(check(folder.path()).is_err());
    std::fs::write(&path, ours).unwrap();
    check(folder.path()).unwrap();
}
