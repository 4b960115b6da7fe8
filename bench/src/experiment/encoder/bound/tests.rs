#![allow(clippy::unwrap_used)]
use weaverec_model::backbone::Tokenizer;

use super::super::Encoder;
use super::*;

fn tokenizer() -> Tokenizer {
    Tokenizer::train_bpe(["what next? oak chair"], 300).unwrap()
}

/// Items with titles of different lengths, each of several tokens.
fn items() -> Vec<Item> {
    let item = |item: u32| Item {
        item,
        item_id: format!("i{item}"),
        title: format!("{}chair {item}", "oak ".repeat(item as usize % 4)),
        categories: String::new(),
        train_count: 0,
    };
    (1..=8).map(item).collect()
}

fn style(format: PromptFormat) -> PromptStyle {
    PromptStyle::new(format, None, 1, "shop", &items()).unwrap()
}

/// The prompt of a user who had these and took the target next.
fn prompt(format: PromptFormat, split: Split, history: &[u32], target: u32) -> Prompt {
    let mut prompt = Prompt {
        key: 0,
        user_id: "u7".into(),
        position: 5,
        history: history.to_vec(),
        target,
        ties: false,
        candidates: vec![5, 6, 7, 8],
        binned: Vec::new(),
        messages: Vec::new(),
    };
    prompt.messages = style(format).messages(split, &prompt).unwrap();
    prompt
}

fn held(tokenizer: &Tokenizer, format: PromptFormat, max_tokens: usize) -> Encoder<'_> {
    Encoder::new(tokenizer, format).held_to(Bound::of(max_tokens, style(format), &items()))
}

#[test]
fn the_oldest_titles_are_left_out_until_prompt_and_answer_fit_and_what_fits_is_as_it_was() {
    let tokenizer = tokenizer();
    for format in PromptFormat::ALL {
        let free = Encoder::new(&tokenizer, format);
        let of = |history: &[u32]| prompt(format, Split::Train, history, 5);
        let all = [1, 2, 3, 4];
        for left_out in 0..all.len() {
            let newest = free.example(&of(&all[left_out..])).unwrap();
            let encoder = held(&tokenizer, format, newest.tokens.len());
            let name = format.name();
            assert_eq!(encoder.example(&of(&all)).unwrap(), newest, "{name}: {left_out}");
            assert_eq!(encoder.shortened(), usize::from(left_out > 0), "{name}");
            let short = of(&[4]);
            assert_eq!(
                encoder.example(&short).unwrap(),
                free.example(&short).unwrap(),
                "{name}"
            );
            assert_eq!(encoder.shortened(), usize::from(left_out > 0), "{name}");
        }
    }
}

#[test]
fn what_is_ranked_fits_with_the_longest_candidate_whichever_of_them_was_taken() {
    let (tokenizer, items) = (tokenizer(), items());
    for format in PromptFormat::ALL {
        let free = Encoder::new(&tokenizer, format);
        let newest = prompt(format, Split::Test, &[3, 4], 5);
        let expected = free.query(&newest, &newest.candidates, &items).unwrap();
        let longest = expected.candidates.iter().map(Vec::len).max().unwrap();
        let encoder = held(&tokenizer, format, expected.prompt.len() + longest);
        for target in 5..=8 {
            let long = prompt(format, Split::Test, &[1, 2, 3, 4], target);
            let query = encoder.query(&long, &long.candidates, &items).unwrap();
            assert_eq!(query.prompt, expected.prompt, "{}", format.name());
            assert_eq!(query.candidates, expected.candidates, "{}", format.name());
            // What is decoded freely is read after the same.
            assert_eq!(encoder.prompt(&long).unwrap(), expected.prompt);
        }
        assert_eq!(encoder.shortened(), 8, "four asked and four continued");
        assert_eq!(
            encoder.query(&newest, &newest.candidates, &items).unwrap().prompt,
            expected.prompt
        );
        assert_eq!(encoder.shortened(), 8);
    }
}

#[test]
fn a_prompt_that_is_too_long_without_its_history_is_refused_by_its_user() {
    let tokenizer = tokenizer();
    for format in PromptFormat::ALL {
        let least: &[u32] = match format.lists_candidates() {
            true => &[],
            false => &[4],
        };
        let of = |history: &[u32]| prompt(format, Split::Train, history, 5);
        let shortest = Encoder::new(&tokenizer, format).example(&of(least)).unwrap();
        let tokens = shortest.tokens.len();
        let long = of(&[1, 2, 3, 4]);
        let encoder = held(&tokenizer, format, tokens);
        assert_eq!(encoder.example(&long).unwrap(), shortest, "{}", format.name());
        let encoder = held(&tokenizer, format, tokens - 1);
        let error = encoder.example(&long).unwrap_err().to_string();
        let found = format!("{tokens} tokens");
        for part in ["user u7 at position 5", found.as_str(), "max_tokens"] {
            assert!(error.contains(part), "{}: {error}", format.name());
        }
    }
}

#[test]
fn nothing_is_left_out_of_words_that_the_ids_do_not_give() {
    let tokenizer = tokenizer();
    let mut long = prompt(PromptFormat::Top5, Split::Train, &[1, 2, 3, 4], 5);
    long.messages[1].content.push_str(" Hurry!");
    let whole = Encoder::new(&tokenizer, PromptFormat::Top5)
        .example(&long)
        .unwrap();
    let of = |max_tokens| held(&tokenizer, PromptFormat::Top5, max_tokens).example(&long);
    assert_eq!(of(whole.tokens.len()).unwrap(), whole);
    let error = of(whole.tokens.len() - 1).unwrap_err().to_string();
    assert!(
        error.contains("user u7") && error.contains("prepare the domain again"),
        "{error}"
    );
}
