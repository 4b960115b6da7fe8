//! What a file is that is not what its name says: interrupted and refused downloads, files of other tools, texts in other encodings.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// What a safetensors file is where another is wanted.
pub(crate) const SAFETENSORS: &str = "a safetensors file";

/// The bytes of a file, without the mark with which some editors begin UTF-8.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    if bytes.starts_with(MARK) {
        bytes.drain(..MARK.len());
    }
    Ok(bytes)
}

const MARK: &[u8] = b"\xef\xbb\xbf";

/// A value from JSON; what is no JSON is said by what it is.
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8]) -> std::result::Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => error.to_string(),
        _ => match kind(bytes) {
            Some(kind) => kind.to_string(),
            None => format!("no JSON: {error}; fetch or write it again"),
        },
    })
}

/// What the first bytes say that a file is, and what to do about it, where it is something that is found in the place of models,
/// adapters and their settings.
pub(crate) fn kind(bytes: &[u8]) -> Option<&'static str> {
    const PAGE: &str = "a page of HTML (of a server's error or log-in) and not the file; fetch it again, with the rights that it asks for";
    const PICKLE: &str = "a pickled file of PyTorch; save it as safetensors";
    if bytes.is_empty() {
        return Some("empty; fetch or write it again");
    }
    let starts = |start: &[u8]| bytes.starts_with(start);
    if starts(b"version https://git-lfs") {
        return Some("a Git LFS pointer in the file's place; `git lfs pull` fetches the file");
    }
    let text = bytes.trim_ascii_start();
    let begins = |word: &str| {
        text.get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
    };
    if begins("<!doctype html") || begins("<html") || begins("<head") || begins("<?xml") {
        return Some(PAGE);
    }
    for answer in [
        "Entry not found",
        "Repository not found",
        "Invalid credentials",
        "Access to model",
    ] {
        if begins(answer) {
            return Some(
                "a server's refusal and not the file; fetch it again, with the rights that it asks for",
            );
        }
    }
    match bytes {
        [b'P', b'K', 3, 4, ..] => Some(PICKLE),
        [0x80, 2..=5, ..] => Some(PICKLE),
        [b'G', b'G', b'U', b'F', ..] => Some("a GGUF file; its name must end in .gguf"),
        [0x1f, 0x8b, ..] => Some("compressed with gzip; unpack it"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("compressed with zstd; unpack it"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("text in UTF-16; write it as UTF-8"),
        [_, _, _, _, _, 0, 0, 0, b'{', ..] => Some(SAFETENSORS),
        _ if bytes.iter().take(512).all(|byte| *byte == 0) => {
            Some("nothing but zeros, as an interrupted download leaves it; fetch it again")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_stands_in_the_place_of_json_is_named() {
        for (bytes, word) in [
            (&b""[..], "empty"),
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
                "git lfs pull",
            ),
            (b"\n<!DOCTYPE html><html>", "HTML"),
            (b"<HTML><body>503</body>", "HTML"),
            (b"Entry not found", "refusal"),
            (b"PK\x03\x04archive/data.pkl", "pickled"),
            (b"\x80\x02}q\x00", "pickled"),
            (b"\xff\xfe{\x00", "UTF-16"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"\x40\0\0\0\0\0\0\0{\"__metadata__\"", "safetensors"),
            (b"\0\0\0\0", "zeros"),
            (b"{\"r\": ", "no JSON: EOF"),
            (b"{'r': 1}", "line 1"),
        ] {
            let error = json::<serde_json::Value>(bytes).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        assert_eq!(json::<Vec<u32>>(b"[1]").unwrap(), [1]);
        let error = json::<Vec<u32>>(b"[\"x\"]").unwrap_err();
        assert!(error.contains("invalid type"), "{error}");
    }

    #[test]
    fn the_mark_of_an_editor_is_no_part_of_the_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        std::fs::write(&path, b"\xef\xbb\xbf[1]").unwrap();
        assert_eq!(read(&path).unwrap(), b"[1]");
        assert!(
            read(&folder.path().join("y.json"))
                .unwrap_err()
                .to_string()
                .contains("y.json")
        );
    }
}
