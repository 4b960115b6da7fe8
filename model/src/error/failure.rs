//! What the errors of a GPU's driver and libraries mean, and what to do about them.

/// Words of an error, and what they mean here. The first that fits counts. The names are CUDA's own, which do not change.
const MEANINGS: [(&[&str], &str); 9] = [
    (
        &[
            "CUDA_ERROR_OUT_OF_MEMORY",
            "CUBLAS_STATUS_ALLOC_FAILED",
            "CURAND_STATUS_ALLOCATION_FAILED",
        ],
        "the GPU's memory is full: in a profile lower `micro_batch_tokens` where it trains or `batch_tokens` where it ranks; \
         `--arithmetic bf16` takes half of it, `--precision q8` less for the frozen weights, and fewer cells at a time take less; \
         nvidia-smi shows who else has some",
    ),
    (
        &[
            "CUDA_ERROR_NO_BINARY_FOR_GPU",
            "CUDA_ERROR_INVALID_PTX",
            "CUDA_ERROR_INVALID_IMAGE",
            "CUBLAS_STATUS_ARCH_MISMATCH",
        ],
        "this program was built for another kind of GPU: build it again with CUDA_COMPUTE_CAP set to this one's compute capability \
         without the point (nvidia-smi --query-gpu=compute_cap --format=csv; 80: A100, 89: RTX 40, 90: H100 and H200)",
    ),
    (
        &[
            "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
            "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
            "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE",
        ],
        "the driver is older than the CUDA that this program was built with: bring the driver up to date (CUDA 13 needs 580 or later), \
         or build with an older toolkit",
    ),
    (
        &["CUDA_ERROR_STUB_LIBRARY"],
        "the driver's library is the stand-in that `make cuda-toolkit` makes for building: there is no NVIDIA driver here, or \
         LD_LIBRARY_PATH names `stubs` before the folder of the real libcuda.so.1",
    ),
    (
        &[
            "CUDA_ERROR_NO_DEVICE",
            "CUDA_ERROR_INVALID_DEVICE",
            "CUDA_ERROR_DEVICE_UNAVAILABLE",
        ],
        "no GPU of this number answers: see what nvidia-smi lists, what CUDA_VISIBLE_DEVICES hides, and whether another program has \
         the GPU for itself; the first is `cuda`, the second `cuda:1`",
    ),
    (
        &[
            "CUDA_ERROR_NOT_INITIALIZED",
            "CUBLAS_STATUS_NOT_INITIALIZED",
            "CURAND_STATUS_INITIALIZATION_FAILED",
            "CUDA_ERROR_SYSTEM_NOT_READY",
        ],
        "the driver or one of CUDA's libraries does not start: see whether nvidia-smi answers, whether the GPU's memory is full, and \
         which libcublas, libcurand and libcuda the program finds (ldd)",
    ),
    (
        &[
            "CUDA_ERROR_ILLEGAL_ADDRESS",
            "CUDA_ERROR_MISALIGNED_ADDRESS",
            "CUDA_ERROR_LAUNCH_FAILED",
            "CUDA_ERROR_ASSERT",
            "CUBLAS_STATUS_EXECUTION_FAILED",
        ],
        "a kernel went wrong, here or earlier, and nothing more can be done in this process; CUDA_LAUNCH_BLOCKING=1 shows at which \
         operation. Please report it with the card's name and the driver's version",
    ),
    (
        &[
            "CUDA_ERROR_ECC_UNCORRECTABLE",
            "CUDA_ERROR_HARDWARE_STACK_ERROR",
            "CUDA_ERROR_NVLINK_UNCORRECTABLE",
            "CUDA_ERROR_CONTAINED",
        ],
        "the GPU itself reports damage: take another one",
    ),
    (
        &["CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"],
        "a kernel was asked for more than the GPU has at one time: lower `micro_batch_tokens` or `batch_tokens`",
    ),
];

/// What an error of this text means, and what to do; `None` where it is none of a GPU's.
pub(crate) fn meaning(error: &str) -> Option<&'static str> {
    let fits = |words: &[&str]| words.iter().any(|word| error.contains(word));
    MEANINGS
        .iter()
        .find(|(words, _)| fits(words))
        .map(|(_, meaning)| *meaning)
}

/// The error's own text with what it means.
pub(crate) fn describe(error: &candle_core::Error) -> String {
    let text = error.to_string();
    match meaning(&text) {
        Some(meaning) => format!("{text}: {meaning}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    /// As candle hands on what cudarc's errors look like.
    fn of_driver(text: &'static str) -> String {
        Error::from(candle_core::Error::Cuda(text.into())).to_string()
    }

    #[test]
    fn a_full_memory_says_what_to_lower_and_keeps_the_drivers_words() {
        let error = of_driver("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")");
        assert!(
            error.starts_with("DriverError(CUDA_ERROR_OUT_OF_MEMORY"),
            "{error}"
        );
        for word in ["micro_batch_tokens", "batch_tokens", "bf16", "nvidia-smi"] {
            assert!(error.contains(word), "{error}");
        }
        let of_library = of_driver("CublasError(CUBLAS_STATUS_ALLOC_FAILED)");
        assert!(of_library.contains("micro_batch_tokens"), "{of_library}");
    }

    #[test]
    fn another_architecture_an_old_driver_and_a_missing_one_are_told_apart() {
        let error = |name: &str| meaning(name).unwrap_or_default();
        assert!(error("CUDA_ERROR_NO_BINARY_FOR_GPU").contains("CUDA_COMPUTE_CAP"));
        assert!(error("CUDA_ERROR_UNSUPPORTED_PTX_VERSION").contains("driver is older"));
        assert!(error("CUDA_ERROR_STUB_LIBRARY").contains("no NVIDIA driver"));
        assert!(error("CUDA_ERROR_NO_DEVICE").contains("cuda:1"));
    }

    #[test]
    fn errors_of_no_gpu_stay_as_they_are() {
        let error = candle_core::Error::Msg("shapes differ".into());
        assert_eq!(describe(&error), "shapes differ");
        // Behind a context too, as candle adds one where a kernel is loaded.
        let of_load = of_driver(
            "DriverError(CUDA_ERROR_INVALID_PTX, \"a PTX JIT compilation failed\") when loading affine",
        );
        assert!(of_load.contains("CUDA_COMPUTE_CAP"), "{of_load}");
    }
}
