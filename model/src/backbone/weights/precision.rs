//! How the projections of a frozen base lie in memory.

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::backbone::decoder::PROJECTIONS;
use crate::op::Matrix;

/// What the projections of a base are kept in; everything else, a small part of a large model, is always f32.
///
/// Arithmetic is in f32 (on a GPU also in bf16, see [`crate::device::Arithmetic`]): packed projections are unpacked block by block when they are needed, in training (as in QLoRA, Dettmers et
/// al. 2023, but with GGUF's formats) and in ranking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32 bits a value.
    #[default]
    F32,
    /// As the file has them: f32, bf16, f16, or any of GGUF's quantisations.
    AsStored,
    /// 16 bits: the first half of f32.
    Bf16,
    /// 8.5 bits: GGUF's Q8_0.
    Q8,
    /// 5 bits: GGUF's Q4_1.
    Q4,
}

impl Precision {
    /// The names, as in TOML and on the command line.
    pub const NAMES: [&'static str; 5] = ["f32", "as-stored", "bf16", "q8", "q4"];

    /// A tensor of a file, as it is to be kept.
    pub(super) fn keep(self, name: &str, tensor: Tensor) -> Result<Matrix> {
        let format = match self {
            _ if !is_projection(name) => None,
            Precision::F32 => None,
            Precision::AsStored => match tensor.dtype() {
                DType::BF16 => Some(GgmlDType::BF16),
                DType::F16 => Some(GgmlDType::F16),
                _ => None,
            },
            Precision::Bf16 => Some(GgmlDType::BF16),
            Precision::Q8 => Some(GgmlDType::Q8_0),
            Precision::Q4 => Some(GgmlDType::Q4_1),
        };
        let values = tensor.to_dtype(DType::F32)?;
        Ok(match format {
            None => values.into(),
            Some(format) => Matrix::pack(&values, format)?,
        })
    }
}

/// Whether a tensor is a projection's weight.
pub(crate) fn is_projection(name: &str) -> bool {
    let module = name.strip_suffix(".weight");
    module.is_some_and(|module| PROJECTIONS.iter().any(|projection| module.ends_with(projection)))
}
