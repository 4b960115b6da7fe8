//! What all sequence models share: the task of the training loop, the look by validation NDCG@10, and scores of a fitted model.

use std::hash::Hasher;
use std::path::Path;

use candle_core::Tensor;

use super::folder;
use super::ndcg::ndcg_at_10;
use super::{Course, Data, Outcome, Rate, Recommender, Schedule, System};
use crate::nn::Parameters;
use crate::op::{linear, map_rows, with_gradient};
use crate::train::task::{Better, Mode, Part, Room};
use crate::train::{self, Fit, Task};
use crate::{Error, Result};

/// A sequence to learn from, as rows of the item table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lesson {
    /// Oldest first. Of a validation user, the whole history and the item that came next.
    pub items: Vec<u32>,
    /// Whether only the last item is asked for, where a model could ask for any.
    pub last_only: bool,
}

impl Lesson {
    /// All of it, for a hash.
    pub fn write(&self, hasher: &mut dyn Hasher) {
        hasher.write(&(self.items.len() as u64).to_le_bytes());
        hasher.write(&[u8::from(self.last_only)]);
        for item in &self.items {
            hasher.write(&item.to_le_bytes());
        }
    }
}

/// A model that turns a history into a vector whose products with the items' vectors are scores.
pub(super) trait Model: Send + Sync {
    /// What is trained.
    fn parameters(&self) -> &Parameters;

    /// What a folder holds of it: what is trained, and for some models what is not.
    fn saved(&self) -> &Parameters {
        self.parameters()
    }

    /// What decides a fit besides settings, sequences and seed, such as texts that are read; empty where nothing does.
    fn identity(&self) -> &str {
        ""
    }

    /// What a user's training part teaches; nothing where it is too short.
    fn lessons(&self, items: &[u32]) -> Vec<Lesson>;

    /// Rows that go through the model for a lesson.
    fn rows(&self, lesson: &Lesson) -> usize;

    /// Items that a lesson asks for.
    fn targets(&self, lesson: &Lesson) -> usize;

    /// The loss of lessons, summed over what they ask for.
    fn summed_loss(&self, lessons: &[Lesson], mode: Mode) -> Result<Tensor>;

    /// The vector of each history, none of which is empty: `(histories, width)`.
    fn states(&self, histories: &[&[u32]]) -> Result<Tensor>;

    /// The items' vectors, `(items, width)`.
    fn head(&self) -> Result<Tensor>;
}

impl<M: Model + ?Sized> Model for Box<M> {
    fn parameters(&self) -> &Parameters {
        (**self).parameters()
    }
    fn saved(&self) -> &Parameters {
        (**self).saved()
    }
    fn identity(&self) -> &str {
        (**self).identity()
    }
    fn lessons(&self, items: &[u32]) -> Vec<Lesson> {
        (**self).lessons(items)
    }
    fn rows(&self, lesson: &Lesson) -> usize {
        (**self).rows(lesson)
    }
    fn targets(&self, lesson: &Lesson) -> usize {
        (**self).targets(lesson)
    }
    fn summed_loss(&self, lessons: &[Lesson], mode: Mode) -> Result<Tensor> {
        (**self).summed_loss(lessons, mode)
    }
    fn states(&self, histories: &[&[u32]]) -> Result<Tensor> {
        (**self).states(histories)
    }
    fn head(&self) -> Result<Tensor> {
        (**self).head()
    }
}

/// Of so many users none has an item that another one follows.
pub(super) fn nothing_to_learn_from(users: usize) -> Error {
    Error::Usage(format!(
        "{users} users, none of them with two items in the training part: there is nothing to learn from"
    ))
}

/// Histories that are scored at one time.
const HISTORIES: usize = 256;

/// Fits a model.
pub(super) fn fit<M: Model + 'static>(
    model: M,
    system: &System,
    schedule: &Schedule,
    data: &Data,
    course: Course,
) -> Result<(Box<dyn Recommender>, Outcome)> {
    let rows = |items: &[u32]| items.iter().map(|item| item - 1).collect::<Vec<u32>>();
    let lessons: Vec<Lesson> = data
        .train
        .iter()
        .flat_map(|items| model.lessons(&rows(items)))
        .collect();
    if lessons.is_empty() {
        return Err(nothing_to_learn_from(data.train.len()));
    }
    // A user without a history says nothing of the model.
    let validation = data.validation.iter().filter(|(history, _)| !history.is_empty());
    let validation: Vec<Lesson> = validation
        .map(|(history, next)| Lesson {
            items: rows(&[history.as_slice(), &[*next]].concat()),
            last_only: true,
        })
        .collect();
    let mut fingerprint = format!("{system:?} over {} items, seed {}", data.items, course.seed);
    if !model.identity().is_empty() {
        fingerprint = format!("{fingerprint}, {}", model.identity());
    }
    let task = NextItem {
        model: &model,
        fingerprint,
        rate: schedule.rate,
    };
    let config = schedule.config(lessons.len());
    let request = Fit {
        task: &task,
        examples: &lessons,
        held_out: &validation,
        config: &config,
        seed: course.seed,
        checkpoint: course.checkpoint,
    };
    let trained = train::fit(request, course.progress)?;
    let steps = schedule.steps_an_epoch(lessons.len());
    let outcome = Outcome::new(trained, steps, schedule.epochs, model.parameters().count());
    let fitted = Fitted {
        system: system.clone(),
        items: data.items,
        model,
    };
    Ok((Box::new(fitted), outcome))
}

