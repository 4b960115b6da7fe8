//! Where a cell was run, and by which program: what a reader needs to judge its numbers and times, and to repeat them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use weaverec_model::device::{Compute, DeviceName};
use weaverec_model::op;

/// The program and the machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Environment {
    /// The git revision that the program was built from, 12 digits; `unknown` where it was built outside of a checkout.
    pub revision: String,
    /// Whether the files that it was built from differed from those of the revision.
    pub dirty: bool,
    /// The program's version.
    pub version: String,
    /// Versions of the crates that numbers depend on.
    #[serde(default)]
    pub crates: BTreeMap<String, String>,
    /// The processor's model; empty where the system does not say.
    pub cpu: String,
    /// Its instruction sets, of those that numbers and times depend on.
    pub features: Vec<String>,
    /// What multiplies matrices: see [`op::kernel`], or the device's own.
    pub kernel: String,
    /// Threads of the run, which cells side by side share.
    pub threads: usize,
    /// Where language models run, a GPU with its model where the system says it.
    pub device: String,
    /// The type of activations and products.
    pub arithmetic: String,
    /// Operating system and architecture.
    pub system: String,
}

impl Environment {
    /// This program on this machine.
    pub fn here(threads: usize, compute: Compute) -> Self {
        let kernel = match compute.device {
            DeviceName::Cpu => op::kernel().to_string(),
            device => format!("candle on {device}"),
        };
        Self {
            revision: env!("WEAVEREC_REVISION").into(),
            dirty: env!("WEAVEREC_DIRTY") == "true",
            version: env!("CARGO_PKG_VERSION").into(),
            crates: crate_versions(),
            cpu: PROCESSOR.clone(),
            features: instruction_sets(),
            kernel,
            threads,
            device: device(compute.device),
            arithmetic: compute.arithmetic.to_string(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }

    /// Whether the same configuration must come to the very same numbers in both, if nothing is wrong: kernels differ between processors,
    /// and so do the last digits.
    pub fn computes_like(&self, other: &Self) -> bool {
        let of = |of: &Self| {
            let Self {
                cpu,
                features,
                kernel,
                device,
                arithmetic,
                system,
                ..
            } = of.clone();
            (cpu, features, kernel, device, arithmetic, system)
        };
        of(self) == of(other)
    }

    /// In a few words, for messages.
    pub fn program(&self) -> String {
        let dirty = if self.dirty { ", changed" } else { "" };
        format!(
            "weaverec {} ({}{dirty}) on {}",
            self.version, self.revision, self.cpu
        )
    }
}

static PROCESSOR: LazyLock<String> = LazyLock::new(|| {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(':'));
    name.map_or_else(String::new, |(_, name)| name.trim().to_string())
});

/// With a GPU's model, which is the driver's word; without it where no driver answers, as where records are only read.
fn device(device: DeviceName) -> String {
    match device.card() {
        Ok(Some(card)) => format!("{device} ({})", card.name),
        _ => device.to_string(),
    }
}

#[cfg(target_arch = "x86_64")]
fn instruction_sets() -> Vec<String> {
    macro_rules! found {
        ($($name:tt),+) => {
            [$(($name, is_x86_feature_detected!($name))),+]
        };
    }
    // Vector kernels are chosen by the first ones; the others are for those who compare times.
    let all = found!(
        "avx2",
        "fma",
        "f16c",
        "avx512f",
        "avx512dq",
        "avx512bw",
        "avx512vl",
        "avx512vnni",
        "avx512bf16",
        "avx512fp16"
    );
    named(&all)
}

#[cfg(target_arch = "aarch64")]
fn instruction_sets() -> Vec<String> {
    use std::arch::is_aarch64_feature_detected as found;
    named(&[
        ("neon", found!("neon")),
        ("dotprod", found!("dotprod")),
        ("fp16", found!("fp16")),
        ("bf16", found!("bf16")),
        ("i8mm", found!("i8mm")),
        ("sve", found!("sve")),
    ])
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn instruction_sets() -> Vec<String> {
    Vec::new()
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn named(found: &[(&str, bool)]) -> Vec<String> {
    let there = found.iter().filter(|(_, there)| *there);
    there.map(|(name, _)| (*name).to_string()).collect()
}

/// From the lock file that the program was built with.
fn crate_versions() -> BTreeMap<String, String> {
    const WANTED: [&str; 5] = ["candle-core", "gemm", "datafusion", "arrow", "tokenizers"];
    let mut lines = include_str!("../../../Cargo.lock").lines();
    let mut versions = BTreeMap::new();
    let quoted = |line: &str, key: &str| -> Option<String> {
        let value = line.strip_prefix(key)?.strip_prefix(" = \"")?;
        value.strip_suffix('"').map(str::to_string)
    };
    while let Some(line) = lines.next() {
        if let Some(name) = quoted(line, "name").filter(|name| WANTED.contains(&name.as_str()))
            && let Some(version) = lines.next().and_then(|line| quoted(line, "version"))
        {
            versions.insert(name, version);
        }
    }
    versions
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_says_what_it_computes_with() {
        let here = Environment::here(2, Compute::default());
        assert!(here.crates.contains_key("candle-core") && here.crates.contains_key("datafusion"));
        assert!(
            here.revision == "unknown" || here.revision.len() == 12,
            "{}",
            here.revision
        );
        assert!(!here.kernel.is_empty());
        if cfg!(all(target_arch = "x86_64", target_os = "linux")) {
            // The system's own word for it.
            let told = std::fs::read_to_string("/proc/cpuinfo").unwrap();
            let flags = told.lines().find(|line| line.starts_with("flags")).unwrap();
            let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
            for flag in ["avx2", "avx512f", "avx512dq"] {
                assert_eq!(here.features.iter().any(|f| f == flag), has(flag), "{flag}");
            }
            assert_eq!(here.kernel.starts_with("avx512"), has("avx512f"));
            assert!(!here.cpu.is_empty());
        }
    }

    #[test]
    fn threads_and_builds_change_no_digit_and_kernels_do() {
        let here = Environment::here(2, Compute::default());
        let again = Environment {
            threads: 9,
            revision: "another".into(),
            ..here.clone()
        };
        assert!(here.computes_like(&again));
        let elsewhere = Environment {
            kernel: "avx2, 6x16".into(),
            ..here.clone()
        };
        let other = Environment {
            kernel: "avx512, 8x48".into(),
            ..here
        };
        assert!(!elsewhere.computes_like(&other));
    }
}
