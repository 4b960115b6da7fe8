//! A folder as one file and back: stores put an object whole or not at all, and a folder of several objects in no such way.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::error::{Error, Result};

/// From this size on an entry needs the longer form of its header.
const LARGE: u64 = u32::MAX as u64;

/// Writes all files of a folder into a zip archive, as they are: what is worth compressing is compressed already. One folder gives one
/// archive to the byte.
///
/// # Errors
/// Files that cannot be read, names that are no text, or an archive that cannot be written.
pub fn pack(folder: &Path, archive: &Path) -> Result<()> {
    let mut names = Vec::new();
    files(folder, Path::new(""), &mut names)?;
    names.sort();
    let failed = |source| Error::io(archive, "write", source);
    let file = File::create(archive).map_err(failed)?;
    let mut writer = ZipWriter::new(BufWriter::new(file));
    for name in names {
        let path = folder.join(&name);
        let unreadable = |source| Error::io(&path, "read", source);
        let parts: Option<Vec<&str>> = name.iter().map(|part| part.to_str()).collect();
        let parts = parts.ok_or_else(|| unreadable(io::Error::other("its name is no text")))?;
        let mut from = File::open(&path).map_err(unreadable)?;
        let size = from.metadata().map_err(unreadable)?.len();
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(size >= LARGE);
        writer
            .start_file(parts.join("/"), options)
            .map_err(|error| failed(error.into()))?;
        io::copy(&mut from, &mut writer).map_err(failed)?;
    }
    let mut file = writer.finish().map_err(|error| failed(error.into()))?;
    file.flush().map_err(failed)
}

/// Writes the files of an archive that [`pack`] made into a folder. `from` is what errors name.
///
/// # Errors
/// An archive that is damaged or names a place outside of the folder, or a folder that cannot be written.
pub fn unpack(archive: File, from: &Path, folder: &Path) -> Result<()> {
    let damaged = |source| Error::io(from, "read", source);
    let mut archive = ZipArchive::new(archive).map_err(|error| damaged(error.into()))?;
    for at in 0..archive.len() {
        let mut entry = archive.by_index(at).map_err(|error| damaged(error.into()))?;
        let Some(name) = entry.enclosed_name().filter(|_| entry.is_file()) else {
            return Err(damaged(io::Error::other(format!(
                "{} is no name of a file in it",
                entry.name()
            ))));
        };
        let path = folder.join(name);
        let failed = |source| Error::io(&path, "write", source);
        if let Some(above) = path.parent() {
            std::fs::create_dir_all(above).map_err(failed)?;
        }
        let mut file = File::create(&path).map_err(failed)?;
        // What fails here is a check sum or the disk; the archive is named, as it is the likelier of the two.
        io::copy(&mut entry, &mut file).map_err(damaged)?;
    }
    Ok(())
}

/// The names of all files below a folder, from it on.
fn files(root: &Path, below: &Path, names: &mut Vec<PathBuf>) -> Result<()> {
    let folder = root.join(below);
    let failed = |source| Error::io(&folder, "read", source);
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = below.join(entry.file_name());
        match entry.file_type().map_err(failed)?.is_dir() {
            true => files(root, &name, names)?,
            false => names.push(name),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn filled(root: &Path) -> PathBuf {
        let folder = root.join("from");
        std::fs::create_dir_all(folder.join("deep")).unwrap();
        std::fs::write(folder.join("record.json"), "{}").unwrap();
        std::fs::write(folder.join("deep/weights"), vec![7; 100_000]).unwrap();
        std::fs::write(folder.join("empty"), "").unwrap();
        folder
    }

    #[test]
    fn a_folder_comes_back_as_it_was_and_gives_the_same_archive_again() {
        let root = tempfile::tempdir().unwrap();
        let folder = filled(root.path());
        let [one, again] = ["one.zip", "again.zip"].map(|name| root.path().join(name));
        pack(&folder, &one).unwrap();
        let back = root.path().join("back");
        unpack(File::open(&one).unwrap(), &one, &back).unwrap();
        for name in ["record.json", "deep/weights", "empty"] {
            let read = |folder: &Path| std::fs::read(folder.join(name)).unwrap();
            assert_eq!(read(&folder), read(&back), "{name}");
        }
        pack(&back, &again).unwrap();
        assert_eq!(std::fs::read(one).unwrap(), std::fs::read(again).unwrap());
    }

    #[test]
    fn a_damaged_archive_and_one_that_leaves_the_folder_are_errors_that_name_it() {
        let root = tempfile::tempdir().unwrap();
        let archive = root.path().join("cell.zip");
        pack(&filled(root.path()), &archive).unwrap();
        let refused = |bytes: &[u8]| {
            std::fs::write(&archive, bytes).unwrap();
            let error = unpack(File::open(&archive).unwrap(), &archive, &root.path().join("to"));
            error.unwrap_err().to_string()
        };
        let mut bytes = std::fs::read(&archive).unwrap();
        let half = refused(&bytes[..bytes.len() / 2]);
        assert!(half.contains("cell.zip"), "{half}");
        let weight = bytes.windows(64).position(|part| part == [7; 64]).unwrap();
        bytes[weight] = 8;
        let changed = refused(&bytes);
        assert!(changed.contains("cell.zip"), "{changed}");
        let mut outside = ZipWriter::new(File::create(&archive).unwrap());
        outside
            .start_file("../outside", SimpleFileOptions::default())
            .unwrap();
        outside.finish().unwrap();
        let told = refused(&std::fs::read(&archive).unwrap());
        assert!(told.contains("outside"), "{told}");
        assert!(!root.path().join("outside").exists());
    }
}