/// Lessons in parts of no more rows than there is room for, unless a single one has more; `sizes` gives a lesson's rows and targets.
pub(super) fn parts(
    lessons: &[&Lesson],
    room: Room,
    sizes: impl Fn(&Lesson) -> (usize, usize),
) -> Vec<Part<Vec<Lesson>>> {
    let mut parts: Vec<Part<Vec<Lesson>>> = Vec::new();
    for lesson in lessons {
        let (rows, targets) = sizes(lesson);
        match parts.last_mut() {
            Some(part) if part.tokens + rows <= room.tokens => {
                part.batch.push((*lesson).clone());
                part.tokens += rows;
                part.targets += targets;
            }
            _ => parts.push(Part {
                batch: vec![(*lesson).clone()],
                targets,
                tokens: rows,
            }),
        }
    }
    parts
}

/// The next item of each history, for the training loop.
struct NextItem<'a, M> {
    model: &'a M,
    fingerprint: String,
    rate: Rate,
}

impl<M: Model> Task for NextItem<'_, M> {
    type Example = Lesson;
    type Batch = Vec<Lesson>;

    fn parameters(&self) -> &Parameters {
        self.model.parameters()
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn hash(&self, lesson: &Lesson, hasher: &mut dyn Hasher) {
        lesson.write(hasher);
    }

    fn targets(&self, lesson: &Lesson) -> usize {
        self.model.targets(lesson)
    }

    fn parts(&self, lessons: &[&Lesson], room: Room) -> Result<Vec<Part<Vec<Lesson>>>> {
        let sizes = |lesson: &Lesson| (self.model.rows(lesson), self.model.targets(lesson));
        Ok(parts(lessons, room, sizes))
    }

    fn summed_loss(&self, lessons: &Vec<Lesson>, mode: Mode) -> Result<Tensor> {
        self.model.summed_loss(lessons, mode)
    }

    /// The mean NDCG@10 of the last item of each lesson after the others.
    fn look(&self, held_out: &[&Lesson], _: Room) -> Result<f64> {
        let head = self.model.head()?.detach();
        let items = head.dim(0)?;
        let mut sum = 0.0;
        for lessons in held_out.chunks(HISTORIES) {
            let histories: Vec<&[u32]> = lessons
                .iter()
                .map(|lesson| &lesson.items[..lesson.items.len() - 1])
                .collect();
            let states = self.model.states(&histories)?.detach();
            let mut scores = linear(&states, &head, None)?.flatten_all()?.to_vec1::<f32>()?;
            let found = map_rows(&mut scores, items, |nth, scores| {
                let items = &lessons[nth].items;
                let target = items[items.len() - 1] as usize;
                ndcg_at_10(scores, target, histories[nth])
            });
            // One after another, so that the sum does not depend on threads.
            found.into_iter().for_each(|ndcg| sum += ndcg);
        }
        Ok(sum / held_out.len() as f64)
    }

    fn better(&self) -> Better {
        Better::More
    }

    fn rate(&self, step: usize, total: usize, _: f64) -> f64 {
        match self.rate {
            Rate::Constant => 1.0,
            Rate::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / total.max(1) as f64).cos()),
        }
    }
}

/// A fitted model.
pub(super) struct Fitted<M> {
    pub system: System,
    pub items: usize,
    pub model: M,
}

impl<M: Model> Recommender for Fitted<M> {
    fn scores(&self, histories: &[&[u32]], out: &mut [f32]) -> Result<()> {
        if out.len() != histories.len() * self.items {
            return Err(Error::Usage(format!(
                "room for {} scores where {} histories and {} items need {}",
                out.len(),
                histories.len(),
                self.items,
                histories.len() * self.items
            )));
        }
        let stranger = |item: &&u32| **item == 0 || **item as usize > self.items;
        if let Some(item) = histories.iter().copied().flatten().find(stranger) {
            return Err(Error::Usage(format!(
                "item {item} of a history is outside the catalogue of {}; items are numbered from 1",
                self.items
            )));
        }
        let head = self.model.head()?.detach();
        for (histories, out) in histories
            .chunks(HISTORIES)
            .zip(out.chunks_mut(HISTORIES * self.items))
        {
            out.fill(0.0);
            let known: Vec<(usize, Vec<u32>)> = histories
                .iter()
                .enumerate()
                .filter(|(_, history)| !history.is_empty())
                .map(|(nth, history)| (nth, history.iter().map(|item| item - 1).collect()))
                .collect();
            if known.is_empty() {
                continue;
            }
            let rows: Vec<&[u32]> = known.iter().map(|(_, history)| history.as_slice()).collect();
            let states = self.model.states(&rows)?.detach();
            with_gradient(&linear(&states, &head, None)?, |scores| {
                for ((nth, _), scores) in known.iter().zip(scores.chunks_exact(self.items)) {
                    out[nth * self.items..(nth + 1) * self.items].copy_from_slice(scores);
                }
            })?;
        }
        Ok(())
    }

    fn save(&self, folder: &Path) -> Result<()> {
        folder::save(folder, &self.system, self.items, self.model.saved())
    }
}
