//! What a file is, by its first bytes: what is read, and what is not with the way out.
//!
//! Names lie. A server's error page is kept as `reviews.json.gz`, a table is exported as `.xlsx` and renamed, an archive is called by what is
//! in it. Where a file is not what its place in the description calls for, the message says what it is.

use crate::compress::Compression;

/// Bytes that are looked at.
pub(crate) const HEAD: usize = 4 * 1024;

/// What lines should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// A JSON object each.
    JsonLines,
    /// Fields parted by some sign.
    Delimited,
    /// Anything else that is text.
    Text,
    /// No lines at all: Parquet.
    Parquet,
}

/// How text is written, besides UTF-8 and what is like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Utf16 {
    Little,
    Big,
}

/// The compression of a file that begins so, if it is one that is read.
pub(crate) fn compression(head: &[u8]) -> Option<Compression> {
    let enough = |compression: &Compression| {
        head.len() >= 4
            && compression.begins(head)
            && (*compression != Compression::Bzip2 || bzip2_level(head))
    };
    Compression::ALL.into_iter().find(enough)
}

/// `BZh` could begin a text; a digit must follow.
fn bzip2_level(head: &[u8]) -> bool {
    head.get(3).is_some_and(|level| matches!(level, b'1'..=b'9'))
}

/// Whether a file begins as zip archives do, an empty one or a part of one included.
pub(crate) fn is_zip(head: &[u8]) -> bool {
    [&b"PK\x03\x04"[..], b"PK\x05\x06", b"PK\x07\x08"]
        .iter()
        .any(|magic| head.starts_with(magic))
}

/// Whether a file begins as Parquet does.
pub(crate) fn is_parquet(head: &[u8]) -> bool {
    head.starts_with(b"PAR1")
}

/// Whether text is in UTF-16: it says so itself, or of its signs, most are of those that have a zero byte there.
pub(crate) fn utf16(head: &[u8]) -> Option<Utf16> {
    if utf32(head) {
        return None;
    }
    match head {
        [0xff, 0xfe, ..] => return Some(Utf16::Little),
        [0xfe, 0xff, ..] => return Some(Utf16::Big),
        _ => {}
    }
    let (pairs, _) = head.as_chunks::<2>();
    if pairs.len() < 4 {
        return None;
    }
    let zeros = |at: usize| pairs.iter().filter(|pair| pair[at] == 0).count();
    match (zeros(0), zeros(1)) {
        (0, low) if low * 4 >= pairs.len() * 3 => Some(Utf16::Little),
        (high, 0) if high * 4 >= pairs.len() * 3 => Some(Utf16::Big),
        _ => None,
    }
}

fn utf32(head: &[u8]) -> bool {
    head.starts_with(&[0xff, 0xfe, 0, 0]) || head.starts_with(&[0, 0, 0xfe, 0xff])
}

/// Whether all signs are such as stand in text.
pub(crate) fn is_text(head: &[u8]) -> bool {
    let sign = |byte: &u8| *byte >= b' ' || matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b);
    !head.is_empty() && head.iter().all(sign)
}

/// A kind of file that is not read.
struct Other {
    what: &'static str,
    /// What to do about it.
    then: &'static str,
    /// The first bytes, and how many come before them.
    magic: &'static [(usize, &'static [u8])],
    /// Endings, in small letters.
    endings: &'static [&'static str],
}

const RECOMPRESS: &str = "decompress it, or compress it with gzip, zstd, bzip2 or xz instead";
const UNPACK: &str = "unpack it, and name the files in it";
const EXPORT: &str = "export the table as csv (UTF-8), JSON lines or Parquet";

macro_rules! others {
    ($($what:literal, $then:expr, [$(($at:literal, $magic:literal)),*], [$($ending:literal),*];)+) => {
        &[$(Other { what: $what, then: $then, magic: &[$(($at, $magic)),*], endings: &[$($ending),*] }),+]
    };
}

