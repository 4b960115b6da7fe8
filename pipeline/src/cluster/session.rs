//! The driver's side: a session whose plans run on the cluster.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ballista_core::extension::{
    SessionConfigExt, ballista_aggregate_functions, ballista_scalar_functions, ballista_window_functions,
};
use ballista_core::optimizer::ballista_default_optimizer_rules;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::cluster::codec::LogicalCodec;
use crate::cluster::result::Planner;
use crate::error::{Error, Result};
use crate::function;

/// How long the driver waits for the first worker.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two questions whether there is one.
const PAUSE: Duration = Duration::from_millis(200);

/// Bytes of the largest message between driver, scheduler and workers.
pub(super) const MESSAGE_BYTES: usize = 64 << 20;

/// A cluster by the address of its scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    address: String,
}

impl Cluster {
    /// The cluster whose scheduler is at `df://host:port`.
    ///
    /// # Errors
    /// [`Error::Usage`] for another kind of address.
    pub fn at(url: &str) -> Result<Self> {
        let address = url.strip_prefix("df://").map(|rest| rest.trim_end_matches('/'));
        let address = address.filter(|address| is_address(address)).ok_or_else(|| {
            Error::Usage(format!(
                "`{url}` is no address of a cluster; write df://host:port, as in df://localhost:50050"
            ))
        })?;
        Ok(Self {
            address: address.to_owned(),
        })
    }

    /// Waits until a worker is there.
    ///
    /// # Errors
    /// [`Error::Cluster`] where no scheduler answers, and where it still has no worker after a minute.
    pub fn wait(&self) -> Result<()> {
        let begin = Instant::now();
        loop {
            let answer = self.ask_ready().map_err(|error| {
                self.error(format!(
                    "no scheduler answers ({error}); check the address, or start one with `weaverec scheduler`"
                ))
            })?;
            if answer.split(' ').nth(1) == Some("200") {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                return Err(self.error(format!(
                    "the scheduler has too few workers; start one with `weaverec worker --scheduler {}`",
                    self.address
                )));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The first line of what the scheduler answers when asked whether it is ready.
    fn ask_ready(&self) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let host = &self.address;
        write!(
            stream,
            "GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let text = String::from_utf8_lossy(&answer);
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }

    fn error(&self, message: String) -> Error {
        Error::Cluster {
            address: format!("df://{}", self.address),
            message,
        }
    }

    /// A session with `config` whose plans run here. Results wait in the folder `spool` until they are complete.
    pub(crate) fn session(
        &self,
        config: SessionConfig,
        runtime: Arc<RuntimeEnv>,
        spool: &Path,
    ) -> SessionContext {
        let config = config
            .upgrade_for_ballista()
            .with_ballista_logical_extension_codec(Arc::new(LogicalCodec::default()))
            // Ballista's adaptive planner waits for ever where a stage that it has finished must run again because its worker died.
            .with_ballista_adaptive_query_planner(false)
            .with_ballista_grpc_client_max_message_size(MESSAGE_BYTES);
        let url = format!("http://{}", self.address);
        let planner = Planner::new(url, config.ballista_config(), PathBuf::from(spool));
        let state = SessionStateBuilder::new()
            .with_default_features()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_query_planner(Arc::new(planner))
            .with_optimizer_rules(ballista_default_optimizer_rules())
            .with_scalar_functions(ballista_scalar_functions())
            .with_aggregate_functions(ballista_aggregate_functions())
            .with_window_functions(ballista_window_functions())
            .build();
        let context = SessionContext::new_with_state(state);
        for function in function::all() {
            context.register_udf(function);
        }
        context
    }
}

/// `host:port`, which is all that may follow the scheme.
fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_address_is_host_and_port() {
        for good in ["df://localhost:50050", "df://10.0.0.1:1/", "df://[::1]:50050"] {
            assert!(Cluster::at(good).is_ok(), "{good}");
        }
        for bad in [
            "localhost:50050",
            "df://localhost",
            "df://:1",
            "http://a:1",
            "df://a:0",
            "df://a/b:1",
        ] {
            let error = Cluster::at(bad).unwrap_err().to_string();
            assert!(error.contains("df://host:port"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_scheduler_that_is_not_there_is_an_error_at_once() {
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let error = Cluster::at(&format!("df://127.0.0.1:{port}"))
            .unwrap()
            .wait()
            .unwrap_err();
        assert!(error.to_string().contains("weaverec scheduler"), "{error}");
    }
}
