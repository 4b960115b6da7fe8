//! Where plans run: DataFusion on this machine, with a number of threads and, if wanted, a memory limit.

use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::datasource::MemTable;
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};

use crate::error::Result;

/// Rows a batch holds; fixed, since the boundaries of batches reach the bytes of Parquet files.
pub const BATCH_ROWS: usize = 8192;

/// Share of the memory limit that plans may reserve; the rest is for what the pool does not see.
const POOL_SHARE: f64 = 0.9;

/// A DataFusion session with this crate's settings.
#[derive(Clone)]
pub struct Engine {
    context: SessionContext,
    threads: usize,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine with `threads` partitions (0: one a core) that spills to disk beyond `memory_limit` bytes.
    pub fn new(threads: usize, memory_limit: Option<usize>) -> Result<Self> {
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            given => given,
        };
        let mut config = SessionConfig::new()
            .with_target_partitions(threads)
            .with_batch_size(BATCH_ROWS);
        let mut runtime = RuntimeEnvBuilder::new();
        if let Some(limit) = memory_limit {
            // Hash joins cannot spill; sort-merge joins can.
            config.options_mut().optimizer.prefer_hash_join = false;
            let pool = FairSpillPool::new((limit as f64 * POOL_SHARE) as usize);
            let top = NonZeroUsize::new(5).unwrap_or(NonZeroUsize::MIN);
            runtime = runtime.with_memory_pool(Arc::new(TrackConsumersPool::new(pool, top)));
        }
        let context = SessionContext::new_with_config_rt(config, runtime.build_arc()?);
        Ok(Self { context, threads })
    }

    /// The same engine with one partition: rows keep their order without a sort.
    pub fn serial(&self) -> Self {
        let config = self.context.copied_config().with_target_partitions(1);
        let context = SessionContext::new_with_config_rt(config, self.context.runtime_env());
        Self { context, threads: 1 }
    }

    /// Number of partitions, and of files written at a time.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// A frame over batches in memory, which may be none: the schema is given.
    ///
    /// Only a [`serial`](Self::serial) engine gives the rows back in their order; with several partitions a scan shares the batches out.
    pub fn frame(&self, schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<DataFrame> {
        let table = MemTable::try_new(schema, vec![batches])?;
        Ok(self.context.read_table(Arc::new(table))?)
    }

    /// Runs a frame and returns one over its result, so that what follows does not run it again.
    pub async fn settle(&self, frame: DataFrame) -> Result<DataFrame> {
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let batches = frame.collect().await?;
        // Plans may declare a column nullable that the result shows not to be, and the other way round; the data decide.
        let schema = batches.first().map_or(schema, RecordBatch::schema);
        self.frame(schema, batches)
    }
}
