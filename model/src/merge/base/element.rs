//! What numbers are stored in: as f32 for whoever computes or compares, and an update added with one rounding.

use std::borrow::Cow;

use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype;

/// Numbers that a thread converts at a time.
const PIECE: usize = 1 << 14;

/// What the numbers of a tensor are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// 64 bits.
    F64,
    /// 32 bits.
    F32,
    /// 16 bits, the upper half of f32.
    Bf16,
    /// 16 bits of IEEE 754, up to 65,504.
    F16,
}

impl Element {
    /// Of a file's type; none for whole numbers and quantised ones.
    pub fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F64 => Some(Element::F64),
            Dtype::F32 => Some(Element::F32),
            Dtype::BF16 => Some(Element::Bf16),
            Dtype::F16 => Some(Element::F16),
            _ => None,
        }
    }

    /// As safetensors has it.
    pub fn dtype(self) -> Dtype {
        match self {
            Element::F64 => Dtype::F64,
            Element::F32 => Dtype::F32,
            Element::Bf16 => Dtype::BF16,
            Element::F16 => Dtype::F16,
        }
    }

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Element::F64 => "f64",
            Element::F32 => "f32",
            Element::Bf16 => "bf16",
            Element::F16 => "f16",
        }
    }

    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Element::F64 => 8,
            Element::F32 => 4,
            Element::Bf16 | Element::F16 => 2,
        }
    }

    /// Little-endian numbers of this type as little-endian f32.
    pub(super) fn as_f32(self, stored: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Element::F32 => Cow::Borrowed(stored),
            Element::F64 => convert(stored, |b| (f64::from_le_bytes(b) as f32).to_le_bytes()).into(),
            Element::Bf16 => convert(stored, |b| bf16::from_le_bytes(b).to_f32().to_le_bytes()).into(),
            Element::F16 => convert(stored, |b| f16::from_le_bytes(b).to_f32().to_le_bytes()).into(),
        }
    }

    /// f32 in this type, each rounded to the nearest number there is, the even one of two.
    pub(super) fn of_f32(self, values: &[f32]) -> Sum {
        // To −0 anything can be added and stays what it is, zeros of both signs among it.
        let mut zero = vec![0; self.bytes()];
        zero[self.bytes() - 1] = 0x80;
        self.plus(&zero.repeat(values.len()), values)
    }

    /// Stored numbers plus an update, in f32 (f64 where they are stored so), each sum rounded once, to the nearest number there is.
    pub(super) fn plus(self, stored: &[u8], update: &[f32]) -> Sum {
        match self {
            Element::F64 => add(stored, update, |b, update| {
                let sum = f64::from_le_bytes(b) + f64::from(update);
                (sum.to_le_bytes(), 0.0, sum.is_finite())
            }),
            Element::F32 => add(stored, update, |b, update| {
                let sum = f32::from_le_bytes(b) + update;
                (sum.to_le_bytes(), 0.0, sum.is_finite())
            }),
            Element::Bf16 => add(stored, update, |b, update| {
                let sum = f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16) + update;
                // To the nearest, halves to even, without a branch; what it makes of numbers that are none is never used.
                let bits = sum.to_bits();
                let rounded = (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16;
                let back = f32::from_bits(u32::from(rounded) << 16);
                // Two numbers as near as these differ by whole steps of the smaller one's last place, which f32 holds exactly.
                let off = f64::from(back - sum);
                (rounded.to_le_bytes(), off, sum.is_finite() & back.is_finite())
            }),
            Element::F16 => add(stored, update, |b, update| {
                let sum = f16::from_le_bytes(b).to_f32() + update;
                let rounded = f16::from_f32(sum);
                let off = f64::from(rounded.to_f32()) - f64::from(sum);
                (rounded.to_le_bytes(), off, rounded.is_finite())
            }),
        }
    }
}

/// Numbers that were added up and rounded.
pub(super) struct Sum {
    /// Little-endian, in the type that they are stored in.
    pub bytes: Vec<u8>,
    /// The squares of what rounding to 16 bits changed, summed.
    pub off: f64,
    /// Whether all of them are finite.
    pub finite: bool,
}

