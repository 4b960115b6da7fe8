//! Conversations as text, by the template that a model brings along.

mod day;
mod disguise;
mod environment;
mod filter;
mod json;
mod percent;
mod printf;
mod source;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use minijinja::{Environment, Error, Value};

use self::disguise::{Disguise, Messages};
use self::environment::{Missing, NAME};
use super::control::Control;
use super::mixed::Mixed;
use super::special::{Special, is_name};
pub(super) use source::{found_beside, or_chatml};

/// What ends a thought, which models that always think first have begun in the prompt.
const END_OF_THOUGHT: &str = "</think>";

/// The wording of models that bring no template: ChatML, which the tokenizers trained here use.
pub(super) const CHATML: &str = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + \
    '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// Where the answer of a conversation stands in the text that a template makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Everything before the answer.
    pub prompt: Mixed,
    /// What comes between the prompt and the answer: nothing in most templates, white space in some, and the end of an empty thought in
    /// those of models that always think first.
    pub lead: String,
    /// What ends the answer, such as `<|im_end|>`.
    pub end: String,
}

/// A template, ready to render.
#[derive(Clone, Debug)]
pub(super) struct Template {
    source: String,
    /// What stood there in place of a template that can be used.
    refused: Option<serde_json::Value>,
    /// The file it stands in.
    origin: PathBuf,
    /// Compiled, or why it cannot be: whoever holds no conversation needs no template.
    compiled: Result<Arc<Compiled>, String>,
}

#[derive(Debug)]
struct Compiled {
    environment: Environment<'static>,
    /// Names of special tokens that it may ask for.
    asked: Vec<String>,
}

impl Template {
    pub(super) fn new(source: String, origin: &Path) -> Self {
        let compiled = environment::compile(&source).map(|environment| {
            let template = environment.get_template(NAME);
            let variables = template
                .map(|template| template.undeclared_variables(false))
                .unwrap_or_default();
            let mut asked: Vec<String> = variables.into_iter().filter(|name| is_name(name)).collect();
            asked.sort();
            Arc::new(Compiled { environment, asked })
        });
        Template {
            compiled,
            source,
            refused: None,
            origin: origin.to_path_buf(),
        }
    }

    /// One that cannot be used, and why; `setting` is what stands in the file.
    fn refused(message: String, setting: serde_json::Value, origin: &Path) -> Self {
        Template {
            source: String::new(),
            refused: Some(setting),
            origin: origin.to_path_buf(),
            compiled: Err(message),
        }
    }

    /// The text of the template.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// What to write among the settings of a copy.
    pub(super) fn setting(&self) -> serde_json::Value {
        self.refused
            .clone()
            .unwrap_or_else(|| self.source.as_str().into())
    }

    /// The file it stands in.
    pub(super) fn origin(&self) -> &Path {
        &self.origin
    }

    /// The text of (role, content) turns.
    pub(super) fn render(
        &self,
        messages: &Messages,
        add_generation_prompt: bool,
        special: &Special,
        control: &Control,
    ) -> Result<Mixed, String> {
        let render = |messages: &Messages| Ok([self.written(messages, add_generation_prompt, special)?]);
        self.guarded(messages, control, &render).map(|[text]| text)
    }

    /// Renders a conversation with its last turn, the answer, and without it, and tells where the answer stands.
    pub(super) fn turn(
        &self,
        messages: &Messages,
        special: &Special,
        control: &Control,
    ) -> Result<Turn, String> {
        let render = |messages: &Messages| self.parts(messages, special);
        let [prompt, lead, end] = self.guarded(messages, control, &render)?;
        Ok(Turn {
            prompt,
            lead: lead.into_text(),
            end: end.into_text(),
        })
    }

    /// What `render` makes of the messages, and which part of it is data that control tokens could be spelt with.
    fn guarded<const N: usize>(
        &self,
        messages: &Messages,
        control: &Control,
        render: &dyn Fn(&Messages) -> Result<[String; N], String>,
    ) -> Result<[Mixed; N], String> {
        let plain = || Ok(render(messages)?.map(|text| Mixed::of_template(&text)));
        let Some(disguise) = Disguise::of(messages, control, &self.source)? else {
            return plain();
        };
        let written = render(&disguise.messages(messages)).map_err(|error| match plain() {
            // What it says of contents it says of those that were given.
            Err(said) => said,
            Ok(_) => disguise.lift(&error).into_text(),
        })?;
        if !disguise.is_spelt {
            // Parts of spellings alone: if nothing comes of them the text is the one that everybody else gets.
            let plain = plain()?;
            let spelt = |text: &str| control.spelt(text);
            if plain
                .iter()
                .zip(&written)
                .all(|(plain, written)| spelt(plain.text()) == spelt(written))
            {
                return Ok(plain);
            }
        }
        Ok(written.map(|text| disguise.lift(&text)))
    }

