//! Where a run took place: what a reader needs to judge its times, and to repeat it.

use serde_json::{Value, json};
use weaverec_model::device::Compute;

/// Versions of the crates that the numbers depend on, from the lock file this program was built with.
fn crate_versions() -> Value {
    let wanted = ["candle-core", "gemm", "datafusion", "arrow", "tokenizers"];
    let mut versions = serde_json::Map::new();
    let mut lines = include_str!("../../../Cargo.lock").lines();
    while let Some(line) = lines.next() {
        let name = line
            .strip_prefix("name = \"")
            .and_then(|rest| rest.strip_suffix('"'));
        if let Some(name) = name.filter(|n| wanted.contains(n)) {
            let version = lines
                .next()
                .and_then(|l| l.strip_prefix("version = \""))
                .and_then(|l| l.strip_suffix('"'));
            versions.insert(name.to_string(), json!(version));
        }
    }
    Value::Object(versions)
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = std::process::Command::new("git").args(arguments).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
}

fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().to_string())
}

/// The environment as it goes into every record.
pub fn describe(threads: usize, compute: Compute) -> Value {
    json!({
        "weaverec": env!("CARGO_PKG_VERSION"),
        "git_revision": git(&["rev-parse", "--short=12", "HEAD"]),
        "git_dirty": git(&["status", "--porcelain", "--untracked-files=no"]).map(|s| !s.is_empty()),
        "crates": crate_versions(),
        "os": std::env::consts::OS,
        "architecture": std::env::consts::ARCH,
        "processor": processor(),
        "threads": threads,
        "device": compute.device,
        "dtype": compute.arithmetic,
    })
}

/// The highest resident memory of this process so far, bytes; 0 where the system does not say.
pub fn peak_memory_bytes() -> u64 {
    let Ok(text) = std::fs::read_to_string("/proc/self/status") else {
        return 0;
    };
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kilobytes = line
        .and_then(|l| l.trim().strip_suffix("kB"))
        .and_then(|l| l.trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_versions_and_the_memory() {
        let environment = describe(2, Compute::default());
        assert!(environment["crates"]["candle-core"].is_string());
        assert!(environment["crates"]["datafusion"].is_string());
        if cfg!(target_os = "linux") {
            assert!(peak_memory_bytes() > 1 << 20);
        }
    }
}
