//! Where plans run: DataFusion on this machine, with a number of threads and, if wanted, a memory limit; or a cluster.

mod exact;
mod settled;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::datasource::MemTable;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{DataFrame, ParquetReadOptions, SessionConfig, SessionContext};
use futures::StreamExt;
use rayon::{ThreadPool, ThreadPoolBuilder};
use weaverec_output::scratch::Scratch;

#[cfg(feature = "cluster")]
use crate::cluster::Cluster;
use crate::error::{Error, Result};
pub use settled::Settling;

/// Rows a batch holds; fixed, since the boundaries of batches reach the bytes of Parquet files.
pub const BATCH_ROWS: usize = 8192;

/// Share of the memory limit that plans may reserve. The rest is for what the pool does not see: the program itself, the
/// decoding and encoding of Parquet, the catalogue, batches on their way from one operator to the next.
const POOL_SHARE: f64 = 0.5;

/// Share of the memory limit that rows may take while they are held and chosen from without plans; choosing takes half as much
/// again.
const ROW_SHARE: f64 = 0.4;

/// Memory below which another partition does more harm than good: the pool is divided among them.
const BYTES_A_PARTITION: usize = 128 << 20;

/// Share of a partition's pool that a sort keeps back for merging what it holds before it spills. The stages sort by keys that
/// are nearly whole rows, so that the merge needs about as much again as DataFusion foresees.
const MERGE_SHARE: f64 = 0.35;

/// Consumers of memory that an error about too little of it names.
const NAMED_CONSUMERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4);

/// A DataFusion session with this crate's settings.
#[derive(Clone)]
pub struct Engine {
    context: SessionContext,
    threads: usize,
    /// Bytes of memory that rows may take beside the plans.
    row_bytes: usize,
    /// The threads for work beside the plans.
    pool: Arc<ThreadPool>,
    /// Where settled tables and spills go; none: settled tables stay in memory.
    spill: Option<Arc<Scratch>>,
    /// Where plans run instead of here.
    #[cfg(feature = "cluster")]
    cluster: Option<Cluster>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("threads", &self.threads)
            .field("spill", &self.spill)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine with `threads` partitions (0: one a core) and all the memory there is.
    pub fn new(threads: usize) -> Result<Self> {
        let threads = cores(threads);
        let runtime = runtime().build_arc()?;
        Ok(Self {
            context: SessionContext::new_with_config_rt(session(threads), runtime),
            threads,
            row_bytes: usize::MAX,
            pool: pool(threads)?,
            spill: None,
            #[cfg(feature = "cluster")]
            cluster: None,
        })
    }

