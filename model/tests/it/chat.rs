//! Chat templates rendered here beside transformers' `apply_chat_template`, and parts of templates beside Jinja itself.

use serde::Deserialize;
use weaverec_model::backbone::Tokenizer;

use crate::common::fixture;

#[derive(Deserialize)]
struct Conversations {
    bos: String,
    eos: String,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    template: String,
    /// The last of them is the answer.
    messages: Vec<(String, String)>,
    /// The text before the answer, with `add_generation_prompt`.
    prompt: String,
    /// The text with the answer.
    whole: String,
}

#[test]
fn templates_of_every_dialect_give_the_text_of_transformers_and_tell_where_the_answer_begins() {
    let json = std::fs::read(fixture("chat.json")).unwrap();
    let conversations: Conversations = serde_json::from_slice(&json).unwrap();
    assert_eq!(conversations.rows.len(), 18);
    let folder = tempfile::tempdir().unwrap();
    Tokenizer::train_bpe(["a text to learn from"], 300)
        .unwrap()
        .save(folder.path())
        .unwrap();
    for row in conversations.rows {
        let settings = serde_json::json!({
            "bos_token": conversations.bos,
            "eos_token": {"content": conversations.eos},
            "chat_template": row.template,
        });
        std::fs::write(folder.path().join("tokenizer_config.json"), settings.to_string()).unwrap();
        let tokenizer = Tokenizer::open(folder.path()).unwrap();
        let messages: Vec<(&str, &str)> = row
            .messages
            .iter()
            .map(|(r, c)| (r.as_str(), c.as_str()))
            .collect();
        let (answer, before) = messages.split_last().unwrap();
        assert_eq!(
            tokenizer.chat(before, true).unwrap().text(),
            row.prompt,
            "{}",
            row.name
        );
        assert_eq!(
            tokenizer.chat(&messages, false).unwrap().text(),
            row.whole,
            "{}",
            row.name
        );
        let turn = tokenizer.turn(&messages).unwrap();
        assert_eq!(turn.prompt.text(), row.prompt, "{}", row.name);
        let rebuilt = format!("{}{}{}{}", turn.prompt.text(), turn.lead, answer.1, turn.end);
        assert_eq!(rebuilt, row.whole.trim_end(), "{}", row.name);
    }
}

#[derive(Deserialize)]
struct Parts {
    messages: Vec<Message>,
    /// A template, and the text that Jinja makes of it; nothing where it refuses.
    rows: Vec<(String, Option<String>)>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: String,
}

#[test]
fn methods_filters_and_operators_give_the_text_of_jinja_or_are_refused_where_it_refuses() {
    let json = std::fs::read(fixture("jinja.json")).unwrap();
    let parts: Parts = serde_json::from_slice(&json).unwrap();
    assert!(parts.rows.len() > 280, "{} rows", parts.rows.len());
    let folder = tempfile::tempdir().unwrap();
    Tokenizer::train_bpe(["a text to learn from"], 300)
        .unwrap()
        .save(folder.path())
        .unwrap();
    let messages: Vec<(&str, &str)> = parts
        .messages
        .iter()
        .map(|message| (message.role.as_str(), message.content.as_str()))
        .collect();
    let mut wrong = Vec::new();
    for (template, expected) in &parts.rows {
        let with_names = format!("{{% set message = messages[0] %}}{{% set loop_number = 3 %}}{template}");
        let settings = serde_json::json!({ "chat_template": with_names });
        std::fs::write(folder.path().join("tokenizer_config.json"), settings.to_string()).unwrap();
        let tokenizer = Tokenizer::open(folder.path()).unwrap();
        let found = tokenizer
            .chat(&messages, false)
            .map(|text| text.text().to_owned());
        if found.as_ref().ok() != expected.as_ref() {
            wrong.push(format!(
                "{template}\n  Jinja: {expected:?}\n  here: {:?}",
                found.map_err(|e| e.to_string())
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
