//! The card beside an adapter: `README.md` in the form that the Hugging Face hub reads, YAML first and then text for people.
//!
//! What an adapter was made of is said by who made it; here is how a card is written, and how one that this program wrote is told from
//! one that somebody wrote or changed, which is never replaced.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use crate::io::atomic;
use crate::{Error, Result};

/// The file in an adapter's folder.
pub const CARD: &str = "README.md";

/// What begins the last line, which has a hash of all lines before it.
const SEAL: &str = "<!-- weaverec card ";

/// What a card says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// What the adapter is called: the name of its folder.
    pub name: String,
    /// The base on the hub, as `owner/name`; none: it is not known to be there, and the hub is told of none.
    pub base: Option<String>,
    /// Tags beside those that all adapters of this program have.
    pub tags: Vec<String>,
    /// The data sets.
    pub datasets: Vec<String>,
    /// One or two sentences under the name.
    pub summary: String,
    /// What follows: a heading, and Markdown under it.
    pub sections: Vec<(String, String)>,
}

impl Card {
    /// The card as text: equal cards give equal texts.
    pub fn render(&self) -> String {
        let mut text = String::from("---\nlibrary_name: peft\n");
        if let Some(base) = &self.base {
            let _ = writeln!(text, "base_model: {}", yaml(base));
        }
        text.push_str("pipeline_tag: text-generation\n");
        let ours = ["lora", "recommendation", "sequential-recommendation", "weaverec"].map(str::to_owned);
        let tags: Vec<String> = ours.into_iter().chain(self.tags.iter().cloned()).collect();
        for (key, values) in [("tags", &tags), ("datasets", &self.datasets)] {
            if !values.is_empty() {
                let _ = writeln!(text, "{key}:");
            }
            for value in values {
                let _ = writeln!(text, "- {}", yaml(value));
            }
        }
        let _ = write!(
            text,
            "---\n\n# {}\n\n{}\n",
            markdown(&self.name),
            self.summary.trim_end()
        );
        for (heading, body) in &self.sections {
            let _ = write!(text, "\n## {heading}\n\n{}\n", body.trim_end());
        }
        let _ = write!(text, "\n## Loading\n\n{}\n", self.loading());
        let seal = xxh3_64(text.as_bytes());
        let _ = write!(text, "\n{SEAL}{seal:016x} -->\n");
        text
    }

    /// Writes the card into the folder of an adapter, whole or not at all.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        atomic::write_file(&folder.join(CARD), self.render().as_bytes())
    }

    fn loading(&self) -> String {
        let folder = format!("folder/of/{}", self.name);
        let base = python(self.base.as_deref().unwrap_or("folder/of/the/base"));
        let (in_python, in_shell) = (python(&folder), shell(&folder));
        format!(
            "With PEFT, where the second path is this folder's:\n\n\
             ```python\n\
             from peft import PeftModel\n\
             from transformers import AutoModelForCausalLM\n\n\
             base = AutoModelForCausalLM.from_pretrained({base})\n\
             model = PeftModel.from_pretrained(base, {in_python})\n\
             ```\n\n\
             With weaverec, on a prepared folder; `--model` names the base where it is not the usual one:\n\n\
             ```sh\n\
             weaverec rank prepared/domain --adapter {in_shell}\n\
             weaverec recommend --adapter {in_shell} --domain prepared/domain\n\
             ```\n\n\
             Where there is a `calibration.json` in this folder (`weaverec calibrate`), `--calibration` ranks by the scores that it \
             chose."
        )
    }
}

/// Whether a folder may get a new card: it has none, or one that this program wrote and nobody changed.
///
/// # Errors
/// A card that is somebody's, with what to do; one that cannot be read.
pub fn check(folder: &Path) -> Result<()> {
    let path = folder.join(CARD);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        // A place that is no folder is for others to refuse.
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(Error::io(&path, error)),
    };
    if std::str::from_utf8(&text).is_ok_and(is_sealed) {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{}: was written or changed by somebody, and would be lost; move it away, or name another place",
        path.display()
    )))
}

fn is_absent(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// Whether a text ends in the hash of all before it.
fn is_sealed(text: &str) -> bool {
    let Some((before, seal)) = text.rsplit_once(SEAL) else {
        return false;
    };
    // The empty line before the seal is no part of what it seals.
    let sealed = before.strip_suffix('\n').map(|before| xxh3_64(before.as_bytes()));
    sealed.is_some_and(|hash| seal == format!("{hash:016x} -->\n"))
}

/// A text as YAML's double-quoted scalar, in which nothing of it can be taken for another type, a key or a comment.
fn yaml(text: &str) -> String {
    quoted(text, |c| {
        // Breaks of lines, and what YAML does not take for printable.
        matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    })
}

/// A text as a literal of Python.
fn python(text: &str) -> String {
    quoted(text, char::is_control)
}

fn quoted(text: &str, escaped: impl Fn(char) -> bool) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if escaped(c) => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A word of a shell's command line.
fn shell(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A text on one line of Markdown, in a table or outside, of which nothing is taken for markup.
pub fn markdown(text: &str) -> String {
    let mut plain = String::new();
    for word in text.split_whitespace() {
        if !plain.is_empty() {
            plain.push(' ');
        }
        for c in word.chars() {
            if "\\|<>*`[]#".contains(c) {
                plain.push('\\');
            }
            plain.push(c);
        }
    }
    plain
}