    /// An engine whose plans reserve no more than a share of `bytes`, and spill beyond it into a hidden folder below `place`, which
    /// goes when the engine does. Settled tables lie there too. A small limit takes fewer threads than asked for.
    ///
    /// # Errors
    /// [`Error::Io`] where the folder cannot be made.
    pub fn limited(threads: usize, bytes: usize, place: &Path) -> Result<Self> {
        let threads = cores(threads).min((bytes / BYTES_A_PARTITION).max(1));
        let folder = Scratch::new(place, "spill")?;
        let mut config = session(threads);
        // Hash joins cannot spill; sort-merge joins can.
        config.options_mut().optimizer.prefer_hash_join = false;
        let reserved = bytes as f64 * POOL_SHARE;
        let for_merging = (reserved / threads as f64 * MERGE_SHARE) as usize;
        config.options_mut().execution.sort_spill_reservation_bytes = for_merging;
        let memory = FairSpillPool::new(reserved as usize);
        let disk = DiskManagerMode::Directories(vec![folder.path().to_owned()]);
        let runtime = runtime()
            .with_memory_pool(Arc::new(TrackConsumersPool::new(memory, NAMED_CONSUMERS)))
            .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(disk))
            .build_arc()?;
        Ok(Self {
            context: SessionContext::new_with_config_rt(config, runtime),
            threads,
            row_bytes: (bytes as f64 * ROW_SHARE) as usize,
            pool: pool(threads)?,
            spill: Some(Arc::new(folder)),
            #[cfg(feature = "cluster")]
            cluster: None,
        })
    }

    /// An engine whose plans run on a cluster, in as many partitions as `threads` says. Settled tables lie in a hidden folder below
    /// `place`, which the machines of the cluster must see under the same path; it goes when the engine does.
    ///
    /// # Errors
    /// [`Error::Cluster`] where no worker is there, [`Error::Io`] where the folder cannot be made.
    #[cfg(feature = "cluster")]
    pub fn on_cluster(cluster: Cluster, threads: usize, place: &Path) -> Result<Self> {
        cluster.wait()?;
        let place = place
            .canonicalize()
            .map_err(|source| Error::io(place, "find", source))?;
        let folder = Scratch::new(&place, "spill")?;
        let threads = cores(threads);
        let runtime = runtime().build_arc()?;
        Ok(Self {
            context: cluster.session(session(threads), runtime, folder.path()),
            threads,
            // What plans read must lie where the workers see it.
            row_bytes: 0,
            // Its partitions are those of the cluster; the threads are those of this machine.
            pool: pool(cores(0))?,
            spill: Some(Arc::new(folder)),
            cluster: Some(cluster),
        })
    }

    /// The same engine with one partition: rows keep their order without a sort.
    pub fn serial(&self) -> Self {
        let config = self.context.copied_config().with_target_partitions(1);
        let runtime = self.context.runtime_env();
        #[cfg(feature = "cluster")]
        if let (Some(cluster), Some(folder)) = (&self.cluster, &self.spill) {
            return Self {
                context: cluster.session(config, runtime, folder.path()),
                threads: 1,
                ..self.clone()
            };
        }
        Self {
            context: SessionContext::new_with_config_rt(config, runtime),
            threads: 1,
            ..self.clone()
        }
    }

    /// An engine on this machine that sees the same settled tables: for plans that only read, where the rows are needed here.
    pub fn here(&self) -> Self {
        #[cfg(feature = "cluster")]
        if self.cluster.is_some() {
            let config = session(cores(0));
            return Self {
                context: SessionContext::new_with_config_rt(config, self.context.runtime_env()),
                threads: cores(0),
                cluster: None,
                ..self.clone()
            };
        }
        self.clone()
    }

    /// Whether plans run on other machines, so that what they need must be sent or lie on shared storage.
    pub fn is_remote(&self) -> bool {
        #[cfg(feature = "cluster")]
        if self.cluster.is_some() {
            return true;
        }
        false
    }

    /// Number of partitions, and of files written at a time.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Does `work` that is no plan; what it does in parallel, it does on as many threads as the engine has, a serial one included.
    pub fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.pool.install(work)
    }

    /// Bytes of memory that rows held beside the plans may take; where they need more, they belong in a settled table.
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// The session, to register tables and functions and to run SQL.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// A frame over batches, which may be none: the schema is given. They stay in memory, whatever its limit; for a cluster they are
    /// settled.
    ///
    /// Only a [`serial`](Self::serial) engine gives the rows back in their order; with several partitions a scan shares the batches out.
    pub async fn frame(&self, schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<DataFrame> {
        if self.is_remote() {
            return self.hold(schema, batches).await;
        }
        self.in_memory(schema, batches)
    }

    fn in_memory(&self, schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<DataFrame> {
        let table = MemTable::try_new(schema, vec![batches])?;
        Ok(self.context.read_table(Arc::new(table))?)
    }

    /// A frame over a Parquet file, whatever characters its path has; the same remark on order.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that is not there, and what DataFusion says of one that is no Parquet file.
    pub async fn parquet(&self, path: &Path) -> Result<DataFrame> {
        let url = exact::url(path, &self.context)?;
        Ok(self
            .context
            .read_parquet(url, ParquetReadOptions::default())
            .await?)
    }

    /// An empty table to be filled batch by batch and then read as often as need be: in memory, or on disk under a memory limit.
    ///
    /// # Errors
    /// [`Error::Io`] where its file cannot be made.
    pub fn settling(&self, schema: SchemaRef) -> Result<Settling> {
        Settling::new(self, schema)
    }

    /// Puts batches where settled tables are, letting go of each as it is written.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written, and batches of another schema.
    pub async fn hold(&self, schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<DataFrame> {
        let mut settling = self.settling(schema)?;
        for batch in batches {
            settling.push(batch)?;
        }
        settling.finish(self).await
    }

    /// Runs a frame and returns one over its result, so that what follows does not run it again.
    ///
    /// # Errors
    /// What the frame's plan fails with, and [`Error::Io`] where its result cannot be written.
    pub async fn settle(&self, frame: DataFrame) -> Result<DataFrame> {
        let mut batches = frame.execute_stream().await?;
        let mut settling = self.settling(batches.schema())?;
        while let Some(batch) = batches.next().await {
            settling.push(batch?)?;
        }
        settling.finish(self).await
    }
}

fn cores(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        given => given,
    }
}

fn pool(threads: usize) -> Result<Arc<ThreadPool>> {
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|error| Error::Usage(format!("cannot start {threads} threads: {error}")))?;
    Ok(Arc::new(pool))
}

/// Without DataFusion's caches of what stands in files: they know a file by its path within its store, size and time, and two folders
/// may have a file of one name, size and time. Every file is opened once or twice, and there is nothing to gain.
fn runtime() -> RuntimeEnvBuilder {
    RuntimeEnvBuilder::new()
        .with_metadata_cache_limit(0)
        .with_file_statistics_cache_limit(0)
        .with_object_list_cache_limit(0)
}

fn session(threads: usize) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_batch_size(BATCH_ROWS);
    // The stages' functions are written for plain strings, and a settled table must have the types it was given.
    config.options_mut().execution.parquet.schema_force_view_types = false;
    config
}
