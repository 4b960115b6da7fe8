//! What numbers are stored in: as f32 for whoever computes or compares, and an update added with one rounding.

use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype;

use crate::op::vectorised;

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

    /// Gives little-endian numbers of this type as little-endian f32, piece by piece.
    pub(super) fn as_f32(self, stored: &[u8], take: &mut dyn FnMut(&[u8])) {
        match self {
            Element::F32 => take(stored),
            Element::F64 => convert(stored, take, |b| f64::from_le_bytes(b) as f32),
            Element::Bf16 => convert(stored, take, |b| bf16::from_le_bytes(b).to_f32()),
            Element::F16 => convert(stored, take, |b| f16::from_le_bytes(b).to_f32()),
        }
    }

    /// f32 in this type, each rounded to the nearest number there is, the even one of two.
    pub(super) fn of_f32(self, values: &[f32], bytes: &mut Vec<u8>) -> Rounding {
        // To −0 anything can be added and stays what it is, zeros of both signs among it.
        let mut zero = vec![0; self.bytes()];
        zero[self.bytes() - 1] = 0x80;
        self.plus(&zero.repeat(values.len()), values, bytes)
    }

    /// Stored numbers plus an update, in f32 (f64 where they are stored so), each sum rounded once, to the nearest number there is; they
    /// take the place of `bytes`.
    pub(super) fn plus(self, stored: &[u8], update: &[f32], bytes: &mut Vec<u8>) -> Rounding {
        match self {
            Element::F64 => add(stored, update, bytes, |b, update| {
                let sum = f64::from_le_bytes(b) + f64::from(update);
                (sum.to_le_bytes(), 0.0, sum.is_finite())
            }),
            Element::F32 => add(stored, update, bytes, |b, update| {
                let sum = f32::from_le_bytes(b) + update;
                (sum.to_le_bytes(), 0.0, sum.is_finite())
            }),
            Element::Bf16 => add(stored, update, bytes, |b, update| {
                let sum = f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16) + update;
                // To the nearest, halves to even, without a branch; what it makes of numbers that are none is never used.
                let bits = sum.to_bits();
                let rounded = (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16;
                let back = f32::from_bits(u32::from(rounded) << 16);
                // Two numbers as near as these differ by whole steps of the smaller one's last place, which f32 holds exactly.
                (
                    rounded.to_le_bytes(),
                    back - sum,
                    sum.is_finite() & back.is_finite(),
                )
            }),
            Element::F16 => add(stored, update, bytes, |b, update| {
                let sum = f16::from_le_bytes(b).to_f32() + update;
                let rounded = f16::from_f32(sum);
                (rounded.to_le_bytes(), rounded.to_f32() - sum, rounded.is_finite())
            }),
        }
    }
}

/// What came of numbers that were added up and rounded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rounding {
    /// The squares of what rounding to 16 bits changed, summed.
    pub off: f64,
    /// Whether all of them are finite.
    pub finite: bool,
}

fn convert<const FROM: usize>(stored: &[u8], take: &mut dyn FnMut(&[u8]), one: impl Fn([u8; FROM]) -> f32) {
    let mut made = vec![0; size_of::<f32>() * PIECE.min(stored.len() / FROM)];
    for stored in stored.chunks(FROM * PIECE) {
        let made = &mut made[..stored.len() / FROM * size_of::<f32>()];
        vectorised(
            #[inline(always)]
            || {
                let numbers = stored.as_chunks::<FROM>().0;
                for (made, stored) in made.as_chunks_mut().0.iter_mut().zip(numbers) {
                    *made = one(*stored).to_le_bytes();
                }
            },
        );
        take(made);
    }
}

/// Sums that are kept beside each other, so that several numbers are added at a time.
const LANES: usize = 8;

