//! What stands around the blocks of a member: its header, and its checksum and length.

use std::io::{self, Read};

use super::bits::Bits;
use super::crc::Crc;
use super::damage::Damage;

/// Flags of a header: fields that follow.
const CHECKSUM: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 7 << 5;

/// Passes over a header (RFC 1952). The bits must be aligned.
pub(super) fn header<R: Read>(bits: &mut Bits<R>) -> io::Result<()> {
    let mut header = Header {
        bits,
        crc: Crc::default(),
    };
    // One by one: what is no gzip at all may also be short.
    for byte in [0x1f, 0x8b, 8] {
        if header.next()? != [byte] {
            return Err(Damage::Header.into());
        }
    }
    let [flags, ..]: [u8; 7] = header.next()?;
    if flags & RESERVED != 0 {
        return Err(Damage::Header.into());
    }
    if flags & EXTRA != 0 {
        for _ in 0..u16::from_le_bytes(header.next()?) {
            header.next::<1>()?;
        }
    }
    for field in [NAME, COMMENT] {
        if flags & field != 0 {
            while header.next()? != [0] {}
        }
    }
    if flags & CHECKSUM != 0 {
        let found = header.crc.value() as u16;
        if u16::from_le_bytes(header.next()?) != found {
            return Err(Damage::HeaderChecksum.into());
        }
    }
    Ok(())
}

struct Header<'a, R> {
    bits: &'a mut Bits<R>,
    crc: Crc,
}

impl<R: Read> Header<'_, R> {
    fn next<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let bytes = bytes(self.bits)?;
        self.crc.update(&bytes);
        Ok(bytes)
    }
}

/// Compares the end of a member with what its content comes to.
pub(super) fn trailer<R: Read>(bits: &mut Bits<R>, crc: &Crc, length: u32) -> io::Result<()> {
    bits.align();
    let noted = u32::from_le_bytes(bytes(bits)?);
    let noted_length = u32::from_le_bytes(bytes(bits)?);
    if noted != crc.value() {
        return Err(Damage::Checksum.into());
    }
    if noted_length != length {
        return Err(Damage::Length.into());
    }
    Ok(())
}

fn bytes<R: Read, const N: usize>(bits: &mut Bits<R>) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    for byte in &mut bytes {
        *byte = bits.byte()?;
    }
    Ok(bytes)
}
