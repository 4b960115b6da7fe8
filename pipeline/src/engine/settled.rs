//! The result of a plan, kept to be read again: in memory, or in a Parquet file of its own under a memory limit.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::prelude::DataFrame;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::engine::Engine;
use crate::error::{Error, Result};

/// Rows of a row group: what a writer holds before it goes to disk.
const ROW_GROUP_ROWS: usize = 32 * 1024;

/// A table that is being filled.
pub struct Settling {
    schema: SchemaRef,
    rows: usize,
    place: Place,
}

enum Place {
    Memory(Vec<RecordBatch>),
    Disk {
        path: PathBuf,
        writer: Box<ArrowWriter<File>>,
    },
}

impl std::fmt::Debug for Settling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settling")
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl Settling {
    pub(super) fn new(engine: &Engine, schema: SchemaRef) -> Result<Self> {
        let place = match &engine.spill {
            None => Place::Memory(Vec::new()),
            Some(folder) => {
                let failed = |source| Error::io(folder.path(), "write into", source);
                let file = tempfile::Builder::new()
                    .suffix(".parquet")
                    .tempfile_in(folder.path());
                // The engine's folder goes as a whole: one guard is enough.
                let (file, path) = file.map_err(failed)?.keep().map_err(|kept| failed(kept.error))?;
                let properties = WriterProperties::builder()
                    .set_compression(Compression::SNAPPY)
                    .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
                    .build();
                let writer = ArrowWriter::try_new(file, nullable(&schema), Some(properties))?;
                Place::Disk {
                    path,
                    writer: Box::new(writer),
                }
            }
        };
        Ok(Self {
            schema,
            rows: 0,
            place,
        })
    }

    /// Adds rows.
    pub fn push(&mut self, batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows();
        match &mut self.place {
            Place::Memory(batches) => batches.push(batch),
            Place::Disk { path, writer } => {
                let batch = RecordBatch::try_new(nullable(&self.schema), batch.columns().to_vec())?;
                writer
                    .write(&batch)
                    .map_err(|error| Error::writing(path, error))?;
            }
        }
        Ok(())
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The table; a [`serial`](Engine::serial) engine reads its rows in the order in which they came.
    pub async fn finish(self, engine: &Engine) -> Result<DataFrame> {
        match self.place {
            Place::Memory(batches) => {
                // Plans may declare a column nullable that the result shows not to be, and the other way round; the data decide.
                let schema = batches.first().map_or(self.schema, RecordBatch::schema);
                engine.in_memory(schema, batches)
            }
            Place::Disk { path, writer } => {
                writer.close().map_err(|error| Error::writing(&path, error))?;
                engine.parquet(&path).await
            }
        }
    }
}

/// The same columns, any of which may have nulls: what a plan declares about that is not always what it yields.
fn nullable(schema: &SchemaRef) -> SchemaRef {
    let fields = schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
