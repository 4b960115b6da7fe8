//! How a profile prepares its domains.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use weaverec_pipeline::schema::PromptFormat;
use weaverec_pipeline::stage::window::parse_duration;
use weaverec_pipeline::stage::{Cut as TimeCut, Recipe, Repeats};

use super::{Backbone, is_usual};

/// What is held out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Of every user the last item that is new for the test, and the one before it for validation.
    #[default]
    LeaveOneOut,
    /// What follows a moment, which is one for all domains.
    GlobalTime,
}

/// How domains are prepared; see `weaverec prepare --help` for each.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prepare {
    /// Seed of sampling and candidates.
    pub seed: u64,
    /// Wording of the prompts.
    pub format: PromptFormat,
    /// Fewest interactions a user has.
    pub user_core: usize,
    /// Fewest interactions an item has.
    pub item_core: usize,
    /// Titles of a history shown.
    pub max_history: usize,
    /// Characters of a title shown.
    pub max_title_chars: usize,
    /// Candidates a test user, the target included.
    pub candidates: usize,
    /// Most test users that are ranked in a domain.
    pub users: usize,
    /// Most training prompts written a domain; under the paper's recipe validation prompts come on top.
    pub max_train: usize,
    /// Most tokens of a prompt and its answer as the language model reads them: the oldest titles of longer histories are left out, in
    /// training and in ranking; 0: prompts are of any length.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub max_tokens: usize,
    /// Whether validation prompts are trained on: never, or as the released code of the paper does.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub recipe: Recipe,
    /// What is held out: everyone's last new items, or all that follows a moment.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub split: Split,
    /// Where a global-time split begins the test, one moment for all domains of a study: a date, or the share of the interactions of
    /// the studied domains that lie before it, such as `0.9`. Of those before it the newest tenth is validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
    /// Events that follow each other within this time, such as `60s`, are one moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tie_window: Option<String>,
    /// What becomes of targets that their users had before.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub repeats: Repeats,
    /// Whether an item file may describe fewer than half of a domain's items.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_missing_items: bool,
}

/// What of the order of events a study sees otherwise than its profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// What is held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// Where a global-time split begins the test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
    /// Events that follow each other within this time are one moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tie_window: Option<String>,
    /// What becomes of targets that their users had before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<Repeats>,
}

impl Prepare {
    /// The same with a study's own order of events. A split brings its cut, or none.
    pub fn with(&self, order: &Order) -> Self {
        let cut = match order.split {
            Some(_) => order.cut.clone(),
            None => order.cut.clone().or_else(|| self.cut.clone()),
        };
        Prepare {
            split: order.split.unwrap_or(self.split),
            cut,
            tie_window: order.tie_window.clone().or_else(|| self.tie_window.clone()),
            repeats: order.repeats.unwrap_or(self.repeats),
            ..self.clone()
        }
    }

    /// The cut of a global-time split; none of leave-one-out.
    ///
    /// # Errors
    /// A cut that is missing, is none, or has no effect.
    pub fn cut(&self) -> Result<Option<TimeCut>> {
        match (self.split, &self.cut) {
            (Split::LeaveOneOut, None) => Ok(None),
            (Split::LeaveOneOut, Some(cut)) => bail!(
                "[prepare] `cut = \"{cut}\"` has no effect on a leave-one-out split; write `split = \"global-time\"` as well, or leave it out"
            ),
            (Split::GlobalTime, None) => bail!(
                "[prepare] `split = \"global-time\"` needs a cut: write `cut = \"0.9\"`, the share of the interactions before the test, or a date"
            ),
            (Split::GlobalTime, Some(cut)) => Ok(Some(
                cut.parse()
                    .with_context(|| format!("[prepare] cut = \"{cut}\""))?,
            )),
        }
    }

    /// Most tokens of a prompt and its answer; none where they may be of any length.
    pub fn most_tokens(&self) -> Option<usize> {
        (self.max_tokens > 0).then_some(self.max_tokens)
    }

    /// Fails where prompts are held to so many tokens, and no prompt has any.
    ///
    /// # Errors
    /// A backbone that reads no text.
    pub(super) fn check_tokens(&self, backbone: &Backbone) -> Result<()> {
        let reads = match backbone {
            Backbone::Nano(_) | Backbone::Pretrained { .. } => return Ok(()),
            Backbone::Codes(_) => "the codes of items, of which `max_history` says how many",
            Backbone::None => "nothing",
        };
        if let Some(most) = self.most_tokens() {
            bail!(
                "[prepare] `max_tokens = {most}` has no effect on a backbone that reads {reads}: write 0, or leave it out"
            );
        }
        Ok(())
    }

    /// Milliseconds within which events that follow each other are one moment.
    ///
    /// # Errors
    /// What is no duration.
    pub fn tie_window_ms(&self) -> Result<i64> {
        let window = self.tie_window.as_deref().unwrap_or("0");
        parse_duration(window).with_context(|| format!("[prepare] tie_window = \"{window}\""))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::Profile;
    use super::*;

    #[test]
    fn what_is_not_said_is_in_no_key_and_what_is_said_is_read_back() {
        let profile = Profile::load("quick").unwrap();
        let written = serde_json::to_value(&profile.prepare).unwrap();
        for key in ["max_tokens", "recipe"] {
            assert!(written.get(key).is_none(), "{key}: {written}");
        }
        assert_eq!(profile.prepare.most_tokens(), None);
        let mut other = profile.clone();
        (other.prepare.max_tokens, other.prepare.recipe) = (700, Recipe::Paper);
        let written = serde_json::to_value(&other.prepare).unwrap();
        assert_eq!(
            (&written["max_tokens"], &written["recipe"]),
            (&json!(700), &json!("paper"))
        );
        let read: Prepare = serde_json::from_value(written).unwrap();
        assert_eq!((read.most_tokens(), read.recipe), (Some(700), Recipe::Paper));
        let key = |profile: &Profile| profile.identity(&profile.studies[0]).unwrap();
        assert_ne!(key(&other), key(&profile));
        other.prepare.recipe = Recipe::Clean;
        assert_ne!(key(&other), key(&profile));
    }

    #[test]
    fn a_bound_on_tokens_is_refused_where_nothing_has_any() {
        for (name, reads) in [("power", "the codes of items"), ("rivals", "reads nothing")] {
            let mut profile = Profile::load(name).unwrap();
            profile.prepare.max_tokens = 100;
            let error = format!("{:#}", profile.check().unwrap_err());
            assert!(
                error.contains("max_tokens = 100") && error.contains(reads),
                "{error}"
            );
        }
    }
}
