//! Recommendations of a fitted recommender: histories by ids or titles, the best items by theirs.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use weaverec_model::op::with_threads;
use weaverec_pipeline::title::clean;

use super::super::fit::folder::{ModelFolder, Named};
use super::{Answer, Question, Ranked};
use crate::progress::Meter;

/// Items by what they may be called.
struct Names<'a> {
    ids: HashMap<&'a str, u32>,
    /// Of several items of one title that which was had most often.
    titles: HashMap<&'a str, u32>,
    model: &'a ModelFolder,
}

/// The best items for each of the questions, as JSON values.
///
/// # Errors
/// A history or candidate that is no item of the recommender, by its place.
pub fn run(
    model: &Path,
    questions: &[Question],
    input: &Path,
    top: usize,
    threads: usize,
) -> Result<Vec<serde_json::Value>> {
    let model = ModelFolder::open(model)?;
    let names = Names::of(&model);
    let mut asked = Vec::new();
    for (place, question) in questions.iter().enumerate() {
        let of = || format!("question {} of {}", place + 1, input.display());
        asked.push(names.question(question).with_context(of)?);
    }
    let meter = Meter::start("ranking");
    let answers = with_threads(threads, || -> Result<Vec<serde_json::Value>> {
        let mut answers = Vec::new();
        for (history, candidates) in &asked {
            let scores = model.scores(&[history])?;
            let best = best(&scores, candidates, top);
            let ranking = best.into_iter().map(|(item, score)| {
                let Named { id, title, .. } = &model.items[item as usize - 1];
                Ranked {
                    title,
                    items: std::slice::from_ref(id),
                    score,
                }
            });
            let answer = Answer {
                ranking: ranking.collect(),
                list: None,
            };
            answers.push(serde_json::to_value(&answer)?);
            meter.update(answers.len() as u64, asked.len() as u64, || "histories".into());
        }
        Ok(answers)
    })?;
    meter.finish(format!("{} histories", answers.len()));
    Ok(answers)
}

/// The best of these items with their scores; of equal ones that first which has the lower number.
fn best(scores: &[f32], items: &[u32], top: usize) -> Vec<(u32, f32)> {
    let score = |item: u32| match scores[item as usize - 1] {
        score if score.is_nan() => f32::NEG_INFINITY,
        score => score,
    };
    let mut found: Vec<(u32, f32)> = items.iter().map(|item| (*item, score(*item))).collect();
    found.sort_by(|(one, high), (other, low)| low.total_cmp(high).then(one.cmp(other)));
    found.truncate(top);
    found
}

impl<'a> Names<'a> {
    fn of(model: &'a ModelFolder) -> Self {
        let (mut ids, mut titles) = (HashMap::new(), HashMap::new());
        let count = |item: &u32| model.items[*item as usize - 1].train_count;
        for (item, named) in (1..).zip(&model.items) {
            ids.insert(named.id.as_str(), item);
            let known = titles.entry(named.title.as_str()).or_insert(item);
            if count(&item) > count(known) {
                *known = item;
            }
        }
        Names { ids, titles, model }
    }

    /// The items of a history and those to rank: the candidates, each once, or all that are not in the history.
    fn question(&self, question: &Question) -> Result<(Vec<u32>, Vec<u32>)> {
        if question.history.is_empty() {
            bail!("the history is empty; name at least one item in it");
        }
        let history = self.items(&question.history, "history")?;
        let mut known: HashSet<u32> = HashSet::new();
        let candidates: Vec<u32> = match question.candidates.is_empty() {
            true => {
                known.extend(&history);
                let all = 1..=u32::try_from(self.model.items.len())?;
                all.filter(|item| !known.contains(item)).collect()
            }
            false => {
                let named = self.items(&question.candidates, "candidates")?;
                named.into_iter().filter(|item| known.insert(*item)).collect()
            }
        };
        if candidates.is_empty() {
            bail!(
                "every item of {} is in the history: nothing is left to recommend",
                self.model.about.domain
            );
        }
        Ok((history, candidates))
    }

    fn items(&self, names: &[String], key: &str) -> Result<Vec<u32>> {
        let item = |(place, name): (usize, &String)| {
            let by_title = || {
                let cleaned = clean(name, self.model.about.max_title_chars)?;
                self.titles.get(cleaned.as_str()).copied()
            };
            let found = self.ids.get(name.as_str()).copied().or_else(by_title);
            found.with_context(|| {
                format!(
                    "entry {} of `{key}` is {name:?}, which is neither an id nor a title of {}; items.jsonl in the recommender's folder has all \
                     of them",
                    place + 1,
                    self.model.about.domain
                )
            })
        };
        names.iter().enumerate().map(item).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::best;

    #[test]
    fn the_best_come_first_and_equal_ones_by_their_numbers() {
        let scores = [0.5, f32::NAN, 2.0, 0.5, -1.0];
        assert_eq!(best(&scores, &[5, 4, 3, 1], 3), [(3, 2.0), (1, 0.5), (4, 0.5)]);
        assert_eq!(best(&scores, &[2, 5], 9), [(5, -1.0), (2, f32::NEG_INFINITY)]);
    }
}
