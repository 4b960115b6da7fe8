//! Access to the f32 values behind candle's tensors.

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

/// The values of an operand of a custom operation: contiguous f32 in main memory.
pub(crate) fn operand<'a>(storage: &'a CpuStorage, layout: &Layout, op: &'static str) -> Result<&'a [f32]> {
    let values = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => bail!(
            "{op}: the operand of shape {:?} is not contiguous",
            layout.shape()
        ),
    }
}

/// Runs `f` on the values of a contiguous f32 tensor in main memory, without copying them.
pub(crate) fn with_values<R>(
    tensor: &Tensor,
    op: &'static str,
    f: impl FnOnce(&[f32]) -> Result<R>,
) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(cpu) => f(operand(cpu, layout, op)?),
        _ => bail!("{op}: only tensors in main memory are supported"),
    }
}

/// As [`with_values`], for several tensors.
pub(crate) fn with_all_values<R, const N: usize>(
    tensors: [&Tensor; N],
    op: &'static str,
    f: impl FnOnce([&[f32]; N]) -> Result<R>,
) -> Result<R> {
    let held = tensors.map(Tensor::storage_and_layout);
    let mut values: [&[f32]; N] = [&[]; N];
    for ((storage, layout), values) in held.iter().zip(&mut values) {
        *values = match &**storage {
            Storage::Cpu(cpu) => operand(cpu, layout, op)?,
            _ => bail!("{op}: only tensors in main memory are supported"),
        };
    }
    f(values)
}

/// As [`with_values`], for however many tensors there are.
pub(crate) fn with_values_of<R>(
    tensors: &[Tensor],
    op: &'static str,
    f: impl FnOnce(&[&[f32]]) -> Result<R>,
) -> Result<R> {
    let held: Vec<_> = tensors.iter().map(Tensor::storage_and_layout).collect();
    let values = held.iter().map(|(storage, layout)| match &**storage {
        Storage::Cpu(cpu) => operand(cpu, layout, op),
        _ => bail!("{op}: only tensors in main memory are supported"),
    });
    f(&values.collect::<Result<Vec<_>>>()?)
}

/// The values of a gradient, copied where its layout is not contiguous.
pub(crate) fn contiguous(tensor: &Tensor) -> Result<Tensor> {
    tensor.contiguous()
}

/// Lets `f` see a gradient's values in row-major order.
pub(crate) fn with_gradient<R>(gradient: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    with_values(&contiguous(gradient)?, "gradient", |values| Ok(f(values)))
}
