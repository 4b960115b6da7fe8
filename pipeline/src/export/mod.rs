//! Prepared data in the formats of other programs.
//!
//! An export is a folder `<out>/<name>/` that appears whole or not at all; one that is there already is left alone.

mod jsonl;
mod recbole;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use weaverec_output::{Claim, Input};

use crate::error::{Error, Result};
use crate::output::EXPORTED;
use crate::prepared::Prepared;

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
/// [`Error::Output`] when there is something of that name already, [`Error::Io`] when it cannot be written, [`Error::Usage`] for an
/// id that the format cannot hold.
pub fn export(prepared: &Prepared, format: ExportFormat, out: &Path) -> Result<PathBuf> {
    let folder = out.join(&prepared.manifest().name);
    let inputs = [Input::new(prepared.folder(), "the prepared folder")];
    let claim = Claim::take(&folder, EXPORTED, &inputs)?;
    claim.write(|fresh| match format {
        ExportFormat::Recbole => recbole::write(prepared, fresh),
        ExportFormat::Jsonl => jsonl::write(prepared, fresh),
    })?;
    Ok(folder)
}

/// Writes the training part of a prepared folder as RecBole's atomic files, `<name>.inter` and `<name>.item`, into a folder that is there:
/// nothing of it is a validation or test target, nor what came after one.
///
/// # Errors
/// [`Error::Io`] when it cannot be written, [`Error::Usage`] for an id that the format cannot hold.
pub fn training(prepared: &Prepared, folder: &Path) -> Result<()> {
    recbole::write_training(prepared, folder)
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
