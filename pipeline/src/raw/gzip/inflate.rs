//! Blocks of a member: stored bytes, or symbols under a code.

use std::io::{self, ErrorKind, Read};

use super::bits::Bits;
use super::codes::Codes;
use super::damage::Damage;
use super::entry::END;
use super::turns::{self, turns};

/// Bytes that may be written behind the place where a piece shall end.
pub(super) const SLACK: usize = turns::OUTPUT;

/// Where in a member it stands.
enum Stage {
    /// Before a block.
    Between,
    /// Within a block that holds bytes as they are, of which so many are left.
    Stored(usize),
    Symbols,
    /// Behind the last block.
    Ended,
}

/// Decodes the blocks of one member after another.
pub(super) struct Inflate {
    stage: Stage,
    /// Whether this block is the last one.
    last: bool,
    codes: Box<Codes>,
}

impl Inflate {
    pub fn new() -> Self {
        Inflate {
            stage: Stage::Between,
            last: false,
            codes: Codes::new(),
        }
    }

    /// Begins with a new member.
    pub fn begin(&mut self) {
        (self.stage, self.last) = (Stage::Between, false);
    }

    /// Decodes into `out` from `*to` on, until that is `stop` or more, or the member ends (then it is true). Repetitions reach back to
    /// `floor`, and behind `stop` there are [`SLACK`] bytes.
    pub fn decode<R: Read>(
        &mut self,
        bits: &mut Bits<R>,
        out: &mut [u8],
        to: &mut usize,
        stop: usize,
        floor: usize,
    ) -> io::Result<bool> {
        while *to < stop {
            let ended = match &mut self.stage {
                Stage::Between => {
                    self.stage = self.header(bits)?;
                    continue;
                }
                Stage::Stored(0) => true,
                Stage::Stored(left) => {
                    let bytes = bits.bytes()?;
                    if bytes.is_empty() {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                    let count = bytes.len().min(*left).min(stop - *to);
                    out[*to..*to + count].copy_from_slice(&bytes[..count]);
                    bits.at += count;
                    *left -= count;
                    *to += count;
                    *left == 0
                }
                Stage::Symbols => {
                    bits.read_ahead(turns::INPUT)?;
                    if bits.end - bits.at >= turns::INPUT {
                        turns(bits, &self.codes, out, to, stop, floor)?
                    } else {
                        self.single(bits, out, to, floor)?
                    }
                }
                Stage::Ended => return Ok(true),
            };
            if ended {
                self.stage = if self.last { Stage::Ended } else { Stage::Between };
            }
        }
        Ok(false)
    }

    fn header<R: Read>(&mut self, bits: &mut Bits<R>) -> io::Result<Stage> {
        self.last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => {
                bits.align();
                let mut word = || Ok::<_, io::Error>(u16::from_le_bytes([bits.byte()?, bits.byte()?]));
                let (length, repeated) = (word()?, word()?);
                if length != !repeated {
                    return Err(Damage::StoredLength.into());
                }
                return Ok(Stage::Stored(length.into()));
            }
            1 => self.codes.set_fixed()?,
            2 => self.codes.read(bits)?,
            _ => return Err(Damage::Block.into()),
        }
        Ok(Stage::Symbols)
    }

    /// One symbol at the end of the input, where bits are counted; true if it is the block's last.
    fn single<R: Read>(
        &self,
        bits: &mut Bits<R>,
        out: &mut [u8],
        to: &mut usize,
        floor: usize,
    ) -> io::Result<bool> {
        let symbol = self.codes.symbol(bits)?;
        if let Ok(byte) = u8::try_from(symbol) {
            out[*to] = byte;
            *to += 1;
            return Ok(false);
        }
        if symbol == END {
            return Ok(true);
        }
        let length = self.codes.length(symbol, bits)?;
        let distance = self.codes.distance(bits)?;
        if distance > *to - floor {
            return Err(Damage::Distance.into());
        }
        for at in *to..*to + length {
            out[at] = out[at - distance];
        }
        *to += length;
        Ok(false)
    }
}
