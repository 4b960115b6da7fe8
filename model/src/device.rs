//! Where a language model runs, and in which arithmetic.

#[cfg_attr(not(feature = "cuda"), path = "device/without_cuda.rs")]
mod cuda;

use std::fmt;
use std::str::FromStr;

use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};

use crate::error::failure;
use crate::{Error, Result};

/// A device by name: `cpu`, `cuda`, `cuda:1`, `metal`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceName {
    /// The processor and main memory.
    #[default]
    Cpu,
    /// An NVIDIA GPU by number, from 0; needs the feature `cuda`.
    Cuda(usize),
    /// Apple's GPU; needs the feature `metal`.
    Metal,
}

impl DeviceName {
    /// Opens the device. A GPU that was opened before is given again: what works on it works on one stream, in the order asked for.
    ///
    /// # Errors
    /// A device that this build was made without, or one that does not answer.
    pub fn open(self) -> Result<Device> {
        let without = |feature: &str| {
            Err(Error::Usage(format!(
                "device {self}: this program was built without the feature `{feature}`; build it with `--features {feature}` \
                 (docs/gpu.md), or use the device cpu"
            )))
        };
        let silent = |e: &candle_core::Error, see: &str| {
            let text = e.to_string();
            let see = failure::meaning(&text).unwrap_or(see);
            Error::Usage(format!("device {self} does not answer ({text}): {see}"))
        };
        match self {
            DeviceName::Cpu => Ok(Device::Cpu),
            DeviceName::Cuda(_) if !candle_core::utils::cuda_is_available() => without("cuda"),
            DeviceName::Cuda(number) => cuda::open(number).map_err(|e| {
                silent(&e, "see whether nvidia-smi lists it, and whether its driver knows the CUDA that this was built with")
            }),
            DeviceName::Metal if !candle_core::utils::metal_is_available() => without("metal"),
            DeviceName::Metal => Device::new_metal(0).map_err(|e| silent(&e, "Metal needs a Mac with a GPU")),
        }
    }

    /// Opens the device and asks its driver what it is; `None` on the CPU, and for GPUs that are no NVIDIA's.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn card(self) -> Result<Option<Card>> {
        Ok(cuda::card(&self.open()?)?)
    }

    /// The devices of this machine that this build can use; whether they answer shows when they are opened.
    pub fn all() -> Vec<Self> {
        let gpus = (0..cuda::count()).map(DeviceName::Cuda);
        let metal = candle_core::utils::metal_is_available().then_some(DeviceName::Metal);
        std::iter::once(DeviceName::Cpu)
            .chain(gpus)
            .chain(metal)
            .collect()
    }
}

/// What a GPU is, as its driver says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// The vendor's name for it.
    pub name: String,
    /// What its kernels are compiled for, as `9.0`.
    pub compute_capability: String,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of it that nobody has taken.
    pub free_memory: u64,
    /// The newest CUDA that the driver knows, as `CUDA 13.0`.
    pub driver: String,
}

/// The most bytes that tensors of this process have taken at one time on a GPU since it was opened, or since
/// [`reset_peak_memory`]; `None` where no driver counts them. What the driver and its libraries take themselves (some hundred MB) is not
/// in it.
pub fn peak_memory(device: &Device) -> Option<u64> {
    cuda::peak_memory(device)
}

/// Lets [`peak_memory`] begin anew with what is taken now; whether that can be done on this device.
pub fn reset_peak_memory(device: &Device) -> bool {
    cuda::reset_peak_memory(device)
}

/// [`peak_memory`] of all GPUs that this process has opened, together; `None` where it has opened none, or one does not count.
pub fn peak_memory_of_gpus() -> Option<u64> {
    let opened = cuda::opened();
    match opened.is_empty() {
        true => None,
        false => opened.iter().map(peak_memory).sum(),
    }
}

/// Lets [`peak_memory_of_gpus`] begin anew.
pub fn reset_peak_memory_of_gpus() {
    for device in cuda::opened() {
        reset_peak_memory(&device);
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceName::Cpu => f.write_str("cpu"),
            DeviceName::Cuda(0) => f.write_str("cuda"),
            DeviceName::Cuda(number) => write!(f, "cuda:{number}"),
            DeviceName::Metal => f.write_str("metal"),
        }
    }
}

