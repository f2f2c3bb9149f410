//! A connection of the host's to a port in the pod, as proto/agent/src/dial.rs describes it: joins it to a TCP connection to the loopback
//! until both directions have ended. Main function: [`carry`]. Above: `listener`.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use agent::{dial::Dial, stdio::Opened};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

use super::{HostStream, listener::refuse};
use crate::deadlines::{
    ANSWER_DEADLINE, DIAL_DEADLINE, DIAL_PIECE_BYTES, HALF_CLOSED_QUIET, MAX_DIALS,
};

/// Connects and passes bytes both ways, or tells the host why not.
pub(super) async fn carry(mut host: Box<dyn HostStream>, dial: Dial, places: Arc<Semaphore>) {
    let Ok(_place) = places.try_acquire_owned() else {
        let reason = format!("{MAX_DIALS} connections to ports of the pod are open already");
        return refuse(host, reason).await;
    };
    let connected = timeout(DIAL_DEADLINE, connect(dial.port)).await;
    let pod = match connected {
        Ok(Ok(pod)) => pod,
        Ok(Err(reason)) => return refuse(host, reason).await,
        Err(_elapsed) => {
            let (port, seconds) = (dial.port, DIAL_DEADLINE.as_secs());
            return refuse(host, format!("port {port} did not answer in {seconds} s")).await;
        }
    };
    let opened = Opened::Ready { offset: 0 }.encode();
    if let Ok(Ok(())) = timeout(ANSWER_DEADLINE, host.write_all(&opened)).await {
        join(host, pod).await;
    }
}

/// The first address of the loopback that answers, or the kernel's words for each.
async fn connect(port: u16) -> Result<TcpStream, String> {
    let mut reasons = Vec::new();
    for address in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ] {
        let address = SocketAddr::new(address, port);
        match TcpStream::connect(address).await {
            Ok(pod) => {
                // What comes has been sent by someone already, who waits for no more of it. A socket without the option works as well.
                drop(pod.set_nodelay(true));
                return Ok(pod);
            }
            Err(error) => reasons.push(format!("connect to {address}: {error}")),
        }
    }
    Err(reasons.join("; "))
}

/// Until both directions have ended, or the host has no ear for the pod any more.
pub(super) async fn join(host: Box<dyn HostStream>, pod: impl AsyncRead + AsyncWrite) {
    let (from_host, to_host) = tokio::io::split(host);
    let (from_pod, to_pod) = tokio::io::split(pod);
    let (host_over, host_watch) = watch::channel(false);
    let (pod_over, pod_watch) = watch::channel(false);
    let to_pod = async {
        let passed = pass(from_host, to_pod, pod_watch).await;
        host_over.send_replace(true);
        passed
    };
    let to_host = async {
        let passed = pass(from_pod, to_host, host_watch).await;
        pod_over.send_replace(true);
        passed
    };
    tokio::pin!(to_pod, to_host);
    // Where the pod takes no more it may still say something. Errors need nobody: both sides see the end.
    tokio::select! {
        passed = &mut to_host => if passed.is_ok() { drop(to_pod.await) },
        _passed = &mut to_pod => drop(to_host.await),
    }
}

/// One direction until its end, which is passed on, too. Once the other one has ended, it ends when nothing comes for a long time.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut other_over: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut buffer = vec![0; DIAL_PIECE_BYTES];
    loop {
        let count = tokio::select! {
            count = from.read(&mut buffer) => count?,
            () = quiet(&mut other_over) => return Err(io::ErrorKind::TimedOut.into()),
        };
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(buffer.get(..count).unwrap_or_default())
            .await?;
    }
}

async fn quiet(other_over: &mut watch::Receiver<bool>) {
    // The sender lives as long as both directions.
    drop(other_over.wait_for(|over| *over).await);
    sleep(HALF_CLOSED_QUIET).await;
}
