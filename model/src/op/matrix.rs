//! A weight as it lies in memory: values, or packed into fewer bits and unpacked whenever it is needed.

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Result, Tensor};

/// A weight of any shape. Clones share what they hold.
#[derive(Clone, Debug)]
pub enum Matrix {
    /// Values, ready for use, and the only form that can be trained: in f32, or on a GPU in 16 bits too.
    Values(Tensor),
    /// Two to sixteen bits a value, in a block format of GGUF; frozen.
    Packed(Arc<QTensor>),
}

impl From<Tensor> for Matrix {
    fn from(values: Tensor) -> Self {
        Matrix::Values(values)
    }
}

impl Matrix {
    /// Packs values; the nearest that the format can say.
    ///
    /// # Errors
    /// A row whose length is no multiple of the format's block.
    pub fn pack(values: &Tensor, format: GgmlDType) -> Result<Self> {
        Ok(Matrix::Packed(Arc::new(QTensor::quantize(values, format)?)))
    }

    /// The shape.
    pub fn dims(&self) -> &[usize] {
        match self {
            Matrix::Values(tensor) => tensor.dims(),
            Matrix::Packed(packed) => packed.shape().dims(),
        }
    }

    /// Whether it is trained itself.
    pub fn is_variable(&self) -> bool {
        matches!(self, Matrix::Values(tensor) if tensor.is_variable())
    }

    /// The values in f32 in main memory; unpacked anew for every call where they are packed.
    pub fn values(&self) -> Result<Tensor> {
        match self {
            // Free for tensors read from a file; those made in memory may live elsewhere.
            Matrix::Values(tensor) => tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32),
            Matrix::Packed(packed) => packed.dequantize(&Device::Cpu),
        }
    }

    /// The same on a device: packed values stay as they are packed, those in 16 bits become plain ones, and plain ones in f32 take the
    /// type `dtype` of the arithmetic there.
    pub(crate) fn placed(&self, device: &Device, dtype: DType) -> Result<Self> {
        let packed = match self {
            Matrix::Values(tensor) => return Ok(tensor.to_device(device)?.to_dtype(dtype)?.into()),
            Matrix::Packed(packed) => packed,
        };
        let half = match packed.dtype() {
            _ if device.is_cpu() => None,
            GgmlDType::BF16 => Some(DType::BF16),
            GgmlDType::F16 => Some(DType::F16),
            _ => None,
        };
        match half {
            Some(half) => Ok(packed
                .dequantize(&Device::Cpu)?
                .to_dtype(half)?
                .to_device(device)?
                .into()),
            None if device.is_cpu() => Ok(self.clone()),
            None => {
                let storage = QStorage::from_data(packed.data()?, device, packed.dtype())?;
                Ok(Matrix::Packed(Arc::new(QTensor::new(
                    storage,
                    packed.shape().clone(),
                )?)))
            }
        }
    }

    /// The values on a device in a type, no part of any graph; unpacked anew for every call where they are packed.
    pub(crate) fn unpacked(&self, device: &Device, dtype: DType) -> Result<Tensor> {
        match self {
            Matrix::Values(tensor) => tensor.detach().to_device(device)?.to_dtype(dtype),
            Matrix::Packed(packed) => packed.dequantize(device)?.to_dtype(dtype),
        }
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        match self {
            Matrix::Values(tensor) => tensor.elem_count() * tensor.dtype().size_in_bytes(),
            Matrix::Packed(packed) => packed.storage_size_in_bytes(),
        }
    }
}
