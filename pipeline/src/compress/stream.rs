//! One stream after another, out of a reader.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use super::codec::Codec;

/// Bytes read at once of what is stored.
const BUFFER: usize = 256 * 1024;

/// Reads what a compressed file holds. What was decoded before damage is given first, then the error.
pub(crate) struct Decoder<R, C> {
    input: BufReader<R>,
    codec: C,
    place: Place,
    /// Damage that comes after what was given last.
    damage: Option<io::Error>,
}

/// Where in the file it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the beginning of the file.
    Begin,
    /// At the beginning of another stream, of which nothing was decoded yet.
    Next,
    Within,
    /// Behind a stream.
    Between,
    /// Behind all, or behind damage.
    End,
}

impl<R: Read, C: Codec> Decoder<R, C> {
    pub fn new(input: R) -> io::Result<Self> {
        Ok(Decoder {
            input: BufReader::with_capacity(BUFFER, input),
            codec: C::new()?,
            place: Place::Begin,
            damage: None,
        })
    }

    /// Goes behind zeros, to the next stream or to the end.
    fn pass(&mut self) -> io::Result<()> {
        let stored = self.input.fill_buf()?;
        if stored.is_empty() || !C::MANY {
            self.place = Place::End;
            return Ok(());
        }
        let zeros = stored.iter().take_while(|byte| **byte == 0).count();
        if zeros == 0 {
            self.codec.again()?;
            self.place = Place::Next;
        }
        self.input.consume(zeros);
        Ok(())
    }

    /// Decodes some bytes; how many, which may be none before the end.
    fn step(&mut self, output: &mut [u8]) -> io::Result<usize> {
        let stored = self.input.fill_buf()?;
        let dry = stored.is_empty();
        let step = self.codec.run(stored, output);
        self.input.consume(step.taken);
        let fault = match step.ended {
            Ok(true) => {
                self.place = Place::Between;
                return Ok(step.given);
            }
            Ok(false) if step.taken > 0 || step.given > 0 => None,
            Ok(false) if dry => Some(ErrorKind::UnexpectedEof.into()),
            // No library does that; a loop without end would be worse.
            Ok(false) => Some(io::Error::new(
                ErrorKind::InvalidData,
                "nothing comes of what is stored",
            )),
            Err(error) if self.place == Place::Next && step.given == 0 => Some(io::Error::new(
                ErrorKind::InvalidData,
                format!("what follows the end of its content is no {}: {error}", C::NAME),
            )),
            Err(error) => Some(error),
        };
        if step.given > 0 {
            self.place = Place::Within;
        }
        if let Some(fault) = fault {
            self.place = Place::End;
            self.damage = Some(fault);
        }
        Ok(step.given)
    }
}

impl<R: Read, C: Codec> Read for Decoder<R, C> {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        if output.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(damage) = self.damage.take() {
                return Err(damage);
            }
            match self.place {
                Place::End => return Ok(0),
                Place::Between => self.pass()?,
                Place::Begin | Place::Next | Place::Within => match self.step(output)? {
                    0 => {}
                    given => return Ok(given),
                },
            }
        }
    }
}
