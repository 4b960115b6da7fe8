//! Writing Parquet so that equal rows give equal bytes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::BatchCoalescer;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::prelude::DataFrame;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::prepared::layout::{PROMPT_ROWS, TABLE_ROWS};
use crate::prepared::manifest::FileEntry;

/// Bytes of a row group's dictionary of raw item ids from which on they are written as they are.
const ITEM_DICTIONARY: usize = 128 << 10;

/// Columns of texts, and of keys, that hardly repeat.
const WITHOUT_DICTIONARY: [&str; 4] = ["messages.list.item.content", "key", "title", "text"];

/// Columns with an encoding of their own.
const ENCODED: [(&str, Encoding); 7] = [
    ("user", Encoding::DELTA_BINARY_PACKED),
    ("item", Encoding::DELTA_BINARY_PACKED),
    ("items.list.item", Encoding::DELTA_BINARY_PACKED),
    ("candidates.list.item", Encoding::DELTA_BINARY_PACKED),
    ("binned.list.item", Encoding::DELTA_BINARY_PACKED),
    ("line", Encoding::DELTA_BINARY_PACKED),
    ("user_id", Encoding::DELTA_BYTE_ARRAY),
];

/// In any order, numbers in as few bits as they need cannot be made smaller.
const AS_SMALL_AS_IT_GETS: [&str; 5] = [
    "item",
    "items.list.item",
    "candidates.list.item",
    "binned.list.item",
    "line",
];

/// The path of a column that is written with dots between its parts.
fn path_of(column: &str) -> ColumnPath {
    ColumnPath::new(column.split('.').map(str::to_owned).collect())
}

/// Writes a frame to `folder/relative`, its columns taken in the order of `schema`.
///
/// Rows are cut into row groups of a fixed size before they reach the encoder, whatever batches the plan yields, and nothing
/// about the machine or the time goes in.
pub async fn write_frame(
    folder: &Path,
    relative: &Path,
    schema: SchemaRef,
    frame: DataFrame,
) -> Result<FileEntry> {
    let mut file = ParquetFile::create(folder, relative, schema)?;
    let mut batches = frame.execute_stream().await?;
    while let Some(batch) = batches.next().await {
        file.write(&batch?)?;
    }
    file.finish()
}

/// Writes batches to `folder/relative`.
pub fn write_batches(
    folder: &Path,
    relative: &Path,
    schema: SchemaRef,
    batches: &[RecordBatch],
) -> Result<FileEntry> {
    let mut file = ParquetFile::create(folder, relative, schema)?;
    batches.iter().try_for_each(|batch| file.write(batch))?;
    file.finish()
}

/// A Parquet file of the folder that is being written, batch by batch.
#[derive(Debug)]
pub struct ParquetFile<'a> {
    folder: &'a Path,
    relative: &'a Path,
    schema: SchemaRef,
    groups: BatchCoalescer,
    /// Rows of a group.
    group_rows: usize,
    writer: ArrowWriter<Hashing<BufWriter<File>>>,
    rows: u64,
}

