//! Reading ahead: one thread decompresses while another parses.

use std::io::{self, BufRead, ErrorKind, Read};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use memchr::{memchr, memchr_iter, memchr2_iter};

use super::Progress;

/// Bytes handed over at once.
const BLOCK: usize = 512 * 1024;

/// Blocks that may wait: more than are read in one slice of processor time, or the other thread would have none when it gets its own; and
/// few enough to cost little memory.
const WAITING: usize = 8;

/// A reader whose bytes were read by another thread. An error stands where it stood, after the bytes before it.
pub(super) struct Ahead<'p> {
    blocks: Receiver<io::Result<Block>>,
    /// Where used blocks go, to be filled again.
    used: SyncSender<Block>,
    block: Block,
    /// How lines end, which the first block tells.
    line_ends: Option<LineEnds>,
    ended: bool,
    stored: Stored,
    told: u64,
    progress: &'p dyn Progress,
}

/// A buffer that is filled again and again, always of the same length, and where in it the bytes are that were not consumed yet.
#[derive(Default)]
struct Block {
    buffer: Vec<u8>,
    range: Range<usize>,
    /// Where in it lines end.
    ends: Vec<u32>,
    /// Those of them that are done with.
    passed: usize,
}

/// How lines end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineEnds {
    /// With `\n`; a `\r` before it is no part of the line, any other is.
    Newline,
    /// With `\r`, as on the first Macs and in some exports of spreadsheets; then `\n` ends one as well.
    Return,
}

impl LineEnds {
    /// How they end in a text that begins so: with `\r` where there is one and no `\n`. Of several a `\n` may stand behind the last, put
    /// there by an editor.
    fn of(begin: &[u8]) -> Self {
        let end = begin.iter().rposition(|byte| *byte != b'\n');
        let lines = &begin[..end.map_or(0, |at| at + 1)];
        // A `\r` at the very end may be the half of an end with both.
        let returns = memchr_iter(b'\r', &lines[..lines.len().saturating_sub(1)])
            .take(2)
            .count();
        let enough = if lines.len() == begin.len() { 1 } else { 2 };
        if returns >= enough && memchr(b'\n', lines).is_none() {
            LineEnds::Return
        } else {
            LineEnds::Newline
        }
    }
}

impl Block {
    /// Finds all line ends at once, by the thread that parses: the other one has more to do.
    fn find_ends(&mut self, line_ends: LineEnds) {
        let start = self.range.start;
        let bytes = &self.buffer[self.range.clone()];
        self.ends.clear();
        match line_ends {
            LineEnds::Newline => {
                let ends = memchr_iter(b'\n', bytes);
                self.ends.extend(ends.map(|at| (start + at) as u32));
            }
            LineEnds::Return => {
                let ends = memchr2_iter(b'\r', b'\n', bytes);
                self.ends.extend(ends.map(|at| (start + at) as u32));
            }
        }
        self.passed = 0;
    }
}

/// Fills `block`, or ends: how many bytes are in it, none at the end, and what stopped it, if that is an error. What was read before an
/// error is in the block.
fn fill(input: &mut impl Read, block: &mut [u8]) -> (usize, io::Result<()>) {
    let mut to = 0;
    while to < block.len() {
        match input.read(&mut block[to..]) {
            Ok(0) => break,
            Ok(count) => to += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (to, Err(error)),
        }
    }
    (to, Ok(()))
}

/// How many bytes were read from the disk, and their hash: a file is read once for both.
#[derive(Clone, Default)]
pub(super) struct Stored {
    count: Arc<AtomicU64>,
    hasher: Arc<Mutex<blake3::Hasher>>,
}

impl Stored {
    /// A reader that counts and hashes into it.
    pub fn count<R: Read>(&self, inner: R) -> Counting<R> {
        Counting {
            inner,
            stored: self.clone(),
        }
    }

