//! Prompts as the codes of their items.

use anyhow::{Result, bail};
use weaverec_model::rank::Query;
use weaverec_model::recommender::codes::TOKENS;
use weaverec_model::train::Example;
use weaverec_pipeline::schema::Prompt;

use super::CodeEncoder;

impl CodeEncoder<'_> {
    /// What is read of a history.
    pub(super) fn history(&self, items: &[u32]) -> Result<Vec<u32>> {
        Ok(self.layout.history(self.codes, items)?)
    }

    pub(super) fn item(&self, item: u32) -> Result<Vec<u32>> {
        Ok(self.layout.tokens(self.codes.of(item)?).to_vec())
    }

    /// The items of the answer are as many as it has lines.
    pub(super) fn example(&self, prompt: &Prompt) -> Result<Example> {
        let answer = prompt
            .messages
            .last()
            .map_or("", |message| message.content.as_str());
        let (learnt, items) = (answer.lines().count(), prompt.history.len() + 1);
        if learnt == 0 || learnt > items {
            bail!(
                "the answer of a prompt of user {} has {learnt} lines for {items} items: prepare the folder again",
                prompt.user_id
            );
        }
        let mut tokens = self.history(&prompt.history)?;
        tokens.extend(self.item(prompt.target)?);
        Ok(Example {
            loss_from: tokens.len() - TOKENS * learnt,
            tokens,
        })
    }

    pub(super) fn query(&self, prompt: &Prompt, candidates: &[u32]) -> Result<Query> {
        Ok(Query {
            prompt: self.history(&prompt.history)?,
            candidates: candidates
                .iter()
                .map(|item| self.item(*item))
                .collect::<Result<_>>()?,
        })
    }

    /// Whether these tokens are an item of the domain.
    pub fn is_item(&self, tokens: &[u32]) -> bool {
        let code = self.layout.code(tokens);
        code.is_some_and(|code| self.codes.codes.contains(&code))
    }
}
