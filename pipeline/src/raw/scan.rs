//! One pass over the lines of a file: counting, rejecting, salvaging.

mod parted;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use super::json::Malformed;
use super::line::{Line, LineReader};
use super::rejects::Rejects;
use super::unclosed::{Kept, Unclosed};
use super::{InputFile, Progress, fingerprint};
use crate::error::{Error, Result};
use crate::magic::Expected;
use crate::quote::sample;

/// The reason of a [`Refusal::Open`].
const OPEN: &str = "a quote is not closed";

/// A line that holds no row, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Name of the file (without its folder).
    pub file: String,
    /// Line in that file, or row where it has none, from 1.
    pub line: u64,
    /// Offset of the line in the decompressed stream; 0 for rows of Parquet.
    pub offset: u64,
    /// Why, in words that many lines share.
    pub reason: String,
    /// The beginning of the line, at most 200 bytes; bytes that are no UTF-8 are replaced, and signs that a terminal would obey spelled
    /// out (`\t`, `\u{1b}`).
    pub text: String,
}

/// What a format's reader answers about a line that gives no row.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The line is bad; go on.
    Line(String),
    /// A quote is not closed: the line is bad unless the next ones close it. Where there is a sign that lets quotes mean themselves, it
    /// is told.
    Open(Option<u8>),
    /// What stands before the first `\r` was taken; what follows is lines of its own.
    Rest,
    /// The file is not what it should be; stop.
    File(String),
    /// Something else went wrong, such as a full disk; stop.
    Failed(Box<Error>),
}

impl Refusal {
    /// The error that a refusal of the whole file is; a refused line, being none, should not get here.
    pub fn of_file(self, path: &Path) -> Error {
        match self {
            Refusal::File(message) | Refusal::Line(message) => Error::Format {
                path: path.to_path_buf(),
                offset: 0,
                message,
            },
            Refusal::Open(_) | Refusal::Rest => Refusal::from(OPEN).of_file(path),
            Refusal::Failed(error) => *error,
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Failed(Box::new(error))
    }
}

impl From<Malformed> for Refusal {
    fn from(reason: Malformed) -> Self {
        Refusal::Line(reason.to_string())
    }
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Refusal::Line(reason)
    }
}

impl From<&str> for Refusal {
    fn from(reason: &str) -> Self {
        Refusal::Line(reason.to_string())
    }
}

/// What one of the first lines of a file is.
pub(crate) enum First<H> {
    /// Neither a header nor a row.
    Passed,
    /// The header.
    Header(H),
    /// A row already, of a file without a header.
    Row(H),
}

/// Lines of a file that are not done with.
#[derive(Default)]
struct Waiting {
    /// Those that wait for a quote to be closed.
    unclosed: Unclosed,
    /// Those that were waited for in vain, to be read next.
    again: VecDeque<Kept>,
    /// How many more lines there are than line ends of the usual kind.
    more: u64,
}

/// What has been met so far.
pub(crate) struct Scan {
    salvage: bool,
    expected: Expected,
    /// The raw folder.
    root: PathBuf,
    pub rejects: Rejects,
    pub inputs: Vec<InputFile>,
    pub lines: u64,
    pub losses: Vec<String>,
    /// What else should be known of the files.
    pub notes: Vec<String>,
    /// Lines of each file, with headers and blank ones.
    pub file_lines: Vec<u64>,
}