    /// The hash so far.
    pub fn hasher(&self) -> blake3::Hasher {
        let hasher = self.hasher.lock();
        hasher.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Counts and hashes the bytes that pass through.
pub(super) struct Counting<R> {
    inner: R,
    stored: Stored,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let mut hasher = self.stored.hasher.lock().unwrap_or_else(PoisonError::into_inner);
        hasher.update(&buffer[..count]);
        self.stored.count.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl<'p> Ahead<'p> {
    /// Begins to read `input`; what `stored` counts is told to `progress` by the thread that takes the bytes.
    pub fn of(input: impl Read + Send + 'static, stored: Stored, progress: &'p dyn Progress) -> Self {
        let (sender, blocks) = sync_channel(WAITING);
        // Room for every block there can be, so that giving one back never waits.
        let (used, spare) = sync_channel(WAITING + 2);
        // It ends by itself: at the end of the input, at an error, or when nobody takes its blocks any more.
        let named = std::thread::Builder::new().name("decompress".to_owned());
        // Without a thread nothing is sent, which is an error at the first read.
        drop(named.spawn(move || pump(input, &sender, &spare)));
        Ahead {
            blocks,
            used,
            block: Block::default(),
            line_ends: None,
            ended: false,
            stored,
            told: 0,
            progress,
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        // An empty block is the end; a channel that closes without one means that the thread died, and nothing that looks like an
        // end may come of that.
        let stopped = || Err(io::Error::other("the thread that decompresses stopped"));
        let block = self.blocks.recv().unwrap_or_else(|_| stopped())?;
        let used = std::mem::replace(&mut self.block, block);
        if !used.buffer.is_empty() {
            // A thread that has ended wants no more blocks.
            let _ = self.used.try_send(used);
        }
        let bytes = &self.block.buffer[self.block.range.clone()];
        let line_ends = *self.line_ends.get_or_insert_with(|| LineEnds::of(bytes));
        self.block.find_ends(line_ends);
        self.ended = self.block.range.is_empty();
        let stored = self.stored.count.load(Ordering::Relaxed);
        self.progress.advance(stored - self.told);
        self.told = stored;
        Ok(())
    }
}

fn pump(mut input: impl Read, blocks: &SyncSender<io::Result<Block>>, spare: &Receiver<Block>) {
    loop {
        let mut block = spare.try_recv().unwrap_or_else(|_| Block {
            buffer: vec![0; BLOCK],
            ..Block::default()
        });
        let (count, read) = fill(&mut input, &mut block.buffer);
        let empty = count == 0;
        block.range = 0..count;
        let last = empty || read.is_err();
        // What was read before an error is in the block; an empty one would mean the end.
        let rest = (!empty || read.is_ok()).then_some(Ok(block));
        for answer in rest.into_iter().chain(read.err().map(Err)) {
            if blocks.send(answer).is_err() {
                // Nobody takes the blocks any more.
                return;
            }
        }
        if last {
            return;
        }
    }
}

impl Ahead<'_> {
    /// What was read from the disk.
    pub fn stored(&self) -> &Stored {
        &self.stored
    }

    /// Whether all was read.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// The bytes that come next, as [`BufRead::fill_buf`] has them, and how many of them come before the end of a line.
    pub fn fill_line(&mut self) -> io::Result<(&[u8], Option<usize>)> {
        self.fill_buf()?;
        let block = &mut self.block;
        while block
            .ends
            .get(block.passed)
            .is_some_and(|end| (*end as usize) < block.range.start)
        {
            block.passed += 1;
        }
        let end = block
            .ends
            .get(block.passed)
            .map(|end| *end as usize - block.range.start);
        Ok((&block.buffer[block.range.clone()], end))
    }

    /// The last `count` bytes that were consumed, which must be of one block.
    pub fn consumed(&self, count: usize) -> &[u8] {
        &self.block.buffer[self.block.range.start - count..self.block.range.start]
    }
}

impl Read for Ahead<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Ahead<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.block.range.is_empty() && !self.ended {
            self.refill()?;
        }
        Ok(&self.block.buffer[self.block.range.clone()])
    }

    fn consume(&mut self, count: usize) {
        self.block.range.start += count;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::NoProgress;
    use super::*;

    /// Gives `good` bytes in uneven pieces, then fails or ends.
    struct Uneven {
        good: usize,
        given: usize,
        fails: bool,
    }

    impl Read for Uneven {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = (self.given % 7_919 + 1)
                .min(self.good - self.given)
                .min(buffer.len());
            if count == 0 && self.fails {
                return Err(io::Error::other("broken here"));
            }
            buffer[..count].fill(7);
            self.given += count;
            Ok(count)
        }
    }

    fn ahead(good: usize, fails: bool) -> Ahead<'static> {
        let uneven = Uneven {
            good,
            given: 0,
            fails,
        };
        Ahead::of(uneven, Stored::default(), &NoProgress)
    }

