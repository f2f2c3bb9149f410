//! `cofferdam pods|ps|inspect`: what the daemon of this node runs, for people without crictl. Asks it over its socket, as kubelet does.
//! Main type: [`Daemon`], the connection. `list` has the tables, `inspect` one object.

mod inspect;
mod list;
mod show;

use std::{io, os::unix::net::UnixStream, path::Path, time::Duration};

use anyhow::{Context, anyhow};
use cri::{
    MAX_MESSAGE_BYTES,
    v1::{image_service_client::ImageServiceClient, runtime_service_client::RuntimeServiceClient},
};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

use crate::{
    args::{InspectArguments, ListArguments},
    config::Config,
};

/// For any answer; stretched as all deadlines are.
const PATIENCE: Duration = Duration::from_secs(10);

/// A question to the daemon.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Question<'a> {
    Pods(&'a ListArguments),
    Containers(&'a ListArguments),
    Inspect(&'a InspectArguments),
}

/// Asks, and prints the answer.
pub(crate) fn ask(config: &Config, question: Question<'_>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut daemon = Daemon::connect(config).await?;
        match question {
            Question::Pods(arguments) => list::pods(&mut daemon, arguments).await,
            Question::Containers(arguments) => list::containers(&mut daemon, arguments).await,
            Question::Inspect(arguments) => inspect::inspect(&mut daemon, arguments).await,
        }
    })
}

/// A connection to the daemon of this node.
struct Daemon {
    runtime: RuntimeServiceClient<Channel>,
    image: ImageServiceClient<Channel>,
}

impl Daemon {
    async fn connect(config: &Config) -> anyhow::Result<Self> {
        let socket = config.cri_socket();
        reachable(&socket)?;
        let patience = PATIENCE.saturating_mul(config.deadline_scale);
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()))
            .with_context(|| format!("cri.socket {} is no address", socket.display()))?
            .connect_timeout(patience)
            .timeout(patience);
        let channel = endpoint
            .connect()
            .await
            .with_context(|| format!("talk to the daemon at {}", socket.display()))?;
        Ok(Self {
            runtime: RuntimeServiceClient::new(channel.clone())
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
            image: ImageServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES),
        })
    }
}

/// Says what a person can do where the socket does not take a connection; the client's own errors don't.
fn reachable(socket: &Path) -> anyhow::Result<()> {
    let Err(error) = UnixStream::connect(socket) else {
        return Ok(());
    };
    let path = socket.display();
    let advice = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => format!(
            "no daemon serves at {path}: start it with `systemctl start cofferdam` or `cofferdam serve`; another socket is \
             cri.socket of the configuration (--config)"
        ),
        io::ErrorKind::PermissionDenied => {
            format!("the daemon's socket {path} is for root and its group: run this as root")
        }
        _ => format!("connect to the daemon at {path}"),
    };
    Err(anyhow::Error::new(error).context(advice))
}

/// What the daemon says to an error, in its own words.
fn said(attempt: &'static str) -> impl FnOnce(Status) -> anyhow::Error {
    move |status| anyhow!("{attempt}: {}", status.message())
}

#[cfg(test)]
mod tests;
