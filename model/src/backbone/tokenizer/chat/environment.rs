//! Jinja as transformers' `apply_chat_template` sets it up: blocks take their line breaks with them, Python's methods work on strings and
//! tables, texts are formed by `%`, and `raise_exception` refuses a conversation.

use std::fmt;
use std::sync::Arc;

use fancy_regex::Regex;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Object, ObjectRepr, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value, escape_formatter};

use super::{day, filter, json, percent, text};

/// What errors call the template.
pub(super) const NAME: &str = "chat_template";

/// Before and after the name of a token that a template wrote and that does not exist: no text has these.
const MARK: char = '\u{10ffef}';

pub(super) fn compile(source: &str) -> Result<Environment<'static>, String> {
    let refused = |error: Error| {
        format!(
            "the chat template is not one that can be rendered: {}",
            described(&error)
        )
    };
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build();
    environment.set_syntax(syntax.map_err(refused)?);
    environment.set_unknown_method_callback(text::method);
    environment.set_formatter(|out, state, value| match value.kind() {
        // As Python writes them.
        ValueKind::None => Ok(out.write_str("None")?),
        ValueKind::Bool => Ok(out.write_str(if value.is_true() { "True" } else { "False" })?),
        ValueKind::Number => Ok(out.write_str(&json::number(value)?)?),
        _ => escape_formatter(out, state, value),
    });
    filter::add_to(&mut environment);
    environment.add_filter("tojson", json::to_json);
    environment.add_function("raise_exception", |message: String| -> Result<(), Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message).with_source(Raised))
    });
    environment.add_function("strftime_now", day::strftime);
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    environment.add_test("defined", is_there);
    environment.add_test("undefined", is_missing);
    environment
        .add_template_owned(NAME, percent::as_filter(&without_marks(source)?))
        .map_err(refused)?;
    Ok(environment)
}

/// What went wrong and in which line of the template.
pub(super) fn described(error: &Error) -> String {
    let what = match error.detail() {
        Some(detail) if is_raised(error) => detail.to_string(),
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    match error.line() {
        Some(line) => format!("{what} (line {line} of the template)"),
        None => what,
    }
}

/// Whether the template itself refuses the conversation.
pub(super) fn is_raised(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<Raised>())
}

/// Where `raise_exception` was called.
#[derive(Debug)]
struct Raised;

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("raise_exception")
    }
}

impl std::error::Error for Raised {}

/// A special token that nobody names: undefined to whoever asks whether it is, and known by its mark where it is written all the same.
#[derive(Debug)]
pub(super) struct Missing(pub String);

impl Missing {
    /// How it is written.
    pub(super) fn mark(&self) -> String {
        format!("{MARK}{}{MARK}", self.0)
    }
}

impl Object for Missing {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        false
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mark())
    }
}

fn is_missing(value: &Value) -> bool {
    value.is_undefined() || value.downcast_object_ref::<Missing>().is_some()
}

fn is_there(value: &Value) -> bool {
    !is_missing(value)
}

/// Jinja's `default`, to which a missing token is undefined.
fn default(state: &State, value: &Value, arguments: Rest<Value>) -> Result<Value, Error> {
    match value.downcast_object_ref::<Missing>() {
        Some(_) => minijinja::filters::default(state, &Value::UNDEFINED, arguments),
        None => minijinja::filters::default(state, value, arguments),
    }
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
