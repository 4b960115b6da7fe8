//! Conversations as text, by the template that a model brings along.
//!
//! Such templates are Jinja as transformers' `apply_chat_template` renders it: blocks take their line breaks with them, Python's
//! methods work on strings and tables, and `raise_exception` refuses a conversation.

use std::collections::BTreeMap;
use std::sync::Arc;

use fancy_regex::Regex;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

const NAME: &str = "chat_template";

/// What ends a thought, which models that always think first have begun in the prompt.
const END_OF_THOUGHT: &str = "</think>";

/// The wording of models that bring no template: ChatML, which the tokenizers trained here use.
pub(super) const CHATML: &str = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + \
    '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// Where the answer of a conversation stands in the text that a template makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Everything before the answer.
    pub prompt: String,
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
    /// Compiled, or why it cannot be: whoever holds no conversation needs no template.
    compiled: Result<Arc<Environment<'static>>, String>,
}

impl Template {
    pub(super) fn new(source: String) -> Self {
        Template {
            compiled: compile(&source).map(Arc::new),
            source,
        }
    }

    /// The text of the template.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// The text of (role, content) turns; `tokens` are the special tokens by the names that templates know them by.
    pub(super) fn render(
        &self,
        messages: &[(&str, &str)],
        add_generation_prompt: bool,
        tokens: &BTreeMap<String, String>,
    ) -> Result<String, String> {
        let environment = self.compiled.as_ref().map_err(Clone::clone)?;
        let has_system_turn = messages.iter().any(|(role, _)| *role == "system");
        let messages: Vec<Value> = messages
            .iter()
            .map(|(role, content)| Value::from_pairs([("role", *role), ("content", *content)]))
            .collect();
        let mut context: BTreeMap<&str, Value> = tokens
            .iter()
            .map(|(name, token)| (name.as_str(), Value::from(token.as_str())))
            .collect();
        context.extend([
            ("messages", Value::from(messages)),
            ("add_generation_prompt", Value::from(add_generation_prompt)),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
            // An answer is ranked or trained as it stands: models that can think aloud first are told not to.
            ("enable_thinking", Value::from(false)),
        ]);
        let rendered = environment
            .get_template(NAME)
            .and_then(|template| template.render(Value::from_pairs(context)));
        rendered.map_err(|error| {
            let hint = match has_system_turn {
                true => "; if it takes no system turn, prepare prompts with a wording that has none",
                false => "",
            };
            format!("the chat template refuses a conversation: {error}{hint}")
        })
    }

    /// Renders a conversation with its last turn, the answer, and without it, and tells where the answer stands.
    pub(super) fn turn(
        &self,
        messages: &[(&str, &str)],
        tokens: &BTreeMap<String, String>,
    ) -> Result<Turn, String> {
        let Some(((_, answer), before)) = messages.split_last() else {
            return Err("a conversation without turns has no answer".into());
        };
        let prompt = self.render(before, true, tokens)?;
        let whole = self.render(messages, false, tokens)?;
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
        Ok(Turn {
            lead: rest[..rest.len() - answered.len()].to_string(),
            end: end.trim_end().to_string(),
            prompt,
        })
    }
}

fn compile(source: &str) -> Result<Environment<'static>, String> {
    let refused = |error| format!("the chat template is not one that can be rendered: {error}");
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build();
    environment.set_syntax(syntax.map_err(refused)?);
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.add_function(
        "raise_exception",
        |message: String| -> Result<(), minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        },
    );
    environment.add_function("strftime_now", strftime);
    environment
        .add_template_owned(NAME, without_marks(source)?)
        .map_err(refused)?;
    Ok(environment)
}

/// `{% generation %}` marks answers for transformers' loss masks and leaves the text as it is; here the masks come from the text.
fn without_marks(source: &str) -> Result<String, String> {
    let replace = |text: &str, mark: &str, by: &str| {
        let pattern =
            Regex::new(&format!(r"\{{%([-+]?)\s*{mark}\s*([-+]?)%\}}")).map_err(|e| e.to_string())?;
        Ok::<_, String>(
            pattern
                .replace_all(text, format!("{{%$1 {by} $2%}}"))
                .into_owned(),
        )
    };
    replace(
        &replace(source, "generation", "if true")?,
        "endgeneration",
        "endif",
    )
}