impl<'a> ParquetFile<'a> {
    /// Creates `folder/relative`.
    pub fn create(folder: &'a Path, relative: &'a Path, schema: SchemaRef) -> Result<Self> {
        let path = folder.join(relative);
        let file = File::create(&path).map_err(|source| Error::io(&path, "create", source))?;
        let sink = Hashing {
            inner: BufWriter::with_capacity(1 << 20, file),
            hasher: blake3::Hasher::new(),
            sha256: Sha256::new(),
            bytes: 0,
        };
        let rows = match schema.column_with_name("messages") {
            Some(_) => PROMPT_ROWS,
            None => TABLE_ROWS,
        };
        let mut properties = WriterProperties::builder()
            .set_created_by("weaverec".to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_max_row_group_row_count(Some(rows));
        // What hardly repeats gets no dictionary: it would be built for nothing.
        for column in WITHOUT_DICTIONARY {
            properties = properties.set_column_dictionary_enabled(path_of(column), false);
        }
        // Nor does what is as short as numbers, or as what differs from the row before.
        for (column, encoding) in ENCODED {
            properties = properties
                .set_column_dictionary_enabled(path_of(column), false)
                .set_column_encoding(path_of(column), encoding);
        }
        for column in AS_SMALL_AS_IT_GETS {
            properties = properties.set_column_compression(path_of(column), Compression::UNCOMPRESSED);
        }
        // Of many items hardly any repeats within a row group; with few, a dictionary is worth having.
        properties = properties.set_column_dictionary_page_size_limit(path_of("item_id"), ITEM_DICTIONARY);
        let writer = ArrowWriter::try_new(sink, schema.clone(), Some(properties.build()))?;
        let groups = BatchCoalescer::new(schema.clone(), rows);
        Ok(Self {
            folder,
            relative,
            schema,
            groups,
            group_rows: rows,
            writer,
            rows: 0,
        })
    }

    /// Adds rows; columns beyond the schema's are left out.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let batch = self.fitting(batch)?;
        self.rows += batch.num_rows() as u64;
        // What is a group already needs no copying; for prompts that is most of the bytes there are.
        if batch.num_rows() == self.group_rows && self.groups.is_empty() {
            return self.encode(&batch);
        }
        self.groups.push_batch(batch)?;
        self.drain()
    }

    /// Adds rows as a row group of their own, for which they must not be too many; nothing where there are none.
    pub fn write_group(&mut self, batch: &RecordBatch) -> Result<()> {
        let batch = self.fitting(batch)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.rows += batch.num_rows() as u64;
        self.encode(&batch)?;
        self.writer
            .flush()
            .map_err(|error| Error::writing(self.folder.join(self.relative), error))
    }

    fn fitting(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        // Plans guess nullability; the layout states it.
        let columns = self.schema.fields().iter().map(|field| {
            batch
                .column_by_name(field.name())
                .cloned()
                .ok_or_else(|| Error::Prepared {
                    path: self.folder.join(self.relative),
                    message: format!("no stage made the column `{}`", field.name()),
                })
        });
        Ok(RecordBatch::try_new(
            self.schema.clone(),
            columns.collect::<Result<_>>()?,
        )?)
    }

    fn drain(&mut self) -> Result<()> {
        while let Some(group) = self.groups.next_completed_batch() {
            self.encode(&group)?;
        }
        Ok(())
    }

    fn encode(&mut self, group: &RecordBatch) -> Result<()> {
        self.writer
            .write(group)
            .map_err(|error| Error::writing(self.folder.join(self.relative), error))
    }

    /// Closes the file.
    pub fn finish(mut self) -> Result<FileEntry> {
        self.groups.finish_buffered_batch()?;
        self.drain()?;
        let path = self.folder.join(self.relative);
        let mut sink = self
            .writer
            .into_inner()
            .map_err(|error| Error::writing(&path, error))?;
        sink.flush().map_err(|source| Error::io(&path, "write", source))?;
        Ok(FileEntry {
            path: self.relative.to_string_lossy().replace('\\', "/"),
            rows: self.rows,
            bytes: sink.bytes,
            blake3: sink.hasher.finalize().to_hex().to_string(),
            sha256: sink
                .sha256
                .finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        })
    }
}

/// Writes text whole.
pub fn write_text(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|source| Error::io(path, "write", source))
}

