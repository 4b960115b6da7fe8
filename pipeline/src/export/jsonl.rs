//! Prompts as JSON lines: `train.jsonl`, `validation.jsonl` and `test.jsonl`, with the columns of the Parquet files.
//!
//! The key is written as 16 hexadecimal digits: many readers of JSON know no unsigned 64-bit numbers.

use std::path::Path;

use serde::Serialize;

use super::TextFile;
use crate::error::{Error, Result};
use crate::prepared::Prepared;
use crate::schema::{Message, Split};

#[derive(Serialize)]
struct Row<'a> {
    key: String,
    user_id: &'a str,
    position: u32,
    history: &'a [u32],
    target: u32,
    ties: bool,
    candidates: &'a [u32],
    binned: &'a [u32],
    messages: &'a [Message],
}

pub(super) fn write(prepared: &Prepared, folder: &Path) -> Result<()> {
    for split in Split::ALL {
        let mut file = TextFile::create(folder.join(format!("{}.jsonl", split.name())))?;
        prepared.each_prompt(split, |prompt| {
            let row = Row {
                key: format!("{:016x}", prompt.key),
                user_id: prompt.user_id,
                position: prompt.position,
                history: prompt.history,
                target: prompt.target,
                ties: prompt.ties,
                candidates: prompt.candidates,
                binned: prompt.binned,
                messages: &prompt.to_prompt().messages,
            };
            let line = serde_json::to_string(&row)
                .map_err(|error| Error::Usage(format!("cannot write JSON: {error}")))?;
            file.line(&line)
        })?;
        file.finish()?;
    }
    Ok(())
}
