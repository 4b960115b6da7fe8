//! Where a model's folder has its template.

use std::path::Path;

use serde_json::{Map, Value};

use super::super::{failure, optional};
use super::{CHATML, Template};
use crate::Result;

/// The template of a folder with `tokenizer.json`; `config` is its `tokenizer_config.json`, and `start` the token before every text.
///
/// As in transformers, a file of its own counts before the one among the settings. Models that also see images had a third place.
///
/// # Errors
/// A file that cannot be read.
pub(in super::super) fn found_beside(
    path: &Path,
    config: &Map<String, Value>,
    start: Option<u32>,
) -> Result<Template> {
    let own = path.with_file_name("chat_template.jinja");
    if let Some(text) = optional(&own)? {
        return Ok(Template::new(text, &own));
    }
    let among_settings = path.with_file_name("tokenizer_config.json");
    if let Some(template) = config
        .get("chat_template")
        .and_then(|setting| stated(setting, &among_settings))
    {
        return Ok(template);
    }
    let third = path.with_file_name("chat_template.json");
    if let Some(text) = optional(&third)? {
        let settings: Value = serde_json::from_str(&text).map_err(|e| failure(&third, e))?;
        if let Some(template) = settings
            .get("chat_template")
            .and_then(|setting| stated(setting, &third))
        {
            return Ok(template);
        }
    }
    Ok(or_chatml(None, start, path))
}

/// The model's template or, without one, ChatML after whatever starts any text.
pub(in super::super) fn or_chatml(template: Option<String>, start: Option<u32>, origin: &Path) -> Template {
    let source = template.unwrap_or_else(|| match start {
        Some(_) => format!("{{{{ bos_token }}}}{CHATML}"),
        None => CHATML.into(),
    });
    Template::new(source, origin)
}

/// The template that a setting gives: a text, or of several with names the default one.
fn stated(setting: &Value, origin: &Path) -> Option<Template> {
    let refused = |message: String| Some(Template::refused(message, setting.clone(), origin));
    let mut named: Vec<(&str, &str)> = Vec::new();
    match setting {
        Value::Null => return None,
        Value::String(text) => return Some(Template::new(text.clone(), origin)),
        Value::Array(entries) => {
            for entry in entries {
                let text = |key: &str| entry.get(key).and_then(Value::as_str);
                match (text("name"), text("template")) {
                    (Some(name), Some(template)) => named.push((name, template)),
                    _ => {
                        return refused(
                            "the list chat_template has an entry without name or template".into(),
                        );
                    }
                }
            }
        }
        Value::Object(entries) => {
            named.extend(
                entries
                    .iter()
                    .filter_map(|(name, text)| Some((name.as_str(), text.as_str()?))),
            );
        }
        _ => return refused("chat_template is neither a text nor a list of named ones".into()),
    }
    if named.is_empty() {
        return None;
    }
    if let Some((_, text)) = named.iter().find(|(name, _)| *name == "default") {
        return Some(Template::new(text.to_string(), origin));
    }
    let names: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
    refused(format!(
        "there are chat templates called {} and none called \"default\"; call the one to use that",
        names.join(", ")
    ))
}
