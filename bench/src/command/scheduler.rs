//! `weaverec scheduler`.

use anyhow::Result;
use clap::Args;

/// Start the scheduler of a cluster: `prepare --cluster` sends it plans, and it gives their parts to the workers.
///
/// Runs until it is stopped (ctrl-c). Whoever reaches its port can have plans run: keep it within a network of one's own.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec scheduler                                                on this machine alone, port 50050
  weaverec scheduler --host 0.0.0.0 --external-host node1           for other machines, which know it as node1
  weaverec worker --scheduler node1:50050 --host 0.0.0.0            on every machine that is to work
  weaverec prepare my-shop.toml --raw /shared/logs --out /shared/prepared --cluster df://node1:50050

The folder of --out must be seen by driver, scheduler and workers under the same path. All of them must be one version of weaverec,
built with the feature `cluster`.")]
#[cfg_attr(
    not(feature = "cluster"),
    allow(dead_code, reason = "without the feature only the help is used")
)]
pub struct Arguments {
    /// Address to listen at; 0.0.0.0 for every network of the machine.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Port of everything; 0 takes a free one, and says which.
    #[arg(long, default_value_t = 50050)]
    port: u16,
    /// Name under which workers reach it.
    #[arg(long, default_value = "localhost")]
    external_host: String,
    /// Workers to wait for before a job is begun.
    #[arg(long, default_value_t = 1, value_parser = super::number::at_least(1))]
    workers: usize,
    /// Seconds of silence after which a worker counts as lost and its tasks go to others.
    #[arg(long, default_value_t = 60, value_parser = super::number::seconds)]
    timeout: u64,
}

/// Runs the command.
#[cfg(feature = "cluster")]
pub fn run(arguments: Arguments) -> Result<()> {
    use weaverec_pipeline::cluster::{SchedulerOptions, scheduler};

    let options = SchedulerOptions {
        host: arguments.host,
        port: arguments.port,
        external_host: arguments.external_host,
        workers: arguments.workers,
        timeout: arguments.timeout,
    };
    let ready = |port| {
        crate::progress::say(format!(
            "scheduler at {}:{port}; `weaverec worker --scheduler {}:{port}` joins it",
            options.host, options.external_host
        ));
    };
    Ok(super::runtime(super::threads(None))?.block_on(scheduler(&options, ready))?)
}

/// Says what is missing.
#[cfg(not(feature = "cluster"))]
pub fn run(_arguments: Arguments) -> Result<()> {
    Err(weaverec_pipeline::Error::without_feature("`weaverec scheduler`", "cluster").into())
}
