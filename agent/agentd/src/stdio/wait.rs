//! A connection of the host's that waits for a process to connect to a socket volume, as proto/agent/src/socket.rs describes it. Main function:
//! [`carry`]. Above: `listener`; beside: `dial`, which joins connections.

use std::sync::Arc;

use agent::{
    socket::{Caller, Wait},
    stdio::Opened,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{HostStream, dial::join, listener::refuse};
use crate::{
    deadlines::{ACCEPT_PAUSE, ANSWER_DEADLINE, MAX_WAITS},
    ids::VolumeId,
    volumes::Volumes,
};

/// Waits for a process, says who it is, and passes bytes both ways; or tells the host why not.
pub(super) async fn carry(
    mut host: Box<dyn HostStream>,
    wait: Wait,
    volumes: Volumes,
    places: Arc<Semaphore>,
) {
    let Ok(_place) = places.try_acquire_owned() else {
        let reason = format!("{MAX_WAITS} connections for sockets of the host are open already");
        return refuse(host, reason).await;
    };
    let id = match VolumeId::parse(&wait.volume_id) {
        Ok(id) => id,
        Err(fault) => return refuse(host, fault.message).await,
    };
    let Some(listener) = volumes.listener(&id) else {
        return refuse(host, format!("volume {id} is no socket, or not there")).await;
    };
    drop(volumes);
    let opened = Opened::Ready { offset: 0 }.encode();
    if !told(&mut host, &opened).await {
        return;
    }
    let process = tokio::select! {
        biased;
        // It has nothing to say before: it has gone, and leaves the process to another one.
        _gone = host.read_u8() => return,
        process = accept(&listener) => process,
    };
    drop(listener);
    // One that can't be told from others is nobody.
    let Ok(caller) = process.peer_cred() else {
        return;
    };
    let caller = Caller {
        uid: caller.uid(),
        gid: caller.gid(),
    };
    if told(&mut host, &caller.encode()).await {
        join(host, process).await;
    }
}

async fn accept(listener: &UnixListener) -> UnixStream {
    loop {
        match listener.accept().await {
            Ok((process, _unnamed)) => return process,
            // It went away, or there are no descriptors; nothing says when there are some again.
            Err(_error) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn told(host: &mut Box<dyn HostStream>, bytes: &[u8]) -> bool {
    let written = timeout(ANSWER_DEADLINE, host.write_all(bytes)).await;
    matches!(written, Ok(Ok(())))
}