#[derive(Debug)]
struct Hashing<W> {
    inner: W,
    hasher: blake3::Hasher,
    /// What catalogues of data sets check files by.
    sha256: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.hasher.update(&buffer[..written]);
        self.sha256.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use datafusion::arrow::array::StringArray;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn texts(rows: usize) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8, false)]));
        let values = StringArray::from_iter_values((0..rows).map(|row| format!("row {row}")));
        RecordBatch::try_new(schema, vec![Arc::new(values)]).unwrap()
    }

    #[test]
    fn the_division_into_batches_does_not_reach_the_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let whole = texts(20_000);
        let parts = [
            whole.slice(0, 9_000),
            whole.slice(9_000, 1),
            whole.slice(9_001, 10_999),
        ];
        let write = |name: &str, batches: &[RecordBatch]| {
            write_batches(folder.path(), Path::new(name), whole.schema(), batches).unwrap()
        };
        let (one, many) = (write("one", std::slice::from_ref(&whole)), write("many", &parts));
        assert_eq!(one.rows, 20_000);
        assert_eq!(one.blake3, many.blake3);
        let bytes = std::fs::read(folder.path().join("one")).unwrap();
        let sha256: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!((one.sha256, one.bytes), (sha256, bytes.len() as u64));
        assert_eq!(one.blake3, blake3::hash(&bytes).to_hex().to_string());
    }

    #[test]
    fn columns_are_encoded_as_the_lists_above_say() {
        use crate::prepared::{interactions_schema, items_schema, prompts_schema, rejects_schema};

        let folder = tempfile::tempdir().unwrap();
        let mut seen = std::collections::BTreeSet::new();
        let schemas = [
            interactions_schema(),
            items_schema(),
            prompts_schema(),
            rejects_schema(),
            crate::stage::sequence::schema(),
        ];
        for schema in schemas {
            let row = RecordBatch::try_new(
                schema.clone(),
                schema
                    .fields()
                    .iter()
                    .map(|field| one_value(field.data_type()))
                    .collect(),
            );
            write_batches(folder.path(), Path::new("p"), schema, &[row.unwrap()]).unwrap();
            let file = File::open(folder.path().join("p")).unwrap();
            let reader =
                parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            for column in reader.metadata().row_group(0).columns() {
                let path = column.column_path().string();
                let encoding = ENCODED.iter().find(|(name, _)| *name == path);
                let plain = WITHOUT_DICTIONARY.contains(&path.as_str())
                    || encoding.is_some()
                    || column.column_type() == parquet::basic::Type::BOOLEAN;
                assert_eq!(column.dictionary_page_offset().is_none(), plain, "{path}");
                if let Some((_, encoding)) = encoding {
                    assert!(column.encodings().any(|used| used == *encoding), "{path}");
                }
                let uncompressed = column.compression() == Compression::UNCOMPRESSED;
                assert_eq!(
                    uncompressed,
                    AS_SMALL_AS_IT_GETS.contains(&path.as_str()),
                    "{path}"
                );
                seen.insert(path);
            }
        }
        let named = ENCODED
            .map(|(name, _)| name)
            .into_iter()
            .chain(WITHOUT_DICTIONARY);
        for name in named.chain(AS_SMALL_AS_IT_GETS) {
            assert!(seen.contains(name), "{name} is not in {seen:?}");
        }
    }

    /// A column of one value, which is not null, and neither is anything within it.
    fn one_value(kind: &DataType) -> arrow::array::ArrayRef {
        use datafusion::arrow::array::{BooleanArray, ListArray, StructArray};
        use datafusion::arrow::buffer::OffsetBuffer;

        match kind {
            DataType::Utf8 => Arc::new(StringArray::from(vec!["a"])),
            DataType::Boolean => Arc::new(BooleanArray::from(vec![true])),
            DataType::List(field) => Arc::new(ListArray::new(
                field.clone(),
                OffsetBuffer::from_lengths([1]),
                one_value(field.data_type()),
                None,
            )),
            DataType::Struct(fields) => Arc::new(StructArray::new(
                fields.clone(),
                fields.iter().map(|field| one_value(field.data_type())).collect(),
                None,
            )),
            number => arrow::compute::cast(&StringArray::from(vec!["1"]), number).unwrap(),
        }
    }

    #[test]
    fn a_full_disk_is_an_error_that_names_the_file() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            eprintln!("skipped: this system has no /dev/full");
            return;
        }
        let rows = texts(100_000);
        let error = write_batches(Path::new("/dev"), Path::new("full"), rows.schema(), &[rows]).unwrap_err();
        let named = matches!(&error, Error::Io { path, source, .. }
            if path == full && source.kind() == io::ErrorKind::StorageFull);
        assert!(named, "{error:?}");
    }
}