impl Scan {
    /// The path of a file within the raw folder: where that lies is nobody's business.
    pub fn within_root<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }

    /// Nothing yet, of lines that should hold what `expected` says; rejects beyond a few are kept in `scratch`.
    pub fn new(salvage: bool, expected: Expected, root: &Path, scratch: Option<&Path>) -> Self {
        Scan {
            salvage,
            expected,
            root: root.to_path_buf(),
            rejects: Rejects::new(scratch),
            inputs: Vec::new(),
            lines: 0,
            losses: Vec::new(),
            notes: Vec::new(),
            file_lines: Vec::new(),
        }
    }

    /// Adds what another scan met after this one.
    pub fn append(&mut self, other: Scan) {
        self.rejects.append(other.rejects);
        self.inputs.extend(other.inputs);
        self.lines += other.lines;
        self.losses.extend(other.losses);
        self.notes.extend(other.notes);
        self.file_lines.extend(other.file_lines);
    }

    /// Gives every line of `path` that is not blank, with its number, to `row`, but for the first, which goes to `header`.
    pub fn each_line<H>(
        &mut self,
        path: &Path,
        progress: &dyn Progress,
        header: impl Fn(&str) -> Result<H, Refusal>,
        row: impl FnMut(&H, &[u8], i64) -> Result<(), Refusal>,
    ) -> Result<()> {
        let first = |text: &str| header(text).map(First::Header);
        self.each_line_after(path, progress, first, true, row)
    }

    /// The same where `first` says of one line after another what it is, until it knows the columns; a file may have to have such a
    /// line (`needed`).
    pub fn each_line_after<H>(
        &mut self,
        path: &Path,
        progress: &dyn Progress,
        mut first: impl FnMut(&str) -> Result<First<H>, Refusal>,
        needed: bool,
        mut row: impl FnMut(&H, &[u8], i64) -> Result<(), Refusal>,
    ) -> Result<()> {
        let mut columns: Option<H> = None;
        self.walk(path, progress, |scan, bytes, number| {
            let mut line = bytes;
            if columns.is_none() {
                let found = parted::first(bytes, &mut first)?;
                line = found.line;
                match found.what {
                    First::Passed => return found.rest,
                    First::Header(header) => {
                        columns = Some(header);
                        return found.rest;
                    }
                    First::Row(row) => columns = Some(row),
                }
            }
            let Some(columns) = &columns else {
                return Ok(());
            };
            scan.lines += 1;
            row(columns, line, number as i64)?;
            if line.len() < bytes.len() {
                Err(Refusal::Rest)
            } else {
                Ok(())
            }
        })?;
        if columns.is_none() && needed && self.losses.is_empty() {
            let message = "the file is empty; a header line is needed".to_string();
            return Err(Error::Format {
                path: path.to_path_buf(),
                offset: 0,
                message,
            });
        }
        Ok(())
    }

    /// The same for files without a header.
    pub fn each_record(
        &mut self,
        path: &Path,
        progress: &dyn Progress,
        mut row: impl FnMut(&[u8], i64) -> Result<(), Refusal>,
    ) -> Result<()> {
        self.walk(path, progress, |scan, bytes, number| {
            scan.lines += 1;
            row(bytes, number as i64)
        })
    }

    fn walk(
        &mut self,
        path: &Path,
        progress: &dyn Progress,
        mut visit: impl FnMut(&mut Scan, &[u8], u64) -> Result<(), Refusal>,
    ) -> Result<()> {
        let file = name(path);
        let mut reader = LineReader::open(path, self.expected, progress)?;
        let (mut last, mut ended) = (0, false);
        let mut lines = Waiting::default();
        loop {
            // What was waited with in vain, a line of its own again.
            if let Some(line) = lines.again.pop_front() {
                self.visit(&line.line(), path, &mut lines, &mut visit)?;
                continue;
            }
            let line = match if ended { Ok(None) } else { reader.next() } {
                Ok(Some(line)) => line,
                Ok(None) if lines.unclosed.is_empty() => break,
                Ok(None) => {
                    self.give_up(path, &mut lines, &mut visit)?;
                    continue;
                }
                Err(Error::Format { offset, message, .. }) if self.salvage => {
                    let what = message.split(';').next().unwrap_or_default();
                    self.losses.push(format!(
                        "{file}: {what} at byte {offset} of the decompressed stream; {last} whole lines were kept"
                    ));
                    ended = true;
                    continue;
                }
                Err(error) => return Err(error),
            };
            last = line.number;
            let number = line.number + lines.more;
            self.visit(&Line { number, ..line }, path, &mut lines, &mut visit)?;
        }
        self.close(reader.fingerprint()?, last + lines.more);
        Ok(())
    }

    /// Gives one line to `row`, or lets it wait for those after it.
    fn visit(
        &mut self,
        line: &Line<'_>,
        path: &Path,
        lines: &mut Waiting,
        row: &mut impl FnMut(&mut Scan, &[u8], u64) -> Result<(), Refusal>,
    ) -> Result<()> {
        if line.too_long {
            let more = lines.more;
            while !lines.unclosed.is_empty() {
                self.give_up(path, lines, row)?;
                while let Some(line) = lines.again.pop_front() {
                    self.visit(&line.line(), path, lines, row)?;
                }
            }
            let line = Line {
                number: line.number + lines.more - more,
                ..*line
            };
            self.check_one(&line, path, row)?;
            self.lines += 1;
            let answer = Err(Refusal::Line("line longer than 16 MiB".to_string()));
            return self.take(answer, path, &line);
        }
        if !lines.unclosed.is_empty() {
            lines.unclosed.push(line);
            if !lines.unclosed.closed() && !lines.unclosed.overlong() {
                return Ok(());
            }
            let joined = lines.unclosed.joined().filter(|_| lines.unclosed.closed());
            let before = self.lines;
            return match joined.map(|record| row(self, &record.bytes, record.number)) {
                Some(Ok(())) => {
                    lines.unclosed = Unclosed::default();
                    Ok(())
                }
                Some(Err(refusal @ (Refusal::File(_) | Refusal::Failed(_)))) => Err(refusal.of_file(path)),
                _ => {
                    self.lines = before;
                    self.give_up(path, lines, row)
                }
            };
        }
        if line.bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let before = self.lines;
        let answer = row(self, line.bytes, line.number);
        if let Err(Refusal::Open(escape)) = answer {
            // It counts when it is known what it is.
            self.lines = before;
            lines.unclosed.open(line, escape);
            return Ok(());
        }
        self.settle(answer, before, line, path, lines, row)
    }

    /// Takes the line that waited as it is, and lets those it waited for be lines again.
    fn give_up(
        &mut self,
        path: &Path,
        lines: &mut Waiting,
        row: &mut impl FnMut(&mut Scan, &[u8], u64) -> Result<(), Refusal>,
    ) -> Result<()> {
        let Some((mut first, others)) = lines.unclosed.part() else {
            return Ok(());
        };
        // One by one: there may be many in `again`, which must not be moved for each line that is given up.
        others
            .into_iter()
            .rev()
            .for_each(|line| lines.again.push_front(line));
        // A line end behind it says that nothing follows: where quotes may be text, it can be a row after all.
        first.bytes.push(b'\n');
        let before = self.lines;
        let answer = row(self, &first.bytes, first.number);
        first.bytes.pop();
        self.settle(answer, before, &first.line(), path, lines, row)
    }

    /// Gives the numbers of `rows` rows of a file without lines to `row`, from 1; `text` shows the
    /// row at hand in words.
    pub fn each_row(
        &mut self,
        path: &Path,
        rows: std::ops::Range<u64>,
        mut row: impl FnMut(u64, i64) -> Result<(), Refusal>,
        text: impl Fn(u64) -> String,
    ) -> Result<()> {
        for number in rows {
            self.lines += 1;
            if let Err(refusal) = row(number, number as i64) {
                let text = text(number);
                let line = Line {
                    bytes: text.as_bytes(),
                    number,
                    offset: 0,
                    too_long: false,
                };
                self.take(Err(refusal), path, &line)?;
            }
        }
        Ok(())
    }

    /// To be called after the last row of a file without lines.
    pub fn end_file(&mut self, path: &Path, rows: u64) -> Result<()> {
        self.close(fingerprint(path)?, rows);
        Ok(())
    }

    fn close(&mut self, file: InputFile, lines: u64) {
        self.file_lines.push(lines);
        self.inputs.push(file);
    }

    /// Keeps what was refused.
    fn take(&mut self, answer: Result<(), Refusal>, path: &Path, line: &Line<'_>) -> Result<()> {
        match answer {
            Ok(()) => Ok(()),
            Err(Refusal::Line(reason)) => self.rejects.push(reject(path, line, reason)),
            Err(Refusal::Open(_) | Refusal::Rest) => self.rejects.push(reject(path, line, OPEN.to_string())),
            Err(Refusal::Failed(error)) => Err(*error),
            Err(Refusal::File(message)) => Err(Error::Format {
                path: path.to_path_buf(),
                offset: line.offset,
                message,
            }),
        }
    }
}

fn reject(path: &Path, line: &Line<'_>, reason: String) -> Reject {
    Reject {
        file: name(path),
        line: line.number,
        offset: line.offset,
        reason,
        text: sample(line.bytes),
    }
}

/// Name of a file without its folder.
pub(crate) fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

/// The line as text.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(bytes).map_err(|_| Refusal::Line("not UTF-8".to_string()))
}

/// The line as text, in UTF-8 or else in latin-1, whose bytes are the first code points; text in it is hardly ever valid UTF-8.
pub(crate) fn utf8_or_latin1(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}
