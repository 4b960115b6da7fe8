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
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashSet;
    use std::path::{Path, PathBuf};

    use weaverec_pipeline::dataset::DatasetDescription;
    use weaverec_pipeline::prepare::{PrepareConfig, prepare};
    use weaverec_pipeline::prepared::Prepared;
    use weaverec_pipeline::raw::NoProgress;
    use weaverec_pipeline::schema::Split;

    use super::super::previous_id;
    use super::*;
    use crate::experiment::case::Cases;

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

    /// Beauty as it lies beside the project, every user with the whole catalogue but their history for candidates.
    fn beauty() -> Option<(Vec<Item>, Vec<Prompt>)> {
        let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
        let root = std::env::var_os("WEAVEREC_SHARED").map_or_else(beside, PathBuf::from);
        let raw = root.join("amazon-2014/beauty");
        if !raw.is_dir() {
            eprintln!("skipped: no {} (set WEAVEREC_SHARED)", raw.display());
            return None;
        }
        let out = tempfile::tempdir().unwrap();
        let dataset = DatasetDescription::load("amazon-2014-beauty").unwrap();
        let mut config = PrepareConfig::new(dataset, raw, out.path());
        config.threads = 2;
        config.parameters.max_train = 0;
        // Nobody has a history of so many.
        (config.parameters.max_history, config.parameters.candidates) = (1_000, 2);
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        runtime.block_on(prepare(&config, &NoProgress)).unwrap();
        let folder = Prepared::open(config.folder()).unwrap();
        Some((folder.items().unwrap(), folder.prompts(Split::Test).unwrap()))
    }

    #[test]
    fn beauty_is_sorted_by_id_and_the_placebo_does_not_see_it() {
        let Some((items, mut prompts)) = beauty() else {
            return;
        };
        let cases = Cases::of(&items);
        let descending = prompts
            .iter()
            .filter(|prompt| cases.case(prompt).descends)
            .count();
        let users = prompts.len() as f64;
        assert!((descending as f64 / users - 0.288).abs() < 0.0005, "{descending}");
        let mut hits = [0.0; 2];
        for some in prompts.chunks_mut(500) {
            for prompt in &mut *some {
                let history: HashSet<u32> = prompt.history.iter().copied().collect();
                prompt.candidates = (1..=items.len() as u32)
                    .filter(|item| !history.contains(item))
                    .collect();
            }
            for (hits, scores) in hits.iter_mut().zip([scores, previous_id::scores]) {
                for (prompt, scores) in some.iter().zip(scores(some, &items)) {
                    let at = prompt
                        .candidates
                        .iter()
                        .position(|item| *item == prompt.target)
                        .unwrap();
                    let above = scores.iter().filter(|score| **score > scores[at]).count();
                    let tied = scores
                        .iter()
                        .filter(|score| score.total_cmp(&scores[at]).is_eq())
                        .count();
                    *hits += (10.0 - above as f64).clamp(0.0, tied as f64) / tied as f64;
                }
            }
        }
        let [next, previous] = hits.map(|hits| hits / users);
        assert!(
            (next - 0.0312).abs() < 0.0003 && (previous - 0.0053).abs() < 0.0003,
            "{next}, {previous}"
        );
    }
}