fn convert<const FROM: usize, const TO: usize>(
    stored: &[u8],
    one: impl Fn([u8; FROM]) -> [u8; TO] + Sync,
) -> Vec<u8> {
    let mut made = vec![0; stored.len() / FROM * TO];
    let pieces = made
        .par_chunks_mut(TO * PIECE)
        .zip(stored.par_chunks(FROM * PIECE));
    pieces.for_each(|(made, stored)| {
        let made = made.as_chunks_mut::<TO>().0;
        for (made, stored) in made.iter_mut().zip(stored.as_chunks::<FROM>().0) {
            *made = one(*stored);
        }
    });
    made
}

fn add<const N: usize>(
    stored: &[u8],
    update: &[f32],
    one: impl Fn([u8; N], f32) -> ([u8; N], f64, bool) + Sync,
) -> Sum {
    let mut bytes = vec![0; stored.len()];
    let pieces = bytes
        .par_chunks_mut(N * PIECE)
        .zip(stored.par_chunks(N * PIECE))
        .zip(update.par_chunks(PIECE));
    let pieces = pieces.map(|((made, stored), update)| {
        let stored = stored.as_chunks::<N>().0;
        let (mut squares, mut finite) = (0.0, true);
        for ((made, stored), update) in made.as_chunks_mut::<N>().0.iter_mut().zip(stored).zip(update) {
            let (sum, off, is_finite) = one(*stored, *update);
            *made = sum;
            squares += off * off;
            finite &= is_finite;
        }
        (squares, finite)
    });
    // Piece by piece, so that the sum does not depend on the number of threads.
    let pieces: Vec<(f64, bool)> = pieces.collect();
    Sum {
        bytes,
        off: pieces.iter().map(|(squares, _)| squares).sum(),
        finite: pieces.iter().all(|(_, finite)| *finite),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(sum: &Sum) -> Vec<u16> {
        let words = sum.bytes.as_chunks::<2>().0;
        words.iter().map(|word| u16::from_le_bytes(*word)).collect()
    }

    #[test]
    fn halves_go_to_the_even_neighbour() {
        // Between 1 and 2 bf16 has steps of 2⁻⁷ and f16 of 2⁻¹⁰: halves of a step, and a little more than half.
        for (element, step) in [(Element::Bf16, 2f32.powi(-7)), (Element::F16, 2f32.powi(-10))] {
            let updates = [0.5 * step, 1.5 * step, 0.5 * step + step / 64.0, -0.25 * step];
            let ones = element.of_f32(&[1.0; 4]);
            let sum = element.plus(&ones.bytes, &updates);
            let one = bits(&ones)[0];
            assert_eq!(bits(&sum), [one, one + 2, one + 1, one], "{}", element.name());
            let off = [0.5, 0.5, 0.5 - 1.0 / 64.0, 0.25].map(|share| (share * f64::from(step)).powi(2));
            assert!((sum.off / off.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn a_sum_is_rounded_once() {
        // 2⁸ + 1 is no bf16, and lies in the middle of two of them: a little more goes up, where the update rounded first would not.
        let base = Element::Bf16.of_f32(&[256.0]);
        let sum = Element::Bf16.plus(&base.bytes, &[1.0 + 2f32.powi(-9)]);
        assert_eq!(
            f32::from_le_bytes(
                Element::Bf16.as_f32(&sum.bytes)[..4]
                    .try_into()
                    .unwrap_or_default()
            ),
            258.0
        );
    }

    #[test]
    fn wide_numbers_keep_what_they_are() {
        let values = [0.1f32, -3.5, 1e-30];
        let stored: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let sum = Element::F32.plus(&stored, &[1.0, 0.25, 0.0]);
        let expected: Vec<u8> = [1.1f32, -3.25, 1e-30]
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        assert_eq!((sum.bytes, sum.off), (expected, 0.0));
        assert_eq!(
            Element::F32.of_f32(&[0.0, -0.0]).bytes,
            [0, 0, 0, 0, 0, 0, 0, 0x80]
        );
        let wide = Element::F64.of_f32(&values);
        assert_eq!(Element::F64.as_f32(&wide.bytes), stored);
    }

    #[test]
    fn numbers_beyond_a_type_are_seen() {
        let base = Element::F16.of_f32(&[65_504.0]);
        assert!(base.finite);
        assert!(!Element::F16.plus(&base.bytes, &[65_504.0]).finite);
        assert!(
            Element::Bf16
                .plus(&Element::Bf16.of_f32(&[65_504.0]).bytes, &[65_504.0])
                .finite
        );
    }
}
