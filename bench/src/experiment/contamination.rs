//! Whether an untuned model knows a log already: how many next titles of training sequences it writes to the letter. A published model may
//! have read them.

use anyhow::{Context, Result};
use weaverec_model::backbone::Decoder;
use weaverec_model::rank::generate;
use weaverec_pipeline::schema::{Item, Prompt, PromptFormat, Split};

use super::backbone::LanguageModel;
use super::cell::Recall;
use super::domain::DomainData;
use crate::progress::Meter;

/// Asks a model for the last titles of the first training sequences. Whatever the prompts of the study are, the sequences are written one
/// title a line: the study's own question was in nobody's text.
///
/// # Errors
/// A model that reads items as codes, or a device that fails.
pub(super) fn recall(
    model: &LanguageModel,
    decoder: &Decoder,
    target: &DomainData,
    most: usize,
    meter: &Meter,
) -> Result<Recall> {
    let encoder = model.words.encoder(&target.name, PromptFormat::Sequence)?;
    let stops = encoder.stops()?;
    let prompts = target.folder.first_prompts(Split::Train, most)?;
    let (mut done, all) = (0, prompts.len() as u64);
    recalled(&prompts, &target.items, |known, sought| {
        // One token more than it takes: a title that merely begins so is another one.
        let longest = encoder.lines(sought)?.len() + 1;
        let answer = generate(decoder, &encoder.titles(known)?, &stops, longest)?;
        done += 1;
        meter.update(done, all, || "training sequences asked".into());
        encoder.first_title(&answer)
    })
}

/// How often `next` writes the title that follows those of a training sequence; it is given these, and the title, for its length.
fn recalled(
    prompts: &[Prompt],
    items: &[Item],
    mut next: impl FnMut(&[&str], &str) -> Result<String>,
) -> Result<Recall> {
    let mut recalled = 0;
    for prompt in prompts {
        // In training every title but the first is an answer: the last one is asked for.
        let known = prompt.history.iter().map(|item| title(items, *item));
        let known: Vec<&str> = known.collect::<Result<_>>()?;
        let sought = title(items, prompt.target)?;
        recalled += usize::from(next(&known, sought)? == sought);
    }
    Ok(Recall {
        asked: prompts.len(),
        recalled,
    })
}

fn title(items: &[Item], item: u32) -> Result<&str> {
    let found = (item as usize).checked_sub(1).and_then(|place| items.get(place));
    let found = found.with_context(|| format!("item {item} is no item of the domain"))?;
    Ok(&found.title)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_knows_the_sequences_recalls_them_all_and_what_repeats_the_last_title_none() {
        let titles = ["Solaris", "Stalker", "Mirror"];
        let items: Vec<Item> = (1..)
            .zip(titles)
            .map(|(item, title)| Item {
                item,
                item_id: String::new(),
                title: title.into(),
                categories: String::new(),
                train_count: 1,
            })
            .collect();
        let prompts: Vec<Prompt> = [(vec![1, 2], 3), (vec![2], 1), (vec![3, 1], 2)]
            .map(|(history, target)| Prompt {
                key: 0,
                user_id: String::new(),
                position: 0,
                history,
                target,
                ties: false,
                candidates: vec![1, 2, 3],
                binned: Vec::new(),
                messages: Vec::new(),
            })
            .into();
        let of = |known: &[&str], next: &str| match known {
            ["Solaris", "Stalker"] => "Mirror",
            ["Stalker"] => "Solaris",
            ["Mirror", "Solaris"] => "Stalker",
            _ => panic!("{known:?} before {next} is no sequence"),
        };
        let recall = |next: &dyn Fn(&[&str], &str) -> String| {
            recalled(&prompts, &items, |known, sought| Ok(next(known, sought))).unwrap()
        };
        let all = recall(&|known, sought| of(known, sought).into());
        assert_eq!((all.asked, all.recalled), (3, 3));
        let none = recall(&|known, _| known[known.len() - 1].into());
        assert_eq!((none.asked, none.recalled), (3, 0));
        let longer = recall(&|known, sought| match known.len() {
            1 => format!("{sought} II"),
            _ => sought.into(),
        });
        assert_eq!((longer.asked, longer.recalled), (3, 2));
        let beyond = recalled(&prompts, &items[..2], |_, _| Ok(String::new())).unwrap_err();
        assert!(beyond.to_string().contains("item 3 is no item"), "{beyond}");
    }
}
