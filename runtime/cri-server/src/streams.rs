//! The pods' side of the streaming server: makes the streams of a session out of what `pod` gives. Main type: [`Streams`]. Above: the
//! crate `streaming`, whose client it is that comes with a token; the calls that gave the token have checked what is asked for (`rpc`).
//!
//! ```text
//! exec     input ──► feed ──► pod's input        output ◄── pieces ◄── exec_output::forward ◄── pod's output     attend: end, sizes, hang-up
//! attach   input ──► feed ──► pod's input        output ◄── ending ◄── pieces of pod's log task                  attend: end, sizes
//! dial     the pod's stream itself
//! ```

mod attach;
mod ending;
mod exec;
mod feed;

use std::sync::Arc;

use model::WindowSize;
use pod::PodError;
use streaming::{Attach, Backend, Connection, Exec, Process, Refusal};
use tokio::sync::mpsc;
use tonic::Status;
use tracing::{Instrument, field::Empty};

use crate::node::Node;

/// Sizes of a client's window that wait to be applied; only the last counts.
const SIZES: usize = 4;

/// All pods of the node, as the streaming server sees them.
#[derive(Debug, Clone)]
pub(crate) struct Streams(pub(crate) Arc<Node>);

impl Backend for Streams {
    async fn exec(&self, exec: Exec) -> Result<Process, Refusal> {
        let span = tracing::info_span!("exec", pod = Empty, container = Empty);
        exec::exec(&self.0, exec).instrument(span).await
    }

    async fn attach(&self, attach: Attach) -> Result<Process, Refusal> {
        let span = tracing::info_span!("attach", pod = Empty, container = Empty);
        attach::attach(&self.0, attach).instrument(span).await
    }

    async fn dial(&self, sandbox: &str, port: u16) -> Result<Connection, Refusal> {
        let known = self.0.pods.pod(sandbox);
        let known = known.map_err(|error| Refusal(error.to_string()))?;
        let stream = known.pod.dial(port).await;
        let (from, to) = stream.map_err(|error| refusal(&error))?.into_split();
        Ok(Connection {
            from: Box::new(from),
            to: Box::new(to),
        })
    }
}

fn refusal(error: &PodError) -> Refusal {
    Refusal(model::chain(error))
}

fn refused(status: &Status) -> Refusal {
    Refusal(status.message().to_owned())
}

/// The newest of the sizes that wait, of which this is the first.
fn newest(first: WindowSize, sizes: &mut mpsc::Receiver<WindowSize>) -> WindowSize {
    let mut newest = first;
    while let Ok(size) = sizes.try_recv() {
        newest = size;
    }
    newest
}

/// A process ends while its window changes; then there is nothing to set.
fn say_if_not_resized(resized: Result<(), PodError>) {
    if let Err(error) = resized {
        let error = &error as &dyn std::error::Error;
        tracing::debug!(error, "the size of a terminal was not set");
    }
}
