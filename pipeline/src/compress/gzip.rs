//! Members of gzip files (RFC 1952): what stands around the blocks, which zlib-rs decodes.
//!
//! zlib-rs could read all of a member. Its checksum costs it half as much again as the blocks do, that of crc32fast next to nothing.

use std::io;

use super::codec::{Codec, Step, damage, inflate};

/// Bytes of a header that are looked at together; most are shorter.
const PIECE: usize = 512;

/// The longest header, with the names and comments in it.
const MOST_HEADER: usize = 1 << 20;

/// Flags of a header: fields that follow.
const CHECKSUM: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 7 << 5;

/// A member.
pub(crate) struct Gzip {
    blocks: flate2::Decompress,
    crc: crc32fast::Hasher,
    /// Bytes of content, of which gzip keeps 32 bits.
    length: u32,
    place: Place,
}

/// Where in a member it stands, with what was read of that part.
enum Place {
    Header(Vec<u8>),
    Blocks,
    Trailer([u8; 8], usize),
}

impl Codec for Gzip {
    const NAME: &'static str = "gzip";

    fn new() -> io::Result<Self> {
        Ok(Gzip {
            blocks: flate2::Decompress::new(false),
            crc: crc32fast::Hasher::new(),
            length: 0,
            place: Place::Header(Vec::new()),
        })
    }

    fn again(&mut self) -> io::Result<()> {
        self.blocks.reset(false);
        self.crc.reset();
        (self.length, self.place) = (0, Place::Header(Vec::new()));
        Ok(())
    }

    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        match &mut self.place {
            Place::Header(read) => {
                let before = read.len();
                read.extend_from_slice(&input[..input.len().min(PIECE)]);
                let (taken, fault) = match header(read) {
                    Ok(Some(length)) => {
                        self.place = Place::Blocks;
                        (length - before, Ok(false))
                    }
                    Ok(None) if read.len() > MOST_HEADER => (0, Err(damage("a gzip header without end"))),
                    Ok(None) => (read.len() - before, Ok(false)),
                    Err(what) => (0, Err(damage(what))),
                };
                Step {
                    taken,
                    given: 0,
                    ended: fault,
                }
            }
            Place::Blocks => {
                let mut step = inflate(&mut self.blocks, input, output);
                self.crc.update(&output[..step.given]);
                self.length = self.length.wrapping_add(step.given as u32);
                if matches!(step.ended, Ok(true)) {
                    self.place = Place::Trailer([0; 8], 0);
                    step.ended = Ok(false);
                }
                step
            }
            Place::Trailer(noted, read) => {
                let taken = input.len().min(noted.len() - *read);
                noted[*read..*read + taken].copy_from_slice(&input[..taken]);
                *read += taken;
                let ended = if *read < noted.len() {
                    Ok(false)
                } else {
                    trailer(*noted, self.crc.clone().finalize(), self.length)
                };
                Step {
                    taken,
                    given: 0,
                    ended,
                }
            }
        }
    }
}

/// The length of the header that `bytes` begin with; none where it goes on.
fn header(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    // What is no gzip at all may also be short.
    if bytes
        .iter()
        .zip([0x1f, 0x8b, 8])
        .any(|(found, magic)| *found != magic)
    {
        return Err("no gzip header");
    }
    let Some(flags) = bytes.get(3) else {
        return Ok(None);
    };
    if flags & RESERVED != 0 {
        return Err("a gzip header of a kind that there is not");
    }
    let mut at = 10;
    if flags & EXTRA != 0 {
        let Some(length) = bytes.get(at..at + 2) else {
            return Ok(None);
        };
        at += 2 + usize::from(u16::from_le_bytes([length[0], length[1]]));
    }
    for field in [NAME, COMMENT] {
        if flags & field != 0 {
            let end = bytes.get(at..).and_then(|rest| memchr::memchr(0, rest));
            let Some(end) = end else { return Ok(None) };
            at += end + 1;
        }
    }
    if flags & CHECKSUM != 0 {
        let (Some(header), Some(noted)) = (bytes.get(..at), bytes.get(at..at + 2)) else {
            return Ok(None);
        };
        if crc32fast::hash(header) as u16 != u16::from_le_bytes([noted[0], noted[1]]) {
            return Err("a gzip header that differs from its checksum");
        }
        at += 2;
    }
    Ok((at <= bytes.len()).then_some(at))
}

/// Compares the end of a member with what its content comes to.
fn trailer(noted: [u8; 8], crc: u32, length: u32) -> io::Result<bool> {
    let [c0, c1, c2, c3, l0, l1, l2, l3] = noted;
    if u32::from_le_bytes([c0, c1, c2, c3]) != crc {
        return Err(damage("content that differs from its checksum"));
    }
    if u32::from_le_bytes([l0, l1, l2, l3]) != length {
        return Err(damage("content of another length than noted"));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Read;

    use super::super::Compression;
    use super::*;

    /// A member with all that its header may hold, of which `extra` bytes without meaning.
    fn full(extra: u16) -> (Vec<u8>, usize) {
        let flags = CHECKSUM | EXTRA | NAME | COMMENT;
        let mut member = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255];
        member.extend(extra.to_le_bytes());
        member.extend(std::iter::repeat_n(7, usize::from(extra)));
        member.extend(b"name\0comment\0");
        let crc = crc32fast::hash(&member) as u16;
        member.extend(crc.to_le_bytes());
        let header = member.len();
        // A block that is stored.
        member.extend([1, 2, 0, 0xfd, 0xff]);
        member.extend(b"hi");
        member.extend(crc32fast::hash(b"hi").to_le_bytes());
        member.extend(2_u32.to_le_bytes());
        (member, header)
    }

    /// A byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let room = buffer.len().min(1);
            self.0.read(&mut buffer[..room])
        }
    }

    fn read(stored: &[u8]) -> io::Result<Vec<u8>> {
        let mut found = Vec::new();
        super::super::Decoder::<_, Gzip>::new(Slow(stored))?.read_to_end(&mut found)?;
        Ok(found)
    }

    #[test]
    fn every_field_of_a_header_is_passed_over_however_it_comes() {
        for extra in [0, 5, 600, u16::MAX] {
            let (member, _) = full(extra);
            assert_eq!(read(&member).unwrap(), b"hi");
            assert_eq!(read(&[&member[..], &member].concat()).unwrap(), b"hihi");
            let mut found = Vec::new();
            let mut whole = Compression::Gzip.reader(io::Cursor::new(member)).unwrap();
            whole.read_to_end(&mut found).unwrap();
            assert_eq!(found, b"hi");
        }
    }

    #[test]
    fn a_change_anywhere_is_damage_and_a_cut_anywhere_an_early_end() {
        let (member, header) = full(5);
        for at in 0..member.len() {
            let mut changed = member.clone();
            // Behind the kind of the block are bits without meaning.
            changed[at] ^= if at == header { 2 } else { 0x20 };
            assert!(read(&changed).is_err(), "{at} of a header of {header}");
            let cut = read(&member[..at]).unwrap_err();
            assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof, "cut at {at}");
        }
    }
}
