//! Shares that come and go in front of a server's socket, and what is refused. What goes over it needs a guest with a driver; `virtio`
//! tests that.

use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use vm_client::{RequestError, SharePlan, ShareServer, ShareTag};

use crate::{
    guest,
    stage::{SOON, Scene, soon},
};

fn pair() -> (OwnedFd, OwnedFd) {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    socketpair(family, kind, SocketFlags::CLOEXEC, None).unwrap()
}

fn plan(tag: &str, socket: impl Into<OwnedFd>) -> SharePlan {
    SharePlan {
        tag: tag.parse().unwrap(),
        socket: socket.into(),
    }
}

fn refusal(answer: Result<impl std::fmt::Debug, RequestError>) -> String {
    match answer {
        Err(RequestError::Refused { reason }) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn share_comes_and_goes_and_is_listed_with_its_server() {
    let Some(scene) = Scene::set() else { return };
    let monitor = scene.launch(guest::WAITS).await;
    let (ours, server) = pair();
    let address = soon(monitor.add_share(plan("files", ours))).await.unwrap();
    let tag: ShareTag = "files".parse().unwrap();
    let share = async || soon(monitor.status()).await.unwrap().shares[&tag];
    assert_eq!(share().await.pci_address, address);
    assert_eq!(share().await.server, ShareServer::Up);

    let reason = refusal(soon(monitor.add_share(plan("files", pair().0))).await);
    assert_eq!(reason, "a share files is on the bus already");
    let reason = refusal(soon(monitor.add_share(plan("more", pair().0))).await);
    assert!(reason.contains("all that a machine has"), "{reason}");

    drop(server);
    assert_eq!(share().await.server, ShareServer::Gone);
    soon(monitor.remove_device(address)).await.unwrap();
    assert!(soon(monitor.status()).await.unwrap().shares.is_empty());
    let again = soon(monitor.add_share(plan("files", pair().0))).await;
    assert_eq!(again.unwrap(), address);
    soon(monitor.stop(SOON)).await;
}

#[tokio::test]
async fn share_that_is_removed_lets_its_server_go() {
    let Some(scene) = Scene::set() else { return };
    let monitor = scene.launch(guest::WAITS).await;
    let (ours, server) = pair();
    let address = soon(monitor.add_share(plan("files", ours))).await.unwrap();
    soon(monitor.remove_device(address)).await.unwrap();
    let end = soon(tokio::task::spawn_blocking(move || {
        rustix::net::recv(&server, &mut [0; 8], rustix::net::RecvFlags::empty())
    }));
    assert_eq!(end.await.unwrap().map(|(_, length)| length), Ok(0));
    soon(monitor.stop(SOON)).await;
}

#[tokio::test]
async fn descriptor_that_is_no_socket_for_packets_is_refused() {
    let Some(scene) = Scene::set() else { return };
    let monitor = scene.launch(guest::WAITS).await;
    let null = std::fs::File::open("/dev/null").unwrap();
    let stream = std::os::unix::net::UnixStream::pair().unwrap().0;
    for socket in [OwnedFd::from(null), OwnedFd::from(stream)] {
        let reason = refusal(soon(monitor.add_share(plan("files", socket))).await);
        assert!(
            reason.contains("must be a SOCK_SEQPACKET socket"),
            "{reason}"
        );
    }
    assert!(soon(monitor.status()).await.unwrap().shares.is_empty());
    soon(monitor.stop(SOON)).await;
}