/// The day on which prompts are written: always the one that Llama 3's templates fall back to. A prompt that changed overnight would
/// be another one than the adapter was trained on.
fn strftime(format: &str) -> Result<String, minijinja::Error> {
    let mut text = String::new();
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        text.push_str(match rest.next() {
            Some('d' | 'e') => "26",
            Some('b' | 'h') => "Jul",
            Some('B') => "July",
            Some('m') => "07",
            Some('Y') => "2024",
            Some('y') => "24",
            Some('a') => "Fri",
            Some('A') => "Friday",
            Some('j') => "208",
            Some('H' | 'M' | 'S') => "00",
            Some('F') => "2024-07-26",
            Some('T') => "00:00:00",
            Some('%') => "%",
            other => {
                let code = other.map(String::from).unwrap_or_default();
                let message = format!("strftime_now does not know %{code}");
                return Err(minijinja::Error::new(ErrorKind::InvalidOperation, message));
            }
        });
    }
    Ok(text)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const MESSAGES: [(&str, &str); 2] = [("user", "films?"), ("assistant", " Solaris ")];

    fn turn(source: &str) -> Result<Turn, String> {
        Template::new(source.into()).turn(&MESSAGES, &BTreeMap::new())
    }

    fn parts(source: &str) -> [String; 3] {
        let turn = turn(source).unwrap();
        [turn.prompt, turn.lead, turn.end]
    }

    #[test]
    fn an_answer_begins_where_the_prompt_without_it_ends() {
        assert_eq!(
            parts(
                CHATML
                    .replace("message['content']", "message['content'] | trim")
                    .as_str()
            ),
            [
                "<|im_start|>user\nfilms?<|im_end|>\n<|im_start|>assistant\n",
                "",
                "<|im_end|>"
            ]
        );
        // A blank that belongs to the answer's first token.
        let inst = "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content.strip() }} \
                    </s>{% endif %}{% endfor %}";
        assert_eq!(parts(inst), ["[INST] films? [/INST]", " ", " </s>"]);
    }

    #[test]
    fn a_template_whose_prompt_is_no_prefix_is_refused_with_both_texts() {
        let counts = "{{ messages | length }} turns {% for m in messages %}{{ m.content }}{% endfor %}";
        let error = turn(counts).unwrap_err();
        for part in ["\"1 turns", "\"2 turns", "where the loss begins"] {
            assert!(error.contains(part), "{error}");
        }
        let heedless = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";
        let error = turn(heedless).unwrap_err();
        assert!(
            error.contains("assistant:") && error.contains("add_generation_prompt"),
            "{error}"
        );
    }

    #[test]
    fn what_a_template_raises_and_cannot_do_is_said() {
        let raises =
            "{% if messages[0]['role'] == 'user' %}{{ raise_exception('no users here') }}{% endif %}";
        let error = turn(raises).unwrap_err();
        assert!(
            error.contains("no users here") && !error.contains("system turn"),
            "{error}"
        );
        let strict = Template::new("{{ raise_exception('System role not supported') }}".into());
        let error = strict
            .render(&[("system", "be brief")], true, &BTreeMap::new())
            .unwrap_err();
        assert!(
            error.contains("System role not supported") && error.contains("wording"),
            "{error}"
        );
        assert!(
            turn("{% for %}")
                .unwrap_err()
                .contains("not one that can be rendered")
        );
        assert!(turn("{{ strftime_now('%Q') }}").unwrap_err().contains("%Q"));
        assert!(Template::new("x".into()).turn(&[], &BTreeMap::new()).is_err());
    }

    #[test]
    fn marks_of_generation_leave_the_text_as_it_is() {
        let marked = "{% for m in messages %}{{ m.role }}|{% generation %}{{ m.content }}{%- endgeneration -%} {% endfor %}";
        let plain = "{% for m in messages %}{{ m.role }}|{{ m.content }}{% endfor %}";
        let text = |source: &str| {
            Template::new(source.into())
                .render(&MESSAGES, false, &BTreeMap::new())
                .unwrap()
        };
        assert_eq!(text(marked), text(plain));
    }

    #[test]
    fn the_day_in_a_prompt_never_changes() {
        assert_eq!(
            strftime("%d %b %Y, %A 100%%").unwrap(),
            "26 Jul 2024, Friday 100%"
        );
    }
}