fn add<const N: usize>(
    stored: &[u8],
    update: &[f32],
    bytes: &mut Vec<u8>,
    one: impl Fn([u8; N], f32) -> ([u8; N], f32, bool) + Sync,
) -> Rounding {
    // What was there before is written over, and only what is missing is made.
    bytes.resize(stored.len(), 0);
    let pieces = bytes
        .par_chunks_mut(N * PIECE)
        .zip(stored.par_chunks(N * PIECE))
        .zip(update.par_chunks(PIECE));
    let pieces = pieces.map(|((made, stored), update)| {
        vectorised(
            #[inline(always)]
            || {
                let (mut squares, mut finite) = ([0f64; LANES], true);
                let (made, made_rest) = made.as_chunks_mut::<N>().0.as_chunks_mut::<LANES>();
                let (stored, stored_rest) = stored.as_chunks::<N>().0.as_chunks::<LANES>();
                let (update, update_rest) = update.as_chunks::<LANES>();
                for ((made, stored), update) in made.iter_mut().zip(stored).zip(update) {
                    for lane in 0..LANES {
                        let (sum, off, is_finite) = one(stored[lane], update[lane]);
                        made[lane] = sum;
                        squares[lane] += f64::from(off) * f64::from(off);
                        finite &= is_finite;
                    }
                }
                for ((made, stored), update) in made_rest.iter_mut().zip(stored_rest).zip(update_rest) {
                    let (sum, off, is_finite) = one(*stored, *update);
                    *made = sum;
                    squares[0] += f64::from(off) * f64::from(off);
                    finite &= is_finite;
                }
                (squares.iter().sum::<f64>(), finite)
            },
        )
    });
    // Piece by piece, so that the sum does not depend on the number of threads.
    let pieces: Vec<(f64, bool)> = pieces.collect();
    Rounding {
        off: pieces.iter().map(|(squares, _)| squares).sum(),
        finite: pieces.iter().all(|(_, finite)| *finite),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers as they were made, and what came of it.
    struct Sum {
        bytes: Vec<u8>,
        off: f64,
        finite: bool,
    }

    impl Sum {
        fn of(make: impl FnOnce(&mut Vec<u8>) -> Rounding) -> Self {
            let mut bytes = vec![7; 3];
            let Rounding { off, finite } = make(&mut bytes);
            Sum { bytes, off, finite }
        }
    }

    fn of_f32(element: Element, values: &[f32]) -> Sum {
        Sum::of(|bytes| element.of_f32(values, bytes))
    }

    fn plus(element: Element, stored: &[u8], update: &[f32]) -> Sum {
        Sum::of(|bytes| element.plus(stored, update, bytes))
    }

    fn as_f32(element: Element, stored: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        element.as_f32(stored, &mut |piece| all.extend_from_slice(piece));
        all
    }

    fn bits(sum: &Sum) -> Vec<u16> {
        let words = sum.bytes.as_chunks::<2>().0;
        words.iter().map(|word| u16::from_le_bytes(*word)).collect()
    }

    #[test]
    fn halves_go_to_the_even_neighbour() {
        // Between 1 and 2 bf16 has steps of 2⁻⁷ and f16 of 2⁻¹⁰: halves of a step, and a little more than half.
        for (element, step) in [(Element::Bf16, 2f32.powi(-7)), (Element::F16, 2f32.powi(-10))] {
            let updates = [0.5 * step, 1.5 * step, 0.5 * step + step / 64.0, -0.25 * step];
            let ones = of_f32(element, &[1.0; 4]);
            let sum = plus(element, &ones.bytes, &updates);
            let one = bits(&ones)[0];
            assert_eq!(bits(&sum), [one, one + 2, one + 1, one], "{}", element.name());
            let off = [0.5, 0.5, 0.5 - 1.0 / 64.0, 0.25].map(|share| (share * f64::from(step)).powi(2));
            assert!((sum.off / off.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn a_sum_is_rounded_once() {
        // 2⁸ + 1 is no bf16, and lies in the middle of two of them: a little more goes up, where the update rounded first would not.
        let base = of_f32(Element::Bf16, &[256.0]);
        let sum = plus(Element::Bf16, &base.bytes, &[1.0 + 2f32.powi(-9)]);
        assert_eq!(as_f32(Element::Bf16, &sum.bytes), 258f32.to_le_bytes());
    }

    #[test]
    fn wide_numbers_keep_what_they_are() {
        let values = [0.1f32, -3.5, 1e-30];
        let stored: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let sum = plus(Element::F32, &stored, &[1.0, 0.25, 0.0]);
        let expected: Vec<u8> = [1.1f32, -3.25, 1e-30]
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        assert_eq!((sum.bytes, sum.off), (expected, 0.0));
        assert_eq!(
            of_f32(Element::F32, &[0.0, -0.0]).bytes,
            [0, 0, 0, 0, 0, 0, 0, 0x80]
        );
        let wide = of_f32(Element::F64, &values);
        assert_eq!(as_f32(Element::F64, &wide.bytes), stored);
    }

    #[test]
    fn numbers_beyond_a_type_are_seen() {
        let base = of_f32(Element::F16, &[65_504.0]);
        assert!(base.finite);
        assert!(!plus(Element::F16, &base.bytes, &[65_504.0]).finite);
        assert!(
            plus(
                Element::Bf16,
                &of_f32(Element::Bf16, &[65_504.0]).bytes,
                &[65_504.0]
            )
            .finite
        );
    }
}
