//! Prompts where they lie in a batch that was read: whoever goes through all of them copies none.

use std::ops::Range;

use datafusion::arrow::array::{AsArray, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{UInt32Type, UInt64Type};

use crate::error::Result;
use crate::prepared::column;
use crate::schema::{Message, Prompt};
use crate::stage::list::IdRows;

/// A prompt and where in its user's sequence the target stands, borrowed from the file that is being read.
#[derive(Clone, Debug)]
pub struct PromptRow<'a> {
    /// See [`Prompt::key`].
    pub key: u64,
    /// The user's dense id.
    pub user: u32,
    /// The user as named in the raw log.
    pub user_id: &'a str,
    /// 1-based position of the target.
    pub position: u32,
    /// See [`Prompt::history`].
    pub history: &'a [u32],
    /// Dense id of the item to predict.
    pub target: u32,
    /// See [`Prompt::ties`].
    pub ties: bool,
    /// Dense ids of the candidates, target included, in the order shown.
    pub candidates: &'a [u32],
    /// See [`Prompt::binned`].
    pub binned: &'a [u32],
    roles: &'a StringArray,
    contents: &'a StringArray,
    turns: Range<usize>,
}

impl<'a> PromptRow<'a> {
    /// Role and text of each turn.
    pub fn turns(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> {
        let (roles, contents) = (self.roles, self.contents);
        let turns = self.turns.clone();
        turns.map(move |turn| (roles.value(turn), contents.value(turn)))
    }

    /// A copy that outlives the reading.
    pub fn to_prompt(&self) -> Prompt {
        let message = |(role, content): (&str, &str)| Message {
            role: role.to_owned(),
            content: content.to_owned(),
        };
        Prompt {
            key: self.key,
            user_id: self.user_id.to_owned(),
            position: self.position,
            history: self.history.to_vec(),
            target: self.target,
            ties: self.ties,
            candidates: self.candidates.to_vec(),
            binned: self.binned.to_vec(),
            messages: self.turns().map(message).collect(),
        }
    }
}

/// Hands over the prompts of a batch.
pub(super) fn each_row(
    batch: &RecordBatch,
    mut visit: impl FnMut(PromptRow<'_>) -> Result<()>,
) -> Result<()> {
    let number = |name| Ok::<_, crate::Error>(column(batch, name)?.as_primitive::<UInt32Type>().values());
    let (users, positions, targets) = (number("user")?, number("position")?, number("target")?);
    let keys = column(batch, "key")?.as_primitive::<UInt64Type>().values();
    let user_ids = column(batch, "user_id")?.as_string::<i32>();
    let ties = column(batch, "ties")?.as_boolean();
    let histories = IdRows::new(column(batch, "history")?)?;
    let candidates = IdRows::new(column(batch, "candidates")?)?;
    let binned = IdRows::new(column(batch, "binned")?)?;
    let conversations = column(batch, "messages")?.as_list::<i32>();
    let (ends, turns) = (conversations.value_offsets(), conversations.values().as_struct());
    let (roles, contents) = (
        turns.column(0).as_string::<i32>(),
        turns.column(1).as_string::<i32>(),
    );
    (0..batch.num_rows()).try_for_each(|row| {
        visit(PromptRow {
            key: keys[row],
            user: users[row],
            user_id: user_ids.value(row),
            position: positions[row],
            history: histories.row(row),
            target: targets[row],
            ties: ties.value(row),
            candidates: candidates.row(row),
            binned: binned.row(row),
            roles,
            contents,
            turns: ends[row] as usize..ends[row + 1] as usize,
        })
    })
}
