//! Zip archives as folders: `logs.zip/2024/events.csv` is the file `2024/events.csv` in the archive `logs.zip`, and is read as a stream
//! out of it.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Take};
use std::path::{Path, PathBuf};

use zip::ZipArchive;
use zip::result::ZipError;

use crate::compress::{self, Compression};

/// The ending of archives, in small letters.
pub(crate) const ENDING: &str = ".zip";

/// A path that goes on inside an archive.
pub(crate) struct Inside {
    /// The archive.
    pub archive: PathBuf,
    /// The rest of the path, as names in archives are written; empty: all of it.
    name: String,
}

/// Whether a name is that of an archive.
pub(crate) fn named(name: &str) -> bool {
    let at = name.len().checked_sub(ENDING.len());
    at.and_then(|at| name.get(at..))
        .is_some_and(|ending| ending.eq_ignore_ascii_case(ENDING))
}

/// Takes a path apart where it goes through an archive: `None` for all others, archives themselves included.
pub(crate) fn inside(path: &Path) -> Option<Inside> {
    let above = path.ancestors().skip(1);
    let archive = above
        .filter(|above| {
            above
                .extension()
                .is_some_and(|ending| ending.eq_ignore_ascii_case("zip"))
        })
        .find(|above| above.is_file())?;
    let rest = path.strip_prefix(archive).ok()?;
    let parts: Option<Vec<&str>> = rest.iter().map(|part| part.to_str()).collect();
    Some(Inside {
        archive: archive.to_owned(),
        name: parts?.join("/"),
    })
}

/// The same for a folder, which an archive as a whole is as well.
pub(crate) fn folder(path: &Path) -> Option<Inside> {
    // A name below it makes it something that is gone through.
    let mut inside = inside(&path.join("x"))?;
    inside.name = inside.name.strip_suffix('x')?.trim_end_matches('/').to_owned();
    Some(inside)
}

/// The names of all files in an archive, as a path is written.
pub(crate) fn files(archive: &Path) -> io::Result<Vec<String>> {
    let opened = open(archive)?;
    let names = opened.file_names().map(normal);
    Ok(names.filter(|name| !name.ends_with('/')).collect())
}

/// A name as a path within the archive, whatever wrote it: some programs write the separator of their system, or steps that lead nowhere
/// or out of the archive. A folder keeps its last `/`.
fn normal(name: &str) -> String {
    let name = name.replace('\\', "/");
    let end = if name.ends_with('/') { "/" } else { "" };
    let parts = name.split('/').filter(|part| !matches!(*part, "" | "." | ".."));
    parts.collect::<Vec<_>>().join("/") + end
}

fn open(archive: &Path) -> io::Result<ZipArchive<File>> {
    ZipArchive::new(File::open(archive)?).map_err(fault)
}

fn fault(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(error) if error.raw_os_error().is_some() => error,
        ZipError::FileNotFound => ErrorKind::NotFound.into(),
        error => damage(format!(
            "the zip archive is damaged or cut off ({error}); fetch it again"
        )),
    }
}