const OTHERS: &[Other] = others![
    "an lz4 file", RECOMPRESS, [(0, b"\x04\x22\x4d\x18"), (0, b"\x02\x21\x4c\x18")], [".lz4"];
    "a file of the old `compress`", RECOMPRESS, [(0, b"\x1f\x9d"), (0, b"\x1f\xa0")], [".z"];
    "a file of the old `pack`", RECOMPRESS, [(0, b"\x1f\x1e")], [];
    "an lzip file", RECOMPRESS, [(0, b"LZIP\x01")], [".lz"];
    "an lzop file", RECOMPRESS, [(0, b"\x89LZO\0\r\n\x1a\n")], [".lzo"];
    "an lzma file", RECOMPRESS, [(0, b"\x5d\0\0\x80\0"), (0, b"\x5d\0\0\0\x01"), (0, b"\x5d\0\0\0\x04"), (0, b"\x5d\0\0\x10\0"), (0, b"\x5d\0\0\x40\0")], [".lzma"];
    "a Snappy file", RECOMPRESS, [(0, b"\xff\x06\0\0sNaPpY")], [".snappy", ".sz"];
    "a zlib stream without what makes it gzip", RECOMPRESS, [(0, b"\x78\x9c"), (0, b"\x78\xda"), (0, b"\x78\x01")], [".zlib"];
    "a Brotli file", RECOMPRESS, [], [".br"];
    "a 7-Zip archive", UNPACK, [(0, b"7z\xbc\xaf\x27\x1c")], [".7z"];
    "a RAR archive", UNPACK, [(0, b"Rar!\x1a\x07")], [".rar"];
    "a cabinet archive", UNPACK, [(0, b"MSCF\0\0\0\0")], [".cab"];
    "a tar archive", UNPACK, [(257, b"ustar")], [".tar", ".tar.gz", ".tar.zst", ".tar.bz2", ".tar.xz", ".tgz", ".tzst", ".tbz2", ".tbz", ".txz"];
    "an old Excel workbook, or another document of that time (OLE)", EXPORT, [(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")], [".xls", ".doc"];
    "an Excel workbook", EXPORT, [], [".xlsx", ".xlsm", ".xlsb"];
    "an OpenDocument table", EXPORT, [], [".ods"];
    "a PDF document", EXPORT, [(0, b"%PDF-")], [".pdf"];
    "a document in rich text", EXPORT, [(0, b"{\\rtf")], [".rtf"];
    "an SQLite database", EXPORT, [(0, b"SQLite format 3\0")], [".sqlite", ".sqlite3", ".db"];
    "a DuckDB database", EXPORT, [(8, b"DUCK")], [".duckdb"];
    "an Avro file", EXPORT, [(0, b"Obj\x01")], [".avro"];
    "an ORC file", EXPORT, [(0, b"ORC")], [".orc"];
    "an Arrow file", EXPORT, [(0, b"ARROW1\0\0"), (0, b"FEA1")], [".arrow", ".feather", ".ipc"];
    "an HDF5 file", EXPORT, [(0, b"\x89HDF\r\n\x1a\n")], [".h5", ".hdf5"];
    "a NumPy array", EXPORT, [(0, b"\x93NUMPY")], [".npy", ".npz"];
    "a Python pickle", EXPORT, [(0, b"\x80\x02"), (0, b"\x80\x03"), (0, b"\x80\x04\x95"), (0, b"\x80\x05\x95")], [".pkl", ".pickle"];
    "an R data file", EXPORT, [(0, b"RDX2\n"), (0, b"RDX3\n"), (0, b"RDA3\n")], [".rdata", ".rds"];
    "a Stata file", EXPORT, [(0, b"<stata_dta>")], [".dta"];
    "an SPSS file", EXPORT, [(0, b"$FL2@(#)")], [".sav"];
    "an encrypted Parquet file", "write it without encryption", [(0, b"PARE")], [];
    "an encrypted file", "decrypt it first", [(0, b"-----BEGIN PGP MESSAGE-----"), (0, b"age-encryption.org/"), (0, b"Salted__")], [".gpg", ".pgp", ".age"];
    "an image", "it holds no table; check which file was meant", [(0, b"\x89PNG\r\n\x1a\n"), (0, b"\xff\xd8\xff"), (0, b"GIF8")], [];
    "text in UTF-32", "save it in UTF-8", [(0, b"\xff\xfe\0\0"), (0, b"\0\0\xfe\xff")], [];
    "a pointer of Git LFS in place of the file", "fetch the file itself with `git lfs pull`", [(0, b"version https://git-lfs.github.com/spec/")], [];
    "a pointer of git-annex in place of the file", "fetch the file itself with `git annex get`", [(0, b"/annex/objects/")], [];
];

impl Other {
    fn message(&self) -> String {
        format!("this is {}; {}", self.what, self.then)
    }
}

/// What is to be said of a file whose name tells that it is not read.
pub(crate) fn of_name(name: &str) -> Option<String> {
    let small = name.to_ascii_lowercase();
    let known = |other: &&Other| other.endings.iter().any(|ending| small.ends_with(ending));
    OTHERS.iter().find(known).map(Other::message)
}

/// What is to be said of a file that begins so, where it is no text, or not the text that it should be. The file's compression is taken
/// off already; UTF-16 is read.
pub(crate) fn unfit(head: &[u8], expected: Expected) -> Option<String> {
    if let Some(compression) = compression(head) {
        let (name, command) = (compression.name(), compression.command());
        return Some(match expected {
            Expected::Parquet => {
                format!("this is a {name} file; Parquet is compressed within: decompress it with `{command}`")
            }
            _ => format!("this is {name} within a compression; decompress it once with `{command}`"),
        });
    }
    if is_zip(head) {
        return Some(zip(head));
    }
    if is_parquet(head) {
        return (expected != Expected::Parquet).then(|| {
            "this is a Parquet file; give its name the ending .parquet and its description the format generic".to_owned()
        });
    }
    // Few bytes that may be letters are not enough where all others are letters too.
    let text = is_text(head);
    let begins = |other: &&Other| {
        let at = |(from, magic): &(usize, &[u8])| {
            (magic.len() > 4 || !text) && head.get(*from..).is_some_and(|rest| rest.starts_with(magic))
        };
        other.magic.iter().any(at)
    };
    if let Some(other) = OTHERS.iter().find(begins) {
        return Some(other.message());
    }
    if old_tar(head) {
        return of_name(".tar");
    }
    markup(head)
        .or_else(|| json(head, expected))
        .map(str::to_owned)
        .or_else(|| {
            (expected == Expected::Parquet).then(|| match head {
                [] => "the file is empty, and no Parquet; write it again".to_owned(),
                head if is_text(head) || utf16(head).is_some() => {
                    "this is text, and no Parquet; give its name the ending of what it is (.csv, .tsv or .jsonl)".to_owned()
                }
                _ => "this is no Parquet; write it again".to_owned(),
            })
        })
}

/// An archive, or one of the kinds of document that are archives within.
fn zip(head: &[u8]) -> String {
    // The name of the first member, and its content where it is stored.
    let first = head.get(30..).unwrap_or_default();
    let begins = |name: &str| first.starts_with(name.as_bytes());
    let office = ["[Content_Types].xml", "_rels/", "docProps/", "xl/"];
    if office.iter().any(|name| begins(name)) {
        return format!("this is an Excel workbook or another Office document; {EXPORT}");
    }
    if begins("mimetypeapplication/vnd.oasis.opendocument") {
        return format!("this is an OpenDocument table or text; {EXPORT}");
    }
    "this is a zip archive; call it .zip and name the file in it, as `archive.zip/file.csv`".to_owned()
}

/// A tar archive from before they were marked: the sum over its first header fits.
fn old_tar(head: &[u8]) -> bool {
    let Some((header, _)) = head.split_first_chunk::<512>() else {
        return false;
    };
    let noted = std::str::from_utf8(&header[148..156])
        .ok()
        .and_then(|digits| u32::from_str_radix(digits.trim_matches([' ', '\0']), 8).ok());
    let sum: u32 = (0..512)
        .map(|at| match at {
            148..156 => u32::from(b' '),
            _ => u32::from(header[at]),
        })
        .sum();
    header[0] != 0 && noted == Some(sum)
}

/// A page or another document in place of a file, as servers answer.
fn markup(head: &[u8]) -> Option<&'static str> {
    let head = head
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(head)
        .trim_ascii_start();
    let begins = |tag: &str| {
        head.get(..tag.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(tag.as_bytes()))
    };
    if ["<!doctype html", "<html", "<head", "<body", "<!-- "]
        .into_iter()
        .any(begins)
    {
        return Some(
            "this is an HTML page, such as a server answers in place of a file; fetch the file again",
        );
    }
    if ["<?xml", "<error>", "<!doctype"].into_iter().any(begins) {
        return Some(
            "this is an XML document, such as a server answers in place of a file; fetch the file again, or export it as csv",
        );
    }
    let head = head.trim_ascii_end();
    (head == b"Entry not found" || head == b"Not Found" || head.starts_with(b"404: ")).then_some(
        "this is a server's answer that there is no such file; check the address and fetch it again",
    )
}

/// JSON where something else is expected, or otherwise than it is expected.
fn json(head: &[u8], expected: Expected) -> Option<&'static str> {
    let head = head
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(head)
        .trim_ascii_start();
    match (expected, head) {
        (Expected::JsonLines, [b'[', ..]) => Some(
            "this is a JSON array; lines of one object each are expected: `jq -c '.[]' FILE > FILE.jsonl` makes them of it",
        ),
        (Expected::JsonLines, [b'{', rest @ ..]) if over_lines(rest) => Some(
            "this is JSON over several lines; lines of one object each are expected: `jq -c . FILE > FILE.jsonl` makes them of it",
        ),
        (Expected::Delimited, [b'{', rest @ ..]) if rest.trim_ascii_start().starts_with(b"\"") => {
            Some("this is JSON, and no table of fields; give its name the ending .jsonl")
        }
        (Expected::Delimited, [b'[', rest @ ..]) if rest.trim_ascii_start().starts_with(b"{") => Some(
            "this is a JSON array, and no table of fields; `jq -c '.[]' FILE > FILE.jsonl` makes JSON lines of it",
        ),
        _ => None,
    }
}

