//! A node of the graph whose value is there already.

use std::sync::{Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp3, Layout, MetalStorage, Result, Shape, Storage, Tensor, bail,
};

/// From the gradient of the value to those of the inputs, in their order; `None` where there is none.
type Backward = dyn Fn(&Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync;

/// `value`, computed from at most three detached `inputs`, as a function of them whose gradients `backward` gives.
///
/// The value goes into the graph as a copy, for candle gives no other way; where no gradient can be asked for it is given back as it
/// is.
pub(super) fn known(
    name: &'static str,
    inputs: &[&Tensor],
    value: Tensor,
    backward: impl Fn(&Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync + 'static,
) -> Result<Tensor> {
    if !inputs.iter().any(|input| input.track_op()) {
        return Ok(value);
    }
    let op = Known {
        name,
        inputs: inputs.len(),
        value: Mutex::new(Some(value)),
        backward: Box::new(backward),
    };
    // An operation of fewer inputs takes its first again; it gets no gradient there.
    match inputs {
        [a] => a.apply_op3(a, a, op),
        [a, b] => a.apply_op3(b, a, op),
        [a, b, c] => a.apply_op3(b, c, op),
        _ => bail!("{name}: one to three inputs are expected"),
    }
}

struct Known {
    name: &'static str,
    inputs: usize,
    value: Mutex<Option<Tensor>>,
    backward: Box<Backward>,
}

impl Known {
    /// The value's storage on a backend, which `on` picks out.
    fn forward<S: BackendStorage>(&self, on: impl Fn(&Storage) -> Option<&S>) -> Result<(S, Shape)> {
        let value = self.value.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(value) = value else {
            bail!("{}: its value was used up by an earlier forward", self.name);
        };
        let value = value.contiguous()?;
        let (storage, layout) = value.storage_and_layout();
        match (on(&storage), layout.start_offset()) {
            (Some(storage), 0) => Ok((storage.try_clone(layout)?, value.shape().clone())),
            _ => bail!(
                "{}: its value is a part of another tensor, or on another device",
                self.name
            ),
        }
    }
}

impl CustomOp3 for Known {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward(|storage| match storage {
            Storage::Cpu(storage) => Some(storage),
            _ => None,
        })
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.forward(|storage| match storage {
            Storage::Cuda(storage) => Some(storage),
            _ => None,
        })
    }

    fn metal_fwd(
        &self,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        self.forward(|storage| match storage {
            Storage::Metal(storage) => Some(storage),
            _ => None,
        })
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradients = (self.backward)(&gradient.contiguous()?)?;
        let mut gradients = gradients.into_iter().take(self.inputs);
        let mut next = || gradients.next().flatten();
        Ok((next(), next(), next()))
    }
}
