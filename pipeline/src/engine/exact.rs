//! One file, and no other, as DataFusion is told of it.
//!
//! A path that it is given as text is a pattern to DataFusion where it has a `*`, `?` or `[`, and names what is found by walking the
//! folder above. A URL is no pattern: every character stands for itself.

use std::path::Path;
use std::sync::Arc;

use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::object_store::local::LocalFileSystem;
use datafusion::prelude::SessionContext;

use crate::error::{Error, Result};

/// The URL of a file that is there.
///
/// It is one that any process understands, as the workers of a cluster must; only where no URL of a file can be told to DataFusion (a
/// path that is no Unicode, or holds a control character) does it name the file within its folder, which the session is taught.
pub(super) fn url(path: &Path, context: &SessionContext) -> Result<String> {
    let found = path
        .canonicalize()
        .map_err(|source| Error::io(path, "read", source))?;
    match found.to_str() {
        Some(text) if cfg!(unix) && !text.contains(|c: char| c.is_ascii_control()) => {
            Ok(format!("file://{}", encoded(text.as_bytes())))
        }
        _ => within_its_folder(&found, context),
    }
}

/// The URL of a file within a store that is its folder.
fn within_its_folder(file: &Path, context: &SessionContext) -> Result<String> {
    let folder = file.parent().unwrap_or(file);
    let name = file.file_name().unwrap_or_default().as_encoded_bytes();
    let store = LocalFileSystem::new_with_prefix(folder)
        .map_err(|error| Error::Usage(format!("{} cannot be opened: {error}", folder.display())))?;
    // One name a folder, so that it is taught once, however many files are read from it.
    let host = blake3::hash(folder.as_os_str().as_encoded_bytes()).to_hex();
    let root = ObjectStoreUrl::parse(format!("folder://{host}"))?;
    context.register_object_store(root.as_ref(), Arc::new(store));
    Ok(format!(
        "{}/{}",
        root.as_str().trim_end_matches('/'),
        encoded(name)
    ))
}

/// Bytes of a path with everything but plain letters, digits and separators as `%` and two digits.
fn encoded(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                text.push(char::from(*byte))
            }
            // Writing to a string cannot fail.
            other => drop(write!(text, "%{other:02X}")),
        }
    }
    text
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use datafusion::arrow::array::{Int64Array, RecordBatch};
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use parquet::arrow::ArrowWriter;

    use crate::engine::Engine;

    #[tokio::test]
    async fn a_file_is_read_whatever_its_folders_are_called_and_no_other_is() {
        let root = tempfile::tempdir().unwrap();
        let names: [&[u8]; 8] = [
            b"a [b]*?#%20 \xc3\xa9",
            b"plain",
            b"{x,y}",
            b"%2e%2e",
            b"back\\slash\"quote'",
            b"line\nend\tand tab",
            b"no unicode \xff\xfe",
            b"~tilde;+&=:@",
        ];
        let schema = std::sync::Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let engine = Engine::new(1).unwrap();
        for (n, name) in names.into_iter().enumerate() {
            let folder = root.path().join(OsStr::from_bytes(name)).join("inner");
            std::fs::create_dir_all(&folder).unwrap();
            // A file system may refuse what is no Unicode; ours here does not.
            let path = folder.join("t.parquet");
            let column = std::sync::Arc::new(Int64Array::from(vec![n as i64]));
            let batch = RecordBatch::try_new(schema.clone(), vec![column]).unwrap();
            let mut writer =
                ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), schema.clone(), None).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
            let rows = engine.parquet(&path).await.unwrap().collect().await.unwrap();
            assert_eq!(rows, [batch], "{}", folder.display());
        }
        let missing = engine.parquet(&root.path().join("plain/inner/*.parquet")).await;
        let error = missing.unwrap_err().to_string();
        assert!(
            error.contains("*.parquet") && error.contains("check the path"),
            "{error}"
        );
    }
}
