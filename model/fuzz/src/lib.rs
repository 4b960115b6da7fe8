//! What the fuzz targets share: bytes go through the readers as files do, and whatever they are, the outcome is a value or an error that
//! names the file: no panic, and nothing that takes longer than its length explains.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use weaverec_model::Error;
use weaverec_model::backbone::Tokenizer;

/// A `tokenizer.json` that is whole, for what stands beside it.
pub static TOKENIZER: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let place = Place::with(&[]);
    let trained = Tokenizer::train_bpe(["oak chair", "pine table", "brass lamp"], 300).expect("a tokenizer");
    trained.save(place.path()).expect("a folder");
    std::fs::read(place.join("tokenizer.json")).expect("a file")
});

/// A folder for the files of one run, in memory where the system has such a place.
pub struct Place(tempfile::TempDir);

impl Place {
    /// A folder with these files.
    pub fn with(files: &[(&str, &[u8])]) -> Self {
        let shm = Path::new("/dev/shm");
        let folder = if shm.is_dir() {
            tempfile::tempdir_in(shm)
        } else {
            tempfile::tempdir()
        };
        let place = Place(folder.expect("a folder for the files"));
        for (name, bytes) in files {
            std::fs::write(place.0.path().join(name), bytes).expect("a file");
        }
        place
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A place in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// An error says which file of this folder, or that it is about this folder.
    pub fn is_named_by(&self, error: &Error) {
        let text = error.to_string();
        assert!(text.contains(&*self.path().to_string_lossy()), "{text}");
    }
}

/// Two parts of the bytes; the first two say how long the first is.
pub fn halves(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))
}
