//! The processes of a cluster: one scheduler, any number of workers.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use ballista_core::extension::SessionConfigExt;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::utils::{default_config_producer, default_session_builder};
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::{SchedulerConfig, TaskDistributionPolicy};
use ballista_scheduler::scheduler_process::{create_scheduler, start_grpc_service_with_listener};
use datafusion::execution::FunctionRegistry;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};

use crate::cluster::codec::{LogicalCodec, PhysicalCodec};
use crate::cluster::session::MESSAGE_BYTES;
use crate::error::{Error, Result};
use crate::function;

/// A scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulerOptions {
    /// Address that it listens at.
    pub host: String,
    /// Port of everything: jobs, workers, the question whether it is ready; 0: a free one.
    pub port: u16,
    /// Name under which workers reach it.
    pub external_host: String,
    /// Workers that must be there before it calls itself ready.
    pub workers: usize,
    /// Seconds of silence after which a worker counts as lost.
    pub timeout: u64,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerOptions {
    /// `host:port` of the scheduler.
    pub scheduler: String,
    /// Address that it listens at.
    pub host: String,
    /// Name under which the others reach it; none: the address that the scheduler sees.
    pub external_host: Option<String>,
    /// Port at which results are fetched; 0: a free one.
    pub port: u16,
    /// Port at which tasks arrive; 0: a free one.
    pub task_port: u16,
    /// Tasks at a time; 0: one a core.
    pub cores: usize,
    /// Bytes of memory that its tasks share; beyond it they spill. None: most of the machine's.
    pub memory: Option<u64>,
    /// Folder in which a folder is made of what tasks hand to other tasks; none: that of temporary files.
    pub work: Option<PathBuf>,
    /// Seconds between two signs of life.
    pub heartbeat: u64,
}

/// Runs a scheduler until the process is stopped; tells `ready` its port as soon as it listens.
///
/// # Errors
/// [`Error::Cluster`] for an address that cannot be listened at.
pub async fn scheduler(options: &SchedulerOptions, ready: impl FnOnce(u16)) -> Result<()> {
    let place = format!("{}:{}", options.host, options.port);
    let failed = |error: &dyn std::fmt::Display| Error::Cluster {
        address: place.clone(),
        message: format!("the scheduler stopped: {error}; check --host and --port"),
    };
    let listener = tokio::net::TcpListener::bind(&place)
        .await
        .map_err(|error| failed(&error))?;
    let port = listener.local_addr().map_err(|error| failed(&error))?.port();
    let config = SchedulerConfig {
        bind_host: options.host.clone(),
        bind_port: port,
        external_host: options.external_host.clone(),
        min_ready_executors: options.workers,
        executor_timeout_seconds: options.timeout,
        expire_dead_executor_interval_seconds: (options.timeout / 4).clamp(1, 15),
        no_executors_grace_period_seconds: options.timeout,
        // Tasks are few and long: spread them.
        task_distribution: TaskDistributionPolicy::RoundRobin,
        grpc_server_max_decoding_message_size: MESSAGE_BYTES as u32,
        grpc_server_max_encoding_message_size: MESSAGE_BYTES as u32,
        grpc_client_max_message_size: MESSAGE_BYTES as u32,
        override_config_producer: Some(Arc::new(config)),
        override_session_builder: Some(Arc::new(|config| {
            let mut state = default_session_builder(config)?;
            for function in function::all() {
                state.register_udf(Arc::new(function))?;
            }
            Ok(state)
        })),
        override_logical_codec: Some(Arc::new(LogicalCodec::default())),
        override_physical_codec: Some(Arc::new(PhysicalCodec::default())),
        ..SchedulerConfig::default()
    };
    let cluster = BallistaCluster::new_from_config(&config).await;
    let cluster = cluster.map_err(|error| failed(&error))?;
    let server = create_scheduler::<LogicalPlanNode, PhysicalPlanNode>(cluster, Arc::new(config)).await;
    let server = server.map_err(|error| failed(&error))?;
    ready(port);
    start_grpc_service_with_listener(listener, server)
        .await
        .map_err(|error| failed(&error))
}

/// Runs a worker until it is told to stop; tasks that it has begun are finished.
///
/// # Errors
/// [`Error::Cluster`] where the scheduler cannot be reached or a port is taken, [`Error::Io`] for the work folder.
pub async fn worker(options: &WorkerOptions) -> Result<()> {
    let failed = |message: String| Error::Cluster {
        address: options.scheduler.clone(),
        message,
    };
    let scheduler = options.scheduler.rsplit_once(':');
    let (scheduler_host, scheduler_port) = scheduler
        .and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)))
        .ok_or_else(|| {
            failed("is no address of a scheduler; write host:port, as in localhost:50050".to_owned())
        })?;
    let place = options.work.clone().unwrap_or_else(std::env::temp_dir);
    std::fs::create_dir_all(&place).map_err(|source| Error::io(&place, "create", source))?;
    // What a worker leaves goes with it, unless it is killed.
    let work = tempfile::Builder::new()
        .prefix("weaverec-worker-")
        .tempdir_in(&place);
    let work = work.map_err(|source| Error::io(&place, "write into", source))?;
    let free = free_ports(&options.host).map_err(|error| failed(format!("no port is free: {error}")))?;
    let port = |given, free| if given == 0 { free } else { given };
    let mut functions = BallistaFunctionRegistry::default();
    for function in function::all() {
        functions
            .scalar_functions
            .insert(function.name().to_owned(), Arc::new(function));
    }
    let config = ExecutorProcessConfig {
        bind_host: options.host.clone(),
        external_host: options.external_host.clone(),
        port: port(options.port, free.0),
        grpc_port: port(options.task_port, free.1),
        scheduler_host,
        scheduler_port,
        scheduler_connect_timeout_seconds: 60,
        vcores: options.cores,
        memory_pool_size: options.memory,
        work_dir: Some(work.path().to_string_lossy().into_owned()),
        executor_heartbeat_interval_seconds: options.heartbeat,
        grpc_max_decoding_message_size: MESSAGE_BYTES as u32,
        grpc_max_encoding_message_size: MESSAGE_BYTES as u32,
        override_config_producer: Some(Arc::new(config)),
        override_function_registry: Some(Arc::new(functions)),
        override_logical_codec: Some(Arc::new(LogicalCodec::default())),
        override_physical_codec: Some(Arc::new(PhysicalCodec::default())),
        ..ExecutorProcessConfig::default()
    };
    start_executor_process(Arc::new(config))
        .await
        .map_err(|error| failed(format!("the worker stopped: {error}; is the scheduler there?")))
}

/// What sessions have that say nothing else; a driver's settings come with each of its jobs.
fn config() -> SessionConfig {
    default_config_producer().with_ballista_grpc_client_max_message_size(MESSAGE_BYTES)
}

/// Two ports that are free at the moment.
fn free_ports(host: &str) -> std::io::Result<(u16, u16)> {
    let (one, other) = (TcpListener::bind((host, 0))?, TcpListener::bind((host, 0))?);
    Ok((one.local_addr()?.port(), other.local_addr()?.port()))
}
