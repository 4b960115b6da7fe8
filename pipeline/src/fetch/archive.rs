//! Chosen members of a zip archive (a Python wheel is one), unpacked flat.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::error::{Error, Result};
use crate::raw::Progress;

/// The name under which a member is unpacked; `what` is named in errors.
pub(super) fn file_name<'a>(what: &str, member: &'a str) -> Result<&'a str> {
    let name = Path::new(member).file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| {
        failure(
            what,
            format!("member `{member}` has no file name; mend the description"),
        )
    })
}

/// Unpacks the members into the folder `dir`, which is made where it is missing.
///
/// # Errors
/// [`Error::Fetch`] when the archive is none or lacks a member, [`Error::Io`] when the folder cannot be written.
pub(super) fn extract(
    what: &str,
    archive: &Path,
    members: &[String],
    dir: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    fs::create_dir_all(dir).map_err(|source| Error::io(dir, "create", source))?;
    let file = File::open(archive).map_err(|source| Error::io(archive, "read", source))?;
    let mut opened = zip::ZipArchive::new(file)
        .map_err(|error| failure(what, format!("what arrived is no zip archive: {error}")))?;
    progress.stage(&format!("unpack {what}"), Some(members.len() as u64));
    for member in members {
        let path = dir.join(file_name(what, member)?);
        let mut packed = opened
            .by_name(member)
            .map_err(|error| failure(what, format!("member `{member}` is not in the archive: {error}")))?;
        // Two members of one file name would overwrite each other unseen.
        let mut out = File::create_new(&path).map_err(|source| Error::io(&path, "create", source))?;
        io::copy(&mut packed, &mut out)
            .and_then(|_| out.sync_all())
            .map_err(|source| Error::io(&path, "write", source))?;
        progress.advance(1);
    }
    Ok(())
}

fn failure(what: &str, message: String) -> Error {
    Error::Fetch {
        what: what.to_string(),
        message,
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use super::*;
    use crate::raw::NoProgress;

    /// A zip archive of one member.
    pub(in crate::fetch) fn zip_of(member: &str, content: &[u8]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        zip.start_file(member, zip::write::SimpleFileOptions::default())
            .unwrap();
        zip.write_all(content).unwrap();
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn members_are_unpacked_flat_and_missing_ones_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("example.zip");
        fs::write(&archive, zip_of("example/data/rows.csv", b"a,b\n1,2\n")).unwrap();
        let unpack = |member: &str, to: &str| {
            extract(
                "example",
                &archive,
                &[member.to_string()],
                &dir.path().join(to),
                &NoProgress,
            )
        };
        unpack("example/data/rows.csv", "out").unwrap();
        assert_eq!(fs::read(dir.path().join("out/rows.csv")).unwrap(), b"a,b\n1,2\n");
        let error = unpack("example/none.csv", "other").unwrap_err().to_string();
        assert!(error.contains("example/none.csv"), "{error}");
        fs::write(&archive, "<html>moved</html>").unwrap();
        let error = unpack("example/data/rows.csv", "third").unwrap_err().to_string();
        assert!(error.contains("no zip archive"), "{error}");
    }
}
