//! NVIDIA's GPUs by their driver: one stream a GPU, memory that is kept for the next step, and what the card is.

use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use candle_core::cuda_backend::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::{CudaContext, DriverError, result, sys};
use candle_core::{DType, Device, Result, Tensor};

use super::Card;

type Attribute = sys::CUmemPool_attribute;

/// The GPUs opened so far, by number.
static OPENED: Mutex<Vec<(usize, Device)>> = Mutex::new(Vec::new());

/// Opens a GPU by number; the same one again is the same device, on the same stream.
///
/// candle's own way to open takes CUDA's stream of the calling thread. Weights that one thread has put there would then be read by the
/// stream of another thread that nothing makes wait, and freed under it. On a stream of the device's own, work is done in the order in
/// which it was asked for, by whichever thread; so no event needs to be kept for each tensor either, of which cudarc otherwise makes two.
pub(super) fn open(number: usize) -> Result<Device> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, device)) = opened.iter().find(|(of, _)| *of == number) {
        return Ok(device.clone());
    }
    let cuda = CudaDevice::new_with_stream(number)?;
    // SAFETY: tensors of this context are used on this one stream alone, which orders their uses: no other is ever made of it.
    unsafe { cuda.disable_event_tracking() };
    keep_memory(&cuda);
    let device = Device::Cuda(cuda);
    // The first kernel: if it cannot be loaded, none can, and it is better to say so here than in the middle of the work.
    (Tensor::ones(1, DType::F32, &device)? * 2.0)?.to_vec1::<f32>()?;
    opened.push((number, device.clone()));
    Ok(device)
}

/// Lets the driver keep what tensors have given back: unless told to, it returns all of it to the system whenever the program waits for
/// the GPU, at least once a step, and must map it anew for the next.
fn keep_memory(cuda: &CudaDevice) {
    let set = pool(cuda).and_then(|pool| set(pool, Attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, u64::MAX));
    if let Err(error) = set {
        tracing::debug!("the GPU's memory is returned to the system at every step: {error}");
    }
}

/// Where the tensors' memory comes from.
fn pool(cuda: &CudaDevice) -> std::result::Result<sys::CUmemoryPool, DriverError> {
    let mut pool = std::ptr::null_mut();
    // SAFETY: the pool's handle is written to a place of its type; the device exists as long as `cuda`.
    unsafe { sys::cuDeviceGetDefaultMemPool(&raw mut pool, context(cuda).cu_device()) }.result()?;
    Ok(pool)
}

fn context(cuda: &CudaDevice) -> std::sync::Arc<CudaContext> {
    cuda.cuda_stream().context().clone()
}

fn set(pool: sys::CUmemoryPool, attribute: Attribute, value: u64) -> std::result::Result<(), DriverError> {
    let mut value = value;
    // SAFETY: the attributes set here are 64 bits wide, and only read.
    unsafe { sys::cuMemPoolSetAttribute(pool, attribute, (&raw mut value).cast::<c_void>()) }.result()
}

/// The most bytes that tensors have taken at one time.
pub(super) fn peak_memory(device: &Device) -> Option<u64> {
    let cuda = device.as_cuda_device().ok()?;
    let pool = pool(cuda).ok()?;
    let mut value = 0u64;
    let attribute = Attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
    // SAFETY: the attribute is 64 bits wide.
    let read = unsafe { sys::cuMemPoolGetAttribute(pool, attribute, (&raw mut value).cast::<c_void>()) };
    read.result().ok()?;
    // Where the driver has no pools tensors are not in one.
    context(cuda).has_async_alloc().then_some(value)
}

/// Begins anew with what is taken now; whether that could be done.
pub(super) fn reset_peak_memory(device: &Device) -> bool {
    let Ok(cuda) = device.as_cuda_device() else {
        return false;
    };
    let set = pool(cuda).and_then(|pool| set(pool, Attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH, 0));
    set.is_ok()
}

/// All that were opened.
pub(super) fn opened() -> Vec<Device> {
    let opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    opened.iter().map(|(_, device)| device.clone()).collect()
}

/// What a GPU is, by its driver; `None` for other devices.
pub(super) fn card(device: &Device) -> Result<Option<Card>> {
    match device {
        Device::Cuda(cuda) => describe(cuda).map(Some).map_err(candle_core::Error::wrap),
        _ => Ok(None),
    }
}

fn describe(cuda: &CudaDevice) -> std::result::Result<Card, DriverError> {
    let context = context(cuda);
    let (major, minor) = context.compute_capability()?;
    let (free, total) = context.mem_get_info()?;
    let mut version = 0;
    // SAFETY: the version is written to a place of its type.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }.result()?;
    Ok(Card {
        name: context.name()?,
        compute_capability: format!("{major}.{minor}"),
        memory: total as u64,
        free_memory: free as u64,
        driver: format!("CUDA {}.{}", version / 1000, version % 1000 / 10),
    })
}

/// How many GPUs the driver knows; none where it does not answer.
pub(super) fn count() -> usize {
    let known = result::init().and_then(|()| result::device::get_count());
    known.map_or(0, |count| usize::try_from(count).unwrap_or(0))
}
