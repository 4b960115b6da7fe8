//! The formats of tensors in GGUF files, by ggml's numbers.

use std::io::{Read, Seek, SeekFrom};

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Result, Tensor, bail};
use half::f16;

use super::header::Place;

/// Formats that candle unpacks.
const BY_CANDLE: [(u32, GgmlDType); 15] = [
    (0, GgmlDType::F32),
    (1, GgmlDType::F16),
    (2, GgmlDType::Q4_0),
    (3, GgmlDType::Q4_1),
    (6, GgmlDType::Q5_0),
    (7, GgmlDType::Q5_1),
    (8, GgmlDType::Q8_0),
    (9, GgmlDType::Q8_1),
    (10, GgmlDType::Q2K),
    (11, GgmlDType::Q3K),
    (12, GgmlDType::Q4K),
    (13, GgmlDType::Q5K),
    (14, GgmlDType::Q6K),
    (15, GgmlDType::Q8K),
    (30, GgmlDType::BF16),
];

const IQ4_NL: u32 = 20;
const IQ4_XS: u32 = 23;

/// Those that are read, in words.
const READ: &str = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K, Q8_K, IQ4_NL and IQ4_XS";

/// ggml's formats that are not read, by their numbers.
const NOT_READ: [(u32, &str); 17] = [
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

/// Why a tensor in this format cannot be read, if it cannot.
pub(super) fn refusal(format: u32) -> Option<String> {
    let by_candle = BY_CANDLE.iter().any(|(number, _)| *number == format);
    if by_candle || format == IQ4_NL || format == IQ4_XS {
        return None;
    }
    let name = NOT_READ.iter().find(|(number, _)| *number == format);
    let name = name.map_or(format!("number {format}"), |(_, name)| (*name).to_string());
    Some(format!(
        "in the format {name}, which cannot be unpacked here: take a file in one of {READ}, such as one named Q4_K_M or Q8_0"
    ))
}

/// A tensor as the file has it; in a format of the same values where candle does not know the file's.
pub(super) fn read(place: &Place, data: u64, reader: &mut (impl Read + Seek)) -> Result<QTensor> {
    let shape = place.dims.as_slice();
    match (
        place.format,
        BY_CANDLE.iter().find(|(number, _)| *number == place.format),
    ) {
        (IQ4_NL, _) => {
            let blocks = bytes(place, data, reader, (32, 18))?;
            packed(
                blocks.chunks_exact(18).flat_map(iq4_nl_as_q8_0).collect(),
                GgmlDType::Q8_0,
                shape,
            )
        }
        (IQ4_XS, _) => {
            let blocks = bytes(place, data, reader, (256, 136))?;
            let mut values = Vec::with_capacity(blocks.len() / 136 * 256);
            blocks
                .chunks_exact(136)
                .for_each(|block| iq4_xs(block, &mut values));
            let values = Tensor::from_vec(values, shape, &Device::Cpu)?;
            QTensor::quantize(&values, GgmlDType::F32)
        }
        (_, Some((_, dtype))) => packed(
            bytes(place, data, reader, (dtype.block_size(), dtype.type_size()))?,
            *dtype,
            shape,
        ),
        (format, None) => bail!("format {format} is not read"),
    }
}

/// The bytes of a tensor in blocks of so many values and bytes.
fn bytes(
    place: &Place,
    data: u64,
    reader: &mut (impl Read + Seek),
    (values, size): (usize, usize),
) -> Result<Vec<u8>> {
    if !place.dims.last().unwrap_or(&0).is_multiple_of(values) {
        bail!("rows of {:?} values in blocks of {values}", place.dims.last());
    }
    let begin = data.saturating_add(place.offset);
    let blocks = place.dims.iter().product::<usize>() / values;
    let size = blocks.saturating_mul(size);
    let end = reader.seek(SeekFrom::End(0))?;
    if end.saturating_sub(begin) < size as u64 {
        bail!("it takes {size} bytes from byte {begin} on, and the file ends at {end}");
    }
    let mut bytes = vec![0; size];
    reader.seek(SeekFrom::Start(begin))?;
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn packed(data: Vec<u8>, dtype: GgmlDType, shape: &[usize]) -> Result<QTensor> {
    QTensor::new(QStorage::from_data(data.into(), &Device::Cpu, dtype)?, shape)
}

/// What the sixteen codes of the IQ4 formats stand for.
const CODES: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// The values of sixteen bytes of codes: those of the lower halves, then those of the upper ones.
fn codes(bytes: &[u8]) -> impl Iterator<Item = i8> + '_ {
    let lower = bytes.iter().map(|byte| CODES[usize::from(byte & 15)]);
    lower.chain(bytes.iter().map(|byte| CODES[usize::from(byte >> 4)]))
}

/// A block of 32 values is a scale and codes, so with the codes written out it is a block of Q8_0.
fn iq4_nl_as_q8_0(block: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let (scale, halves) = block.split_at(2);
    scale.iter().copied().chain(codes(halves).map(|code| code as u8))
}

/// A block of 256 values: a scale; two upper bits of each of eight factors; their four lower bits; the codes.
fn iq4_xs(block: &[u8], values: &mut Vec<f32>) {
    let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
    let upper = u16::from_le_bytes([block[2], block[3]]);
    let (lower, halves) = block[4..].split_at(4);
    for (i, halves) in halves.chunks_exact(16).enumerate() {
        let lower = lower[i / 2] >> (4 * (i % 2)) & 15;
        let upper = (upper >> (2 * i) & 3) as u8;
        let scale = scale * f32::from((lower | upper << 4) as i8 - 32);
        values.extend(codes(halves).map(|code| scale * f32::from(code)));
    }
}
