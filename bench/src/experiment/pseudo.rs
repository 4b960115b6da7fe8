//! Prompts that weights are learnt on besides those of calibration users: training prompts, and pseudo-users, who are made of items alone.

use anyhow::{Result, ensure};
use weaverec_model::merge::weights::Case;
use weaverec_model::rank::Query;
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::{Item, Prompt, Split};
use weaverec_pipeline::seed;

use super::encoder::Encoder;

/// The first training prompts of a prepared folder, each with its answer alone.
///
/// # Errors
/// Prompts that cannot be read or encoded, or none.
pub fn training(folder: &Prepared, encoder: &Encoder, most: usize) -> Result<Vec<Case>> {
    let prompts = folder.first_prompts(Split::Train, most)?;
    ensure!(
        !prompts.is_empty(),
        "the prepared folder of {} has no training prompts to learn weights on",
        folder.manifest().name
    );
    let case = |prompt: &Prompt| {
        let example = encoder.example(prompt)?;
        let (before, answer) = example.tokens.split_at(example.loss_from);
        let query = Query {
            prompt: before.to_vec(),
            candidates: vec![answer.to_vec()],
        };
        Ok(Case::new(query, Some(0)))
    };
    prompts.iter().map(case).collect()
}

/// Users of a prepared folder who had one of its `items` each, `count` at most, asked about so many others. No interaction has a part in them: items and those
/// they are put beside are drawn by keyed hashes.
///
/// # Errors
/// A domain of one item, or titles that cannot be encoded.
pub fn users(
    folder: &Prepared,
    items: &[Item],
    encoder: &Encoder,
    count: usize,
    candidates: usize,
) -> Result<Vec<Case>> {
    let style = folder.style(items)?;
    let case = |(item, candidates): (u32, Vec<u32>)| {
        let mut prompt = Prompt {
            key: 0,
            user_id: format!("pseudo-user of item {item}"),
            position: 1,
            history: vec![item],
            // Nothing came next; a format that lists candidates wants one of them in this place.
            target: candidates[0],
            ties: false,
            candidates,
            binned: Vec::new(),
            messages: Vec::new(),
        };
        prompt.messages = style.messages(Split::Validation, &prompt)?;
        let query = encoder.query(&prompt, &prompt.candidates, items)?;
        Ok(Case::new(query, None))
    };
    let drawn = drawn(items, &folder.fingerprint(), count, candidates);
    ensure!(
        !drawn.is_empty(),
        "the prepared folder of {} has {} items: a pseudo-user is asked about others than the one it had",
        folder.manifest().name,
        items.len()
    );
    drawn.into_iter().map(case).collect()
}

/// Items in an order by hash, each with those that come later in a further order, which the item itself is left out of.
fn drawn(items: &[Item], prepared: &str, count: usize, candidates: usize) -> Vec<(u32, Vec<u32>)> {
    let ordered = |what: &[u8]| -> Vec<u32> {
        let key = |item: &&Item| {
            let key = seed::key(&[what, prepared.as_bytes(), item.item_id.as_bytes()]);
            (key, item.item)
        };
        let mut all: Vec<&Item> = items.iter().collect();
        all.sort_by_cached_key(key);
        all.into_iter().map(|item| item.item).collect()
    };
    let candidates = candidates.min(items.len().saturating_sub(1));
    if candidates == 0 {
        return Vec::new();
    }
    let (asked, beside) = (ordered(b"pseudo-user"), ordered(b"beside a pseudo-user"));
    let others = |(number, item): (usize, u32)| {
        let from = number * candidates % beside.len();
        let turned = beside[from..].iter().chain(&beside[..from]);
        let others = turned.copied().filter(|other| *other != item);
        (item, others.take(candidates).collect())
    };
    asked.into_iter().take(count).enumerate().map(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pseudo_users_had_different_items_and_are_asked_about_others_alone() {
        let items: Vec<Item> = (1..=7)
            .map(|item| Item {
                item,
                item_id: format!("i{item}"),
                title: format!("title {item}"),
                categories: String::new(),
                train_count: 0,
            })
            .collect();
        let users = drawn(&items, "a", 5, 3);
        assert_eq!(users.len(), 5);
        for (place, (item, others)) in users.iter().enumerate() {
            let mut different = others.clone();
            different.sort_unstable();
            different.dedup();
            assert_eq!(different.len(), 3, "{others:?}");
            assert!(!others.contains(item));
            assert!(users[..place].iter().all(|(before, _)| before != item));
        }
        assert_eq!(users, drawn(&items, "a", 5, 3));
        assert_ne!(users, drawn(&items, "b", 5, 3));
        // Of a small domain there are as many as it has.
        let all = drawn(&items, "a", 100, 30);
        assert_eq!(all.len(), 7);
        assert!(all.iter().all(|(_, others)| others.len() == 6));
        assert!(drawn(&items[..1], "a", 5, 3).is_empty());
    }
}
