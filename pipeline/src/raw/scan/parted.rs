//! Lines that end with `\r` alone among others that end with `\n`: two files put together, or a header put before what another program
//! exported.
//!
//! A `\r` may also be part of a value, so a line that is a row as it stands is one. Only what is none is tried part by part, and any part
//! that is a row shows that it is several lines. The first line tells nothing by itself, so there the part before the first `\r` comes first.

use std::path::Path;

use memchr::memchr;

use super::{First, OPEN, Refusal, Reject, Scan, Waiting, reject, utf8};
use crate::error::{Error, Result};
use crate::raw::line::Line;
use crate::raw::unclosed::Kept;

/// Parts that are tried before a line is taken for one.
const TRIED: usize = 1_000;

/// What the first line is.
pub(super) struct Found<'l, H> {
    pub what: First<H>,
    /// As much of it as that is said of.
    pub line: &'l [u8],
    /// What to say of the rest.
    pub rest: Result<(), Refusal>,
}

/// Asks `first` what the first line is, or what comes before the first `\r` in it.
pub(super) fn first<'l, H>(
    bytes: &'l [u8],
    first: &mut impl FnMut(&str) -> Result<First<H>, Refusal>,
) -> Result<Found<'l, H>, Refusal> {
    let mut ask = |line: &[u8]| {
        let text = utf8(line).map_err(|_| Refusal::File("the first line is not UTF-8".to_string()))?;
        first(text)
    };
    // Lines that were joined because a quote is open have no ends but `\n` between them.
    let end = memchr(b'\r', bytes).filter(|_| memchr(b'\n', bytes).is_none());
    if let Some((line, _)) = end.and_then(|end| bytes.split_at_checked(end))
        && !is_blank(line)
        && let Ok(what) = ask(line)
    {
        return Ok(Found {
            what,
            line,
            rest: Err(Refusal::Rest),
        });
    }
    Ok(Found {
        what: ask(bytes)?,
        line: bytes,
        rest: Ok(()),
    })
}

impl Scan {
    /// Takes what `row` said of a line; `before` is how many lines there were before it.
    pub(super) fn settle(
        &mut self,
        answer: Result<(), Refusal>,
        before: u64,
        line: &Line<'_>,
        path: &Path,
        lines: &mut Waiting,
        row: &mut impl FnMut(&mut Scan, &[u8], u64) -> Result<(), Refusal>,
    ) -> Result<()> {
        let taken = match &answer {
            Err(Refusal::Rest) => Some((1, Vec::new())),
            Err(Refusal::Line(_) | Refusal::Open(_)) if memchr(b'\r', line.bytes).is_some() => {
                self.tried(before, line, path, row)?
            }
            _ => None,
        };
        let Some((taken, refused)) = taken else {
            return self.take(answer, path, line);
        };
        refused
            .into_iter()
            .try_for_each(|reject| self.rejects.push(reject))?;
        lines.part(line, taken);
        Ok(())
    }

    /// Fails where a line that is too long to be kept is many: what is not kept of it would be lost.
    pub(super) fn check_one(
        &mut self,
        line: &Line<'_>,
        path: &Path,
        row: &mut impl FnMut(&mut Scan, &[u8], u64) -> Result<(), Refusal>,
    ) -> Result<()> {
        if memchr(b'\r', line.bytes).is_none() || self.tried(self.lines, line, path, row)?.is_none() {
            return Ok(());
        }
        Err(Error::Format {
            path: path.to_path_buf(),
            offset: line.offset,
            message: "from here on lines end with CR (`\\r`) alone, and before with LF (`\\n`); let all end alike, as \
                      `tr '\\r' '\\n'` makes them"
                .to_string(),
        })
    }

    /// Tries the parts of a line until one is a row: how many were tried, and those that were none.
    fn tried(
        &mut self,
        before: u64,
        line: &Line<'_>,
        path: &Path,
        row: &mut impl FnMut(&mut Scan, &[u8], u64) -> Result<(), Refusal>,
    ) -> Result<Option<(usize, Vec<Reject>)>> {
        let counted = std::mem::replace(&mut self.lines, before);
        let mut refused = Vec::new();
        let parts = (1..).zip(parts(line)).filter(|(_, part)| !is_blank(part.bytes));
        for (at, part) in parts.take(TRIED) {
            match row(self, part.bytes, part.number) {
                Ok(()) => return Ok(Some((at, refused))),
                Err(Refusal::Line(reason)) => refused.push(reject(path, &part, reason)),
                Err(Refusal::Open(_) | Refusal::Rest) => refused.push(reject(path, &part, OPEN.to_string())),
                Err(refusal) => return Err(refusal.of_file(path)),
            }
        }
        self.lines = counted;
        Ok(None)
    }
}

impl Waiting {
    /// Lets the parts of a line after the first `taken` be the next lines.
    fn part(&mut self, line: &Line<'_>, taken: usize) {
        let rest: Vec<Kept> = parts(line).skip(taken).map(|part| Kept::of(&part)).collect();
        let more = (taken + rest.len()) as u64 - 1;
        self.more += more;
        self.again.iter_mut().for_each(|later| later.number += more);
        rest.into_iter()
            .rev()
            .for_each(|part| self.again.push_front(part));
    }
}

/// A line between its `\r`, with numbers and offsets as of lines.
fn parts<'l>(line: &Line<'l>) -> impl Iterator<Item = Line<'l>> {
    let (mut number, mut offset) = (line.number, line.offset);
    line.bytes.split(|byte| *byte == b'\r').map(move |bytes| {
        let part = Line {
            bytes,
            number,
            offset,
            too_long: false,
        };
        number += 1;
        offset += bytes.len() as u64 + 1;
        part
    })
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}
