//! Candidate sets to conversations: the [wording](Wording) is data, the structure is the format's.

mod compiled;
mod wording;

use std::sync::Arc;

use datafusion::arrow::array::{Array, ListArray, StringArray, StringBuilder, StructArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::cast::{as_string_array, as_uint32_array};
use datafusion::common::exec_datafusion_err;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use datafusion::prelude::{DataFrame, col};
use minijinja::{Environment, Value, context};

use crate::error::{Error, Result};
use crate::schema::{Item, LETTERS, Message, Prompt, PromptFormat, Split, TITLE_SEPARATOR};
use crate::seed;
use crate::stage::list::{IdRows, ids_type};
use compiled::{Compiled, Filling};
pub use wording::Wording;

/// Titles in a top-5 answer: the target and up to four negatives.
pub const ANSWER_TITLES: usize = 5;

/// Words the prompts of one domain.
#[derive(Clone, Debug)]
pub struct PromptStyle {
    format: PromptFormat,
    seed: u64,
    /// Keys the answer's negatives; not the domain itself, whose generators draw the candidates.
    answers: String,
    /// By dense id; shared, so that templates get them without copies.
    titles: Arc<Vec<Arc<str>>>,
    /// Roles with a template each, in the order of the turns, and the templates that could be taken apart.
    turns: Arc<Vec<(&'static str, Option<Compiled>)>>,
    templates: Arc<Environment<'static>>,
}

/// One instance with its candidates.
#[derive(Clone, Copy, Debug)]
pub struct Instance<'a> {
    /// The part it is rendered for; training in the `sequence` format puts every title but the first under the loss.
    pub split: Split,
    /// The user as named in the raw log.
    pub user: &'a str,
    /// 1-based position of the target in the user's sequence.
    pub position: u32,
    /// Items shown, oldest first.
    pub history: &'a [u32],
    /// The item to predict.
    pub target: u32,
    /// The candidates in the order shown.
    pub candidates: &'a [u32],
}

impl PromptStyle {
    /// Prompts over `items`, in the order of their dense ids from 1, in the format's own words unless others are given.
    pub fn new(
        format: PromptFormat,
        wording: Option<&Wording>,
        seed: u64,
        domain: &str,
        items: &[Item],
    ) -> Result<Self> {
        let own = match wording {
            Some(given) => Some(given.clone()),
            None => Wording::of(format)?,
        };
        let mut environment = Environment::new();
        environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
        let mut turns = Vec::new();
        for (role, source) in own.iter().flat_map(Wording::turns) {
            let added = environment.add_template_owned(role, source.to_owned());
            added.map_err(template_error)?;
            turns.push((
                role,
                Compiled::of(source, TITLE_SEPARATOR, role == wording::ANSWER),
            ));
        }
        let named = items.iter().map(|item| Arc::from(item.title.as_str()));
        let titles = std::iter::once(Arc::from("")).chain(named).collect();
        let answers = format!("{domain}\0answer");
        Ok(Self {
            format,
            seed,
            answers,
            titles: Arc::new(titles),
            turns: Arc::new(turns),
            templates: Arc::new(environment),
        })
    }

    /// Renders a made-up prompt, so that a mistake in a wording is known before the work is done.
    pub fn try_out(format: PromptFormat, wording: &Wording) -> Result<()> {
        if Wording::of(format)?.is_none() {
            return Err(Error::Usage(format!(
                "`{}` prompts are titles alone; a wording needs another format",
                format.name()
            )));
        }
        let item = |item: u32| Item {
            item,
            item_id: item.to_string(),
            title: format!("Title {item}"),
            categories: String::new(),
            train_count: 0,
        };
        let items: Vec<Item> = (1..=4).map(item).collect();
        let instance = Instance {
            split: Split::Test,
            user: "user",
            position: 2,
            history: &[1],
            target: 2,
            candidates: &[3, 2, 4],
        };
        Self::new(format, Some(wording), 0, "trial", &items)?.render(&instance)?;
        Ok(())
    }

    /// The conversation of one instance; see [`crate::schema::Prompt::messages`] for its structure.
    pub fn render(&self, instance: &Instance<'_>) -> Result<Vec<Message>> {
        let (mut messages, mut start) = (Vec::with_capacity(3), 0);
        self.render_turns(instance, &mut String::new(), |role, worded| {
            messages.push(Message {
                role: role.to_owned(),
                content: worded[start..].to_owned(),
            });
            start = worded.len();
        })?;
        Ok(messages)
    }

    /// The conversation that a prompt's ids give: that of an unchanged prompt is the stored one. The style may be over other titles, the
    /// prompt may have another history or other candidates, such as its binned ones.
    ///
    /// # Errors
    /// An id without a title; a wording that does not fit.
    pub fn messages(&self, split: Split, prompt: &Prompt) -> Result<Vec<Message>> {
        let mut shown = prompt
            .history
            .iter()
            .chain(&prompt.candidates)
            .chain([&prompt.target]);
        if let Some(unknown) = shown.find(|item| !(1..self.titles.len()).contains(&(**item as usize))) {
            return Err(Error::Usage(format!(
                "the prompt of user {} at position {} names item {unknown}, and there are titles of the items 1 to {}; give the titles of \
                 the whole domain, in the order of their dense ids",
                prompt.user_id,
                prompt.position,
                self.titles.len() - 1
            )));
        }
        self.render(&Instance {
            split,
            user: &prompt.user_id,
            position: prompt.position,
            history: &prompt.history,
            target: prompt.target,
            candidates: &prompt.candidates,
        })
    }

    /// Appends the texts of the turns to `out`, and hands over the role of each with all of `out` when it is there.
    pub fn render_turns(
        &self,
        instance: &Instance<'_>,
        out: &mut String,
        mut done: impl FnMut(&'static str, &str),
    ) -> Result<()> {
        match self.format {
            PromptFormat::Top5 | PromptFormat::TargetOnly | PromptFormat::Letter => {
                self.question(instance, out, &mut done)
            }
            PromptFormat::Sequence => {
                self.sequence(instance, out, &mut done);
                Ok(())
            }
        }
    }

    fn titles<'a>(&self, items: impl IntoIterator<Item = &'a u32>) -> Vec<Value> {
        items
            .into_iter()
            .map(|&item| Value::from(self.titles[item as usize].clone()))
            .collect()
    }

    /// The negatives of a top-5 answer.
    fn fillers(&self, instance: &Instance<'_>) -> Vec<u32> {
        if self.format != PromptFormat::Top5 {
            return Vec::new();
        }
        let position = u64::from(instance.position);
        let mut rng = seed::rng(self.seed, &self.answers, instance.user, position);
        let others = instance
            .candidates
            .iter()
            .filter(|item| **item != instance.target);
        let mut negatives: Vec<u32> = others.copied().collect();
        seed::shuffle(&mut rng, &mut negatives);
        negatives.truncate(ANSWER_TITLES - 1);
        negatives
    }

    fn question(
        &self,
        instance: &Instance<'_>,
        out: &mut String,
        done: &mut impl FnMut(&'static str, &str),
    ) -> Result<()> {
        let mut answer = vec![instance.target];
        answer.extend(self.fillers(instance));
        let place = instance
            .candidates
            .iter()
            .position(|item| *item == instance.target);
        let letter = place.and_then(|place| LETTERS.get(place).copied());
        let filling = Filling {
            titles: &|item| &*self.titles[item as usize],
            history: instance.history,
            candidates: instance.candidates,
            answer: &answer,
            letter,
        };
        for (role, compiled) in self.turns.iter() {
            let start = out.len();
            let filled = compiled
                .as_ref()
                .and_then(|compiled| compiled.render(&filling, out));
            if filled.is_none() {
                out.truncate(start);
                out.push_str(&self.by_template(role, instance, &answer, letter)?);
            }
            done(role, out);
        }
        Ok(())
    }

    /// One turn by MiniJinja.
    fn by_template(
        &self,
        role: &str,
        instance: &Instance<'_>,
        answer: &[u32],
        letter: Option<&str>,
    ) -> Result<String> {
        let shown = context! {
            separator => TITLE_SEPARATOR,
            answers => answer.len(),
            letters => LETTERS,
            history => self.titles(instance.history),
            candidates => self.titles(instance.candidates),
        };
        // Only the assistant's turn knows the answer: no wording can give it away in the question.
        let values = if role == wording::ANSWER {
            context! { answer => self.titles(answer), letter => letter, ..shown }
        } else {
            shown
        };
        let template = self.templates.get_template(role).map_err(template_error)?;
        template.render(values).map_err(template_error)
    }

    fn sequence(&self, instance: &Instance<'_>, out: &mut String, done: &mut impl FnMut(&'static str, &str)) {
        let items: Vec<u32> = instance
            .history
            .iter()
            .chain([&instance.target])
            .copied()
            .collect();
        let shown = if instance.split == Split::Train {
            1.min(items.len() - 1)
        } else {
            items.len() - 1
        };
        for (role, items) in [("user", &items[..shown]), ("assistant", &items[shown..])] {
            for item in items {
                out.push_str(&self.titles[*item as usize]);
                out.push('\n');
            }
            done(role, out);
        }
    }

    /// `render_prompt(split, user_id, position, history, target, candidates) -> messages`: [`PromptStyle::render`].
    pub fn function(&self, name: &str) -> ScalarUDF {
        let style = self.clone();
        create_udf(
            name,
            vec![
                DataType::Utf8,
                DataType::Utf8,
                DataType::UInt32,
                ids_type(),
                DataType::UInt32,
                ids_type(),
            ],
            messages_type(),
            Volatility::Immutable,
            Arc::new(move |arguments| {
                let arrays = ColumnarValue::values_to_arrays(arguments)?;
                let (splits, users) = (as_string_array(&arrays[0])?, as_string_array(&arrays[1])?);
                let (positions, targets) = (as_uint32_array(&arrays[2])?, as_uint32_array(&arrays[4])?);
                let (histories, candidates) = (IdRows::new(&arrays[3])?, IdRows::new(&arrays[5])?);
                let mut roles = StringBuilder::new();
                // About what prompts of thirty candidates take; growing by doubling would copy them all.
                let mut contents = String::with_capacity(2048 * splits.len());
                let (mut lengths, mut ends) = (Vec::with_capacity(splits.len()), vec![0]);
                for row in 0..splits.len() {
                    let name = splits.value(row);
                    let split = Split::ALL.into_iter().find(|split| split.name() == name);
                    let instance = Instance {
                        split: split.ok_or_else(|| exec_datafusion_err!("unknown split `{name}`"))?,
                        user: users.value(row),
                        position: positions.value(row),
                        history: histories.row(row),
                        target: targets.value(row),
                        candidates: candidates.row(row),
                    };
                    let mut turns = 0;
                    let rendered = style.render_turns(&instance, &mut contents, |role, worded| {
                        roles.append_value(role);
                        ends.push(worded.len() as i32);
                        turns += 1;
                    });
                    rendered.map_err(|error| exec_datafusion_err!("{error}"))?;
                    lengths.push(turns);
                    if i32::try_from(contents.len()).is_err() {
                        return Err(exec_datafusion_err!(
                            "{} prompts are more than 2 GiB of text",
                            row + 1
                        ));
                    }
                }
                let ends = OffsetBuffer::new(ends.into());
                let contents = StringArray::try_new(ends, contents.into_bytes().into(), None)?;
                let messages = messages_array(roles.finish(), contents, lengths);
                Ok(ColumnarValue::Array(Arc::new(messages) as Arc<dyn Array>))
            }),
        )
    }
}

/// Replaces the `split` of instances with their `messages`, worded by [`PromptStyle::function`].
pub fn add(candidates: DataFrame, render: &ScalarUDF) -> Result<DataFrame> {
    let inputs = ["split", "user_id", "position", "history", "target", "candidates"]
        .map(col)
        .to_vec();
    let kept = [
        "key",
        "user",
        "user_id",
        "position",
        "history",
        "target",
        "ties",
        "candidates",
        "binned",
    ]
    .map(col)
    .to_vec();
    let messages = render.call(inputs).alias("messages");
    Ok(candidates.select([kept, vec![messages]].concat())?)
}

/// The type of `messages`: a list of (role, content), as `datasets`, TRL and LLaMA-Factory read it.
pub fn messages_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(
        DataType::Struct(message_fields()),
        false,
    )))
}

fn message_fields() -> Fields {
    Fields::from(vec![
        Field::new("role", DataType::Utf8, false),
        Field::new("content", DataType::Utf8, false),
    ])
}

fn messages_array(roles: StringArray, contents: StringArray, lengths: Vec<usize>) -> ListArray {
    let values = StructArray::new(message_fields(), vec![Arc::new(roles), Arc::new(contents)], None);
    let field = Arc::new(Field::new_list_field(DataType::Struct(message_fields()), false));
    ListArray::new(field, OffsetBuffer::from_lengths(lengths), Arc::new(values), None)
}

fn template_error(error: minijinja::Error) -> Error {
    Error::Usage(format!(
        "prompt wording: {error:#}; `weaverec prepare --help` lists the variables"
    ))
}

#[cfg(test)]
mod tests;
