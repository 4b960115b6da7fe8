//! `weaverec worker`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

/// Start a worker of a cluster: it runs parts of plans, with weaverec's functions.
///
/// Runs until it is stopped; on ctrl-c the tasks it has begun are finished. What tasks hand to each other lies in its work folder,
/// and is fetched from there by other workers.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec worker --scheduler localhost:50050 --port 0 --task-port 0           a worker, and any number more
  weaverec worker --scheduler node1:50050 --host 0.0.0.0 --external-host node2 --work /fast/disk
  weaverec worker --scheduler node1:50050 --cores 4 --memory 8192              4 tasks at a time, which share 8 GiB")]
#[cfg_attr(
    not(feature = "cluster"),
    allow(dead_code, reason = "without the feature only the help is used")
)]
pub struct Arguments {
    /// The scheduler, as host:port.
    #[arg(long, default_value = "localhost:50050")]
    scheduler: String,
    /// Address to listen at; 0.0.0.0 for every network of the machine.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Name under which the others reach it [default: the address that the scheduler sees].
    #[arg(long)]
    external_host: Option<String>,
    /// Port at which results are fetched; 0 takes a free one.
    #[arg(long, default_value_t = 50051)]
    port: u16,
    /// Port at which tasks arrive; 0 takes a free one.
    #[arg(long, default_value_t = 50052)]
    task_port: u16,
    /// Tasks at a time [default: one a core].
    #[arg(long, value_parser = super::number::threads)]
    cores: Option<usize>,
    /// Memory that the tasks share, in MiB; beyond it they spill to the work folder [default: 70 % of the machine's].
    #[arg(long, value_name = "MIB", value_parser = super::number::mebibytes)]
    memory: Option<usize>,
    /// Folder for what tasks hand on, and for spills [default: the system's temporary one].
    #[arg(long)]
    work: Option<PathBuf>,
    /// Seconds between two signs of life.
    #[arg(long, default_value_t = 10, value_parser = super::number::seconds)]
    heartbeat: u64,
}

/// Runs the command.
#[cfg(feature = "cluster")]
pub fn run(arguments: Arguments) -> Result<()> {
    use weaverec_pipeline::cluster::{WorkerOptions, worker};

    let cores = super::threads(arguments.cores);
    let options = WorkerOptions {
        scheduler: arguments.scheduler,
        host: arguments.host,
        external_host: arguments.external_host,
        port: arguments.port,
        task_port: arguments.task_port,
        cores,
        memory: arguments.memory.map(|mib| (mib as u64) << 20),
        work: arguments.work,
        heartbeat: arguments.heartbeat,
    };
    crate::progress::say(format!(
        "worker with {cores} cores for the scheduler {}",
        options.scheduler
    ));
    Ok(super::runtime(cores)?.block_on(worker(&options))?)
}

/// Says what is missing.
#[cfg(not(feature = "cluster"))]
pub fn run(_arguments: Arguments) -> Result<()> {
    Err(weaverec_pipeline::Error::without_feature("`weaverec worker`", "cluster").into())
}
