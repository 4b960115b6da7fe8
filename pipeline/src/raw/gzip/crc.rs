//! The checksum of gzip: CRC-32 with the reversed polynomial 0xedb88320.

pub(super) const POLYNOMIAL: u32 = 0xedb8_8320;

/// Bytes that the tables take at once.
const AT_ONCE: usize = 16;

/// `TABLES[k][byte]` is what `byte` comes to with `k` zero bytes behind it.
static TABLES: [[u32; 256]; AT_ONCE] = tables();

const fn tables() -> [[u32; 256]; AT_ONCE] {
    let mut tables = [[0; 256]; AT_ONCE];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = (value >> 1) ^ (POLYNOMIAL * (value & 1));
            bit += 1;
        }
        tables[0][byte] = value;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < AT_ONCE {
        let mut byte = 0;
        while byte < 256 {
            let value = tables[zeros - 1][byte];
            tables[zeros][byte] = value >> 8 ^ tables[0][(value & 0xff) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

/// The checksum of what came so far.
#[derive(Clone, Copy)]
pub(super) struct Crc(u32);

impl Default for Crc {
    fn default() -> Self {
        Crc(!0)
    }
}

impl Crc {
    pub fn value(self) -> u32 {
        !self.0
    }

    pub fn update(&mut self, bytes: &[u8]) {
        #[cfg(target_arch = "x86_64")]
        let (state, bytes) = super::folding::fold(self.0, bytes);
        #[cfg(not(target_arch = "x86_64"))]
        let state = self.0;
        self.0 = slow(state, bytes);
    }
}

/// The state after `bytes`, by tables.
pub(super) fn slow(mut state: u32, bytes: &[u8]) -> u32 {
    let (chunks, rest) = bytes.as_chunks::<AT_ONCE>();
    for chunk in chunks {
        let mut chunk = *chunk;
        for (byte, carried) in chunk.iter_mut().zip(state.to_le_bytes()) {
            *byte ^= carried;
        }
        let tables = TABLES.iter().rev().zip(chunk);
        state = tables.fold(0, |state, (table, byte)| state ^ table[usize::from(byte)]);
    }
    for &byte in rest {
        state = state >> 8 ^ TABLES[0][usize::from(state as u8 ^ byte)];
    }
    state
}
