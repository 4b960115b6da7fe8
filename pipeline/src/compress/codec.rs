//! The libraries behind the decoders, each for one stream at a time.

use std::io::{self, ErrorKind};

use flate2::FlushDecompress;
use liblzma::stream::Action;
use zstd::stream::raw::{DParameter, InBuffer, Operation, OutBuffer};

use super::{MOST_MEMORY, MOST_MEMORY_LOG};

/// What became of a piece of input.
pub(crate) struct Step {
    /// Bytes taken of the input.
    pub taken: usize,
    /// Bytes put into the output, also before damage.
    pub given: usize,
    /// Whether the stream has ended.
    pub ended: io::Result<bool>,
}

/// Decodes one stream.
pub(crate) trait Codec: Sized + Send {
    /// How the compression is called in errors.
    const NAME: &'static str;
    /// Whether another stream may follow the end of one.
    const MANY: bool = true;

    /// Before a stream.
    fn new() -> io::Result<Self>;

    /// Before the next stream.
    fn again(&mut self) -> io::Result<()> {
        *self = Self::new()?;
        Ok(())
    }

    /// Decodes what it can of `input` into `output`. Without input it gives what it still holds.
    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Step;
}

pub(super) fn damage(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// The step between two states of a decoder that counts in all.
fn step(before: (u64, u64), after: (u64, u64), ended: io::Result<bool>) -> Step {
    Step {
        taken: (after.0 - before.0) as usize,
        given: (after.1 - before.1) as usize,
        ended,
    }
}

/// zlib-rs.
pub(super) fn inflate(decoder: &mut flate2::Decompress, input: &[u8], output: &mut [u8]) -> Step {
    let before = (decoder.total_in(), decoder.total_out());
    let ended = match decoder.decompress(input, output, FlushDecompress::None) {
        Ok(status) => Ok(status == flate2::Status::StreamEnd),
        Err(error) => Err(match error.message() {
            Some(message) => damage(message),
            None => damage(error),
        }),
    };
    step(before, (decoder.total_in(), decoder.total_out()), ended)
}

/// Deflate with nothing around it.
pub(crate) struct Deflate(flate2::Decompress);

impl Codec for Deflate {
    const NAME: &'static str = "deflate";
    const MANY: bool = false;

    fn new() -> io::Result<Self> {
        Ok(Self(flate2::Decompress::new(false)))
    }

    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        inflate(&mut self.0, input, output)
    }
}

/// A frame of Zstandard.
///
/// Where the library meets damage it does not say how much it gave in the same call. So it gets one block at a time, and what it holds of
/// one is taken before the next: all blocks before the damage are given.
pub(crate) struct Zstandard {
    decoder: zstd::stream::raw::Decoder<'static>,
    /// Bytes that the library expects next.
    hint: usize,
    /// Whether it may hold some of the last block.
    holds: bool,
}

/// Bytes of the smallest beginning of a frame, and of what stands before a block, which is counted to the block before it.
const FRAME_HEAD: usize = 5;
const BLOCK_HEAD: usize = 3;

impl Codec for Zstandard {
    const NAME: &'static str = "Zstandard";

    fn new() -> io::Result<Self> {
        let mut decoder = zstd::stream::raw::Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(MOST_MEMORY_LOG))?;
        Ok(Self {
            decoder,
            hint: FRAME_HEAD,
            holds: false,
        })
    }

    fn again(&mut self) -> io::Result<()> {
        (self.hint, self.holds) = (FRAME_HEAD, false);
        self.decoder.reinit()
    }

    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        if self.holds {
            let step = self.once(&[], output);
            if step.given > 0 || !matches!(step.ended, Ok(false)) {
                return step;
            }
        }
        let piece = match self.hint {
            more if more > BLOCK_HEAD => more - BLOCK_HEAD,
            more => more.max(1),
        };
        self.once(&input[..input.len().min(piece)], output)
    }
}

impl Zstandard {
    fn once(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        let room = output.len();
        let (mut input, mut output) = (InBuffer::around(input), OutBuffer::around(output));
        let hint = self.decoder.run(&mut input, &mut output);
        self.holds = output.pos() == room;
        Step {
            taken: input.pos(),
            given: output.pos(),
            ended: hint.map_err(damage).map(|hint| {
                self.hint = hint;
                hint == 0
            }),
        }
    }
}

/// A stream of bzip2.
pub(crate) struct Bzip2(bzip2::Decompress);

impl Codec for Bzip2 {
    const NAME: &'static str = "bzip2";

    fn new() -> io::Result<Self> {
        Ok(Self(bzip2::Decompress::new(false)))
    }

    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        let decoder = &mut self.0;
        let before = (decoder.total_in(), decoder.total_out());
        let ended = match decoder.decompress(input, output) {
            Ok(bzip2::Status::MemNeeded) => Err(ErrorKind::OutOfMemory.into()),
            Ok(status) => Ok(status == bzip2::Status::StreamEnd),
            Err(error) => Err(damage(error)),
        };
        step(before, (decoder.total_in(), decoder.total_out()), ended)
    }
}

/// A stream of xz.
pub(crate) struct Xz(liblzma::stream::Stream);

impl Codec for Xz {
    const NAME: &'static str = "xz";

    fn new() -> io::Result<Self> {
        let decoder = liblzma::stream::Stream::new_stream_decoder(MOST_MEMORY, 0)?;
        Ok(Self(decoder))
    }

    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        let decoder = &mut self.0;
        let before = (decoder.total_in(), decoder.total_out());
        let ended = match decoder.process(input, output, Action::Run) {
            Ok(status) => Ok(status == liblzma::stream::Status::StreamEnd),
            Err(liblzma::stream::Error::MemLimit) => {
                Err(damage("it asks for more than 2 GiB of memory to be read"))
            }
            Err(error) => Err(damage(error)),
        };
        step(before, (decoder.total_in(), decoder.total_out()), ended)
    }
}