    /// The text of turns as they are.
    fn written(
        &self,
        messages: &Messages,
        add_generation_prompt: bool,
        special: &Special,
    ) -> Result<String, String> {
        let compiled = self.compiled.as_ref().map_err(Clone::clone)?;
        let missing: Vec<Missing> = compiled
            .asked
            .iter()
            .filter(|name| !special.named.contains_key(*name) && !special.none.contains(*name))
            .map(|name| Missing(name.clone()))
            .collect();
        let written = compiled
            .rendered(messages, add_generation_prompt, special, &missing)
            .map_err(|error| {
                let said = environment::described(&error);
                if !environment::is_raised(&error) {
                    let line = error
                        .line()
                        .and_then(|line| self.source.lines().nth(line.saturating_sub(1)));
                    let asked = missing
                        .iter()
                        .find(|token| line.is_some_and(|line| line.contains(&token.0)));
                    let hint = asked
                        .map(|token| format!("; {}", unnamed(&token.0, special)))
                        .unwrap_or_default();
                    return format!("the chat template cannot be rendered: {said}{hint}");
                }
                // Some take no system turn. Whether this one does not is seen by leaving it out.
                let others: Vec<(&str, &str)> = messages
                    .iter()
                    .filter(|(role, _)| *role != "system")
                    .copied()
                    .collect();
                let without = || {
                    compiled
                        .rendered(&others, add_generation_prompt, special, &missing)
                        .is_ok()
                };
                let is_of_system =
                    others.len() < messages.len() && (said.to_lowercase().contains("system") || without());
                let hint = match is_of_system {
                    true => "; prepare prompts with a wording that has no system turn",
                    false => "",
                };
                format!("the chat template refuses a conversation: {said}{hint}")
            })?;
        match missing.iter().find(|token| written.contains(&token.mark())) {
            None => Ok(written),
            Some(token) => Err(format!(
                "the chat template writes {0}, and {1}",
                token.0,
                unnamed(&token.0, special)
            )),
        }
    }

    /// A prompt, what leads from it to the answer, and what ends that.
    fn parts(&self, messages: &Messages, special: &Special) -> Result<[String; 3], String> {
        let Some(((_, answer), before)) = messages.split_last() else {
            return Err("a conversation without turns has no answer".into());
        };
        let prompt = self.written(before, true, special)?;
        let whole = self.written(messages, false, special)?;
        let Some(rest) = whole.strip_prefix(&prompt) else {
            let same = common(&prompt, &whole);
            return Err(format!(
                "the chat template writes what comes before an answer differently once the answer is there: after {:?} comes {:?} \
                 with it and {:?} without, so that nothing tells where the loss begins; mend chat_template, or use prompts of the \
                 format \"sequence\"",
                last(&whole[..same]),
                first(&whole[same..]),
                first(&prompt[same..]),
            ));
        };
        // Templates trim what they are given.
        let begun = rest.trim_start();
        let answered = begun.strip_prefix(END_OF_THOUGHT).map_or(begun, str::trim_start);
        let Some(end) = answered.strip_prefix(answer.trim()) else {
            return Err(format!(
                "the chat template writes {:?} where an answer should begin: it does not heed add_generation_prompt; mend \
                 chat_template, or use prompts of the format \"sequence\"",
                first(answered)
            ));
        };
        Ok([
            prompt,
            rest[..rest.len() - answered.len()].to_string(),
            end.trim_end().to_string(),
        ])
    }
}

impl Compiled {
    fn rendered(
        &self,
        messages: &Messages,
        add_generation_prompt: bool,
        special: &Special,
        missing: &[Missing],
    ) -> Result<String, Error> {
        let messages: Vec<Value> = messages
            .iter()
            .map(|(role, content)| Value::from_pairs([("role", *role), ("content", *content)]))
            .collect();
        let mut context: BTreeMap<&str, Value> = BTreeMap::new();
        context.extend(
            special
                .lists
                .iter()
                .map(|(name, tokens)| (name.as_str(), Value::from(tokens.clone()))),
        );
        context.extend(
            special
                .named
                .iter()
                .map(|(name, token)| (name.as_str(), Value::from(token.as_str()))),
        );
        let missing = missing
            .iter()
            .map(|Missing(name)| (name.as_str(), Value::from_object(Missing(name.clone()))));
        context.extend(missing);
        context.extend([
            ("messages", Value::from(messages)),
            ("add_generation_prompt", Value::from(add_generation_prompt)),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
            // An answer is ranked or trained as it stands: models that can think aloud first are told not to.
            ("enable_thinking", Value::from(false)),
        ]);
        self.environment
            .get_template(NAME)?
            .render(Value::from_pairs(context))
    }
}

/// What there is to do about a token without a name.
fn unnamed(token: &str, special: &Special) -> String {
    format!("{} name no {token}: {}", special.sources, special.remedy)
}

/// How many bytes two texts have in common from their beginnings.
fn common(a: &str, b: &str) -> usize {
    let same = a.char_indices().zip(b.chars()).find(|((_, x), y)| x != y);
    same.map_or(a.len().min(b.len()), |((at, _), _)| at)
}

fn first(text: &str) -> String {
    text.chars().take(40).collect()
}

fn last(text: &str) -> String {
    let skip = text.chars().count().saturating_sub(40);
    text.chars().skip(skip).collect()
}
