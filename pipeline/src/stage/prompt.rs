//! Candidate sets to conversations: the [wording](Wording) is data, the structure is the format's.

mod wording;

use std::sync::Arc;

use datafusion::arrow::array::{Array, ListArray, StringArray, StructArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::cast::{as_string_array, as_uint32_array};
use datafusion::common::exec_datafusion_err;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use datafusion::prelude::{DataFrame, col};
use minijinja::{Environment, Value, context};

use crate::error::{Error, Result};
use crate::schema::{Item, LETTERS, Message, PromptFormat, Split, TITLE_SEPARATOR};
use crate::seed;
use crate::stage::list::{IdRows, ids_type};
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
    /// By dense id; template values, which are cheap to copy.
    titles: Arc<Vec<Value>>,
    /// Roles with a template each, in the order of the turns.
    roles: Vec<&'static str>,
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
        let mut roles = Vec::new();
        for (role, source) in own.iter().flat_map(Wording::turns) {
            let added = environment.add_template_owned(role, source.to_owned());
            added.map_err(template_error)?;
            roles.push(role);
        }
        let named = items.iter().map(|item| Value::from(item.title.as_str()));
        let titles = std::iter::once(Value::from("")).chain(named).collect();
        let answers = format!("{domain}\0answer");
        Ok(Self {
            format,
            seed,
            answers,
            titles: Arc::new(titles),
            roles,
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
        match self.format {
            PromptFormat::Top5 | PromptFormat::TargetOnly | PromptFormat::Letter => self.question(instance),
            PromptFormat::Sequence => Ok(self.sequence(instance)),
        }
    }

    fn titles<'a>(&self, items: impl IntoIterator<Item = &'a u32>) -> Vec<Value> {
        items
            .into_iter()
            .map(|&item| self.titles[item as usize].clone())
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

    fn question(&self, instance: &Instance<'_>) -> Result<Vec<Message>> {
        let fillers = self.fillers(instance);
        let shown = context! {
            separator => TITLE_SEPARATOR,
            answers => fillers.len() + 1,
            letters => LETTERS,
            history => self.titles(instance.history),
            candidates => self.titles(instance.candidates),
        };
        // Only the assistant's turn knows the answer: no wording can give it away in the question.
        let place = instance
            .candidates
            .iter()
            .position(|item| *item == instance.target);
        let told = context! {
            answer => self.titles(std::iter::once(&instance.target).chain(&fillers)),
            letter => place.and_then(|place| LETTERS.get(place).copied()),
            ..shown.clone()
        };
        let turn = |role: &&'static str| {
            let template = self.templates.get_template(role).map_err(template_error)?;
            let values = if *role == wording::ANSWER { &told } else { &shown };
            let content = template.render(values).map_err(template_error)?;
            Ok(Message {
                role: (*role).to_owned(),
                content,
            })
        };
        self.roles.iter().map(turn).collect()
    }

    fn sequence(&self, instance: &Instance<'_>) -> Vec<Message> {
        let titles = self.titles(instance.history.iter().chain([&instance.target]));
        let shown = if instance.split == Split::Train {
            1.min(titles.len() - 1)
        } else {
            titles.len() - 1
        };
        let lines = |titles: &[Value]| {
            titles
                .iter()
                .flat_map(|title| [title.as_str().unwrap_or_default(), "\n"])
                .collect::<String>()
        };
        vec![
            Message {
                role: "user".to_owned(),
                content: lines(&titles[..shown]),
            },
            Message {
                role: "assistant".to_owned(),
                content: lines(&titles[shown..]),
            },
        ]
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
                let mut conversations = Vec::with_capacity(splits.len());
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
                    let rendered = style.render(&instance);
                    conversations.push(rendered.map_err(|error| exec_datafusion_err!("{error}"))?);
                }
                Ok(ColumnarValue::Array(
                    Arc::new(messages_array(&conversations)) as Arc<dyn Array>
                ))
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
        "candidates",
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

fn messages_array(conversations: &[Vec<Message>]) -> ListArray {
    let turns: Vec<&Message> = conversations.iter().flatten().collect();
    let roles = StringArray::from_iter_values(turns.iter().map(|turn| &turn.role));
    let contents = StringArray::from_iter_values(turns.iter().map(|turn| &turn.content));
    let values = StructArray::new(message_fields(), vec![Arc::new(roles), Arc::new(contents)], None);
    let field = Arc::new(Field::new_list_field(DataType::Struct(message_fields()), false));
    let offsets = OffsetBuffer::from_lengths(conversations.iter().map(Vec::len));
    ListArray::new(field, offsets, Arc::new(values), None)
}

fn template_error(error: minijinja::Error) -> Error {
    Error::Usage(format!(
        "prompt wording: {error:#}; `weaverec prepare --help` lists the variables"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn style(format: PromptFormat) -> PromptStyle {
        let item = |(index, title): (usize, &str)| Item {
            item: index as u32 + 1,
            item_id: index.to_string(),
            title: title.to_owned(),
            categories: String::new(),
            train_count: 0,
        };
        let items: Vec<Item> = ["A & B", "C", "D", "E", "F", "G", "H"]
            .into_iter()
            .enumerate()
            .map(item)
            .collect();
        PromptStyle::new(format, None, 1, "d", &items).unwrap()
    }

    fn instance(split: Split) -> Instance<'static> {
        Instance {
            split,
            user: "u",
            position: 3,
            history: &[1, 2],
            target: 3,
            candidates: &[4, 5, 3, 6, 7],
        }
    }

    #[test]
    fn a_top_5_prompt_has_the_papers_structure() {
        let turns = style(PromptFormat::Top5).render(&instance(Split::Train)).unwrap();
        assert_eq!(
            turns.iter().map(|turn| turn.role.as_str()).collect::<Vec<_>>(),
            ["system", "user", "assistant"]
        );
        assert!(turns[1].content.contains("A & B || C\n"), "{}", turns[1].content);
        assert!(
            turns[1].content.ends_with("E || F || D || G || H"),
            "{}",
            turns[1].content
        );
        let mut answer: Vec<&str> = turns[2].content.split(TITLE_SEPARATOR).map(str::trim).collect();
        assert_eq!(answer[0], "D");
        answer.sort_unstable();
        assert_eq!(answer, ["D", "E", "F", "G", "H"]);
    }

    #[test]
    fn target_only_and_letter_answer_with_the_target_alone() {
        let turns = style(PromptFormat::TargetOnly)
            .render(&instance(Split::Test))
            .unwrap();
        assert!(turns[1].content.ends_with("Candidates:\nE || F || D || G || H"));
        assert_eq!(turns[2].content, "D");
        let turns = style(PromptFormat::Letter)
            .render(&instance(Split::Test))
            .unwrap();
        let question = &turns[1].content;
        assert!(
            question.ends_with("Candidates:\nA. E\nB. F\nC. D\nD. G\nE. H"),
            "{question}"
        );
        assert_eq!(turns[2].content, "C");
    }

    #[test]
    fn a_wording_of_ones_own_cannot_give_the_answer_away() {
        let wording = |user: &str| Wording {
            system: None,
            user: user.to_owned(),
            assistant: "{{ letter }}".to_owned(),
        };
        let try_out = |user| PromptStyle::try_out(PromptFormat::Letter, &wording(user));
        assert!(try_out("{{ history | last }}, {{ letters[0] }}: {{ candidates[0] }}?").is_ok());
        for leak in ["{{ answer[0] }}", "{{ letter }}", "{{ candidate }}"] {
            let error = try_out(leak).unwrap_err().to_string();
            assert!(error.contains("undefined") && error.contains("user:1"), "{error}");
        }
        let plain = PromptStyle::try_out(PromptFormat::Sequence, &wording("x"));
        assert!(plain.unwrap_err().to_string().contains("sequence"));
    }

    #[test]
    fn a_sequence_prompt_joins_to_the_text_of_the_sequence() {
        for (split, shown) in [(Split::Train, "A & B\n"), (Split::Test, "A & B\nC\n")] {
            let turns = style(PromptFormat::Sequence).render(&instance(split)).unwrap();
            assert_eq!(turns[0].content, shown);
            assert_eq!(turns[0].content.clone() + &turns[1].content, "A & B\nC\nD\n");
        }
    }
}
