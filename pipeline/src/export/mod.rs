//! Prepared data in the formats of other programs.
//!
//! An export is a folder `<out>/<name>/` that appears whole or not at all; one that is there already is left alone.

mod jsonl;
mod recbole;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::prepared::Prepared;
use crate::scratch::{self, Scratch};

/// A format to export to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// RecBole's atomic files, with a description that lets this program read them back.
    Recbole,
    /// The prompts, one JSON object a line, a file a split.
    Jsonl,
}

/// Writes what a prepared folder holds below `out` and returns the folder made.
///
/// # Errors
/// [`Error::Prepared`] when there is something of that name already, [`Error::Io`] when it cannot be written, [`Error::Usage`] for an
/// id that the format cannot hold.
pub fn export(prepared: &Prepared, format: ExportFormat, out: &Path) -> Result<PathBuf> {
    let name = &prepared.manifest().name;
    let folder = out.join(name);
    if folder.exists() {
        return Err(Error::Prepared {
            path: folder,
            message: "is there already and is left alone; remove it or choose another place".to_string(),
        });
    }
    std::fs::create_dir_all(out).map_err(|source| Error::io(out, "create", source))?;
    scratch::sweep(out);
    let aside = Scratch::new(out, "export")?;
    // A folder of its own inside, because the outer one is readable for its owner alone.
    let fresh = aside.path().join(name);
    std::fs::create_dir(&fresh).map_err(|source| Error::io(&fresh, "create", source))?;
    match format {
        ExportFormat::Recbole => recbole::write(prepared, &fresh)?,
        ExportFormat::Jsonl => jsonl::write(prepared, &fresh)?,
    }
    std::fs::rename(&fresh, &folder).map_err(|source| Error::io(&folder, "rename", source))?;
    Ok(folder)
}

/// A text file that names itself in errors.
struct TextFile {
    path: PathBuf,
    out: BufWriter<File>,
}

impl TextFile {
    fn create(path: PathBuf) -> Result<Self> {
        let file = File::create(&path).map_err(|source| Error::io(&path, "create", source))?;
        Ok(TextFile {
            path,
            out: BufWriter::new(file),
        })
    }

    fn line(&mut self, line: &str) -> Result<()> {
        writeln!(self.out, "{line}").map_err(|source| Error::io(&self.path, "write", source))
    }

    fn finish(mut self) -> Result<()> {
        self.out
            .flush()
            .map_err(|source| Error::io(&self.path, "write", source))
    }
}