fn damage(what: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

fn unread(what: String) -> io::Error {
    io::Error::new(
        ErrorKind::Unsupported,
        format!("{what}; unpack the archive and name the files"),
    )
}

/// A file in an archive.
pub(crate) struct Member {
    file: File,
    method: u16,
    /// Bytes of it in the archive.
    stored: u64,
    /// Bytes of its content.
    size: u64,
    crc: u32,
}

impl Inside {
    /// Whether there is a file of that name, or else files below it.
    pub fn is_file(&self) -> io::Result<Option<bool>> {
        let names = files(&self.archive)?;
        if names.contains(&self.name) {
            return Ok(Some(true));
        }
        let below = |name: &String| self.below(name).is_some();
        Ok(names.iter().any(below).then_some(false))
    }

    /// The files right below that name.
    pub fn list(&self) -> io::Result<Vec<PathBuf>> {
        let names = files(&self.archive)?;
        let right = names.iter().filter_map(|name| self.below(name));
        let right = right.filter(|rest| !rest.contains('/'));
        let folder = self.archive.join(&self.name);
        let found: Vec<PathBuf> = right.map(|rest| folder.join(rest)).collect();
        if found.is_empty() && self.is_file()?.is_none() {
            return Err(ErrorKind::NotFound.into());
        }
        Ok(found)
    }

    /// The folders right below that name.
    pub fn folders(&self) -> io::Result<Vec<PathBuf>> {
        let names = files(&self.archive)?;
        let right = names.iter().filter_map(|name| self.below(name)?.split_once('/'));
        let mut folders: Vec<&str> = right.map(|(folder, _)| folder).collect();
        folders.sort_unstable();
        folders.dedup();
        let above = self.archive.join(&self.name);
        Ok(folders.into_iter().map(|name| above.join(name)).collect())
    }

    fn below<'n>(&self, name: &'n str) -> Option<&'n str> {
        match self.name.as_str() {
            "" => Some(name),
            folder => name.strip_prefix(folder)?.strip_prefix('/'),
        }
    }

    /// The file of that name.
    pub fn member(&self) -> io::Result<Member> {
        let mut archive = open(&self.archive)?;
        let raw = archive
            .file_names()
            .find(|name| normal(name) == self.name)
            .map(str::to_owned)
            .ok_or(ErrorKind::NotFound)?;
        let index = archive.index_for_name(&raw).ok_or(ErrorKind::NotFound)?;
        let found = archive.by_index_raw(index).map_err(fault)?;
        if found.encrypted() {
            return Err(unread("it is encrypted".to_owned()));
        }
        let start = found.data_start();
        #[allow(deprecated)]
        let method = match found.compression() {
            zip::CompressionMethod::Stored => 0,
            zip::CompressionMethod::Deflated => 8,
            zip::CompressionMethod::Unsupported(number) => number,
            // What another crate's features may add.
            other => return Err(unread(format!("it is compressed by {other}"))),
        };
        let (stored, size, crc) = (found.compressed_size(), found.size(), found.crc32());
        drop(found);
        let mut file = archive.into_inner();
        if file.metadata()?.len() < start.saturating_add(stored) {
            return Err(damage("the zip archive is cut off; fetch it again".to_owned()));
        }
        file.seek(SeekFrom::Start(start))?;
        Ok(Member {
            file,
            method,
            stored,
            size,
            crc,
        })
    }
}

impl Member {
    /// Bytes of it in the archive.
    pub fn stored(&self) -> u64 {
        self.stored
    }

    /// Its content, decompressed as it is read; `wrap` sees the bytes as they are in the archive.
    pub fn open<R: Read + Send + 'static>(
        self,
        wrap: impl FnOnce(Take<File>) -> R,
    ) -> io::Result<Box<dyn Read + Send>> {
        let stored = wrap(self.file.take(self.stored));
        let content: Box<dyn Read + Send> = match self.method {
            0 => Box::new(stored),
            8 => Box::new(compress::deflate(stored)?),
            12 => Compression::Bzip2.reader(stored)?,
            93 => Compression::Zstandard.reader(stored)?,
            95 => Compression::Xz.reader(stored)?,
            9 => return Err(unread("it is compressed by deflate64".to_owned())),
            14 => return Err(unread("it is compressed by lzma".to_owned())),
            number => return Err(unread(format!("it is compressed by method {number} of zip"))),
        };
        Ok(Box::new(Checked {
            content,
            crc: crc32fast::Hasher::new(),
            size: 0,
            expected: (self.crc, self.size),
        }))
    }
}