    #[test]
    fn every_byte_before_the_end_or_an_error_comes_through() {
        for good in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 17] {
            let mut bytes = Vec::new();
            ahead(good, false).read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len(), good);
            bytes.clear();
            let error = ahead(good, true).read_to_end(&mut bytes).unwrap_err();
            assert_eq!((bytes.len(), error.to_string().as_str()), (good, "broken here"));
        }
    }

    #[test]
    fn lines_end_with_a_return_only_where_nothing_else_ends_them() {
        for (begin, ends) in [
            ("a\rb\rc", LineEnds::Return),
            ("a\rb", LineEnds::Return),
            ("a\rb\rc\r\n", LineEnds::Return),
            ("a\rb\rc\n", LineEnds::Return),
            ("a\rb\n", LineEnds::Newline),
            ("a\rb\nc\rd\re\r", LineEnds::Newline),
            ("a\r\nb\r\n", LineEnds::Newline),
            ("a\r\n", LineEnds::Newline),
            ("a\r", LineEnds::Newline),
            ("\n\n", LineEnds::Newline),
            ("", LineEnds::Newline),
        ] {
            assert_eq!(LineEnds::of(begin.as_bytes()), ends, "{begin:?}");
        }
    }

    #[test]
    fn a_thread_that_dies_is_an_error_and_no_end_of_the_file() {
        struct Dies;
        impl Read for Dies {
            fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
                panic!("on purpose");
            }
        }
        let mut dead = Ahead::of(Dies, Stored::default(), &NoProgress);
        assert!(
            dead.read_to_end(&mut Vec::new())
                .unwrap_err()
                .to_string()
                .contains("stopped")
        );
    }

    #[test]
    fn a_reader_that_is_dropped_lets_the_thread_end() {
        struct Endless(Arc<AtomicU64>);
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                buffer.fill(0);
                Ok(buffer.len())
            }
        }
        impl Drop for Endless {
            fn drop(&mut self) {
                self.0.store(1, Ordering::Relaxed);
            }
        }
        let ended = Arc::new(AtomicU64::new(0));
        let mut reader = Ahead::of(Endless(ended.clone()), Stored::default(), &NoProgress);
        reader.read_exact(&mut [0; 10]).unwrap();
        drop(reader);
        let begin = std::time::Instant::now();
        while ended.load(Ordering::Relaxed) == 0 {
            assert!(begin.elapsed().as_secs() < 20, "the thread goes on for nobody");
            std::thread::yield_now();
        }
    }

    #[test]
    fn progress_hears_of_every_byte_on_the_disk() {
        struct Sum(AtomicU64);
        impl Progress for Sum {
            fn stage(&self, _name: &str, _total: Option<u64>) {}
            fn advance(&self, by: u64) {
                self.0.fetch_add(by, Ordering::Relaxed);
            }
        }
        let (sum, stored) = (Sum(AtomicU64::new(0)), Stored::default());
        let input = stored.count(io::Cursor::new(vec![1; 2 * BLOCK + 5]));
        Ahead::of(input, stored, &sum)
            .read_to_end(&mut Vec::new())
            .unwrap();
        assert_eq!(sum.0.load(Ordering::Relaxed), 2 * BLOCK as u64 + 5);
    }
}