/// Whether the line ends before the first key of an object.
fn over_lines(rest: &[u8]) -> bool {
    let key = rest.iter().position(|byte| !byte.is_ascii_whitespace());
    let before = &rest[..key.unwrap_or(rest.len())];
    before.iter().any(|byte| matches!(byte, b'\n' | b'\r')) && key.is_some_and(|at| rest[at] == b'"')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn said(head: &[u8], expected: Expected) -> String {
        unfit(head, expected).unwrap_or_default()
    }

    /// A header of an archive from before there was a mark, with a file of text in it.
    fn tar(mark: bool) -> Vec<u8> {
        let mut header = vec![0; 512];
        header[..8].copy_from_slice(b"data.csv");
        header[100..108].copy_from_slice(b"0000644\0");
        header[124..136].copy_from_slice(b"00000000004\0");
        if mark {
            header[257..262].copy_from_slice(b"ustar");
        }
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        [header, b"a,b\n".to_vec()].concat()
    }

    #[test]
    fn a_file_that_is_something_else_is_called_by_what_it_is() {
        let local = b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0\0\0\0\0\0\0\0\0\0\0\0\0\x13\0\0\0";
        let cases: [(&[u8], &str); 19] = [
            (b"\x1f\x8b\x08\0\0\0", "gzip within a compression"),
            (b"\x28\xb5\x2f\xfd\0", "Zstandard within a compression"),
            (b"BZh91AY&SY", "bzip2 within a compression"),
            (&[local, &b"a.csv"[..]].concat(), "a zip archive"),
            (
                &[local, &b"[Content_Types].xml"[..]].concat(),
                "an Excel workbook",
            ),
            (b"PAR1\x15\x04", "a Parquet file"),
            (b"\x04\x22\x4d\x18d@\xa7", "an lz4 file"),
            (b"\x1f\x9d\x90u\xe6", "the old `compress`"),
            (b"7z\xbc\xaf\x27\x1c\0\x04", "a 7-Zip archive"),
            (b"Rar!\x1a\x07\x01\0", "a RAR archive"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", "an old Excel workbook"),
            (b"%PDF-1.7\n", "a PDF document"),
            (b"SQLite format 3\0\x10\0", "an SQLite database"),
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
                "a pointer of Git LFS",
            ),
            (b"\xef\xbb\xbf \n<!DOCTYPE html><html>", "an HTML page"),
            (b"<?xml version=\"1.0\"?><Error>", "an XML document"),
            (b"\xff\xfe\0\0a\0\0\0", "text in UTF-32"),
            (&tar(true), "a tar archive"),
            (&tar(false), "a tar archive"),
        ];
        for (head, what) in cases {
            for expected in [Expected::JsonLines, Expected::Delimited, Expected::Text] {
                let message = said(head, expected);
                assert!(
                    message.contains(what) && message.contains("; "),
                    "{what}: {message}"
                );
            }
        }
    }

    #[test]
    fn text_is_taken_for_nothing_else() {
        for text in [
            "user_id,item_id,timestamp\n1,2,3\n",
            "user_id,DUCK,timestamp\n1,2,3\n",
            "LZIP,a\n",
            "BZh,a,b\n",
            "ORC,ear\n1,2\n",
            "GIF89,x\n",
            "196\t242\t3\t881250949\n",
            "1::1193::5::978300760\n",
            "{'asin': 'A', 'title': 'x'}\n",
            "\u{feff}user,item\n",
            "",
        ] {
            assert_eq!(unfit(text.as_bytes(), Expected::Text), None, "{text}");
            assert_eq!(compression(text.as_bytes()), None, "{text}");
            assert_eq!(utf16(text.as_bytes()), None, "{text}");
        }
        assert_eq!(utf16(&[0; 4_096]), None, "zeros as a crash leaves them");
        assert_eq!(unfit(b"{\"a\": 1}\n", Expected::JsonLines), None);
        assert_eq!(unfit(b"{\n}", Expected::JsonLines), None);
    }

    #[test]
    fn json_is_told_where_it_is_in_another_form() {
        for (text, expected, what) in [
            ("[{\"a\": 1}]", Expected::JsonLines, "a JSON array"),
            (" \n [\n", Expected::JsonLines, "a JSON array"),
            ("{\n  \"a\": 1\n}", Expected::JsonLines, "over several lines"),
            ("{\"a\": 1}\n", Expected::Delimited, "no table of fields"),
            ("[{\"a\": 1}]\n", Expected::Delimited, "a JSON array"),
            ("a,b\n", Expected::Parquet, "this is text"),
            ("", Expected::Parquet, "empty"),
        ] {
            let message = said(text.as_bytes(), expected);
            assert!(message.contains(what), "{text}: {message}");
        }
        assert!(said(b"\x1f\x8b\x08\0\0\0", Expected::Parquet).contains("gunzip"));
        assert_eq!(unfit(b"PAR1\x15\0", Expected::Parquet), None);
    }

    #[test]
    fn utf_16_is_told_with_and_without_its_mark() {
        let text = "user_id,item_id\n1,é長\n";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(utf16(&little), Some(Utf16::Little));
        assert_eq!(utf16(&big), Some(Utf16::Big));
        assert_eq!(utf16(b"\xff\xfea\0"), Some(Utf16::Little));
        assert_eq!(utf16(b"\xfe\xff\0a"), Some(Utf16::Big));
    }

    #[test]
    fn names_tell_what_is_not_read() {
        assert!(of_name("a.TAR.gz").unwrap().contains("a tar archive"));
        assert!(of_name("a.csv.lz4").unwrap().contains("an lz4 file"));
        assert!(of_name("a.csv.br").unwrap().contains("a Brotli file"));
        assert!(of_name("Sales.XLSX").unwrap().contains("an Excel workbook"));
        for name in ["a.csv", "a.json.gz", "a.parquet", "a.zip"] {
            assert_eq!(of_name(name), None, "{name}");
        }
    }
}
