//! Results of jobs: asked for again where a worker took them with it, and passed on whole.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ballista_core::config::BallistaConfig;
use ballista_core::planner::BallistaQueryPlanner;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion_proto::protobuf::LogicalPlanNode;
use futures::{StreamExt, TryStreamExt};

use crate::cluster::codec::LogicalCodec;

/// How often a job is tried. Tasks are tried again by the scheduler; this is for what takes a job as a whole with it.
const ATTEMPTS: u32 = 4;

/// Before the second attempt; twice as long before each further one, so that the scheduler may notice who is gone.
const PAUSE: Duration = Duration::from_secs(2);

/// Plans for the cluster, with [`Whole`] results.
#[derive(Debug)]
pub(super) struct Planner {
    ballista: BallistaQueryPlanner<LogicalPlanNode>,
    spool: PathBuf,
}

impl Planner {
    /// For the scheduler at `url`; results wait in the folder `spool` until they are complete.
    pub fn new(url: String, config: BallistaConfig, spool: PathBuf) -> Self {
        let codec = Arc::new(LogicalCodec::default());
        Self {
            ballista: BallistaQueryPlanner::with_extension(url, config, codec),
            spool,
        }
    }
}

#[async_trait::async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // Ballista answers a plan that is known to be empty without its columns.
        if matches!(plan, LogicalPlan::EmptyRelation(_)) {
            let here = DefaultPhysicalPlanner::default();
            return here.create_physical_plan(plan, session).await;
        }
        let remote = self.ballista.create_physical_plan(plan, session).await?;
        Ok(Arc::new(Whole {
            remote,
            spool: self.spool.clone(),
        }))
    }
}

/// A job of which no row is passed on before the last has arrived, so that it can be asked for again.
#[derive(Debug)]
struct Whole {
    remote: Arc<dyn ExecutionPlan>,
    spool: PathBuf,
}

impl DisplayAs for Whole {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Whole: spool={}", self.spool.display())
    }
}

impl ExecutionPlan for Whole {
    fn name(&self) -> &str {
        "Whole"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.remote.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.remote]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let remote = children.pop().unwrap_or_else(|| self.remote.clone());
        Ok(Arc::new(Self {
            remote,
            spool: self.spool.clone(),
        }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (remote, spool, schema) = (self.remote.clone(), self.spool.clone(), self.schema());
        let arriving = async move {
            let (mut attempt, mut pause) = (1, PAUSE);
            loop {
                match receive(remote.execute(partition, context.clone())?, &spool).await {
                    Err(error) if attempt < ATTEMPTS => {
                        tracing::warn!("attempt {attempt} of {ATTEMPTS} of a job failed: {error}");
                        tokio::time::sleep(pause).await;
                        attempt += 1;
                        pause *= 2;
                    }
                    arrived => {
                        let batches = arrived?.map(|batch| batch.map_err(DataFusionError::from));
                        return Ok::<_, DataFusionError>(futures::stream::iter(batches));
                    }
                }
            }
        };
        let batches = futures::stream::once(arriving).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// Writes a result into a file without a name, and begins to read it back.
async fn receive(
    mut result: SendableRecordBatchStream,
    spool: &Path,
) -> Result<StreamReader<BufReader<File>>> {
    let mut file = tempfile::tempfile_in(spool)?;
    // The first batch knows better than the plan which columns have no nulls; an empty result has the plan's columns.
    let first = result.next().await.transpose()?;
    let schema: SchemaRef = first.as_ref().map_or(result.schema(), RecordBatch::schema);
    let mut writer = StreamWriter::try_new(BufWriter::new(&mut file), &schema)?;
    if let Some(batch) = first {
        writer.write(&batch)?;
    }
    while let Some(batch) = result.next().await {
        writer.write(&batch?)?;
    }
    writer.finish()?;
    drop(writer);
    file.rewind()?;
    Ok(StreamReader::try_new(BufReader::new(file), None)?)
}
