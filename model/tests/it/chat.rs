//! Chat templates rendered here beside transformers' `apply_chat_template`.

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