/// Content that must come to a checksum and a length.
struct Checked<R> {
    content: R,
    crc: crc32fast::Hasher,
    size: u64,
    expected: (u32, u64),
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        self.crc.update(&buffer[..count]);
        self.size += count as u64;
        if count > 0 || buffer.is_empty() {
            return Ok(count);
        }
        let (crc, size) = self.expected;
        if self.size != size {
            return Err(damage("content of another length than noted".to_owned()));
        }
        if self.crc.clone().finalize() != crc {
            return Err(damage("content that differs from its checksum".to_owned()));
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use zip::write::SimpleFileOptions;

    use super::*;
    use crate::storage;

    /// An archive of files, each stored or compressed.
    fn archive(files: &[(&str, &[u8], bool)]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Logs.ZIP");
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        for (name, content, compressed) in files {
            let method = match compressed {
                true => zip::CompressionMethod::Deflated,
                false => zip::CompressionMethod::Stored,
            };
            // As for files beyond 4 GiB: sizes are in the fields of zip64.
            let options = SimpleFileOptions::default()
                .compression_method(method)
                .large_file(true);
            zip.start_file(*name, options).unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap();
        (folder, path)
    }

    fn read(path: &Path) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        storage::open(path)?.read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn an_archive_is_a_folder_of_what_is_in_it() {
        let long = b"some line\n".repeat(100_000);
        let files: [(&str, &[u8], bool); 4] = [
            ("ml/ratings.csv", &long, true),
            ("ml/movies.csv", b"m", false),
            ("ml\\deep\\x.csv", b"x", false),
            ("top.csv", b"t", true),
        ];
        let (_folder, path) = archive(&files);
        for (name, content, _) in files {
            let member = path.join(name.replace('\\', "/"));
            assert!(read(&member).unwrap() == content, "{name}");
            assert_eq!(storage::kind(&member).unwrap(), Some(storage::Kind::File));
            let mut copy = Vec::new();
            storage::open_seekable(&member)
                .unwrap()
                .read_to_end(&mut copy)
                .unwrap();
            assert!(copy == content, "{name}");
        }
        let size = storage::size(&path.join("ml/ratings.csv")).unwrap();
        assert!(size < 10_000, "{size} bytes are stored");
        let names = |folder: &Path| {
            let mut found = storage::list(folder).unwrap();
            found.sort();
            found
        };
        let ml = path.join("ml/");
        assert_eq!(
            names(&ml),
            [path.join("ml/movies.csv"), path.join("ml/ratings.csv")]
        );
        assert_eq!(names(&path), [path.join("top.csv")]);
        assert_eq!(
            storage::kind(&path.join("ml")).unwrap(),
            Some(storage::Kind::Folder)
        );
        assert_eq!(storage::kind(&path.join("mx")).unwrap(), None);
        assert_eq!(storage::stored(&path.join("top.csv")), path);
        assert_eq!(
            storage::kind(&path).unwrap(),
            Some(storage::Kind::File),
            "by itself it is one"
        );
        let missing = [
            read(&path.join("mx")).unwrap_err(),
            storage::list(&path.join("mx")).unwrap_err(),
        ];
        assert!(
            missing.iter().all(|error| error.kind() == ErrorKind::NotFound),
            "{missing:?}"
        );
    }

    #[test]
    fn damage_is_told_wherever_it_is() {
        let long: Vec<u8> = (0..20_000)
            .flat_map(|n| format!("line {n}\n").into_bytes())
            .collect();
        for compressed in [false, true] {
            let (_folder, path) = archive(&[("a.csv", &long, compressed)]);
            let whole = std::fs::read(&path).unwrap();
            let member = path.join("a.csv");
            let mut changed = whole.clone();
            changed[whole.len() / 2] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            assert!(read(&member).is_err());
            std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
            let error = read(&member).unwrap_err().to_string();
            assert!(error.contains("damaged or cut off"), "{error}");
            // The first half is lost: what is listed at the end is no longer where it says.
            std::fs::write(&path, &whole[whole.len() / 2..]).unwrap();
            assert!(read(&member).is_err());
        }
    }

    #[test]
    fn encrypted_files_and_methods_that_are_not_read_say_what_they_are() {
        let (_folder, path) = archive(&[("a.csv", b"a,b\n", false)]);
        let whole = std::fs::read(&path).unwrap();
        let local = 0;
        let central = whole.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
        for (at, value, word) in [
            ((6, 8), 1, "encrypted"),
            ((8, 10), 9, "deflate64"),
            ((8, 10), 98, "method 98"),
        ] {
            let mut changed = whole.clone();
            changed[local + at.0] = value;
            changed[central + at.1] = value;
            std::fs::write(&path, &changed).unwrap();
            let error = read(&path.join("a.csv")).unwrap_err().to_string();
            assert!(
                error.contains(word) && error.contains("unpack the archive"),
                "{error}"
            );
        }
    }

    #[test]
    fn no_name_in_an_archive_leads_out_of_it() {
        for (name, path) in [
            ("./e.csv", "e.csv"),
            ("/etc/e.csv", "etc/e.csv"),
            ("a/../../e.csv", "a/e.csv"),
            ("a\\b\\", "a/b/"),
            ("a/b.csv", "a/b.csv"),
        ] {
            assert_eq!(normal(name), path);
        }
    }
}
