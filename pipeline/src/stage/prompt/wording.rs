//! The words around titles: one MiniJinja template a turn, as TOML.
//!
//! | variable | in | what it is |
//! |---|---|---|
//! | `history` | all turns | titles, oldest first |
//! | `candidates` | all turns | titles, in the order of the persisted candidate set |
//! | `letters` | all turns | [`LETTERS`](crate::schema::LETTERS), the names of the candidates |
//! | `separator` | all turns | `\|\|` |
//! | `answers` | all turns | how many titles the answer has |
//! | `answer` | assistant | its titles, the target first |
//! | `letter` | assistant | the target's letter |

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::schema::PromptFormat;

/// The turn that is learned.
pub(super) const ANSWER: &str = "assistant";

/// The templates of a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wording {
    /// The system turn; none for models that know no such role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The question.
    pub user: String,
    /// The answer.
    pub assistant: String,
}

impl Wording {
    /// A format's own words; `sequence`, which is titles alone, has none.
    pub fn of(format: PromptFormat) -> Result<Option<Self>> {
        let text = match format {
            PromptFormat::Top5 => include_str!("templates/top-5.toml"),
            PromptFormat::TargetOnly => include_str!("templates/target-only.toml"),
            PromptFormat::Letter => include_str!("templates/letter.toml"),
            PromptFormat::Sequence => return Ok(None),
        };
        Self::parse(format.name(), text).map(Some)
    }

    /// Reads a TOML file with the keys `user`, `assistant` and, if wanted, `system`.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that cannot be read, [`Error::Description`] with key and line for one that is no wording.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::io(path, "read", source))?;
        Self::parse(&path.display().to_string(), &text)
    }

    fn parse(file: &str, text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| Error::Description {
            file: file.to_owned(),
            message: error.to_string(),
        })
    }

    /// Roles and templates in the order of the turns.
    pub(super) fn turns(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let system = self.system.as_deref().map(|text| ("system", text));
        system
            .into_iter()
            .chain([("user", self.user.as_str()), (ANSWER, self.assistant.as_str())])
    }
}
