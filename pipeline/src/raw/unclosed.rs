//! Records of csv that go over several lines, because a line end stands between quotes (RFC 4180).
//!
//! A quote may also stand where none belongs, and must then cost its own line and no other. So a line whose last quote is not
//! closed waits for those after it until their quotes come to an even number, and is tried together with them; if that gives no row
//! it is tried once more alone, as a line after which nothing comes, and the others are taken as lines of their own.

use std::collections::VecDeque;

use super::line::Line;

/// Bytes that a record over several lines may have.
const MOST: usize = 1 << 20;

/// A line that is kept.
pub(super) struct Kept {
    pub bytes: Vec<u8>,
    pub number: u64,
    pub offset: u64,
}

impl Kept {
    pub fn of(line: &Line<'_>) -> Self {
        Kept {
            bytes: line.bytes.to_vec(),
            number: line.number,
            offset: line.offset,
        }
    }

    pub fn line(&self) -> Line<'_> {
        Line {
            bytes: &self.bytes,
            number: self.number,
            offset: self.offset,
            too_long: false,
        }
    }
}

/// Lines from the one that is not closed on.
#[derive(Default)]
pub(super) struct Unclosed {
    lines: VecDeque<Kept>,
    bytes: usize,
    odd: bool,
    escape: Option<u8>,
}

impl Unclosed {
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds the line that is not closed; a quote after `escape` counts for nothing.
    pub fn open(&mut self, line: &Line<'_>, escape: Option<u8>) {
        self.escape = escape;
        self.push(line);
    }

    /// Adds a line.
    pub fn push(&mut self, line: &Line<'_>) {
        let mut bytes = line.bytes.iter();
        let mut odd = false;
        while let Some(byte) = bytes.next() {
            if Some(*byte) == self.escape {
                bytes.next();
            } else {
                odd ^= *byte == b'"';
            }
        }
        self.odd ^= odd;
        self.bytes += line.bytes.len() + 1;
        self.lines.push_back(Kept::of(line));
    }

    /// Whether the lines may be a record.
    pub fn closed(&self) -> bool {
        !self.odd
    }

    /// Whether there are too many for one.
    pub fn overlong(&self) -> bool {
        self.bytes > MOST
    }

    /// The lines as one, with the place of the first.
    pub fn joined(&self) -> Option<Kept> {
        let mut lines = self.lines.iter();
        let first = lines.next()?;
        let mut bytes = first.bytes.clone();
        for line in lines {
            bytes.push(b'\n');
            bytes.extend_from_slice(&line.bytes);
        }
        Some(Kept {
            bytes,
            number: first.number,
            offset: first.offset,
        })
    }

    /// Gives up: the first line, and those after it.
    pub fn part(&mut self) -> Option<(Kept, VecDeque<Kept>)> {
        let mut lines = std::mem::take(self).lines;
        Some((lines.pop_front()?, lines))
    }
}
