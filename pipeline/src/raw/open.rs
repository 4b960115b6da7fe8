//! From a file to text: what it is, decompressed and in UTF-8.
//!
//! How a file is compressed its first bytes say, not its name; a name that says another thing than they do is an error, as is everything
//! that is no text.

use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::ahead::Stored;
use super::utf16;
use crate::compress::Compression;
use crate::error::{Error, Result};
use crate::magic::{self, Expected};
use crate::storage::{self, archive};

/// A reader of the text of a file, whose bytes on the disk are counted by `stored`.
///
/// # Errors
/// [`Error::Io`] for a file that cannot be opened, [`Error::Format`] for one that is not what `expected` says.
pub(super) fn text(path: &Path, expected: Expected, stored: &Stored) -> Result<Box<dyn Read + Send>> {
    let failed = |source| Error::io(path, "open", source);
    let raw = bytes(path, stored).map_err(failed)?;
    let wrong = |message: String| Error::Format {
        path: path.to_path_buf(),
        offset: 0,
        message,
    };
    let begun = Begun::of(raw);
    let input = match compression(path, &begun.head).map_err(wrong)? {
        Some(compression) => compression.reader(begun).map(Begun::of).map_err(failed)?,
        None => begun,
    };
    if let Some(message) = magic::unfit(&input.head, expected) {
        return Err(wrong(message));
    }
    Ok(match magic::utf16(&input.head) {
        Some(order) => Box::new(utf16::Reader::new(input, order)),
        None => Box::new(input),
    })
}

/// Says what a file is that should be Parquet and does not begin so. Behind a URL the reader of Parquet finds out.
pub(super) fn parquet(path: &Path) -> Result<()> {
    if storage::url(path).is_some() {
        return Ok(());
    }
    let file = storage::open(path).map_err(|source| Error::io(path, "open", source))?;
    let begun = Begun::of(file);
    match (begun.damage, magic::unfit(&begun.head, Expected::Parquet)) {
        (Some(source), _) => Err(Error::io(path, "read", source)),
        (None, Some(message)) if !magic::is_parquet(&begun.head) => Err(Error::Format {
            path: path.to_path_buf(),
            offset: 0,
            message,
        }),
        _ => Ok(()),
    }
}

/// Says what a file is whose ending tells nothing, if its first bytes tell that it is not to be read.
pub(super) fn nameless(path: &Path) -> Result<()> {
    let file = storage::open(path).map_err(|source| Error::io(path, "open", source))?;
    match magic::unfit(&Begun::of(file).head, Expected::Text) {
        None => Ok(()),
        Some(message) => Err(Error::Format {
            path: path.to_path_buf(),
            offset: 0,
            message,
        }),
    }
}

/// The bytes of a file as they are stored, or of one in an archive as they are there without its compression by the archive.
fn bytes(path: &Path, stored: &Stored) -> io::Result<Box<dyn Read + Send>> {
    let inside = storage::url(path)
        .is_none()
        .then(|| archive::inside(path))
        .flatten();
    match inside {
        Some(inside) => inside.member()?.open(|file| stored.count(file)),
        None => Ok(Box::new(stored.count(storage::open(path)?))),
    }
}

/// How a file is compressed, by its first bytes; what is wrong with them if its name says that it is compressed.
fn compression(path: &Path, head: &[u8]) -> Result<Option<Compression>, String> {
    if let Some(found) = magic::compression(head) {
        return Ok(Some(found));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some((told, stem)) = Compression::of_name(&name) else {
        return Ok(None);
    };
    // A file cut off within its first bytes, or an empty one.
    if told.begins(head) {
        return Ok(Some(told));
    }
    let (ending, kind) = (told.ending(), told.name());
    if let Some(message) = magic::unfit(head, Expected::Text) {
        return Err(format!(
            "{message} (its name ends in {ending}, and it is no {kind})"
        ));
    }
    if magic::is_text(head) || magic::utf16(head).is_some() {
        return Err(format!(
            "this is plain text, though its name ends in {ending}; call it {stem}"
        ));
    }
    Err(format!(
        "the compressed file is damaged from its first byte on, it does not begin as {kind} does; fetch it again"
    ))
}

/// A reader whose first bytes are known.
pub(super) struct Begun<R> {
    head: Vec<u8>,
    /// How many of them were read.
    read: usize,
    /// What came after them, if that was an error.
    damage: Option<io::Error>,
    rest: R,
}

impl<R: Read> Begun<R> {
    fn of(mut rest: R) -> Self {
        let mut head = vec![0; magic::HEAD];
        let (mut to, mut damage) = (0, None);
        while to < head.len() {
            match rest.read(&mut head[to..]) {
                Ok(0) => break,
                Ok(count) => to += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    damage = Some(error);
                    break;
                }
            }
        }
        head.truncate(to);
        Begun {
            head,
            read: 0,
            damage,
            rest,
        }
    }
}

impl<R: Read> Read for Begun<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = &self.head[self.read..];
        if !left.is_empty() {
            let count = left.len().min(buffer.len());
            buffer[..count].copy_from_slice(&left[..count]);
            self.read += count;
            return Ok(count);
        }
        match self.damage.take() {
            Some(damage) => Err(damage),
            None => self.rest.read(buffer),
        }
    }
}
