//! A probe: the next item by raw id. Published logs are sorted by user and item, and ids are given in the order in which items appear,
//! so that wherever the order of a file reaches the order of events this finds the answer without knowing anything. The leak is its
//! advantage over [`previous_id`](super::previous_id), which shares everything else with it.

use anyhow::Result;
use weaverec_pipeline::prepared::IdOrder;
use weaverec_pipeline::schema::Item;

use super::{CaseScores, Counted, Fitted, Fitting, How, Method};
use crate::family::Family;

/// The row. Of the candidates behind the last item of the history by id, the nearer comes first; all before it share the lowest score.
pub struct NextId;

impl Method for NextId {
    fn id(&self) -> &'static str {
        "next-id"
    }

    fn label(&self) -> &'static str {
        "next id (probe)"
    }

    fn family(&self) -> Family {
        Family::Probe
    }

    fn reference(&self) -> &'static str {
        "the next raw id after the last item's: a leak of the order of a file"
    }

    fn how(&self) -> How {
        How::Counted(&NextId)
    }
}

impl Counted for NextId {
    fn fit<'a>(&self, data: &Fitting<'a>) -> Result<Fitted<'a>> {
        Ok(Fitted {
            scores: Box::new(ByDistance::new(data.items, forwards)),
            choices: Vec::new(),
        })
    }
}

/// From the last item's place to the candidate's.
fn forwards(last: i64, candidate: i64) -> i64 {
    candidate - last
}

/// Scores that fall with a distance from the last item's place by id to the candidate's, where it is above 0.
pub(super) struct ByDistance {
    order: IdOrder,
    items: usize,
    distance: fn(i64, i64) -> i64,
}

impl ByDistance {
    /// Over a domain's items; `distance` is given the last item's place and the candidate's.
    pub(super) fn new(items: &[Item], distance: fn(i64, i64) -> i64) -> Self {
        Self {
            order: IdOrder::of(items),
            items: items.len(),
            distance,
        }
    }
}

impl CaseScores for ByDistance {
    fn scores(&self, _: &str, history: &[u32], items: &[u32]) -> Vec<f32> {
        let place = |item: u32| i64::from(self.order.place(item));
        let last = history.last().map(|item| place(*item));
        let score = |item: &u32| {
            let distance = last.map(|last| (self.distance)(last, place(*item)));
            match distance.filter(|distance| *distance > 0) {
                Some(distance) => -distance as f32,
                // Behind all others. Beyond 16 million items neighbours may share a score as well.
                None => -(self.items as f32) * 2.0,
            }
        };
        items.iter().map(score).collect()
    }
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
    use weaverec_pipeline::schema::{Prompt, Split};

    use super::super::previous_id::backwards;
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
    fn ranked(ids: &[&str], last: &str, distance: fn(i64, i64) -> i64) -> String {
        let items = items(ids);
        let dense = |id: &str| 1 + items.iter().take_while(|item| item.item_id != id).count() as u32;
        let history = [dense(ids[0]), dense(last)];
        let candidates: Vec<u32> = ids.iter().filter(|id| **id != last).map(|id| dense(id)).collect();
        let found = ByDistance::new(&items, distance).scores("u", &history, &candidates);
        let mut ranked: Vec<(f32, &str)> = found
            .iter()
            .zip(&candidates)
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
        assert_eq!(ranked(&films, "10", forwards), "30 100 7=9");
        assert_eq!(ranked(&films, "10", backwards), "9 7 100=30");
        assert_eq!(ranked(&films, "100", forwards), "10=30=7=9");
        let goods = ["B0A", "B0B", "A10", "A9", "B1C"];
        assert_eq!(ranked(&goods, "B0A", forwards), "B0B B1C A10=A9");
        assert_eq!(ranked(&goods, "B0A", backwards), "A9 A10 B0B=B1C");
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
        let Some((items, prompts)) = beauty() else {
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
        let rows = [forwards, backwards].map(|distance| ByDistance::new(&items, distance));
        for prompt in &prompts {
            let history: HashSet<u32> = prompt.history.iter().copied().collect();
            let candidates: Vec<u32> = (1..=items.len() as u32)
                .filter(|item| !history.contains(item))
                .collect();
            let at = candidates.iter().position(|item| *item == prompt.target).unwrap();
            for (hits, row) in hits.iter_mut().zip(&rows) {
                let scores = row.scores("", &prompt.history, &candidates);
                let place = crate::metric::place(&scores, at);
                *hits += crate::metric::Metric::Hr(10).expected(place);
            }
        }
        let [next, previous] = hits.map(|hits| hits / users);
        assert!(
            (next - 0.0312).abs() < 0.0003 && (previous - 0.0053).abs() < 0.0003,
            "{next}, {previous}"
        );
    }
}
