//! Calls as bytes, for a client that leaves its deadline to the server: tonic's own keeps it itself, and ends the call before there is an answer.
//! Main function: [`status`].

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use prost::Message;
use tokio::net::UnixStream;
use tonic::codegen::http;
use tonic::{Code, Status};

/// Calls a method by its path, as `/runtime.v1.ImageService/PullImage`, with a deadline in whole milliseconds; how it ended.
pub(crate) async fn status(
    socket: &Path,
    method: &str,
    message: &impl Message,
    deadline: Duration,
) -> Result<Status> {
    let stream = UnixStream::connect(socket).await.context("connect")?;
    let (mut client, connection) = h2::client::handshake(stream).await.context("HTTP/2")?;
    let connection = tokio::spawn(connection);
    // gRPC over HTTP/2, "Requests". kubelet's authority over a unix socket is localhost.
    let call = http::Request::post(format!("http://localhost{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", format!("{}m", deadline.as_millis()))
        .body(())
        .context("make the request")?;
    let (answer, mut body) = client
        .send_request(call, false)
        .context("send the request")?;
    body.send_data(frame(message)?.into(), true)
        .context("send the message")?;
    let (head, mut body) = answer.await.context("wait for an answer")?.into_parts();
    let mut ended = Status::from_header_map(&head.headers);
    if ended.is_none() {
        while let Some(bytes) = body.data().await {
            bytes.context("read the answer")?;
        }
        let trailers = body.trailers().await.context("read the trailers")?;
        ended = trailers.and_then(|trailers| Status::from_header_map(&trailers));
    }
    connection.abort();
    Ok(ended.unwrap_or_else(|| Status::new(Code::Unknown, "an answer without a status")))
}

/// Not compressed, then the length (gRPC over HTTP/2, "Length-Prefixed-Message").
fn frame(message: &impl Message) -> Result<Vec<u8>> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).context("a message's length")?;
    Ok([&[0][..], &length.to_be_bytes(), &bytes].concat())
}
