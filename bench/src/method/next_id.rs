//! A probe: the next item by raw id. Published logs are sorted by user and item, and ids are given in the order in which items appear,
//! so that wherever the order of a file reaches the order of events this finds the answer without knowing anything. The leak is its
//! advantage over [`previous_id`](super::previous_id), which shares everything else with it.

use weaverec_pipeline::prepared::IdOrder;
use weaverec_pipeline::schema::{Item, Prompt};

/// A score for every candidate of every prompt: the nearer behind the last item of the history by id, the higher; all candidates before
/// it share the lowest.
pub fn scores(test: &[Prompt], items: &[Item]) -> Vec<Vec<f32>> {
    by_distance(test, items, |last, candidate| candidate - last)
}

/// Scores that fall with a distance from the last item's place to the candidate's, where it is above 0.
pub(super) fn by_distance(
    test: &[Prompt],
    items: &[Item],
    distance: impl Fn(i64, i64) -> i64,
) -> Vec<Vec<f32>> {
    let order = IdOrder::of(items);
    let place = |item: u32| i64::from(order.place(item));
    let score = |prompt: &Prompt, candidate: u32| {
        let last = prompt.history.last().map(|item| place(*item));
        let distance = last.map(|last| distance(last, place(candidate)));
        match distance.filter(|distance| *distance > 0) {
            Some(distance) => -distance as f32,
            // Behind all others. Beyond 16 million items neighbours may share a score as well.
            None => -(items.len() as f32) * 2.0,
        }
    };
    test.iter()
        .map(|prompt| {
            prompt
                .candidates
                .iter()
                .map(|item| score(prompt, *item))
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::previous_id;
    use super::*;

    fn items(ids: &[&str]) -> Vec<Item> {
        let mut ids: Vec<&str> = ids.to_vec();
        ids.sort_unstable();
        (1..)
            .zip(ids)
            .map(|(item, id)| Item {
                item,
                item_id: id.to_owned(),
                title: id.to_owned(),
                categories: String::new(),
                train_count: 0,
            })
            .collect()
    }

    /// Raw ids of the candidates, the best first; those of one score in brackets.
    fn ranked(ids: &[&str], last: &str, scores: fn(&[Prompt], &[Item]) -> Vec<Vec<f32>>) -> String {
        let items = items(ids);
        let dense = |id: &str| 1 + items.iter().take_while(|item| item.item_id != id).count() as u32;
        let prompt = Prompt {
            key: 0,
            user_id: "u".to_owned(),
            history: vec![dense(ids[0]), dense(last)],
            target: 1,
            ties: false,
            candidates: ids.iter().filter(|id| **id != last).map(|id| dense(id)).collect(),
            messages: Vec::new(),
        };
        let found = scores(std::slice::from_ref(&prompt), &items);
        let mut ranked: Vec<(f32, &str)> = found[0]
            .iter()
            .zip(&prompt.candidates)
            .map(|(score, item)| (*score, items[*item as usize - 1].item_id.as_str()))
            .collect();
        ranked.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(other.1)));
        let groups = ranked.chunk_by(|one, other| one.0.total_cmp(&other.0).is_eq());
        let text = |group: &[(f32, &str)]| group.iter().map(|(_, id)| *id).collect::<Vec<_>>().join("=");
        groups.map(text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_nearest_id_on_the_right_side_comes_first_and_the_wrong_side_shares_the_last_place() {
        let films = ["7", "9", "10", "30", "100"];
        assert_eq!(ranked(&films, "10", scores), "30 100 7=9");
        assert_eq!(ranked(&films, "10", previous_id::scores), "9 7 100=30");
        assert_eq!(ranked(&films, "100", scores), "10=30=7=9");
        let goods = ["B0A", "B0B", "A10", "A9", "B1C"];
        assert_eq!(ranked(&goods, "B0A", scores), "B0B B1C A10=A9");
        assert_eq!(ranked(&goods, "B0A", previous_id::scores), "A9 A10 B0B=B1C");
    }
}
