//! The daemon's own figures for Prometheus, where the configuration says so. Main types: [`Figures`], what is counted while the daemon
//! works, and [`Listen`], where it is asked for. `http` answers, `now` has what is true at the moment of a scrape, `memory` says what a
//! monitor costs.
//!
//! No label but those of the two figures of a pod's memory is an id or a name that a client has chosen: series stay few, however long
//! the daemon lives. Those two are of the pods that run.

mod http;
mod memory;
mod now;

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use model::Stage;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use serde::Serialize;
use tokio::sync::Semaphore;
use tonic::{Code, codegen::http as wire};

use crate::{node::Node, work};

pub(crate) use http::Exporter;
pub use http::ListenError;

/// From a status that is read to a pull of some minutes, in seconds.
const BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0,
];

/// For a call that is not served: a client may call anything so.
const NOT_SERVED: &str = "other";

/// Where Prometheus asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Listen {
    /// A TCP port of this host.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rpc {
    method: String,
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StartStage {
    stage: String,
}

type Histograms<Labels> = Family<Labels, Histogram, fn() -> Histogram>;

/// What is counted while the daemon works.
#[derive(Debug)]
pub(crate) struct Figures {
    registry: Registry,
    rpcs: Histograms<Rpc>,
    stages: Histograms<StartStage>,
    /// One scrape at a time reads of monitors.
    scraping: Arc<Semaphore>,
}

impl Figures {
    pub(crate) fn new() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let rpcs = Histograms::new_with_constructor(histogram);
        let stages = Histograms::new_with_constructor(histogram);
        let mut registry = Registry::with_prefix("cofferdam");
        registry.register_with_unit(
            "rpc_duration",
            "How long calls of the Container Runtime Interface took, streams until their first message",
            Unit::Seconds,
            rpcs.clone(),
        );
        registry.register_with_unit(
            "pod_start_stage_duration",
            "How long the stages of the starts of pods took",
            Unit::Seconds,
            stages.clone(),
        );
        Self {
            registry,
            rpcs,
            stages,
            scraping: Arc::new(Semaphore::new(1)),
        }
    }

    /// A call has been answered.
    pub(crate) fn called<Body>(&self, path: &str, answer: &wire::Response<Body>, took: Duration) {
        let code = code_of(answer);
        let method = match code {
            Code::Unimplemented => NOT_SERVED,
            _ => path.rsplit('/').next().unwrap_or(NOT_SERVED),
        };
        let labels = Rpc {
            method: method.to_owned(),
            code: format!("{code:?}"),
        };
        self.rpcs.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A pod has started.
    pub(crate) fn started(&self, stages: &[Stage]) {
        for stage in stages {
            let labels = StartStage {
                stage: stage.name.clone().into_owned(),
            };
            let histogram = self.stages.get_or_create(&labels);
            histogram.observe(stage.took.as_secs_f64());
        }
    }
}

/// An error without a body has its code in its headers; what has a body went well so far.
fn code_of<Body>(answer: &wire::Response<Body>) -> Code {
    let status = answer.headers().get("grpc-status");
    status.map_or(Code::Ok, |status| Code::from_bytes(status.as_bytes()))
}

/// All figures, as Prometheus reads them.
async fn scrape(node: &Node) -> Result<String, ScrapeError> {
    let turn = Arc::clone(&node.figures.scraping).acquire_owned().await;
    let pods = now::look(node);
    let counted = work::blocking(move || {
        let mut registry = Registry::with_prefix("cofferdam");
        now::register(pods, &mut registry);
        drop(turn);
        registry
    });
    let counted = counted
        .await
        .map_err(|status| ScrapeError::Lost(status.message().to_owned()))?;
    let mut page = String::new();
    text::encode_registry(&mut page, &node.figures.registry)?;
    text::encode_registry(&mut page, &counted)?;
    text::encode_eof(&mut page)?;
    Ok(page)
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
enum ScrapeError {
    #[error("write the figures")]
    Write(#[from] fmt::Error),
    #[error("look at the pods: {0}")]
    Lost(String),
}

#[cfg(test)]
mod tests;
