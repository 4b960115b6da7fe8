//! What the prompts of each form say, and that a template taken apart says what it said.
#![allow(clippy::unwrap_used)]

use super::*;

fn style(format: PromptFormat) -> PromptStyle {
    let item = |(index, title): (usize, &str)| Item {
        item: index as u32 + 1,
        item_id: index.to_string(),
        title: title.to_owned(),
        categories: String::new(),
        train_count: 0,
    };
    let items: Vec<Item> = ["A & B", "C", "D", "E", "F", "G", "H"]
        .into_iter()
        .enumerate()
        .map(item)
        .collect();
    PromptStyle::new(format, None, 1, "d", &items).unwrap()
}

fn instance(split: Split) -> Instance<'static> {
    Instance {
        split,
        user: "u",
        position: 3,
        history: &[1, 2],
        target: 3,
        candidates: &[4, 5, 3, 6, 7],
    }
}

#[test]
fn a_top_5_prompt_has_the_papers_structure() {
    let turns = style(PromptFormat::Top5).render(&instance(Split::Train)).unwrap();
    assert_eq!(
        turns.iter().map(|turn| turn.role.as_str()).collect::<Vec<_>>(),
        ["system", "user", "assistant"]
    );
    assert!(turns[1].content.contains("A & B || C\n"), "{}", turns[1].content);
    assert!(
        turns[1].content.ends_with("E || F || D || G || H"),
        "{}",
        turns[1].content
    );
    let mut answer: Vec<&str> = turns[2].content.split(TITLE_SEPARATOR).map(str::trim).collect();
    assert_eq!(answer[0], "D");
    answer.sort_unstable();
    assert_eq!(answer, ["D", "E", "F", "G", "H"]);
}

#[test]
fn target_only_and_letter_answer_with_the_target_alone() {
    let turns = style(PromptFormat::TargetOnly)
        .render(&instance(Split::Test))
        .unwrap();
    assert!(turns[1].content.ends_with("Candidates:\nE || F || D || G || H"));
    assert_eq!(turns[2].content, "D");
    let turns = style(PromptFormat::Letter)
        .render(&instance(Split::Test))
        .unwrap();
    let question = &turns[1].content;
    assert!(
        question.ends_with("Candidates:\nA. E\nB. F\nC. D\nD. G\nE. H"),
        "{question}"
    );
    assert_eq!(turns[2].content, "C");
}

#[test]
fn a_wording_of_ones_own_cannot_give_the_answer_away() {
    let wording = |user: &str| Wording {
        system: None,
        user: user.to_owned(),
        assistant: "{{ letter }}".to_owned(),
    };
    let try_out = |user| PromptStyle::try_out(PromptFormat::Letter, &wording(user));
    assert!(try_out("{{ history | last }}, {{ letters[0] }}: {{ candidates[0] }}?").is_ok());
    for leak in ["{{ answer[0] }}", "{{ letter }}", "{{ candidate }}"] {
        let error = try_out(leak).unwrap_err().to_string();
        assert!(error.contains("undefined") && error.contains("user:1"), "{error}");
    }
    let plain = PromptStyle::try_out(PromptFormat::Sequence, &wording("x"));
    assert!(plain.unwrap_err().to_string().contains("sequence"));
}

#[test]
fn a_sequence_prompt_joins_to_the_text_of_the_sequence() {
    for (split, shown) in [(Split::Train, "A & B\n"), (Split::Test, "A & B\nC\n")] {
        let turns = style(PromptFormat::Sequence).render(&instance(split)).unwrap();
        assert_eq!(turns[0].content, shown);
        assert_eq!(turns[0].content.clone() + &turns[1].content, "A & B\nC\nD\n");
    }
}

#[test]
fn templates_that_are_taken_apart_read_as_minijinja_renders_them() {
    let instance = instance(Split::Test);
    let (answer, letter) = ([3, 6], Some("C"));
    let mut taken_apart = 0;
    for user in [
        "{{ history | join(\" || \") }}\n",
        "{{history|join('; ')}} then {{ candidates | join(\" \" ~ separator ~ \" \") }}\n\n",
        "{{ answers }} of {{ candidates[1] }}{{ separator }}",
        "plain { text } without anything\r\n",
        "{{ candidates | join(', ') | upper }}",
        "{{- history | join(' ') -}} x",
        "{{ history | join(' ' * 3) }}",
        "{% for title in history %}{{ title }}{% endfor %}",
        "{# said to nobody #}{{ history | first }}",
        "{{ history[0] ~ candidates[0] }}",
        "{{ '}}' }}",
        "{{ candidates | join(\"a\\nb\") }}",
    ] {
        for assistant in [
            "{{ letter }}",
            "{{ answer | join(' ' ~ separator) }}\n",
            "{{ answer[0] | lower }}",
        ] {
            let wording = Wording {
                system: None,
                user: user.to_owned(),
                assistant: assistant.to_owned(),
            };
            let items: Vec<Item> = (1..=7)
                .map(|item| Item {
                    item,
                    item_id: item.to_string(),
                    title: format!("<Title {item}> & \"more\""),
                    categories: String::new(),
                    train_count: 0,
                })
                .collect();
            let style = PromptStyle::new(PromptFormat::Letter, Some(&wording), 1, "d", &items).unwrap();
            taken_apart += style
                .turns
                .iter()
                .filter(|(_, compiled)| compiled.is_some())
                .count();
            let instance = Instance {
                target: 3,
                ..instance
            };
            let filling = Filling {
                titles: &|item| &*style.titles[item as usize],
                history: instance.history,
                candidates: instance.candidates,
                answer: &answer,
                letter,
            };
            for (role, compiled) in style.turns.iter() {
                let expected = style.by_template(role, &instance, &answer, letter).unwrap();
                let mut found = String::new();
                if let Some(compiled) = compiled {
                    compiled.render(&filling, &mut found).unwrap();
                    assert_eq!(found, expected, "{user} {assistant}");
                }
            }
        }
    }
    assert_eq!(taken_apart, 4 * 3 + 12 * 2, "as many as should be");
}

#[test]
fn our_own_wordings_are_taken_apart_but_for_the_loop() {
    for (format, count) in [
        (PromptFormat::Top5, 3),
        (PromptFormat::TargetOnly, 3),
        (PromptFormat::Letter, 2),
    ] {
        let style = style(format);
        let compiled = style.turns.iter().filter(|(_, compiled)| compiled.is_some());
        assert_eq!(compiled.count(), count, "{}", format.name());
    }
}