impl FromStr for DeviceName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name.split_once(':') {
            None if name == "cpu" => Ok(DeviceName::Cpu),
            None if name == "cuda" => Ok(DeviceName::Cuda(0)),
            None if name == "metal" => Ok(DeviceName::Metal),
            Some(("cuda", number)) if number.parse::<usize>().is_ok() => {
                Ok(DeviceName::Cuda(number.parse().unwrap_or_default()))
            }
            _ => Err(Error::Usage(format!(
                "no device {name:?}: name cpu, cuda, cuda:1 (the second GPU) or metal"
            ))),
        }
    }
}

impl TryFrom<String> for DeviceName {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<DeviceName> for String {
    fn from(name: DeviceName) -> Self {
        name.to_string()
    }
}

/// The type of activations, and of the numbers that go into products. Norms, softmax, the loss, and whatever is trained are in f32
/// whichever it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arithmetic {
    /// 32 bits.
    #[default]
    F32,
    /// The first half of f32; on a GPU alone.
    Bf16,
}

impl Arithmetic {
    /// The names, as in TOML and on the command line.
    pub const NAMES: [&'static str; 2] = ["f32", "bf16"];

    /// What candle calls it.
    pub fn dtype(self) -> DType {
        match self {
            Arithmetic::F32 => DType::F32,
            Arithmetic::Bf16 => DType::BF16,
        }
    }
}

impl fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Arithmetic::F32 => "f32",
            Arithmetic::Bf16 => "bf16",
        })
    }
}

/// What a model computes with, as it stands in profiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compute {
    /// Where.
    pub device: DeviceName,
    /// In which type.
    pub arithmetic: Arithmetic,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use candle_core::Tensor;

    #[test]
    fn names_are_read_as_they_are_written_and_others_are_refused() {
        for name in ["cpu", "cuda", "cuda:3", "metal"] {
            let device: DeviceName = name.parse().unwrap();
            assert_eq!(device.to_string(), name);
            let json = serde_json::to_string(&device).unwrap();
            assert_eq!(serde_json::from_str::<DeviceName>(&json).unwrap(), device);
        }
        assert_eq!("cuda:0".parse::<DeviceName>().unwrap(), DeviceName::Cuda(0));
        for wrong in ["gpu", "cuda:", "cuda:one", "cpu:1", ""] {
            let error = wrong.parse::<DeviceName>().unwrap_err().to_string();
            assert!(error.contains("cuda:1"), "{error}");
        }
    }

    #[test]
    fn the_cpu_is_always_there_and_is_no_card() {
        assert_eq!(DeviceName::all()[0], DeviceName::Cpu);
        assert_eq!(DeviceName::Cpu.card().unwrap(), None);
        assert_eq!(peak_memory(&Device::Cpu), None);
        assert!(!reset_peak_memory(&Device::Cpu));
        if !candle_core::utils::cuda_is_available() {
            reset_peak_memory_of_gpus();
            assert_eq!(peak_memory_of_gpus(), None);
        }
    }

    /// On the device that `WEAVEREC_TEST_DEVICE` names.
    #[test]
    fn a_gpu_counts_what_tensors_take_and_is_the_same_from_any_thread() {
        let device = crate::op::composed::tests::test_device();
        if !device.is_cuda() {
            eprintln!("skipped: WEAVEREC_TEST_DEVICE names no GPU whose driver counts");
            return;
        }
        let bytes = 64 << 20;
        let taken = Tensor::zeros(bytes, DType::U8, &device).unwrap();
        assert!(peak_memory(&device).unwrap() >= bytes as u64);
        assert!(peak_memory_of_gpus() >= peak_memory(&device));
        // What one thread has begun another one reads whole, and may give back.
        let ones = Tensor::ones(1 << 24, DType::F32, &device).unwrap();
        let sum = std::thread::spawn(move || {
            let sum = ones.sum_all().unwrap();
            drop((ones, taken));
            sum
        });
        assert_eq!(sum.join().unwrap().to_scalar::<f32>().unwrap(), (1 << 24) as f32);
    }

    #[test]
    fn a_device_that_the_build_lacks_is_refused_with_the_feature_to_build_with() {
        assert!(DeviceName::Cpu.open().unwrap().is_cpu());
        for (device, feature) in [(DeviceName::Cuda(0), "cuda"), (DeviceName::Metal, "metal")] {
            let built = match feature {
                "cuda" => candle_core::utils::cuda_is_available(),
                _ => candle_core::utils::metal_is_available(),
            };
            assert!(built || !DeviceName::all().contains(&device));
            match device.open() {
                Ok(_) => assert!(built),
                Err(error) if built => assert!(error.to_string().contains("does not answer"), "{error}"),
                Err(error) => assert!(
                    error.to_string().contains(&format!("--features {feature}")),
                    "{error}"
                ),
            }
        }
    }
}
