//! The function that knows a catalogue, as something that can be sent: a worker makes it again from the items on shared storage.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_datafusion_err, plan_datafusion_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};
use serde::{Deserialize, Serialize};

use crate::prepared;
use crate::schema::{Item, PromptFormat};
use crate::stage::{PromptStyle, Wording};

/// All that the function depends on besides its arguments.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Recipe {
    format: PromptFormat,
    wording: Option<Wording>,
    seed: u64,
    domain: String,
    items: PathBuf,
}

impl Recipe {
    fn make(&self, items: &[Item]) -> crate::Result<ScalarUDF> {
        let style = PromptStyle::new(self.format, self.wording.as_ref(), self.seed, &self.domain, items)?;
        Ok(style.function("render_prompt"))
    }
}

/// `render_prompt` over the items in a file that all machines see. The file is read where, and when, the function is first called.
pub struct StageFunction {
    recipe: Recipe,
    /// The recipe as JSON: what is sent, and what tells two functions apart.
    encoded: String,
    /// The function over no items, for its name and types.
    shape: ScalarUDF,
}

impl StageFunction {
    /// [`PromptStyle::function`] over the items in a file.
    pub fn render_prompt(
        format: PromptFormat,
        wording: Option<&Wording>,
        seed: u64,
        domain: &str,
        items: &Path,
    ) -> crate::Result<ScalarUDF> {
        let recipe = Recipe {
            format,
            wording: wording.cloned(),
            seed,
            domain: domain.to_owned(),
            items: items.to_owned(),
        };
        Ok(Self::new(recipe)?.into())
    }

    fn new(recipe: Recipe) -> crate::Result<Self> {
        let encoded = serde_json::to_string(&recipe).map_err(|error| {
            crate::Error::Usage(format!(
                "{} cannot be sent to a cluster: {error}; choose another folder",
                recipe.items.display()
            ))
        })?;
        let shape = recipe.make(&[])?;
        Ok(Self {
            recipe,
            encoded,
            shape,
        })
    }

    /// The stage's function in a DataFusion function, if it is one.
    pub fn of(function: &ScalarUDF) -> Option<&Self> {
        let inner: &dyn Any = function.inner().as_ref();
        inner.downcast_ref()
    }

    /// What is sent.
    pub fn encoded(&self) -> &str {
        &self.encoded
    }

    /// The function that was sent.
    pub fn decode(sent: &[u8]) -> Result<ScalarUDF> {
        let recipe = serde_json::from_slice(sent).map_err(|error| {
            plan_datafusion_err!(
                "a function of another version ({error}); driver, scheduler and workers must be one version of weaverec"
            )
        })?;
        let function = Self::new(recipe).map_err(|error| plan_datafusion_err!("{error}"))?;
        Ok(function.into())
    }

    fn made(&self) -> Result<ScalarUDF> {
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, function)) = made.iter().find(|(encoded, _)| *encoded == self.encoded) {
            return Ok(function.clone());
        }
        let items = prepared::read_items(&self.recipe.items).map_err(|error| {
            exec_datafusion_err!(
                "{error}; a cluster needs an output folder that driver and workers all see under one path"
            )
        })?;
        let function = self
            .recipe
            .make(&items)
            .map_err(|error| exec_datafusion_err!("{error}"))?;
        if made.len() == KEPT {
            made.remove(0);
        }
        made.push((self.encoded.clone(), function.clone()));
        Ok(function)
    }
}

/// Functions kept: several folders may be made at a time.
const KEPT: usize = 4;

/// Made functions, the oldest first: every task brings its own copy of a plan, and reading a catalogue is worth doing once.
static MADE: Mutex<Vec<(String, ScalarUDF)>> = Mutex::new(Vec::new());

impl fmt::Debug for StageFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StageFunction").field(&self.recipe).finish()
    }
}

impl PartialEq for StageFunction {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl Eq for StageFunction {}

impl Hash for StageFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.encoded.hash(state);
    }
}

impl ScalarUDFImpl for StageFunction {
    fn name(&self) -> &str {
        self.shape.name()
    }

    fn signature(&self) -> &Signature {
        self.shape.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.shape.return_type(arguments)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.made()?.invoke_with_args(arguments)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_function_that_was_sent_is_the_one_that_was_meant() {
        let render = |seed| {
            let (format, items) = (PromptFormat::Letter, Path::new("/x/items.parquet"));
            StageFunction::render_prompt(format, None, seed, "d", items).unwrap()
        };
        let sent = StageFunction::of(&render(1)).unwrap().encoded().to_owned();
        let arrived = StageFunction::decode(sent.as_bytes()).unwrap();
        assert_eq!(arrived, render(1));
        assert_ne!(arrived, render(2));
        assert_eq!(arrived.signature(), render(1).signature());
        let error = StageFunction::decode(b"{\"Other\":{}}").unwrap_err().to_string();
        assert!(error.contains("one version"), "{error}");
    }

    #[test]
    fn items_that_a_machine_cannot_see_are_named() {
        let items = Path::new("/nowhere/items.parquet");
        let render = StageFunction::render_prompt(PromptFormat::Top5, None, 1, "d", items).unwrap();
        let error = StageFunction::of(&render)
            .unwrap()
            .made()
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/nowhere/items.parquet") && error.contains("all see"),
            "{error}"
        );
    }
}
