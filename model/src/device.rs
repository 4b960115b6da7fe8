//! Where a language model runs, and in which arithmetic.

use std::fmt;
use std::str::FromStr;

use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};

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
    /// Opens the device.
    ///
    /// # Errors
    /// A device that this build was made without, or one that does not answer.
    pub fn open(self) -> Result<Device> {
        let without = |feature: &str| {
            Err(Error::Usage(format!(
                "device {self}: this program was built without the feature `{feature}`; build it with `--features {feature}` \
                 (README, \"On a GPU\"), or use the device cpu"
            )))
        };
        let silent = |e: candle_core::Error, see: &str| {
            Error::Usage(format!("device {self} does not answer ({e}): {see}"))
        };
        match self {
            DeviceName::Cpu => Ok(Device::Cpu),
            DeviceName::Cuda(_) if !candle_core::utils::cuda_is_available() => without("cuda"),
            DeviceName::Cuda(number) => Device::new_cuda(number).map_err(|e| {
                silent(e, "see whether nvidia-smi lists it, and whether its driver knows the CUDA that this was built with")
            }),
            DeviceName::Metal if !candle_core::utils::metal_is_available() => without("metal"),
            DeviceName::Metal => Device::new_metal(0).map_err(|e| silent(e, "Metal needs a Mac with a GPU")),
        }
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
    fn a_device_that_the_build_lacks_is_refused_with_the_feature_to_build_with() {
        assert!(DeviceName::Cpu.open().unwrap().is_cpu());
        for (device, feature) in [(DeviceName::Cuda(0), "cuda"), (DeviceName::Metal, "metal")] {
            let built = match feature {
                "cuda" => candle_core::utils::cuda_is_available(),
                _ => candle_core::utils::metal_is_available(),
            };
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
